"""Sender rewriting (SRS): the envelope sender of forwarded mail, by which its bounces find back to who sent it.

After M. Wong, S. Meng Wong, "Sender Rewriting Scheme" (2004): `SRS0=hash=tt=domain=local` leads to `local@domain`, and an address that somebody
has rewritten already is led back to them: `SRS1=hash=host==rest` leads to `SRS0=rest@host`. `hash` is a keyed one, so that nobody has
us send to whom they like; `tt` is the day. Nothing here asks anybody.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Final

from petitbleu_mail.addresses import MAX_LOCAL, AddressError, Mailbox, parse_mailbox

DAY_SECONDS: Final = 86_400
VALID_DAYS: Final = 21
_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_DAYS: Final = 1 << 10
_HASH_DIGITS: Final = 8
"""40 bits. What a guess gains is one mail without a sender to one address, and each costs a refused recipient."""
_SHAPE: Final = re.compile(r"srs[01]=[a-z2-7]{8}=", re.IGNORECASE | re.ASCII)
_ZERO: Final = re.compile(r"srs0=([a-z2-7]{8})=([a-z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.ASCII | re.DOTALL)
_ONE: Final = re.compile(r"srs1=([a-z2-7]{8})=([^=]+)=([=+-].+)", re.IGNORECASE | re.ASCII | re.DOTALL)
# of anybody's: how others write hash and day is theirs, only the form is known
_OTHERS_ZERO: Final = re.compile(r"srs0([=+-][^=]+=[^=]+=[^=]+=.+)", re.IGNORECASE | re.ASCII | re.DOTALL)
_OTHERS_ONE: Final = re.compile(r"srs1[=+-][^=]+=([^=]+)=([=+-].+)", re.IGNORECASE | re.ASCII | re.DOTALL)

Hash = Callable[[bytes], bytes]
"""Returns at least eight octets of a keyed hash."""


def is_rewritten(address: str) -> bool:
    """Whether an address looks like one that we make; no mailbox here has such a name."""
    return _SHAPE.match(address.removeprefix('"')) is not None


def rewritten(address: str, domain: str, day: int, key: Hash) -> str | None:
    """Return the address at our domain that leads back to an address; None where it does not fit in 64 octets.

    Args:
        address: A sender.
        domain: A domain of ours, that of whoever forwards.
        day: Days since 1970.
        key: Makes keyed hashes.
    """
    try:
        sender = parse_mailbox(address, max_local=2 * MAX_LOCAL)
    except AddressError:
        return None
    if not sender.domain:
        return None
    zero, one = _OTHERS_ZERO.fullmatch(sender.local), _OTHERS_ONE.fullmatch(sender.local)
    if zero is not None and _is_host(sender.domain):
        local = _with_hash("SRS1", f"{sender.domain}={zero[1]}", domain, key)
    elif one is not None and _is_host(one[1]):
        local = _with_hash("SRS1", f"{one[1]}={one[2]}", domain, key)
    else:
        stamp = day % _DAYS
        local = _with_hash(
            "SRS0", f"{_DIGITS[stamp >> 5]}{_DIGITS[stamp & 31]}={sender.domain}={sender.local}", domain, key
        )
    made = Mailbox(local, domain).address
    try:
        again = parse_mailbox(made)  # RFC 5321 §4.5.3.1.1: with the quotes that it needs
    except AddressError:
        return None
    return made if again.local == local else None


def restored(address: str, today: int, key: Hash) -> str | None:
    """Return the address to which one of ours leads; None for one that we never made, or made more than three weeks ago.

    Args:
        address: A recipient.
        today: Days since 1970.
        key: As for `rewritten`.
    """
    try:
        mailbox = parse_mailbox(address)
    except AddressError:
        return None
    zero, one = _ZERO.fullmatch(mailbox.local), _ONE.fullmatch(mailbox.local)
    found = zero or one
    if found is None or not _same(found[1], _hash(mailbox.local[:4] + mailbox.local[14:], mailbox.domain, key)):
        return None
    if zero is not None:
        stamp = _DIGITS.index(zero[2][0].lower()) << 5 | _DIGITS.index(zero[2][1].lower())
        # the clock of who made it may be ahead of ours by a little
        if (today + 1 - stamp) % _DAYS > VALID_DAYS + 1:
            return None
        sender = Mailbox(zero[4], zero[3])
    else:
        assert one is not None  # noqa: S101 — one of the two is there
        sender = Mailbox(f"SRS0{one[3]}", one[2])
    try:
        parse_mailbox(sender.address, max_local=2 * MAX_LOCAL)
    except AddressError:
        return None
    return sender.address


def _is_host(domain: str) -> bool:
    return "." in domain and not domain.startswith("[") and "=" not in domain


def _with_hash(kind: str, rest: str, domain: str, key: Hash) -> str:
    return f"{kind}={_hash(kind + rest, domain, key)}={rest}"


def _hash(told: str, domain: str, key: Hash) -> str:
    # servers on the way may change the case of the letters of ASCII
    octets = f"{told}@{domain}".encode("utf-8", "surrogatepass").lower()
    value = int.from_bytes(key(octets)[:5], "big")
    return "".join(_DIGITS[value >> shift & 31] for shift in range(5 * (_HASH_DIGITS - 1), -1, -5))


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.lower().encode(), right.encode())
