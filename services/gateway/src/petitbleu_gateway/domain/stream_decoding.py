"""Transfer encodings undone while octets stream by, so that an attachment of any size takes no memory."""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator, Callable
from typing import Final

import pybase64

from petitbleu_mail.transfer import IDENTITY, decode_transfer

Decode = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
_MAX_LINE: Final = 1 << 20
_MAX_ODD: Final = 64 << 20


def decoder_for(encoding: str | None) -> Decode | None:
    """Return what undoes an encoding, None where there is nothing to undo. It agrees with `decode_transfer`."""
    if encoding is None or encoding in IDENTITY:
        return None
    if encoding == "base64":
        return _base64
    if encoding == "quoted-printable":
        return _quoted_printable

    async def whole(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        data = bytearray()
        async for piece in source:
            data += piece
            if len(data) > _MAX_ODD:
                raise ValueError("too large for an encoding that nobody uses")
        yield decode_transfer(bytes(data), encoding)[0]

    return whole


async def _base64(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held = b""
    async for piece in source:
        data = held + piece
        if b"=" in data:
            # the end, or sections joined: from here on in one piece, as `decode_transfer` reads it
            rest = bytearray(data)
            async for more in source:
                rest += more
                if len(rest) > _MAX_ODD:
                    raise ValueError("base64 goes on too long behind its end")
            yield decode_transfer(bytes(rest), "base64")[0]
            return
        letters = data.translate(None, _NOT_BASE64)
        cut = len(letters) - len(letters) % 4
        held = letters[cut:]
        if cut:
            yield pybase64.b64decode(letters[:cut], validate=True)
    if held:
        yield decode_transfer(held, "base64")[0]


_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64: Final = bytes(c for c in range(256) if c not in _LETTERS)


async def _quoted_printable(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held = b""
    async for piece in source:
        data = held + piece
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > _MAX_LINE:
            raise ValueError("a line of quoted-printable without an end")
        held = data[cut:]
        if cut:
            yield binascii.a2b_qp(data[:cut])
    if held:
        yield binascii.a2b_qp(held)
