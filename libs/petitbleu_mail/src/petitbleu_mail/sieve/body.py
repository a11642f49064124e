"""`body` (RFC 5173)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call, TagSpec, Want
from petitbleu_mail.sieve.matching import Match, make_match
from petitbleu_mail.sieve.texts import Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

BODY_TAGS: Final = {
    "raw": TagSpec(group="transform of the body"),
    "content": TagSpec(Want.STRINGS, group="transform of the body"),
    "text": TagSpec(group="transform of the body"),
}


@dataclass(frozen=True, slots=True)
class BodyTest:
    """`body` (RFC 5173 §4)."""

    place: Place
    match: Match
    raw: bool
    types: tuple[Text, ...] | None
    keys: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether a body matches."""
        # To decode costs about as much as to look through what comes of it
        machine.spend(1 + min(machine.message.size, 1 << 21) // 64)
        if self.raw:
            values = [machine.message.raw_body()]
        elif self.types is not None:
            values = machine.message.contents(machine.expand_all(self.types))
        else:
            values = machine.message.texts()
        return self.match.any(machine, values, self.keys)


def make_body(call: Call) -> BodyTest:
    """RFC 5173 §4."""
    # RFC 5173 §6: no match variables are set
    match = replace(make_match(call), captures=False)
    return BodyTest(call.place, match, "raw" in call.tags, call.tag_texts("content"), call.texts(0))
