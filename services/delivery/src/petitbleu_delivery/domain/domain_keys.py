"""DKIM keys of hosted domains: what a key is, its record, and when it goes on to its next state.

made → published → active → retiring → retired. A key signs only once its record was seen in the DNS and caches had time to have
it, and its record stays while mail that it signed may still be on its way: no signature of ours meets a missing key (RFC 6376 §3.6.2.2).
The first keys of a domain sign at once: a signature whose key is not found counts as none (RFC 6376 §6.1), so nothing is lost by it.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from petitbleu_mail.auth.dkim_record import SignatureError, key_name, parse_key
from petitbleu_mail.auth.tags import TagError, parse_tags

# RFC 8301 §3.2: signers SHOULD use at least 2048 bits; a longer key does not fit one answer by UDP
RSA_BITS: Final = 2048
_EXPONENT: Final = 65537


class Algorithm(IntEnum):
    """What a key signs by; the number is that of the table."""

    RSA = 1
    ED25519 = 2

    @property
    def tag(self) -> str:
        """Value of `a=` (RFC 6376 §3.3.1, RFC 8463 §3)."""
        return "rsa-sha256" if self is Algorithm.RSA else "ed25519-sha256"


class KeyState(IntEnum):
    """Where a key stands; the number is that of the table and of the contract."""

    MADE = 1
    PUBLISHED = 2
    ACTIVE = 3
    RETIRING = 4
    RETIRED = 5


class DomainKey(msgspec.Struct, frozen=True):
    """A key without its private half. `public` is p= of the record; `since` is when it came to its state."""

    domain: str
    selector: str
    algorithm: Algorithm
    state: KeyState
    public: bytes
    made: datetime
    since: datetime

    @property
    def record_name(self) -> str:
        """Name of the TXT record."""
        return key_name(self.domain, self.selector)

    @property
    def record_text(self) -> str:
        """Text of the TXT record (RFC 6376 §3.6.1, RFC 8463 §4)."""
        kind = "rsa" if self.algorithm is Algorithm.RSA else "ed25519"
        return f"v=DKIM1; k={kind}; p={base64.b64encode(self.public).decode()}"


class KeyTimes(msgspec.Struct, frozen=True):
    """How long keys stay in their states: active until the next is made; published before active; retiring before retired."""

    rotate: timedelta
    publish: timedelta
    retire: timedelta


class Step(StrEnum):
    """What is due for a key."""

    REPLACE = "replace"
    """Make the next key beside it."""
    PUBLISH = "publish"
    """Its record was seen."""
    UNPUBLISH = "unpublish"
    """Its record is gone again before it signed."""
    ACTIVATE = "activate"
    """Sign with it, and let the one that signs now retire."""
    RETIRE = "retire"
    """Destroy it."""


def due(
    keys: Collection[DomainKey], seen: Mapping[str, bool], now: datetime, times: KeyTimes
) -> list[tuple[DomainKey, Step]]:
    """Return what is due for the keys of one domain, at most one step a key.

    `seen` says of selectors whether their records are in the DNS as they should be; of those that it does not name nothing is
    known now. A key that waits never becomes active without its record.
    """
    steps: list[tuple[DomainKey, Step]] = []
    waiting = {key.algorithm for key in keys if key.state in {KeyState.MADE, KeyState.PUBLISHED}}
    for key in keys:
        age = now - key.since
        if key.state is KeyState.MADE and seen.get(key.selector):
            steps.append((key, Step.PUBLISH))
        elif key.state is KeyState.PUBLISHED and seen.get(key.selector) is False:
            steps.append((key, Step.UNPUBLISH))
        elif key.state is KeyState.PUBLISHED and seen.get(key.selector) and age >= times.publish:
            steps.append((key, Step.ACTIVATE))
        elif key.state is KeyState.ACTIVE and age >= times.rotate and key.algorithm not in waiting:
            steps.append((key, Step.REPLACE))
        elif key.state is KeyState.RETIRING and age >= times.retire:
            steps.append((key, Step.RETIRE))
    return steps


def published(key: DomainKey, records: Iterable[bytes]) -> bool:
    """Whether the TXT records of a key's name let verifiers have this very key."""
    for record in records:
        try:
            parse_key(record)
            octets = parse_tags(record).octets("p")
        except (SignatureError, TagError):
            continue
        if octets == key.public:
            return True
    return False


def new_selector(algorithm: Algorithm, day: date, taken: Iterable[str]) -> str:
    """Return a selector that the domain never had: `r20260131`, or `e…` for Ed25519, with a number where the day had one already.

    Never again the same (RFC 6376 §3.1): a cached record would then be of another key.
    """
    name = f"{'r' if algorithm is Algorithm.RSA else 'e'}{day:%Y%m%d}"
    known = set(taken)
    number = 1
    chosen = name
    while chosen in known:
        number += 1
        chosen = f"{name}-{number}"
    return chosen


def make_private_key(algorithm: Algorithm) -> RSAPrivateKey | Ed25519PrivateKey:
    """Make a key; RSA takes some 0.1 s of CPU."""
    if algorithm is Algorithm.RSA:
        return generate_private_key(_EXPONENT, RSA_BITS)
    return Ed25519PrivateKey.generate()


def public_octets(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """Return the public half as p= has it (RFC 6376 §3.6.1, RFC 8463 §4)."""
    if isinstance(key, Ed25519PrivateKey):
        return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def private_octets(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """Return the private half (PKCS #8), to be sealed."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load_private(octets: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    """Load what `private_octets` gave. Raises `ValueError` for anything else."""
    key = load_der_private_key(octets, None)
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("neither RSA nor Ed25519")  # noqa: TRY004 - the octets are wrong, not a type
    return key
