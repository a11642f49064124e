"""DANE for SMTP (RFC 7672): whether the certificates that a server shows are those that its TLSA records name."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TRUST_ANCHOR: Final = 2
END_ENTITY: Final = 3
_LONGEST_CHAIN: Final = 10
_MATCHING: Final = {1: "sha256", 2: "sha512"}


class Tlsa(Protocol):
    """One TLSA record (RFC 6698 §2.1)."""

    @property
    def usage(self) -> int:
        """Certificate usage."""
        ...

    @property
    def selector(self) -> int:
        """0 the certificate, 1 its public key."""
        ...

    @property
    def matching(self) -> int:
        """0 all of it, 1 SHA-256, 2 SHA-512."""
        ...

    @property
    def data(self) -> bytes:
        """What to compare with."""
        ...


def usable(records: Sequence[Tlsa]) -> list[Tlsa]:
    """Return the records that mean something to SMTP: DANE-TA and DANE-EE (§3.1.1, §3.1.2, §3.1.3), known selectors and digests."""
    return [
        one
        for one in records
        if one.usage in {TRUST_ANCHOR, END_ENTITY} and one.selector in {0, 1} and one.matching in {0, 1, 2} and one.data
    ]


def _matches(record: Tlsa, certificate: bytes) -> bool:
    octets = certificate
    if record.selector == 1:
        public = x509.load_der_x509_certificate(certificate).public_key()
        octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if record.matching:
        octets = hashlib.new(_MATCHING[record.matching], octets).digest()
    return hmac.compare_digest(octets, record.data)


def proves(
    records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: dt.datetime | None = None
) -> bool:
    """Say whether a chain (DER, the server's own first) is one of those that the records name.

    For DANE-EE the name and the dates do not count (RFC 7672 §3.1.1); for DANE-TA the server's certificate must lead to the anchor by
    signatures of authorities, each in its time, and carry one of `names` (§3.1.2, §3.2.3). `now` is aware, the present when None.
    """
    if not chain:
        return False
    now = now or dt.datetime.now(dt.UTC)
    try:
        for record in records:
            if record.usage == END_ENTITY:
                if _matches(record, chain[0]):
                    return True
            elif _leads(record, _with_anchor(record, chain), names, now):
                return True
    except (ValueError, TypeError):
        return False
    return False


def _with_anchor(record: Tlsa, chain: Sequence[bytes]) -> Sequence[bytes]:
    """Add an anchor that stands in the DNS as a whole: the server need not show it (RFC 7672 §3.1.2)."""
    whole = record.selector == 0 and record.matching == 0
    return [*chain, record.data] if whole and record.data not in chain else chain


def _leads(record: Tlsa, chain: Sequence[bytes], names: Sequence[str], now: dt.datetime) -> bool:
    chain = chain[:_LONGEST_CHAIN]
    if not any(_matches(record, one) for one in chain[1:]):
        return False
    certificates = [x509.load_der_x509_certificate(one) for one in chain]
    if not _named(certificates[0], names):
        return False
    for issued, issuer, octets in zip(certificates, certificates[1:], chain[1:], strict=False):
        if not _in_time(issued, now) or not _authority(issuer):
            return False
        try:
            issued.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            return False
        if _matches(record, octets):
            return True
    return False


def _in_time(certificate: x509.Certificate, now: dt.datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others (RFC 5280 §4.2.1.9): whoever has one for another name is no authority."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _named(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    shown = {one.lower() for one in alternatives.get_values_for_type(x509.DNSName)}
    return any(name in shown or f"*.{name.partition('.')[2]}" in shown for name in (one.lower() for one in names))
