"""Which octets of a message its rendering needs: texts, winmail.dat, pictures of its own, the first lines of what makes a claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from petitbleu_mail.body_lists import BodyLists, body_lists
from petitbleu_mail.mime import Part
from petitbleu_mail.recognition import WINDOW, is_tnef_part, needs_octets

# Raw octets of one text that are read. In base64 a million characters of three octets each have this many.
TEXT_OCTETS: Final = 4 << 20
TEXTS_OCTETS: Final = 8 << 20
TNEF_OCTETS: Final = 40 << 20
MAX_TNEF: Final = 2
HEADER_OCTETS: Final = 64 << 10
MAX_MESSAGES: Final = 50
# Raw octets of one picture that is put into the page, and of all: what a newsletter's logos have, not photographs.
PICTURE_OCTETS: Final = 700_000
PICTURES_OCTETS: Final = 4 << 20
_LOOKS: Final = 100
# One frame of a blob of store, which is read whole anyway
_GAP: Final = 64 << 10


class Choice:
    """What is read of a message.

    Args:
        root: The message.
        embed: Whether its pictures are wanted.
    """

    def __init__(self, root: Part, *, embed: bool) -> None:
        self.root = root
        self.lists: BodyLists = body_lists(root)
        self.leaves = list(_leaves(root))
        self.texts: dict[str, int] = {}
        """Section of a text → raw octets of it that are read."""
        self.tnef: list[Part] = []
        self.pictures: list[Part] = []
        """Pictures that may be put into the page, in the order of the parts."""
        self.messages: list[Part] = []
        self._choose_texts()
        self._choose_parts(embed=embed)

    def _choose_texts(self) -> None:
        left = TEXTS_OCTETS
        shown = [*self.lists.html_body, *self.lists.text_body]
        if not any(part.type.startswith("text/") for part in shown):
            shown = [part for part in self.lists.attachments if is_other_text(part)][:1]
        for part in shown:
            if part.type.startswith("text/") and part.part_id not in self.texts:
                octets = min(part.body_end - part.body_start, TEXT_OCTETS, left)
                left -= octets
                self.texts[str(part.part_id)] = octets

    def _choose_parts(self, *, embed: bool) -> None:
        left = PICTURES_OCTETS
        for part in self.leaves:
            octets = part.body_end - part.body_start
            if is_tnef_part(part) and octets <= TNEF_OCTETS and len(self.tnef) < MAX_TNEF:
                self.tnef.append(part)
            elif part.message is not None and len(self.messages) < MAX_MESSAGES:
                self.messages.append(part)
            elif embed and part.type.startswith("image/") and octets <= min(left, PICTURE_OCTETS):
                left -= octets
                self.pictures.append(part)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Give the ranges that must be there, some perhaps twice."""
        yield _header(self.root)
        for part in self.leaves:
            octets = self.texts.get(str(part.part_id))
            if octets:
                yield part.body_start, part.body_start + octets
        for part in (*self.tnef, *self.pictures):
            yield part.body_start, part.body_end
        for part in self.messages:
            if part.message is not None:
                yield _header(part.message)
        for part in [one for one in self.leaves if needs_octets(one)][:_LOOKS]:
            yield part.body_start, min(part.body_end, part.body_start + WINDOW)


def is_other_text(part: Part) -> bool:
    """Whether a part is a text of another kind, which may be shown as it is (RFC 2046 §4.1.4, RFC 2049 §2)."""
    return part.type.startswith("text/") and part.disposition != "attachment" and part.type not in _NO_BODIES


_NO_BODIES: Final = frozenset({"text/calendar", "text/vcard", "text/x-vcard", "text/directory", "text/csv"})


def _header(part: Part) -> tuple[int, int]:
    return part.header_start, min(part.body_start, part.header_start + HEADER_OCTETS)


def _leaves(root: Part) -> Iterator[Part]:
    """Give the parts that are no multiparts, in their order; those of messages within the message excepted."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.is_multipart:
            waiting += reversed(part.parts)
        else:
            yield part


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that overlap or lie close together: reading a little between them is cheaper than asking twice."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(pair for pair in ranges if pair[1] > pair[0]):
        if found and start <= found[-1][1] + _GAP:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
