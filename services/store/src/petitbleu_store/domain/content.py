"""What a message's row seals: the key of its blob, the prefix that comes before the blob when served, and the record of its structure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import zstandard

from petitbleu_store.domain.account_cipher import AccountCipher, SealBrokenError
from petitbleu_store.domain.keys import KEY_OCTETS

_RAW: Final = 0
_ZSTD: Final = 1
_HEAD: Final = struct.Struct(f">B{KEY_OCTETS}sI")
# Level -1 costs a third of level 1 here, for a tenth more octets. A compressor serves the event loop's thread only.
_COMPRESSOR: Final = zstandard.ZstdCompressor(level=-1, write_checksum=False)
_DECOMPRESSOR: Final = zstandard.ZstdDecompressor()
_MAX_OCTETS: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """Opened content of a message's row.

    Attributes:
        blob_key: Key of the blob, 32 octets.
        prefix: Return-Path and Delivered-To lines, CRLF ended.
        meta: The record that petitbleu_mail.structure.encode_meta made.
    """

    blob_key: bytes
    prefix: bytes
    meta: bytes


def seal(cipher: AccountCipher, blob_id: UUID, content: Content) -> bytes:
    """Seal content for the account and the blob that it tells of."""
    plain = content.prefix + content.meta
    packed = _COMPRESSOR.compress(plain)
    method = _ZSTD if len(packed) < len(plain) else _RAW
    head = _HEAD.pack(method, content.blob_key, len(content.prefix))
    return cipher.seal(head + (packed if method == _ZSTD else plain), _place(blob_id))


def open_content(
    cipher: AccountCipher, blob_id: UUID, sealed: bytes, decompressor: zstandard.ZstdDecompressor = _DECOMPRESSOR
) -> Content:
    """Open what `seal` made; another thread than the event loop's brings its own decompressor.

    Raises:
        SealBrokenError: it is another account's or blob's, or altered.
    """
    content = cipher.open(sealed, _place(blob_id))
    try:
        method, key, prefix = _HEAD.unpack_from(content)
        plain = content[_HEAD.size :]
        if method == _ZSTD:
            plain = decompressor.decompress(plain, max_output_size=_MAX_OCTETS)
    except (struct.error, zstandard.ZstdError):
        raise SealBrokenError from None
    return Content(key, plain[:prefix], plain[prefix:])


def _place(blob_id: UUID) -> bytes:
    return b"content" + blob_id.bytes
