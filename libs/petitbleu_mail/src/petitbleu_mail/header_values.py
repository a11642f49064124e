"""The parsed forms of header values that RFC 8621 §4.1.2 defines: Text, MessageIds, Date, URLs. (Addresses: `address_list`.).

Each takes the raw octets behind the colon. Nothing raises; what cannot be read gives None or is left out.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz
from typing import NamedTuple

from petitbleu_mail.comments import without_comments
from petitbleu_mail.encoded_words import decode_words
from petitbleu_mail.headers import unfold

# Message ids kept of one field: its first and its last ones, since threads hang on the root and on the parents.
MAX_IDS = 64
# RFC 5322 §2.1.1: a line holds at most 998 octets, so an id does
MAX_ID = 998
_MAX_DATE = 128

_ID = re.compile(rb"<([^<>\s]{1,998}+)>")
_FOLDED_ID = re.compile(rb"<([^<>]{1,998}+)>")
_NO_ID = re.compile(rb"[<>\s]")
_BLANKS = re.compile(rb"[ \t\r\n]+")
_URL = re.compile(r"<([^<>]*+)>")
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*+\)")
_COLON = re.compile(rb"\s*+:\s*+")
_DATE = re.compile(
    rb"\s*+(?:[A-Za-z]{3,9}\s*+,?\s*+)?(\d{1,2})[\s-]++([A-Za-z]{3})[a-z]*+[\s-]++(\d{2,4})\s++"
    rb"(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?\s*+(?:([+-])(\d\d)(\d\d)|([A-Za-z]{1,5}))?"
)
_Q_WORD = re.compile(rb"=\?[^?\s]{1,64}+\?[Qq]\?[^?]*+\?=")
_HIGH = re.compile(rb"[\x80-\xff]")
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
# RFC 5322 §4.3: the zones with a known meaning; any other counts as -0000
_ZONES = {
    b"EDT": -240,
    b"EST": -300,
    b"CDT": -300,
    b"CST": -360,
    b"MDT": -360,
    b"MST": -420,
    b"PDT": -420,
    b"PST": -480,
}


class SentAt(NamedTuple):
    """An instant: seconds since 1970 (UTC), and the sender's offset from UTC in minutes."""

    seconds: int
    offset: int


def to_text(raw: bytes) -> str:
    """Octets of a header as text: UTF-8 (RFC 6532 §3), with U+FFFD for what is not, and no NUL (RFC 8621 §4.1.2.1)."""
    if b"\0" in raw:
        raw = raw.replace(b"\0", b"")
    if raw.isascii():
        return raw.decode("ascii")
    if b"=?" in raw:
        # octets that an encoder forgot are in the charset of their word, so they go into the escapes of RFC 2047 §4.2
        raw = _Q_WORD.sub(lambda word: _HIGH.sub(lambda octet: b"=%02X" % ord(octet[0]), word[0]), raw)
    return raw.decode("utf-8", "replace")


def as_text(raw: bytes) -> str:
    """The Text form (RFC 8621 §4.1.2.2): unfolded, leading blanks gone, encoded words decoded, NFC."""
    text = decode_words(to_text(unfold(raw)).lstrip(" \t"))
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def as_message_ids(raw: bytes) -> list[str] | None:
    """The MessageIds form (RFC 8621 §4.1.2.5), without angle brackets; None when there is none to be read.

    Of more than `MAX_IDS` the middle is left out. An id without brackets is taken when it stands alone.
    """
    if b"(" in raw:  # CFWS is removed (RFC 8621 §4.1.2.5)
        raw = without_comments(raw.decode("latin-1")).encode("latin-1")
    ids = _ID.findall(raw)
    if len(ids) != raw.count(b"<"):
        ids = [joined for found in _ends(_FOLDED_ID.findall(raw)) if (joined := _BLANKS.sub(b"", found))]
    if not ids:
        bare = raw.strip(b"<> \t\r\n")
        # RFC 5322 §4.5.4 knew free phrases here; only something like an id counts
        if not bare or b"@" not in bare or len(bare) > MAX_ID or _NO_ID.search(bare):
            return None
        ids = [bare]
    return [to_text(i) for i in _ends(ids)]


def _ends(ids: list[bytes]) -> list[bytes]:
    return ids if len(ids) <= MAX_IDS else ids[: MAX_IDS // 2] + ids[-MAX_IDS // 2 :]


def as_date(raw: bytes) -> SentAt | None:
    """The Date form (RFC 8621 §4.1.2.6; RFC 5322 §3.3 and §4.3); None when it cannot be read."""
    raw = raw[:_MAX_DATE]
    # RFC 5322 §4.3: the obsolete form has comments and blanks between any two words
    found = _DATE.match(raw) or _DATE.match(_COLON.sub(b":", _COMMENT.sub(b" ", raw)))
    if found is not None:
        day, month_name, year_text, hour, minute, second, sign, zone_hours, zone_minutes, zone = found.groups()
        month = _MONTHS.get(month_name.lower())
        if month is not None:
            year = int(year_text)
            if len(year_text) < 4:  # RFC 5322 §4.3
                year += 2000 if len(year_text) == 2 and year < 50 else 1900
            if sign:
                offset = int(zone_hours) * 60 + int(zone_minutes)
                offset = -offset if sign == b"-" else offset
            else:
                offset = _ZONES.get(zone.upper(), 0) if zone else 0
            return _sent_at((year, month, int(day), int(hour), int(minute), int(second or 0)), offset)
    try:
        loose = parsedate_tz(raw.decode("latin-1"))
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if loose is None:
        return None
    return _sent_at(loose[:6], (loose[9] or 0) // 60)


def _sent_at(parts: tuple[int, int, int, int, int, int], offset: int) -> SentAt | None:
    year, month, day, hour, minute, second = parts
    if not (1 <= year <= 9999 and abs(offset) < 24 * 60):
        return None
    try:
        # RFC 5322 §3.3: a leap second is one
        seconds = int(datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp()) - offset * 60
    except ValueError:
        return None
    return SentAt(seconds, offset) if _MIN <= seconds <= _MAX else None


_MIN = int(datetime(1, 1, 2, tzinfo=UTC).timestamp())
_MAX = int(datetime(9999, 12, 30, tzinfo=UTC).timestamp())


def format_date(sent: SentAt) -> str:
    """Write an instant as the Date of JMAP (RFC 8620 §1.4), in the sender's zone."""
    when = datetime.fromtimestamp(sent.seconds, tz=timezone(timedelta(minutes=sent.offset)))
    text = when.isoformat(timespec="seconds")
    return text[:-6] + "Z" if sent.offset == 0 else text


def as_urls(raw: bytes) -> list[str] | None:
    """The URLs form (RFC 8621 §4.1.2.7, RFC 2369 §2), without comments and without blanks inside; None when there is none."""
    return [
        url for found in _URL.findall(without_comments(to_text(unfold(raw)))) if (url := "".join(found.split()))
    ] or None


def as_content_id(raw: bytes) -> str | None:
    """The value of Content-ID without blanks, comments and angle brackets (RFC 8621 §4.1.4, RFC 2045 §7)."""
    text = without_comments(to_text(unfold(raw)))
    _, opening, rest = text.partition("<")
    return (rest.partition(">")[0] if opening else text).strip() or None


def as_languages(raw: bytes) -> list[str] | None:
    """The tags of Content-Language (RFC 3282 §2), comments left out; None when there is none."""
    return without_comments(to_text(raw)).replace(",", " ").split() or None
