"""The patterns of `:matches` (RFC 5228 §2.7.1): `*` is any text, `?` one character, a backslash takes their meaning away.

No backtracking: the parts between two stars are looked for one behind the other, each at its first place, which is also what
RFC 5229 §3.2 wants of the match variables (as short as can be, from the left).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

Span = tuple[int, int]


@dataclass(slots=True)
class _Segment:
    """What stands between two stars: `text` with a NUL for each `?`, whose places are `holes`; `runs` are the letters between."""

    text: str
    holes: list[int] = field(default_factory=list)
    runs: list[tuple[int, str]] = field(default_factory=list)

    def fits(self, value: str, at: int) -> bool:
        return all(value.startswith(run, at + offset) for offset, run in self.runs)

    def find(self, value: str, start: int, end: int, spend: Callable[[int], None]) -> int:
        """Return the first place from `start` on where the segment fits and ends by `end`, or -1."""
        size = len(self.text)
        if start + size > end:
            return -1
        if not self.runs:
            return start
        offset, longest = max(self.runs, key=lambda run: len(run[1]))
        last = end - size + offset + len(longest)
        at = start + offset
        while True:
            found = value.find(longest, at, last)
            spend(((found if found >= 0 else last) - at) // 16 + len(self.runs))
            if found < 0 or self.fits(value, found - offset):
                return found - offset if found >= 0 else -1
            at = found + 1


_HOLE: Final = "\0"


class Glob:
    """A pattern, ready to be matched."""

    __slots__ = ("segments",)

    def __init__(self, pattern: str) -> None:
        self.segments = [_Segment("")]
        literal = False
        letters: list[str] = []
        for char in pattern:
            if literal:
                letters.append(char)
                literal = False
            elif char == "\\":
                literal = True
            elif char == "*":
                _finish(self.segments[-1], letters)
                self.segments.append(_Segment(""))
                letters = []
            elif char == "?":
                self.segments[-1].holes.append(len(letters))
                letters.append(_HOLE)
            else:
                letters.append(char)
        if literal:  # a backslash at the end has nothing to take the meaning of
            letters.append("\\")
        _finish(self.segments[-1], letters)

    def match(self, value: str, spend: Callable[[int], None]) -> list[Span] | None:
        """Return what each wildcard matched, in order, as ranges of the value; None when the whole value does not match."""
        first, last = self.segments[0], self.segments[-1]
        at = len(first.text)
        spend(len(self.segments) + len(first.runs))
        if len(self.segments) == 1:
            return _holes(first, 0) if at == len(value) and first.fits(value, 0) else None
        end = len(value) - len(last.text)
        if end < at or not first.fits(value, 0) or not last.fits(value, end):
            return None
        spans = _holes(first, 0)
        for segment in self.segments[1:-1]:
            found = segment.find(value, at, end, spend)
            if found < 0:
                return None
            spans.append((at, found))
            spans += _holes(segment, found)
            at = found + len(segment.text)
        spans.append((at, end))
        return spans + _holes(last, end)


def _finish(segment: _Segment, letters: list[str]) -> None:
    segment.text = "".join(letters)
    start = 0
    for hole in [*segment.holes, len(letters)]:
        if hole > start:
            segment.runs.append((start, segment.text[start:hole]))
        start = hole + 1


def _holes(segment: _Segment, at: int) -> list[Span]:
    return [(at + hole, at + hole + 1) for hole in segment.holes]
