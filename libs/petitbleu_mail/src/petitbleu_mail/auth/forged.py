"""Authentication-Results of strangers in our name: found in whatever disguise, and cut out before ours is put on (RFC 8601 §5)."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Collection

from petitbleu_mail.addresses import AddressError, canonical_domain
from petitbleu_mail.encoded_words import decode_words
from petitbleu_mail.headers import Headers, unfold

# Fields of this name in one message that are read; what comes behind so many is nothing that anybody could use, and goes.
MAX_FIELDS = 64
# Characters in which an authserv-id stands; more is none, and goes.
MAX_ID = 1000

# Any such field, however its name is written (RFC 5322 §4.5 has blanks before the colon); a lone CR ends a line for some.
_FIELD = re.compile(
    rb"(?i)(?<![^\r\n])authentication-results[ \t\x00]*+:[^\r\n]*+(?:(?:\r?\n|\r)[ \t][^\r\n]*+)*+(?:\r?\n|\r)?"
)
_BLANK_LINE = re.compile(rb"\n\r?\n")
_EMPTY = re.compile(rb"\r?\n")
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*+"?|\\.|[();]|[^"();\\]++|\\', re.DOTALL)
_SPLIT = re.compile(r"[^\w.-]++")


class OwnNames:
    """The authserv-ids that are ours: those of all hosts that put such a field on (RFC 8601 §5)."""

    def __init__(self, authserv_ids: Collection[str]) -> None:
        self._names = frozenset([form for name in authserv_ids for form in _forms(name)])

    def claimed(self, value: bytes) -> bool:
        """Whether a field's value is in our name, or in nobody's: one that says no authserv-id misleads as well."""
        for text in {unfold(value).decode("utf-8", "ignore"), unfold(value).decode("latin-1")}:
            said = _authserv_id(text)
            if said is None or len(said) > MAX_ID or any(name in self._names for name in _readings(said)):
                return True
            joined = "".join(_plain(said).split())
            if any(joined.startswith(name) and joined[len(name) :].strip(".").isdigit() for name in self._names):
                return True
        return False


def forged_results(headers: Headers, own: OwnNames) -> list[tuple[int, int]]:
    """Return where the fields in our name begin and end in the blob, with their line ends, in order.

    The whole header is looked at, however many fields it has and wherever a broken one may end for some reader.
    """
    blob = headers.blob
    if _EMPTY.match(blob, headers.start):
        return []
    blank = _BLANK_LINE.search(blob, headers.start)
    end = max(headers.body_start, blank.end() if blank else 0)
    cuts = []
    for number, found in enumerate(_FIELD.finditer(blob, headers.start, end)):
        if number >= MAX_FIELDS or own.claimed(found[0].partition(b":")[2]):
            begin, stop = found.span()
            if blob[begin - 1 : begin] == b"\r":  # the line that it hid in keeps its end
                stop -= len(found[0]) - len(found[0].rstrip(b"\r\n"))
            cuts.append((begin, stop))
    return cuts


def without_forged_results(headers: Headers, own: OwnNames) -> bytes:
    """Return the message without them; with none, as it was."""
    pieces = []
    at = 0
    for begin, end in forged_results(headers, own):
        pieces.append(headers.blob[at:begin])
        at = end
    return b"".join([*pieces, headers.blob[at:]])


def _authserv_id(text: str) -> str | None:
    """Return what stands before the first semicolon, without comments; None when that cannot be an authserv-id."""
    said: list[str] = []
    depth = 0
    for found in _PIECE.finditer(text):
        piece = found[0]
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth = max(depth - 1, 0)
        elif depth:
            continue
        elif piece == ";":
            joined = "".join(said)
            # with an equals sign it is a result already
            return joined if joined.strip() and (len(joined) > MAX_ID or "=" not in _plain(joined)) else None
        else:
            said.append(piece)
    return None


def _plain(text: str) -> str:
    """Return text as a lenient reader may take it: unquoted, decoded, compatibility forms and invisible characters gone."""
    decoded = unicodedata.normalize("NFKC", decode_words(text, anywhere=True).replace('"', "").replace("\\", ""))
    kept = [c for c in decoded if c.isspace() or unicodedata.category(c)[0] not in "CM" or unicodedata.combining(c)]
    return unicodedata.normalize("NFKC", "".join(kept).casefold())


def _readings(said: str) -> set[str]:
    plain = _plain(said)
    words = [plain, "".join(plain.split()), *_SPLIT.split(plain)]
    return {form for word in words for form in _forms(word)}


def _forms(name: str) -> set[str]:
    """Return the forms of a name under which it is the same: folded, and as A-labels."""
    folded = _plain(name).strip().strip(".")
    forms = {folded} if folded else set()
    with contextlib.suppress(AddressError):
        forms.add(canonical_domain(folded))
    return forms - {""}
