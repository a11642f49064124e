"""The commands, tests and extensions that our scripts know."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from petitbleu_mail.sieve import (
    asking,
    body,
    control,
    dates,
    disposition,
    editing,
    flags,
    header_tests,
    including,
    notifying,
    vacation,
    variables,
)
from petitbleu_mail.sieve.comparators import ALWAYS_KNOWN, COMPARATORS
from petitbleu_mail.sieve.compiler import Catalog
from petitbleu_mail.sieve.grammar import ADDRESS_TAGS, INDEX_TAGS, MATCH_TAGS, Spec, TagSpec, Tests, Want

_STRING, _STRINGS, _NUMBER = Want.STRING, Want.STRINGS, Want.NUMBER
_FLAGS: Final = {"flags": TagSpec(_STRINGS, needs="imap4flags")}
_COPY: Final = {"copy": TagSpec(needs="copy")}

_COMMANDS: Final = {
    "stop": Spec(control.make_stop),
    "include": Spec(including.make_include, (_STRING,), tags=including.INCLUDE_TAGS, needs=("include",)),
    "return": Spec(including.make_return, needs=("include",)),
    "global": Spec(including.make_global, (_STRINGS,), needs=("include", "variables")),
    "keep": Spec(disposition.make_keep, tags=_FLAGS),
    "discard": Spec(disposition.make_discard),
    "fileinto": Spec(
        disposition.make_fileinto,
        (_STRING,),
        tags=_FLAGS
        | _COPY
        | {
            "create": TagSpec(needs="mailbox"),
            # RFC 9042 §4.2: one of the two at most
            "specialuse": TagSpec(_STRING, group="mailbox", needs="special-use"),
            "mailboxid": TagSpec(_STRING, group="mailbox", needs="mailboxid"),
        },
        needs=("fileinto",),
    ),
    "redirect": Spec(disposition.make_redirect, (_STRING,), tags=_COPY | {"list": TagSpec(needs="extlists")}),
    "reject": Spec(disposition.make_reject, (_STRING,), needs=("reject",)),
    "ereject": Spec(disposition.make_reject, (_STRING,), needs=("ereject",)),
    "set": Spec(variables.make_set, (_STRING, _STRING), tags=variables.SET_TAGS, needs=("variables",)),
    "vacation": Spec(vacation.make_vacation, (_STRING,), tags=vacation.VACATION_TAGS, needs=("vacation",)),
    "notify": Spec(notifying.make_notify, (_STRING,), tags=notifying.NOTIFY_TAGS, needs=("enotify",)),
    "addheader": Spec(editing.make_addheader, (_STRING, _STRING), tags={"last": TagSpec()}, needs=("editheader",)),
    "deleteheader": Spec(
        editing.make_deleteheader,
        (_STRING, _STRINGS),
        optional=1,
        tags=MATCH_TAGS | {"index": TagSpec(_NUMBER), "last": TagSpec()},
        needs=("editheader",),
    ),
    **{
        name: Spec(flags.make_flag_command, (_STRING, _STRINGS), optional=0, needs=("imap4flags",))
        for name in ("setflag", "addflag", "removeflag")
    },
}

_TESTS: Final = {
    "allof": Spec(control.make_allof, tests=Tests.MANY),
    "anyof": Spec(control.make_anyof, tests=Tests.MANY),
    "not": Spec(control.make_not, tests=Tests.ONE),
    "true": Spec(control.make_constant),
    "false": Spec(control.make_constant),
    "header": Spec(header_tests.make_header, (_STRINGS, _STRINGS), tags=MATCH_TAGS | INDEX_TAGS),
    "address": Spec(header_tests.make_address, (_STRINGS, _STRINGS), tags=MATCH_TAGS | ADDRESS_TAGS | INDEX_TAGS),
    "envelope": Spec(
        header_tests.make_envelope, (_STRINGS, _STRINGS), tags=MATCH_TAGS | ADDRESS_TAGS, needs=("envelope",)
    ),
    "exists": Spec(header_tests.make_exists, (_STRINGS,)),
    "size": Spec(
        header_tests.make_size, (_NUMBER,), tags={"over": TagSpec(group="size"), "under": TagSpec(group="size")}
    ),
    "string": Spec(variables.make_string, (_STRINGS, _STRINGS), tags=MATCH_TAGS, needs=("variables",)),
    "body": Spec(body.make_body, (_STRINGS,), tags=MATCH_TAGS | body.BODY_TAGS, needs=("body",)),
    "date": Spec(
        dates.make_date, (_STRING, _STRING, _STRINGS), tags=MATCH_TAGS | INDEX_TAGS | dates.DATE_TAGS, needs=("date",)
    ),
    "currentdate": Spec(dates.make_date, (_STRING, _STRINGS), tags=MATCH_TAGS | dates.CURRENT_TAGS, needs=("date",)),
    "mailboxexists": Spec(asking.make_mailboxexists, (_STRINGS,), needs=("mailbox",)),
    "mailboxidexists": Spec(asking.make_mailboxidexists, (_STRINGS,), needs=("mailboxid",)),
    "specialuse_exists": Spec(asking.make_specialuse_exists, (_STRING, _STRINGS), optional=0, needs=("special-use",)),
    "duplicate": Spec(asking.make_duplicate, tags=asking.DUPLICATE_TAGS, needs=("duplicate",)),
    "valid_ext_list": Spec(asking.make_valid_ext_list, (_STRINGS,), needs=("extlists",)),
    "valid_notify_method": Spec(notifying.make_valid_notify_method, (_STRINGS,), needs=("enotify",)),
    "notify_method_capability": Spec(
        notifying.make_notify_method_capability, (_STRING, _STRING, _STRINGS), tags=MATCH_TAGS, needs=("enotify",)
    ),
    "hasflag": Spec(flags.make_hasflag, (_STRINGS, _STRINGS), optional=0, tags=MATCH_TAGS, needs=("imap4flags",)),
}

_EXTENSIONS: Final = frozenset(
    {
        "body",  # RFC 5173
        "copy",  # RFC 3894
        "date",  # RFC 5260
        "duplicate",  # RFC 7352
        "editheader",  # RFC 5293
        "encoded-character",  # RFC 5228 §2.4.2.4
        "enotify",  # RFC 5435
        "envelope",  # RFC 5228 §5.4
        "ereject",  # RFC 5429
        "extlists",  # RFC 6134
        "fileinto",  # RFC 5228 §4.1
        "imap4flags",  # RFC 5232
        "include",  # RFC 6609
        "index",  # RFC 5260 §6
        "mailbox",  # RFC 5490
        "mailboxid",  # RFC 9042
        "reject",  # RFC 5429
        "relational",  # RFC 5231
        "special-use",  # RFC 8579
        "subaddress",  # RFC 5233
        "vacation",  # RFC 5230
        "vacation-seconds",  # RFC 6131
        "variables",  # RFC 5229
        *(f"comparator-{name}" for name in COMPARATORS if name not in ALWAYS_KNOWN),
    }
)

CATALOG: Final = Catalog(MappingProxyType(_COMMANDS), MappingProxyType(_TESTS), _EXTENSIONS)
EXTENSIONS: Final = tuple(sorted(_EXTENSIONS))
"""What `require` may name."""

# A list is whom somebody knows: nobody means to send something on to all of them.
_REDIRECT: Final = Spec(disposition.make_redirect, (_STRING,), tags=_COPY)
DELIVERED: Final = Catalog(MappingProxyType(_COMMANDS | {"redirect": _REDIRECT}), CATALOG.tests, _EXTENSIONS)
"""What scripts of mailboxes may use: delivery does all of it."""
DELIVERED_EXTENSIONS: Final = tuple(sorted(DELIVERED.extensions))
"""What `require` may name there, as ManageSieve's and JMAP's capabilities tell it (RFC 5804 §1.7, RFC 9661 §1.2.1)."""
