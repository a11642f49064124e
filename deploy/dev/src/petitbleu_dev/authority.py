"""The local certificate authority: a server certificate for this machine's own names, renewed before it ends."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from petitbleu_dev.credentials import undamaged, write_private

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
"""Longest life that clients accept for a server certificate (CA/Browser Forum baseline requirements §6.3.2)."""

RENEW_BEFORE_DAYS = 30
DNS_NAMES = ("localhost", "demo.test", "mx.demo.test")
BACKDATED = dt.timedelta(hours=1)
"""Certificates begin in the past, for clients whose clock is a little slow."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of the local authority."""

    directory: Path

    @property
    def authority(self) -> Path:
        """Certificate that a client may trust."""
        return self.directory / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """Key of the authority."""
        return self.directory / "ca.key"

    @property
    def server(self) -> Path:
        """Server certificate, followed by the authority's."""
        return self.directory / "server.pem"

    @property
    def server_key(self) -> Path:
        """Key of the server certificate."""
        return self.directory / "server.key"

    def ensure(self, now: dt.datetime) -> bool:
        """Make or renew what is absent or ends within 30 days of `now` (aware); whether anything was made."""
        made = False
        if _expires_soon(self.authority, now) or not self.authority_key.exists():
            self._make_authority(now)
            self._make_server(now)
            made = True
        elif _expires_soon(self.server, now) or not self.server_key.exists():
            self._make_server(now)
            made = True
        return made

    def _make_authority(self, now: dt.datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Petit Bleu local authority")])
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(self.authority_key, _key_pem(key))
        write_private(self.authority, _pem(certificate))

    def _make_server(self, now: dt.datetime) -> None:
        with undamaged(self.authority_key):
            issuer_key = serialization.load_pem_private_key(self.authority_key.read_bytes(), password=None)
            if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
                raise TypeError("the authority's key is not an elliptic-curve key")
        issuer = x509.load_pem_x509_certificate(self.authority.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in DNS_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DNS_NAMES[0])])
        certificate = (
            _builder(subject, issuer.subject, key.public_key(), now, SERVER_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        write_private(self.server_key, _key_pem(key))
        write_private(self.server, _pem(certificate) + self.authority.read_bytes())


@dataclass(frozen=True, slots=True)
class PrivateCircle:
    """A certificate for programs that speak to each other only, whose authority signs once and is forgotten.

    Whoever holds the key of `member` is in; nobody can be added (mutual TLS, RFC 8446 §4.3.2).
    """

    directory: Path

    @property
    def authority(self) -> Path:
        """Certificate that members demand of each other."""
        return self.directory / "circle.pem"

    @property
    def member(self) -> Path:
        """The certificate."""
        return self.directory / "member.pem"

    @property
    def member_key(self) -> Path:
        """Its key."""
        return self.directory / "member.key"

    def ensure(self, now: dt.datetime) -> None:
        """Make or renew it."""
        if self.member_key.exists() and not _expires_soon(self.member, now):
            return
        authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "circle")])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "member")])
        authority = (
            _builder(issuer, issuer, authority_key.public_key(), now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(authority_key, hashes.SHA256())
        )
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        member = (
            _builder(subject, issuer, key.public_key(), now, AUTHORITY_DAYS)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        write_private(self.authority, _pem(authority))
        write_private(self.member, _pem(member))
        write_private(self.member_key, _key_pem(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _expires_soon(path: Path, now: dt.datetime) -> bool:
    if not path.exists():
        return True
    with undamaged(path):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc - now < dt.timedelta(days=RENEW_BEFORE_DAYS)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
