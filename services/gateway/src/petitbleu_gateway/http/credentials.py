"""The Authorization header of RFC 8620 §8.2: Basic (RFC 7617 §2) and Bearer (RFC 6750 §2.1); and the cookie of the web app's session."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import secrets
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


COOKIE: Final = "__Host-petitbleu"
"""Name of the web app's cookie: this host's alone, over HTTPS (or this machine) only (RFC 6265bis §4.1.3.2)."""


DEVICE: Final = "__Host-petitbleu-device"
"""Name of the cookie by which a browser is known again: 16 random octets that open nothing."""
_DEVICE_OCTETS: Final = 16
_DEVICE_SECONDS: Final = 400 * 86_400  # the longest that browsers keep one (RFC 6265bis §5.5)


def device_of(exchange: Exchange) -> tuple[bytes, tuple[bytes, bytes]]:
    """Return by what a browser is known, what it kept or something new, and the header that lets it keep that."""
    device = b""
    for pair in exchange.header(b"cookie").split(";"):
        name, _, text = pair.strip().partition("=")
        if name == DEVICE:
            with contextlib.suppress(binascii.Error, ValueError):
                device = base64.urlsafe_b64decode(text[:64] + "==")
    if len(device) != _DEVICE_OCTETS:
        device = secrets.token_bytes(_DEVICE_OCTETS)
    text = base64.urlsafe_b64encode(device).decode().rstrip("=")
    value = f"{DEVICE}={text}; Path=/; Max-Age={_DEVICE_SECONDS}; Secure; HttpOnly; SameSite=Strict"
    return device, (b"set-cookie", value.encode("ascii"))


def session_cookie(token: str, seconds: int) -> tuple[bytes, bytes]:
    """Return the header that gives a browser a session's token (RFC 6265 §4.1), which no script can read; 0 seconds take it away."""
    value = f"{COOKIE}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict"
    return b"set-cookie", value.encode("ascii")


def _from_cookie(exchange: Exchange) -> Credential | None:
    """Return the session that the web app's cookie shows; None without one.

    Raises:
        Problem: 403 when another site's page makes the request: a browser sends cookies of itself, and says whose page it is
            (Fetch Metadata §2.4, Origin of RFC 6454 §7 from those that do not).
    """
    for pair in exchange.header(b"cookie").split(";"):
        name, _, token = pair.strip().partition("=")
        if name == COOKIE and _TOKEN.fullmatch(token):
            if not _is_of_our_page(exchange):
                raise Problem(403, detail="The request is made by a page of another site.")
            return Credential("", token)
    return None


def _is_of_our_page(exchange: Exchange) -> bool:
    reads = exchange.method in {"GET", "HEAD"}
    site = exchange.header(b"sec-fetch-site")
    if site:
        return site == "same-origin" or (reads and site == "none")
    origin = exchange.header(b"origin")
    return origin == exchange.origin("") if origin else reads


def check_page(exchange: Exchange) -> None:
    """Let no other site's page put a session of its own choice into somebody's browser (login CSRF, RFC 6749 §10.12).

    Raises:
        Problem: 403 when a browser says that another site's page asks; programs, of which nothing says so, may.
    """
    said = exchange.header(b"sec-fetch-site") or exchange.header(b"origin")
    if said and not _is_of_our_page(exchange):
        raise Problem(403, detail="The request is made by a page of another site.")


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


def credential_of(exchange: Exchange) -> Credential | None:
    """Return the credential that a request shows, by its header or else by the web app's cookie; None when there is none to be read.

    Raises:
        Problem: 403 for a cookie that another site's page makes use of.
    """
    header = exchange.header(b"authorization")
    return read_credential(header) if header else _from_cookie(exchange)


async def identify(exchange: Exchange, authentication: Authentication) -> Identity:
    """Return who makes the request.

    Raises:
        Problem: 401 with a challenge, 403 for a password in the clear, 429 when there were too many tries, 503.
    """
    # to a page's request no challenge: the browser would answer it with a window of its own
    challenge = () if exchange.header(b"sec-fetch-site") else _CHALLENGE
    credential = credential_of(exchange)
    if credential is None and not exchange.header(b"authorization"):
        raise Problem(401, detail="Authentication is needed.", headers=challenge)
    if not exchange.secure and not exchange.loopback:
        # RFC 7617 §4: Basic sends the password; a bearer token is as good as one
        raise Problem(403, detail="Credentials are taken over HTTPS only.")
    if credential is None:
        raise Problem(401, detail="The credential is wrong.", headers=challenge)
    try:
        return await authentication.authenticate(credential, exchange.client_ip)
    except RefusedError:
        raise Problem(401, detail="The credential is wrong.", headers=challenge) from None
    except LimitedError:
        raise Problem(429, detail="Too many tries.", headers=((b"retry-after", b"30"),)) from None
    except AwayError:
        raise Problem(503, detail="The directory does not answer.", headers=((b"retry-after", b"2"),)) from None
