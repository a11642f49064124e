"""Plain text as paragraphs: format=flowed and DelSp (RFC 3676), and text that is not flowed.

Every line is looked at once. A text of more than `MAX_LINES` lines has the rest, as it is written, in its last paragraph.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

# A long digest has some ten thousand lines; each paragraph costs about 150 octets of memory.
MAX_LINES = 200_000

_SIGNATURE = "-- "


class Paragraph(msgspec.Struct, array_like=True, gc=False):
    """Lines that belong together, joined, without quote marks, stuffing and line end.

    `depth` is how often it is quoted. `is_flowed` says that it may be wrapped at any width; else it is a line as it was written.
    `is_signature` is true from the signature line (whose text is "-- ") to the end or to a change of depth.
    """

    text: str
    depth: int = 0
    is_flowed: bool = False
    is_signature: bool = False


def is_flowed(params: Mapping[str, str] | None) -> bool:
    """Whether a text/plain part with these parameters of its type is flowed (RFC 3676 §4)."""
    return params is not None and params.get("format", "").strip().lower() == "flowed"


def deletes_spaces(params: Mapping[str, str] | None) -> bool:
    """Whether the blank at the end of a flowed line goes away when lines are joined (RFC 3676 §4, DelSp)."""
    return params is not None and params.get("delsp", "").strip().lower() == "yes"


def paragraphs(text: str, params: Mapping[str, str] | None = None) -> list[Paragraph]:
    """Return the paragraphs of a text/plain part: `text` has LF line ends, `params` are the parameters of its type.

    With several lines in a paragraph they are joined as RFC 3676 §4.1 says. Text that is not flowed has a paragraph a line.
    """
    if is_flowed(params):
        return read_flowed(text, delete_spaces=deletes_spaces(params))
    return read_fixed(text)


def read_flowed(text: str, *, delete_spaces: bool = False) -> list[Paragraph]:
    """Return the paragraphs of flowed text (RFC 3676 §4.1)."""
    lines, rest = _lines(text)
    reader = _Reader(delete_spaces=delete_spaces)
    for raw in lines:
        line = raw.lstrip(">")
        # RFC 3676 §4.4: behind the quote marks one blank is stuffing
        reader.add(len(raw) - len(line), line.removeprefix(" "))
    reader.flush()
    if rest:
        reader.out.append(Paragraph(rest))
    return reader.out


class _Reader:
    """Joins flowed lines. `held` are those whose paragraph is not over, at `depth`."""

    def __init__(self, *, delete_spaces: bool) -> None:
        self.out: list[Paragraph] = []
        self.delete_spaces = delete_spaces
        self.held: list[str] = []
        self.depth = 0
        self.in_signature = False

    def add(self, depth: int, line: str) -> None:
        if depth != self.depth:
            # RFC 3676 §4.5: a flowed line before a change of depth is improper and counts as fixed
            self.flush()
            self.in_signature = False
            self.depth = depth
        if line == _SIGNATURE:
            # RFC 3676 §4.3: neither fixed nor flowed; it ends a paragraph
            self.flush()
            self.in_signature = True
            self.out.append(Paragraph(line, depth, is_signature=True))
        elif line.endswith(" "):
            self.held.append(line[:-1] if self.delete_spaces else line)
        else:
            self.held.append(line)
            self.flush()

    def flush(self) -> None:
        if self.held:
            self.out.append(Paragraph("".join(self.held), self.depth, is_flowed=True, is_signature=self.in_signature))
            self.held = []


def read_fixed(text: str) -> list[Paragraph]:
    """Return the lines of text that is not flowed. Quote marks are those that people write: ">> ", "> > "."""
    out: list[Paragraph] = []
    signature_depth = -1
    lines, rest = _lines(text)
    for raw in lines:
        depth, line = 0, raw
        if raw.startswith(">"):
            bare = raw.lstrip("> ")
            marks = raw[: len(raw) - len(bare)].rstrip(" ")
            depth = marks.count(">")
            line = raw[len(marks) :].removeprefix(" ")
        if depth != signature_depth:
            signature_depth = -1
        if line == _SIGNATURE:
            signature_depth = depth
        out.append(Paragraph(line, depth, is_signature=depth == signature_depth))
    if rest:
        out.append(Paragraph(rest))
    return out


def _lines(text: str) -> tuple[list[str], str]:
    """Return the first lines without their ends, and what comes behind them."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    lines = text.split("\n", MAX_LINES)
    rest = lines.pop() if len(lines) > MAX_LINES else ""
    if not rest and lines and not lines[-1]:
        lines.pop()  # the end of the last line begins no other
    return lines, rest
