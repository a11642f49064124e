"""The commands, tests and extensions that our scripts know."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from petitbleu_mail.sieve import control, disposition, flags, header_tests, variables
from petitbleu_mail.sieve.comparators import ALWAYS_KNOWN, COMPARATORS
from petitbleu_mail.sieve.compiler import Catalog
from petitbleu_mail.sieve.grammar import ADDRESS_TAGS, INDEX_TAGS, MATCH_TAGS, Spec, TagSpec, Tests, Want

_STRING, _STRINGS, _NUMBER = Want.STRING, Want.STRINGS, Want.NUMBER
_FLAGS: Final = {"flags": TagSpec(_STRINGS, needs="imap4flags")}
_COPY: Final = {"copy": TagSpec(needs="copy")}

_COMMANDS: Final = {
    "stop": Spec(control.make_stop),
    "keep": Spec(disposition.make_keep, tags=_FLAGS),
    "discard": Spec(disposition.make_discard),
    "fileinto": Spec(
        disposition.make_fileinto,
        (_STRING,),
        tags=_FLAGS | _COPY | {"create": TagSpec(needs="mailbox"), "specialuse": TagSpec(_STRING, needs="special-use")},
        needs=("fileinto",),
    ),
    "redirect": Spec(disposition.make_redirect, (_STRING,), tags=_COPY | {"list": TagSpec(needs="extlists")}),
    "reject": Spec(disposition.make_reject, (_STRING,), needs=("reject",)),
    "ereject": Spec(disposition.make_reject, (_STRING,), needs=("ereject",)),
    "set": Spec(variables.make_set, (_STRING, _STRING), tags=variables.SET_TAGS, needs=("variables",)),
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
    "hasflag": Spec(flags.make_hasflag, (_STRINGS, _STRINGS), optional=0, tags=MATCH_TAGS, needs=("imap4flags",)),
}

_EXTENSIONS: Final = frozenset(
    {
        "copy",  # RFC 3894
        "encoded-character",  # RFC 5228 §2.4.2.4
        "envelope",  # RFC 5228 §5.4
        "ereject",  # RFC 5429
        "fileinto",  # RFC 5228 §4.1
        "imap4flags",  # RFC 5232
        "index",  # RFC 5260 §6
        "reject",  # RFC 5429
        "relational",  # RFC 5231
        "subaddress",  # RFC 5233
        "variables",  # RFC 5229
        *(f"comparator-{name}" for name in COMPARATORS if name not in ALWAYS_KNOWN),
    }
)

CATALOG: Final = Catalog(MappingProxyType(_COMMANDS), MappingProxyType(_TESTS), _EXTENSIONS)
EXTENSIONS: Final = tuple(sorted(_EXTENSIONS))
"""What `require` may name, as ManageSieve's and JMAP's capabilities tell it (RFC 5804 §1.7, RFC 9661 §1.3)."""
