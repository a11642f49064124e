"""The token in the envelope sender of what leaves, by which a bounce of it is known from a forged one (ADR 37).

`name@domain` leaves as `name+b<36>@domain`: 36 digits of base 32 that name the message, the unit of the queue and the day, and a keyed hash
over these and the address. It is a detail (RFC 5233 §1), so that it leads where the address leads, is of the same domain (SPF, RFC 7208
§4.3; DMARC), and outlives a server that changes its case.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from enum import Enum, StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple
from uuid import UUID

from petitbleu_mail.addresses import MAX_LOCAL, AddressError, Canonical, canonical_mailbox

SECRET_OCTETS: Final = 32
DAY_SECONDS: Final = 86_400
MAX_DAYS: Final = 60
"""Days are told modulo 64: one that is older than this could be taken for a younger one, whose hash it does not have."""

_MARK: Final = "b"
_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_LENGTH: Final = 36
_DAY_BITS: Final = 6
_NUMBER_BITS: Final = 15
_HASH_BITS: Final = 43
"""As many as are left. 24 bits is what prvs= has (BATV); each guess costs a mail, and what a right one gains is one bounce of one message."""
_MILLIS_BITS: Final = 42  # until the year 2109
_NOISE_BITS: Final = 62
_ID_BITS: Final = _MILLIS_BITS + 12 + _NOISE_BITS
MAX_BASE: Final = MAX_LOCAL - 1 - len(_MARK) - _LENGTH
"""Octets of the longest local part that a token fits behind (RFC 5321 §4.5.3.1.1)."""

# What needs no quotes (RFC 5322 §3.2.3, RFC 6531 §3.3), and has no detail.
_WORDS: Final = re.compile(r'[^\s\x00-\x20\x7f"(),:;<>@\[\\\]+.]++(?:\.[^\s\x00-\x20\x7f"(),:;<>@\[\\\]+.]++)*+')
# They get mail from servers that is no bounce of theirs, and must take it (RFC 5321 §4.5.1, RFC 2142).
_OFFICES: Final = frozenset({"postmaster", "abuse", "mailer-daemon"})


class BounceTokenMode(StrEnum):
    """What is done with them."""

    OFF = "off"
    SIGN = "sign"
    """What leaves has them."""
    ENFORCE = "enforce"
    """And what comes back without is a forged bounce."""


class Standing(Enum):
    """What the address of a mail without a sender says of it."""

    REAL = "real"
    """Its token is ours: something that we sent comes back."""
    FORGED = "forged"
    """It looks like a token of ours, and is none for this address."""
    EXPIRED = "expired"
    """It is ours, and too old."""
    ABSENT = "absent"
    """It has none, and nothing leaves with this address without one."""
    UNPROTECTED = "unprotected"
    """Nothing can be said: what leaves with this address has none."""


class BounceToken(NamedTuple):
    """What a token says: the accepted message, the first recipient's number of its unit, and the day (since 1970) as of which it counts."""

    accepted_id: UUID
    first_no: int
    day: int


def takes_token(local: str) -> bool:
    """Whether what leaves with a local part (canonical or not) has a token; one with a detail of its own may be another's address."""
    if _WORDS.fullmatch(local) is None or local.lower() in _OFFICES:
        return False
    return len(local.encode("utf-8", "surrogatepass")) <= MAX_BASE


def with_token(mail_from: str, token: BounceToken, secret: bytes) -> str:
    """Return the envelope sender with a token; as it was where none fits."""
    local, _, domain = mail_from.rpartition("@")
    name = _id_bits(token.accepted_id)
    if name is None or not 0 <= token.first_no < 1 << _NUMBER_BITS or not takes_token(local):
        return mail_from
    try:
        address = _canonical(mail_from)
    except AddressError:
        return mail_from
    told = ((token.day % (1 << _DAY_BITS)) << _ID_BITS | name) << _NUMBER_BITS | token.first_no
    value = told << _HASH_BITS | _hash(secret, token, f"{address.base}@{address.domain}")
    digits = "".join(_DIGITS[value >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5))
    return f"{local}+{_MARK}{digits}@{domain}"


def read_token(address: str, secrets: Sequence[bytes], today: int, days: int) -> tuple[Standing, BounceToken | None]:
    """Say what an address to which a mail came says of it; the token where it is ours.

    Args:
        address: The recipient, as received.
        secrets: Those under which tokens may have been made.
        today: The day, since 1970.
        days: How long a token counts, at most `MAX_DAYS`.
    """
    try:
        known = canonical_mailbox(address)
    except AddressError:
        return Standing.UNPROTECTED, None
    if known.detail is None:
        return (Standing.ABSENT if takes_token(known.base) else Standing.UNPROTECTED), None
    if not known.detail.startswith(_MARK) or len(known.detail) != _LENGTH + len(_MARK) or not takes_token(known.base):
        return Standing.UNPROTECTED, None
    value = 0
    for digit in known.detail.removeprefix(_MARK):
        if (bits := _VALUES.get(digit)) is None:
            return Standing.UNPROTECTED, None
        value = value << 5 | bits
    token = _told(value >> _HASH_BITS, today)
    given = (value & (1 << _HASH_BITS) - 1).to_bytes(8, "big")
    whole = f"{known.base}@{known.domain}"
    ours = [hmac.compare_digest(_hash(secret, token, whole).to_bytes(8, "big"), given) for secret in secrets]
    if not any(ours):
        return Standing.FORGED, None
    return (Standing.REAL if today - token.day <= days else Standing.EXPIRED), token


def _told(value: int, today: int) -> BounceToken:
    first_no = value & (1 << _NUMBER_BITS) - 1
    name = value >> _NUMBER_BITS
    # the clock of the server that sent it may be ahead of ours by a little
    day = today + 1 - ((today + 1 - (name >> _ID_BITS)) % (1 << _DAY_BITS))
    return BounceToken(_id_of(name & (1 << _ID_BITS) - 1), first_no, day)


def _id_bits(accepted_id: UUID) -> int | None:
    """Return an id without the bits that are the same in all of ours (RFC 9562 §5.8: version 8, variant 10); None for another's."""
    value = accepted_id.int
    if value >> 80 >= 1 << _MILLIS_BITS or value >> 76 & 15 != 8 or value >> 62 & 3 != 2:
        return None
    return (value >> 80 << 12 | value >> 64 & 0xFFF) << _NOISE_BITS | value & (1 << _NOISE_BITS) - 1


def _id_of(name: int) -> UUID:
    high = name >> _NOISE_BITS
    value = (high >> 12) << 80 | 8 << 76 | (high & 0xFFF) << 64 | 2 << 62 | name & (1 << _NOISE_BITS) - 1
    return UUID(int=value)


def _hash(secret: bytes, token: BounceToken, address: str) -> int:
    told = b"petitbleu bounce 1" + token.day.to_bytes(8, "big", signed=True) + token.accepted_id.bytes
    told += token.first_no.to_bytes(2, "big") + address.encode("utf-8", "surrogatepass")
    return int.from_bytes(hmac.digest(secret, told, sha256)[:8], "big") >> (64 - _HASH_BITS)


@lru_cache(4096)
def _canonical(address: str) -> Canonical:
    return canonical_mailbox(address)
