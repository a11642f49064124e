"""Answers of SASL mechanisms as they stand on the mail ports: PLAIN (RFC 4616) and OAUTHBEARER (RFC 7628)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

MAX_RESPONSE: Final = 12_288  # RFC 4954 §4: octets of base64
_BEARER: Final = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/-]+=*) *")


class SaslError(Exception):
    """It is no answer of that mechanism."""


class PlainAnswer(NamedTuple):
    """Who wants to act (empty: the same), who is asked for, and the password."""

    authorization: str
    login: str
    password: str


def decode(line: bytes) -> bytes:
    """Decode the base64 of a response (RFC 4954 §4).

    Raises:
        SaslError: it is none.
    """
    if len(line) > MAX_RESPONSE:
        raise SaslError
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise SaslError from None


def plain(response: bytes) -> PlainAnswer:
    """Read a response of PLAIN: `[authzid] NUL authcid NUL passwd`, UTF-8.

    Raises:
        SaslError: it is none.
    """
    parts = response.split(b"\0")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise SaslError
    try:
        return PlainAnswer(*(part.decode("utf-8") for part in parts))
    except UnicodeDecodeError:
        raise SaslError from None


def oauth_bearer(response: bytes) -> tuple[str, str]:
    """Read a response of OAUTHBEARER (RFC 7628 §3.1): the login that it names (or none), and the token.

    Raises:
        SaslError: it is none.
    """
    try:
        header, *pairs = response.decode("utf-8").split("\x01")
    except UnicodeDecodeError:
        raise SaslError from None
    # gs2-header (RFC 5801 §4): no channel binding, then perhaps the login
    flag, comma, rest = header.partition(",")
    if flag not in {"n", "y"} or not comma or not rest.endswith(",") or pairs[-2:] != ["", ""]:
        raise SaslError
    login = rest[:-1].removeprefix("a=").replace("=2C", ",").replace("=3D", "=") if rest != "," else ""
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key == "auth":
            found = _BEARER.fullmatch(value)
            if found is None:
                break
            return login, found.group(1)
    raise SaslError
