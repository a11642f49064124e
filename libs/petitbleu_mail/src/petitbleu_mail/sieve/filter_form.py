"""Filter rules as a form has them: a list of conditions and what to do, which compiles to a Sieve script (RFC 5228).

A form says less than Sieve, so that it can be shown; whatever it says, its script compiles and does just that. What people write
stands in quoted strings alone: no extension is required in which anything in one has a meaning (RFC 5229, encoded-character).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from petitbleu_mail.addresses import AddressError, parse_mailbox
from petitbleu_mail.mailbox_rules import mailbox_number
from petitbleu_mail.sieve.faults import LIMITS

MAX_RULES: Final = 100
MAX_FORM_OCTETS: Final = 65_536
_MAX_CONDITIONS: Final = 20
_MAX_ACTIONS: Final = 10
_MAX_TEXT: Final = 500
_MAX_SIZE: Final = 2**31 - 1
"""RFC 5228 §2.4.1: what every implementation reads."""
_ADDRESSES: Final = frozenset({"from", "to", "cc"})
# RFC 5322 §3.6.8; nobody has longer ones
_FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,76}")
# RFC 9051 §9: an atom, as JMAP has it (RFC 8621 §4.1.1)
_KEYWORD: Final = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,128}")
_COMPARATOR: Final = "i;unicode-casemap"
_MATCH_MEANING: Final = re.compile(r"[*?\\]")
_HEAD: Final = "# Made from the filter rules of the web app. To change it by hand ends them.\r\n"


class FormError(ValueError):
    """What is wrong with a form: `path` says where (RFC 6901 without the first slash), the text what; it quotes nothing."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a message must be; `header` names the field where `field` is `header`."""

    field: Literal["from", "to", "cc", "subject", "listId", "header", "size"]
    op: Literal["contains", "is", "startsWith", "endsWith", "over", "under"]
    value: str | int
    header: str = ""
    negate: bool = False


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One thing to do; what it is done with is in the property of its kind."""

    type: Literal["fileInto", "copyTo", "addKeyword", "markRead", "flag", "forwardTo", "discard", "stop"]
    mailbox_id: str = ""
    keyword: str = ""
    address: str = ""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule."""

    name: str
    conditions: list[Condition]
    actions: list[Action]
    enabled: bool = True
    match: Literal["all", "any"] = "all"


def read_form(octets: bytes) -> tuple[Rule, ...]:
    """Read a form from JSON.

    Raises:
        FormError: it is none.
    """
    if len(octets) > MAX_FORM_OCTETS:
        raise FormError("", f"the rules have more than {MAX_FORM_OCTETS:,} octets")
    try:
        rules = msgspec.json.decode(octets, type=list[Rule])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # msgspec says what was wanted and where, and quotes no value but names of ours
        found = re.search(r"at `\$([^`]*)`", str(error))
        path = "" if found is None else re.sub(r"[.\[]([^.\[\]]+)\]?", r"/\1", found[1]).removeprefix("/")
        raise FormError(path, "this is no rule as they are described") from None
    if len(rules) > MAX_RULES:
        raise FormError("", f"there are more than {MAX_RULES} rules")
    for index, rule in enumerate(rules):
        _check_rule(rule, str(index))
    forwards = {one.address for rule in rules if rule.enabled for one in rule.actions if one.type == "forwardTo"}
    if len(forwards) > LIMITS.redirects:
        raise FormError("", f"a message is sent on to {LIMITS.redirects} addresses at most")
    places = {one.mailbox_id for rule in rules if rule.enabled for one in rule.actions if one.mailbox_id}
    # the implicit keep is one of the things that may be done
    if len(places) + len(forwards) >= LIMITS.actions:
        raise FormError("", f"the rules name {LIMITS.actions} mailboxes and addresses or more")
    return tuple(rules)


def write_form(rules: Sequence[Rule]) -> bytes:
    """Return a form in JSON."""
    return msgspec.json.encode(list(rules))


def compile_form(rules: Sequence[Rule]) -> str:
    """Return the script of a form that `read_form` let through."""
    rules = [rule for rule in rules if rule.enabled]
    bodies = [_rule(rule) for rule in rules]
    names = _required(rules)
    require = f"require [{', '.join(map(_quoted, names))}];\r\n" if names else ""
    return _HEAD + require + "".join(bodies)


def _check_rule(rule: Rule, path: str) -> None:
    _check_text(rule.name, f"{path}/name", empty=True)
    if len(rule.conditions) > _MAX_CONDITIONS:
        raise FormError(f"{path}/conditions", f"there are more than {_MAX_CONDITIONS}")
    if len(rule.actions) > _MAX_ACTIONS:
        raise FormError(f"{path}/actions", f"there are more than {_MAX_ACTIONS}")
    for index, condition in enumerate(rule.conditions):
        _check_condition(condition, f"{path}/conditions/{index}")
    for index, action in enumerate(rule.actions):
        _check_action(action, f"{path}/actions/{index}")


def _check_condition(one: Condition, path: str) -> None:
    if (one.field == "size") != (one.op in {"over", "under"}):
        raise FormError(f"{path}/op", "sizes are over or under something, and nothing else is")
    if one.field == "size":
        if not isinstance(one.value, int) or not 0 <= one.value <= _MAX_SIZE:
            raise FormError(f"{path}/value", "a number of octets is wanted")
    elif not isinstance(one.value, str):
        raise FormError(f"{path}/value", "a text is wanted")
    else:
        _check_text(one.value, f"{path}/value", empty=False)
    if (one.field == "header") != bool(one.header) or (one.header and not _FIELD_NAME.fullmatch(one.header)):
        raise FormError(
            f"{path}/header", "the name of a header field is wanted where `field` is `header`, and nowhere else"
        )


def _check_action(one: Action, path: str) -> None:
    files = one.type in {"fileInto", "copyTo"}
    if files != bool(one.mailbox_id) or (files and mailbox_number(one.mailbox_id) is None):
        raise FormError(f"{path}/mailboxId", "the id of a mailbox is wanted to file in, and nowhere else")
    marks = one.type == "addKeyword"
    if marks != bool(one.keyword) or (marks and not _KEYWORD.fullmatch(one.keyword)):
        raise FormError(f"{path}/keyword", "a keyword is wanted to add, and nowhere else")
    forwards = one.type == "forwardTo"
    if forwards != bool(one.address) or (forwards and not _is_address(one.address)):
        raise FormError(f"{path}/address", "an address is wanted to send on to, and nowhere else")


def _check_text(text: str, path: str, *, empty: bool) -> None:
    if not text.strip() and not empty:
        raise FormError(path, "a text is wanted")
    if len(text) > _MAX_TEXT:
        raise FormError(path, f"the text has more than {_MAX_TEXT} characters")
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text):
        raise FormError(path, "the text has control characters")


def _is_address(text: str) -> bool:
    try:
        return bool(parse_mailbox(text).domain) and len(text) <= _MAX_TEXT and text.isprintable()
    except AddressError:
        return False


def _required(rules: Iterable[Rule]) -> list[str]:
    conditions = [one for rule in rules for one in rule.conditions]
    kinds = {one.type for rule in rules for one in rule.actions}
    wanted = {
        "fileinto": bool(kinds & {"fileInto", "copyTo"}),
        "mailboxid": bool(kinds & {"fileInto", "copyTo"}),
        "copy": bool(kinds & {"copyTo", "forwardTo"}),
        "imap4flags": bool(kinds & {"addKeyword", "markRead", "flag"}),
        f"comparator-{_COMPARATOR}": any(one.field != "size" for one in conditions),
    }
    return [name for name, needed in wanted.items() if needed]


def _rule(rule: Rule) -> str:
    tests = [_test(one) for one in rule.conditions]
    nothing = "true" if rule.match == "all" else "false"
    test = f"{rule.match}of ({', '.join(tests)})" if tests else nothing
    # what is marked counts for what the same rule files
    commands = sorted((one for one in rule.actions), key=lambda one: one.type not in {"addKeyword", "markRead", "flag"})
    lines = "".join(f"    {_command(one)}\r\n" for one in commands)
    return f"# {rule.name}\r\nif {test} {{\r\n{lines}}}\r\n"


def _test(one: Condition) -> str:
    test = f"size :{one.op} {one.value}" if isinstance(one.value, int) else _text_test(one, one.value)
    return f"not {test}" if one.negate else test


def _text_test(one: Condition, value: str) -> str:
    # an address is compared as such; what is only contained may stand in the name beside it
    test = "address :all" if one.field in _ADDRESSES and one.op != "contains" else "header"
    name = {"listId": "list-id", "header": one.header}.get(one.field, one.field)
    literal = _MATCH_MEANING.sub(r"\\\g<0>", value)
    match, key = {
        "contains": (":contains", value),
        "is": (":is", value),
        "startsWith": (":matches", f"{literal}*"),
        "endsWith": (":matches", f"*{literal}"),
    }[one.op]
    if one.field == "listId" and one.op == "is":  # RFC 2919 §3: beside the id there may be a phrase
        match, key = ":contains", f"<{value}>"
    return f"{test} {match} :comparator {_quoted(_COMPARATOR)} {_quoted(name)} {_quoted(key)}"


def _command(one: Action) -> str:
    if one.type in {"fileInto", "copyTo"}:
        copy = ":copy " if one.type == "copyTo" else ""
        return f'fileinto {copy}:mailboxid {_quoted(one.mailbox_id)} "INBOX";'
    flags = {"addKeyword": one.keyword, "markRead": "\\Seen", "flag": "\\Flagged"}
    if one.type in flags:
        return f"addflag {_quoted(flags[one.type])};"
    if one.type == "forwardTo":
        return f"redirect :copy {_quoted(one.address)};"
    return f"{one.type};"


def _quoted(text: str) -> str:
    """Return a quoted string (RFC 5228 §2.4.2), whatever is in it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
