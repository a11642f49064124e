"""DANE for SMTP (RFC 7672): whether the certificates that a server shows are those that its TLSA records name."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TRUST_ANCHOR: Final = 2
END_ENTITY: Final = 3
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


def proves(records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str]) -> bool:
    """Say whether a chain (DER, the server's own first) is one of those that the records name.

    For DANE-EE the name and the dates do not count (§3.1.1); for DANE-TA the server's certificate must lead to the anchor by
    signatures and carry one of `names` (§3.1.2, §3.2.3).
    """
    if not chain:
        return False
    try:
        for record in records:
            if record.usage == END_ENTITY:
                if _matches(record, chain[0]):
                    return True
            elif any(_matches(record, certificate) for certificate in chain[1:]) and _leads(record, chain, names):
                return True
    except (ValueError, TypeError):
        return False
    return False


def _leads(record: Tlsa, chain: Sequence[bytes], names: Sequence[str]) -> bool:
    certificates = [x509.load_der_x509_certificate(one) for one in chain]
    if not _named(certificates[0], names):
        return False
    for issued, issuer, octets in zip(certificates, certificates[1:], chain[1:], strict=False):
        try:
            issued.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            return False
        if _matches(record, octets):
            return True
    return False


def _named(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    shown = {one.lower() for one in alternatives.get_values_for_type(x509.DNSName)}
    return any(name in shown or f"*.{name.partition('.')[2]}" in shown for name in (one.lower() for one in names))
