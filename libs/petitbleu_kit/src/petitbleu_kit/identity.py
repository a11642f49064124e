"""Who calls: service tokens, signed principals and the operator's token.

All are JWTs signed with Ed25519 (RFC 8037 §3.1) by the key of their issuer. A verified token is remembered until it
expires, so a call costs a dictionary look-up.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

SERVICE_TOKEN_SECONDS: Final = 300
_LEEWAY_SECONDS: Final = 5
_REMEMBERED: Final = 20_000


class IdentityError(Exception):
    """A token is missing, wrong, expired or not for us. Its text names no secret."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A person on whose behalf a request is made.

    `credential_id` is the session or app password shown, 0 the main password. Until `cooling_until` (Unix seconds, 0 for never) it is not
    sure enough that it is the person for what cannot be undone: a password was just reset, or a device is new.
    """

    account_id: int
    tenant_id: int
    roles: tuple[str, ...]
    session_id: int
    guarded: bool = False
    credential_id: int = 0
    cooling_until: int = 0


class Signer:
    """Signs tokens as one service."""

    def __init__(self, service: str, key: Ed25519PrivateKey) -> None:
        self.service = service
        self._key = key
        self._service_tokens: dict[str, tuple[float, str]] = {}

    @classmethod
    def from_file(cls, service: str, path: Path) -> Signer:
        """Read the service's private key (PEM, PKCS #8)."""
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise IdentityError(f"the identity key of {service} is not Ed25519")
        return cls(service, key)

    def sign(self, audience: str, claims: dict[str, Any], seconds: int) -> str:
        """Return a JWT from this service for `audience`, valid for `seconds`."""
        now = int(time.time())
        body = {"iss": self.service, "aud": audience, "iat": now, "exp": now + seconds, **claims}
        return jwt.encode(body, self._key, algorithm="EdDSA")

    def service_token(self, audience: str) -> str:
        """Return this service's own token for a peer, made anew before it expires."""
        known = self._service_tokens.get(audience)
        now = time.monotonic()
        if known is None or known[0] < now:
            known = (now + SERVICE_TOKEN_SECONDS / 2, self.sign(audience, {"use": "service"}, SERVICE_TOKEN_SECONDS))
            self._service_tokens[audience] = known
        return known[1]


class Verifier:
    """Verifies tokens made for one service, with the public keys of the others.

    A key file is read when its issuer is first seen and again when a signature does not fit (rotation).
    """

    def __init__(self, service: str, directory: Path) -> None:
        self.service = service
        self._directory = directory
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._known: OrderedDict[bytes, tuple[float, dict[str, Any]]] = OrderedDict()

    def _key(self, issuer: str, *, fresh: bool = False) -> Ed25519PublicKey:
        if fresh or issuer not in self._keys:
            if not issuer.replace("-", "").isalpha() or not issuer.islower():
                raise IdentityError("unknown issuer")
            try:
                key = load_pem_public_key((self._directory / f"{issuer}.pub").read_bytes())
            except (OSError, ValueError):
                raise IdentityError("unknown issuer") from None
            if not isinstance(key, Ed25519PublicKey):
                raise IdentityError("unknown issuer")
            self._keys[issuer] = key
        return self._keys[issuer]

    def verify(self, token: str, issuer: str | None = None, use: str | None = None) -> dict[str, Any]:
        """Return the claims of a token for this service.

        Args:
            token: The JWT.
            issuer: The only issuer allowed; any known service when None.
            use: The `use` claim demanded.

        Raises:
            IdentityError: when it is not valid.
        """
        fingerprint = sha256(token.encode()).digest()
        known = self._known.get(fingerprint)
        if known is not None and known[0] > time.time():
            claims = known[1]
        else:
            claims = self._decode(token)
            self._known[fingerprint] = (float(claims["exp"]), claims)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        if (issuer is not None and claims["iss"] != issuer) or (use is not None and claims.get("use") != use):
            raise IdentityError("not the token that is needed here")
        return claims

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            issuer = str(jwt.decode(token, options={"verify_signature": False}).get("iss", ""))
        except jwt.PyJWTError:
            raise IdentityError("not a token") from None
        for fresh in (False, True):
            try:
                return jwt.decode(
                    token, self._key(issuer, fresh=fresh), algorithms=["EdDSA"], audience=self.service,
                    leeway=_LEEWAY_SECONDS, options={"require": ["exp", "iat", "iss", "aud"]},
                )  # fmt: skip
            except jwt.InvalidSignatureError:
                continue
            except jwt.PyJWTError:
                break
        raise IdentityError("token refused")

    def principal(self, token: str) -> Principal:
        """Return the person that a principal, signed by accounts for `petitbleu`, speaks of."""
        claims = self.verify(token, issuer="accounts", use="principal")
        return Principal(
            int(claims["sub"]), int(claims["tenant"]), tuple(claims.get("roles", ())), int(claims.get("sid", 0)),
            bool(claims.get("guarded", False)), int(claims.get("cid", 0)), int(claims.get("cool", 0)),
        )  # fmt: skip


class PrincipalVerifier(Verifier):
    """Verifies principals, whose audience is every service of the platform: `petitbleu`."""

    def __init__(self, directory: Path) -> None:
        super().__init__("petitbleu", directory)


def principal_claims(principal: Principal) -> dict[str, Any]:
    """Claims of a principal; accounts signs them for the audience `petitbleu`."""
    return {
        "use": "principal", "sub": str(principal.account_id), "tenant": principal.tenant_id,
        "roles": list(principal.roles), "sid": principal.session_id, "guarded": principal.guarded,
        "cid": principal.credential_id, "cool": principal.cooling_until,
    }  # fmt: skip


class OperatorToken:
    """The operator's token, compared in constant time."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def matches(self, given: str) -> bool:
        """Whether `given` is the token in the file; False when there is no file."""
        if self._path is None:
            return False
        try:
            wanted = self._path.read_text().strip()
        except OSError:
            return False
        return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())
