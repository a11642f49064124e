"""Variables (RFC 5229): `set` with its modifiers, and the `string` test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call, TagSpec
from petitbleu_mail.sieve.matching import Match, make_match
from petitbleu_mail.sieve.texts import VARIABLE_NAME, Text, Variable

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

_GLOBAL: Final = "global."


def _quote_wildcard(value: str) -> str:
    return "".join([f"\\{char}" if char in "*?\\" else char for char in value])


# RFC 5229 §4.1; the higher number is applied first. :encodeurl is of RFC 5435 §6.
_MODIFIERS: Final[dict[str, tuple[int, Callable[[str], str]]]] = {
    "lower": (40, str.lower),
    "upper": (40, str.upper),
    "lowerfirst": (30, lambda value: value[:1].lower() + value[1:]),
    "upperfirst": (30, lambda value: value[:1].upper() + value[1:]),
    "quotewildcard": (20, _quote_wildcard),
    "encodeurl": (15, lambda value: quote(value, safe="-._~", errors="replace")),
    "length": (10, lambda value: str(len(value))),
}
SET_TAGS: Final = {
    name: TagSpec(group=f"modifier of precedence {rank}", needs="enotify" if name == "encodeurl" else "")
    for name, (rank, _) in _MODIFIERS.items()
}
"""RFC 5229 §4: of one precedence only one."""


def variable_of(call: Call, text: Text) -> Variable:
    """Return the variable that a string names, which may be no match variable (RFC 5229 §4). Raises `SieveSyntaxError`."""
    name = call.constant(text, "the name of a variable").lower()
    is_global = name.startswith(_GLOBAL) and "include" in call.requires  # RFC 6609 §3.4.2
    bare = name.removeprefix(_GLOBAL) if is_global else name
    if not VARIABLE_NAME.fullmatch(bare):
        raise call.fault(
            f"{name[:60]!r} can be no name of a variable: letters, digits and _, no digit first", text.place
        )
    if len(bare) > call.limits.variable_name:
        raise call.fault(f"the name of a variable has at most {call.limits.variable_name} characters", text.place)
    return Variable(bare, is_global)


@dataclass(frozen=True, slots=True)
class SetCommand:
    """`set` (RFC 5229 §4)."""

    place: Place
    variable: Variable
    value: Text
    modifiers: tuple[Callable[[str], str], ...]

    def run(self, machine: Machine) -> None:
        """Set the variable."""
        value = machine.expand(self.value)
        for modifier in self.modifiers:
            machine.spend(1 + len(value) // 4)
            value = modifier(value)
        machine.set_variable(self.variable, value)


@dataclass(frozen=True, slots=True)
class StringTest:
    """`string` (RFC 5229 §5)."""

    place: Place
    match: Match
    sources: tuple[Text, ...]
    keys: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether a string matches."""
        values = machine.expand_all(self.sources)
        if self.match.kind == "count":  # RFC 5229 §5: empty strings are not counted
            values = [value for value in values if value]
        return self.match.any(machine, values, self.keys)


def make_set(call: Call) -> SetCommand:
    """RFC 5229 §4."""
    chosen = sorted((_MODIFIERS[tag] for tag in call.tags), key=lambda modifier: -modifier[0])
    return SetCommand(call.place, variable_of(call, call.text(0)), call.text(1), tuple(work for _, work in chosen))


def make_string(call: Call) -> StringTest:
    """RFC 5229 §5."""
    return StringTest(call.place, make_match(call), call.texts(0), call.texts(1))
