"""IMAP flags and keywords (RFC 5232): setflag, addflag, removeflag, hasflag, `:flags`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call
from petitbleu_mail.sieve.matching import Match, make_match
from petitbleu_mail.sieve.texts import Text, Variable
from petitbleu_mail.sieve.variables import variable_of

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

# RFC 9051 §9 (flag-keyword is an atom), and the system flags that a client may set; \Recent is the server's (RFC 5232 §2)
_KEYWORD: Final = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,128}")
_SYSTEM: Final = {name.lower(): name for name in (r"\Answered", r"\Flagged", r"\Deleted", r"\Seen", r"\Draft")}


def split_flags(texts: Iterable[str]) -> list[str]:
    """Return the flags in strings that may hold several (RFC 5232 §2): each once, without regard to case; what is none is left out."""
    found: dict[str, str] = {}
    for text in texts:
        for word in text.split():
            lower = word.lower()
            flag = _SYSTEM.get(lower) if word.startswith("\\") else word if _KEYWORD.fullmatch(word) else None
            if flag is not None:
                found.setdefault(lower, flag)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class FlagList:
    """The flags that a message is filed with: those of `:flags`, else those of the internal variable (RFC 5232 §5)."""

    texts: tuple[Text, ...] | None
    known: bool
    """Whether the script requires imap4flags at all."""

    def of(self, machine: Machine) -> tuple[str, ...] | None:
        """Return the flags, None where the script knows none."""
        if not self.known:
            return None
        given = machine.flags if self.texts is None else split_flags(machine.expand_all(self.texts))
        return tuple(given[: machine.limits.flags])


def make_flag_list(call: Call) -> FlagList:
    """Read `:flags`."""
    return FlagList(call.tag_texts("flags"), "imap4flags" in call.requires)


def _set(_old: list[str], new: list[str]) -> list[str]:
    return new


def _add(old: list[str], new: list[str]) -> list[str]:
    return split_flags([*old, *new])


def _remove(old: list[str], new: list[str]) -> list[str]:
    gone = {flag.lower() for flag in new}
    return [flag for flag in old if flag.lower() not in gone]


_CHANGES: Final[dict[str, Callable[[list[str], list[str]], list[str]]]] = {
    "setflag": _set,
    "addflag": _add,
    "removeflag": _remove,
}


@dataclass(frozen=True, slots=True)
class FlagCommand:
    """`setflag`, `addflag`, `removeflag` (RFC 5232 §3.1 to §3.3)."""

    place: Place
    change: Callable[[list[str], list[str]], list[str]]
    variable: Variable | None
    texts: tuple[Text, ...]

    def run(self, machine: Machine) -> None:
        """Change a variable."""
        old = machine.flags if self.variable is None else split_flags([machine.variable(self.variable)])
        new = self.change(old, split_flags(machine.expand_all(self.texts)))[: machine.limits.flags]
        machine.spend(1 + len(new))
        if self.variable is None:
            machine.flags = new
        else:
            machine.set_variable(self.variable, " ".join(new))


@dataclass(frozen=True, slots=True)
class HasFlagTest:
    """`hasflag` (RFC 5232 §4)."""

    place: Place
    match: Match
    variables: tuple[Variable, ...] | None
    keys: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether one of the flags matches one of those named."""
        if self.variables is None:
            flags = list(machine.flags)
        else:
            flags = [flag for one in self.variables for flag in split_flags([machine.variable(one)])]
        if self.match.kind == "count":
            return self.match.any(machine, flags, self.keys)
        keys = machine.expand_all(self.keys)
        if self.match.kind == "is":
            keys = split_flags(keys)
        return self.match.any_of(machine, flags, keys)


def _variables(call: Call) -> tuple[Variable, ...] | None:
    if not call.has(0):
        return None
    if "variables" not in call.requires:  # RFC 5232 §2: without variables there is only the internal one
        raise call.fault(f'{call.name} with a variable needs require "variables" at the beginning of the script')
    return tuple(variable_of(call, text) for text in call.texts(0))


def make_flag_command(call: Call) -> FlagCommand:
    """RFC 5232 §3."""
    variables = _variables(call)
    return FlagCommand(call.place, _CHANGES[call.name], variables[0] if variables else None, call.texts(1))


def make_hasflag(call: Call) -> HasFlagTest:
    """RFC 5232 §4."""
    return HasFlagTest(call.place, make_match(call), _variables(call), call.texts(1))
