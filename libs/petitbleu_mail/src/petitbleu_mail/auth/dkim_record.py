"""DKIM's key records in the DNS (RFC 6376 §3.6, RFC 8301, RFC 8463 §4), also used by ARC: looked up, read, and verified with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from petitbleu_mail.auth.resolver import NoSuchNameError, Resolver, TemporaryDnsError, askable
from petitbleu_mail.auth.tags import TagError, TagList, parse_tags

# RFC 8301 §3.2: shorter RSA keys verify nothing, keys of 1024 to 4096 bits must be taken; longer ones cost CPU for nothing.
MIN_RSA_BITS = 1024
MAX_RSA_BITS = 4096
# A public exponent is small in every key that software makes; a huge one makes verifying slow.
_MAX_EXPONENT_BITS = 33
# Records of one name that are tried: one for each kind of key is what a domain may have during a change (RFC 6376 §6.1.2).
_MAX_RECORDS = 4

_SHA256 = SHA256()
_PREHASHED = Prehashed(_SHA256)
_PADDING = PKCS1v15()


class Result(StrEnum):
    """What came of a signature, in the words of Authentication-Results (RFC 8601 §2.7.1)."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class SignatureError(Exception):
    """A signature that does not pass: `result` for the header, `reason` for people (fixed words, nothing of the message)."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A signer's public key as its domain publishes it.

    `kind` is `rsa` or `ed25519`; `strict` wants i= to be in the very domain of d= (t=s), `testing` says that the domain still
    tries things out (t=y).
    """

    kind: str
    bits: int
    key: RSAPublicKey | Ed25519PublicKey
    testing: bool
    strict: bool

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Whether this key made the signature over data with this SHA-256 digest.

        Ed25519 signs the digest itself (RFC 8463 §3).
        """
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(signature, digest, _PADDING, _PREHASHED)
            else:
                self.key.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


def parse_key(record: bytes) -> PublicKey:
    """Read one key record (RFC 6376 §3.6.1). Raises `SignatureError`."""
    try:
        tags = parse_tags(record)
        _check_use(tags)
        key, bits = _public_key(tags)
    except TagError as error:
        raise SignatureError(Result.PERMERROR, f"key record: {error.args[0]}") from None
    flags = tags.words("t") or []
    return PublicKey(
        "rsa" if isinstance(key, RSAPublicKey) else "ed25519", bits, key, testing="y" in flags, strict="s" in flags
    )


def _check_use(tags: TagList) -> None:
    version = tags.get("v")
    if version is not None and (version != "DKIM1" or next(iter(tags.values)) != "v"):
        raise TagError("unknown version")  # RFC 6376 §3.6.1: other than DKIM1, or not in front
    hashes = tags.words("h")
    if hashes is not None and "sha256" not in hashes:
        raise TagError("not for sha256")
    services = tags.words("s")
    if services is not None and not {"*", "email"} & set(services):
        raise TagError("not for mail")
    if tags.get("p") == "":
        raise SignatureError(Result.PERMERROR, "key revoked")  # RFC 6376 §3.6.1, p=


def _public_key(tags: TagList) -> tuple[RSAPublicKey | Ed25519PublicKey, int]:
    kind = tags.get("k") or "rsa"
    octets = tags.octets("p")
    if kind == "ed25519":
        # RFC 8463 §4: the bare 32 octets of RFC 8032, no ASN.1
        if len(octets) != 32:
            raise TagError("p= is no Ed25519 key")
        try:
            return Ed25519PublicKey.from_public_bytes(octets), 256
        except ValueError:
            raise TagError("p= is no Ed25519 key") from None
    if kind != "rsa":
        raise TagError("unknown kind of key")
    try:
        key = load_der_public_key(octets)  # with or without the SubjectPublicKeyInfo around it: both are in use
    except (ValueError, UnsupportedAlgorithm):
        raise TagError("p= is no RSA key") from None
    if not isinstance(key, RSAPublicKey):
        raise TagError("p= is no RSA key")
    if key.key_size < MIN_RSA_BITS:
        raise SignatureError(Result.POLICY, "key too short")  # RFC 8301 §3.2
    if key.key_size > MAX_RSA_BITS or key.public_numbers().e.bit_length() > _MAX_EXPONENT_BITS:
        raise SignatureError(Result.POLICY, "key too large")
    return key, key.key_size


def algorithm_kind(algorithm: str) -> str:
    """Return the kind of key of an algorithm (a=). Raises `SignatureError` for one that verifies nothing."""
    if algorithm == "rsa-sha256":
        return "rsa"
    if algorithm == "ed25519-sha256":
        return "ed25519"  # RFC 8463 §3
    if algorithm == "rsa-sha1":
        raise SignatureError(Result.POLICY, "historic algorithm")  # RFC 8301 §3.1: MUST NOT be used for verifying
    raise SignatureError(Result.NEUTRAL, "unknown algorithm")


def key_name(domain: str, selector: str) -> str:
    """Return the name that holds a key (RFC 6376 §3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


class KeyRing:
    """Keys looked up for one message: each name is asked for once, however many signatures name it."""

    __slots__ = ("_known", "_resolver")

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._known: dict[str, tuple[bytes, ...] | SignatureError] = {}

    async def key(self, domain: str, selector: str, kind: str) -> PublicKey:
        """Return the key of a kind that a domain publishes under a selector. Raises `SignatureError`."""
        name = key_name(domain, selector)
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = await self._ask(name)
        if isinstance(known, SignatureError):
            raise SignatureError(known.result, known.reason)
        return _fitting(known, kind)

    async def _ask(self, name: str) -> tuple[bytes, ...] | SignatureError:
        if not askable(name):
            return SignatureError(Result.PERMERROR, "no key: the name cannot exist")
        try:
            return await self._resolver.txt(name)
        except NoSuchNameError:
            return SignatureError(Result.PERMERROR, "no key")
        except TemporaryDnsError:
            return SignatureError(Result.TEMPERROR, "key not available")  # RFC 6376 §6.1.2


def _fitting(records: tuple[bytes, ...], kind: str) -> PublicKey:
    """Return the first key of a kind; with none, say why (RFC 6376 §6.1.2: of several records any may be chosen)."""
    failure = SignatureError(Result.PERMERROR, "no key")
    for record in records[:_MAX_RECORDS]:
        try:
            key = parse_key(record)
        except SignatureError as error:
            failure = error
            continue
        if key.kind == kind:
            return key
        failure = SignatureError(Result.PERMERROR, "key of another kind")
    raise failure
