"""How values are compared with keys: match types and comparators (RFC 5228 §2.7, RFC 5231, RFC 6134 §2.2)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petitbleu_mail.sieve.comparators import ALWAYS_KNOWN, ASCII_CASEMAP, COMPARATORS, Comparator
from petitbleu_mail.sieve.globs import Glob, Span
from petitbleu_mail.sieve.grammar import Call
from petitbleu_mail.sieve.texts import MAX_MATCH_VARIABLE, Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

# RFC 5231 §4.1
_RELATIONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}
_SUBSTRING_TYPES: Final = frozenset({"contains", "matches"})


@dataclass(frozen=True, slots=True)
class Match:
    """One match type with its comparator; `relation` is of `:value` and `:count`, `captures` whether match variables are set."""

    kind: str
    comparator: Comparator
    relation: str
    captures: bool

    def any(self, machine: Machine, values: Iterable[str], keys: Sequence[Text]) -> bool:
        """Whether any value matches any key (RFC 5228 §2.7.1)."""
        expanded = [machine.expand(key) for key in keys]
        if self.kind == "count":  # RFC 5231 §4.2: how many there are, as a number
            return self.any_of(machine, [str(sum(1 for _ in values))], expanded)
        return self.any_of(machine, values, expanded)

    def any_of(self, machine: Machine, values: Iterable[str], keys: Sequence[str]) -> bool:
        """Do what `any` does, with keys whose variables are expanded, and with what `:count` counted."""
        if self.kind == "list":  # RFC 6134 §2.2
            return any(machine.is_listed(key, value) for value in values for key in keys)
        for key in keys:
            machine.spend(1 + len(key) // self.comparator.weight)
        folded = [self.comparator.fold(key) for key in keys]
        globs = [Glob(key) for key in folded] if self.kind == "matches" else []
        for value in values:
            machine.spend(1 + len(value) // self.comparator.weight)
            subject = self.comparator.fold(value)
            if globs:
                if self._globs(machine, value, subject, globs):
                    return True
            elif self._plain(machine, subject, folded):
                return True
        return False

    def _plain(self, machine: Machine, subject: str, keys: Sequence[str]) -> bool:
        if self.kind == "is":
            machine.spend(len(keys))
            return subject in keys
        machine.spend(len(keys) * (1 + len(subject) // 16))
        if self.kind == "contains":
            return any(key in subject for key in keys)
        compare = _RELATIONS[self.relation]
        return any(compare(subject, key) for key in keys)

    def _globs(self, machine: Machine, value: str, subject: str, globs: Sequence[Glob]) -> bool:
        for glob in globs:
            spans = glob.match(subject, machine.spend)
            if spans is not None:
                if self.captures:  # RFC 5229 §3.2
                    machine.captured = _captures(self.comparator, value, subject, spans[:MAX_MATCH_VARIABLE])
                return True
        return False


def _captures(comparator: Comparator, value: str, subject: str, spans: Sequence[Span]) -> list[str]:
    """Return ${0}, ${1}, …: the value itself, not what it was made into to be compared."""
    if len(value) == len(subject):
        return [value, *(value[start:end] for start, end in spans)]
    # A comparator that makes one character several: find where each begins
    offsets = [0]
    for char in value:
        offsets.append(offsets[-1] + len(comparator.fold(char)))
    if offsets[-1] != len(subject):
        return [value, *(subject[start:end] for start, end in spans)]
    back = {offset: at for at, offset in enumerate(offsets)}
    found = [value]
    for start, end in spans:
        left, right = back.get(start), back.get(end)
        found.append(subject[start:end] if left is None or right is None else value[left:right])
    return found


def make_match(call: Call) -> Match:
    """Read the tags of a match (RFC 5228 §2.7). Raises `SieveSyntaxError`."""
    kind = call.one_of("is", "contains", "matches", "count", "value", "list") or "is"
    comparator = _comparator(call)
    relation = ""
    text = call.tag_text(kind)
    if text is not None:
        relation = call.constant(text, "the relation").lower()
        if relation not in _RELATIONS:
            raise call.fault(f"{relation[:20]!r} is no relation; there are {', '.join(_RELATIONS)}", text.place)
    if kind in _SUBSTRING_TYPES and not comparator.substrings:  # RFC 5228 §2.7.1
        raise call.fault(
            f"the comparator {comparator.name} compares whole values only, so :{kind} cannot be used with it"
        )
    return Match(kind, comparator, relation, "variables" in call.requires)


def _comparator(call: Call) -> Comparator:
    text = call.tag_text("comparator")
    if text is None:
        return ASCII_CASEMAP  # RFC 5228 §2.7.3
    name = call.constant(text, "the comparator").lower()
    comparator = COMPARATORS.get(name)
    if comparator is None:
        raise call.fault(f"there is no comparator {name[:60]!r} here", text.place)
    if name not in ALWAYS_KNOWN and f"comparator-{name}" not in call.requires:
        raise call.fault(f'{name} needs require "comparator-{name}" at the beginning of the script', text.place)
    return comparator
