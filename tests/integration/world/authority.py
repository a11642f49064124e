"""The certificate authority that all of the world believes."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID


class Pair(NamedTuple):
    """A certificate chain and its key, as files, and what a TLSA record says of it."""

    chain: Path
    key: Path
    tlsa: str


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Issues certificates for host names."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Authority of the world")
        self.file = directory / "ca.pem"
        own = self._build(self._name, self._key.public_key(), ()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.pem = own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        self.file.write_bytes(self.pem)
        self.key_pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, names: Sequence[str]
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=90))
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder

    def issue(self, *names: str) -> Pair:
        """Issue a certificate for host names."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._build(_name(names[0]), key.public_key(), names).sign(self._key, hashes.SHA256())
        chain, file = self._directory / f"{names[0]}.pem", self._directory / f"{names[0]}.key"
        chain.write_bytes(signed.public_bytes(Encoding.PEM) + self.pem)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        # RFC 7672 §3.1.1: DANE-EE, the public key, SHA-256
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Pair(chain, file, f"3 1 1 {hashlib.sha256(public).hexdigest()}")

    def install(self, tls: Path, *names: str) -> Pair:
        """Put a certificate where an embedded stack keeps its own, in place of the one that it would make."""
        pair = self.issue(*names)
        tls.mkdir(parents=True, exist_ok=True)
        (tls / "ca.pem").write_bytes(self.pem)
        for file, content in {
            "ca.key": self.key_pem, "server.pem": pair.chain.read_bytes(), "server.key": pair.key.read_bytes(),
        }.items():  # fmt: skip
            (tls / file).write_bytes(content)
            (tls / file).chmod(0o600)
        return pair
