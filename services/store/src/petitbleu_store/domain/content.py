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
# Set beside the method when the header is another than the blob's: then `_EDIT` follows the head.
_EDITED: Final = 2
_EDIT: Final = struct.Struct(">II")
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
        meta: The record that petitbleu_mail.structure.encode_meta made, of the body as its account sees it.
        header: What stands in place of the first `skip` octets of the blob, where a rule of the account edited the header (RFC 5293).
        skip: Octets of the blob that it does not see; 0 for none.
    """

    blob_key: bytes
    prefix: bytes
    meta: bytes
    header: bytes = b""
    skip: int = 0

    def body_of(self, blob: bytes) -> bytes:
        """Return the body as its account sees it, without the prefix, from the octets of its blob."""
        return self.header + blob[self.skip :] if self.skip else blob

    def pieces(self, offset: int, stop: int) -> tuple[bytes, int, int]:
        """Return of a range of the body, as its account sees it, what is of `header`, and where the rest is in the blob.

        Returns:
            Octets that come first, then offset and length in the blob.
        """
        own = self.header[offset:stop]
        start = max(0, offset - len(self.header))
        return own, self.skip + start, max(0, stop - len(self.header) - start)


def seal(cipher: AccountCipher, blob_id: UUID, content: Content) -> bytes:
    """Seal content for the account and the blob that it tells of."""
    plain = content.prefix + content.header + content.meta
    packed = _COMPRESSOR.compress(plain)
    method = _ZSTD if len(packed) < len(plain) else _RAW
    head = _HEAD.pack(method | (_EDITED if content.skip else 0), content.blob_key, len(content.prefix))
    if content.skip:
        head += _EDIT.pack(len(content.header), content.skip)
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
        at, header, skip = _HEAD.size, 0, 0
        if method & _EDITED:
            header, skip = _EDIT.unpack_from(content, at)
            at += _EDIT.size
        plain = content[at:]
        if method & ~_EDITED == _ZSTD:
            plain = decompressor.decompress(plain, max_output_size=_MAX_OCTETS)
    except (struct.error, zstandard.ZstdError):
        raise SealBrokenError from None
    end = prefix + header
    return Content(key, plain[:prefix], plain[end:], plain[prefix:end], skip)


def _place(blob_id: UUID) -> bytes:
    return b"content" + blob_id.bytes
