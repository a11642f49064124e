"""The Authorization header of RFC 8620 §8.2: Basic (RFC 7617 §2) and Bearer (RFC 6750 §2.1)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.exchange import Exchange
from petitbleu_gateway.ports import AwayError, Credential, Identity, LimitedError, RefusedError
from petitbleu_gateway.service.authentication import Authentication

_CHALLENGE: Final = (
    (b"www-authenticate", b'Basic realm="Petit Bleu", charset="UTF-8"'),  # RFC 7617 §2.1
    (b"www-authenticate", b'Bearer realm="Petit Bleu"'),
)
_MAX_LOGIN: Final = 320
_MAX_SECRET: Final = 1024
# RFC 6750 §2.1
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,1024}=*")


def read_credential(header: str) -> Credential | None:
    """Return the credential that an Authorization header shows, or None when there is none to be read."""
    scheme, _, rest = header.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return Credential("", rest) if _TOKEN.fullmatch(rest) else None
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(rest, validate=True).decode("utf-8")  # RFC 7617 §2.1: the charset that we announce
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    login, colon, password = text.partition(":")
    if not colon or not login or not password or "\0" in text:
        return None
    if len(login.encode()) > _MAX_LOGIN or len(password.encode()) > _MAX_SECRET:
        return None
    return Credential(login, password)


async def identify(exchange: Exchange, authentication: Authentication) -> Identity:
    """Return who makes the request.

    Raises:
        Problem: 401 with a challenge, 403 for a password in the clear, 429 when there were too many tries, 503.
    """
    header = exchange.header(b"authorization")
    if not header:
        raise Problem(401, detail="Authentication is needed.", headers=_CHALLENGE)
    if not exchange.secure and not exchange.loopback:
        # RFC 7617 §4: Basic sends the password; a bearer token is as good as one
        raise Problem(403, detail="Credentials are taken over HTTPS only.")
    credential = read_credential(header)
    if credential is None:
        raise Problem(401, detail="The credential is wrong.", headers=_CHALLENGE)
    try:
        return await authentication.authenticate(credential, exchange.client_ip)
    except RefusedError:
        raise Problem(401, detail="The credential is wrong.", headers=_CHALLENGE) from None
    except LimitedError:
        raise Problem(429, detail="Too many tries.", headers=((b"retry-after", b"30"),)) from None
    except AwayError:
        raise Problem(503, detail="The directory does not answer.", headers=((b"retry-after", b"2"),)) from None
