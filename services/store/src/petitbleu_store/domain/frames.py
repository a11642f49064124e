"""The format of a sealed body: frames of 64 KiB, each compressed, encrypted and authenticated by itself.

A body of one frame is `header | frame`. A longer one is `header | frame … | index | index length (4 octets)`, where the index,
sealed too, holds the plain octets of the whole and the sealed octets of each frame, so that a range is read and checked
alone. Each frame is AES-256-GCM (NIST SP 800-38D) of `method | content`. The key belongs to one blob, so a nonce is a plain
counter; blob id, version, number and "last" are associated data: frames cannot be cut off, reordered or moved elsewhere.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FRAME_OCTETS: Final = 64 << 10
HEADER_OCTETS: Final = 4
TRAILER_OCTETS: Final = 4
_TAG: Final = 16
_VERSION: Final = 1
_MAGIC: Final = b"PB"
_SINGLE: Final = _MAGIC + bytes((_VERSION, 0))
_MULTIPLE: Final = _MAGIC + bytes((_VERSION, 1))
_RAW: Final = b"\x00"
_ZSTD: Final = b"\x01"
_LOCAL: Final = threading.local()
# Kinds of nonce under one blob key: each (kind, number) is used once.
_KIND_FRAME: Final = 0
_KIND_INDEX: Final = 1
_KIND_ENVELOPE: Final = 2
_MAX_INDEX_OCTETS: Final = 16 << 20


class DamagedError(Exception):
    """A sealed body is truncated, altered, or not of this blob and key. Its text holds no content."""


def _nonce(kind: int, number: int) -> bytes:
    return struct.pack(">IQ", kind, number)


def _aad(kind: int, blob_id: UUID, number: int, *, last: bool) -> bytes:
    return struct.pack(">BB16sQB", _VERSION, kind, blob_id.bytes, number, last)


def _compressor(level: int) -> zstandard.ZstdCompressor:
    # A compressor keeps its tables between calls but serves one thread.
    found: dict[int, zstandard.ZstdCompressor] = _LOCAL.__dict__.setdefault("compressors", {})
    compressor = found.get(level)
    if compressor is None:
        compressor = found[level] = zstandard.ZstdCompressor(level=level, write_checksum=False)
    return compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    decompressor: zstandard.ZstdDecompressor | None = _LOCAL.__dict__.get("decompressor")
    if decompressor is None:
        decompressor = _LOCAL.decompressor = zstandard.ZstdDecompressor()
    return decompressor


def _seal_frame(cipher: AESGCM, blob_id: UUID, number: int, content: bytes, level: int, *, last: bool) -> bytes:
    packed = _compressor(level).compress(content)
    plain = _ZSTD + packed if len(packed) < len(content) else _RAW + content
    return cipher.encrypt(_nonce(_KIND_FRAME, number), plain, _aad(_KIND_FRAME, blob_id, number, last=last))


def _open_frame(cipher: AESGCM, blob_id: UUID, number: int, sealed: bytes, *, last: bool) -> bytes:
    try:
        plain = cipher.decrypt(_nonce(_KIND_FRAME, number), sealed, _aad(_KIND_FRAME, blob_id, number, last=last))
        if plain[:1] == _ZSTD:
            content = _decompressor().decompress(plain[1:], max_output_size=FRAME_OCTETS)
        elif plain[:1] == _RAW:
            content = plain[1:]
        else:
            raise DamagedError("unknown method")
    except (InvalidTag, ValueError, zstandard.ZstdError):
        raise DamagedError(f"frame {number} does not open") from None
    if len(content) > FRAME_OCTETS or (not last and len(content) != FRAME_OCTETS):
        raise DamagedError(f"frame {number} has a wrong length")
    return content


def seal(key: bytes, blob_id: UUID, body: bytes, level: int = 1) -> bytes:
    """Seal a body that is in memory.

    Args:
        key: 32 octets, of this blob only.
        blob_id: Its id.
        body: The octets, any length.
        level: Compression level.
    """
    if len(body) <= FRAME_OCTETS:
        return _SINGLE + _seal_frame(AESGCM(key), blob_id, 0, body, level, last=True)
    sealer = Sealer(key, blob_id, level)
    return b"".join((*sealer.update(body), *sealer.finish()))


class Sealer:
    """Seals a body that comes in pieces; never holds more than a frame and a piece.

    The result's first part depends on whether there is more than one frame, so nothing comes out until that is known.
    """

    def __init__(self, key: bytes, blob_id: UUID, level: int = 1) -> None:
        self._cipher = AESGCM(key)
        self._blob_id = blob_id
        self._level = level
        self._pending = bytearray()
        self._lengths: list[int] = []
        self.octets = 0

    def _next(self, content: bytes, *, last: bool) -> bytes:
        frame = _seal_frame(self._cipher, self._blob_id, len(self._lengths), content, self._level, last=last)
        self._lengths.append(len(frame))
        return frame

    def update(self, data: bytes) -> Iterator[bytes]:
        """Take plain octets; yield sealed ones. The last frame is kept back until `finish`."""
        self.octets += len(data)
        self._pending += data
        start = 0
        while len(self._pending) - start > FRAME_OCTETS:
            if not self._lengths:
                yield _MULTIPLE
            yield self._next(bytes(self._pending[start : start + FRAME_OCTETS]), last=False)
            start += FRAME_OCTETS
        if start:
            del self._pending[:start]

    def finish(self) -> Iterator[bytes]:
        """Yield what ends the sealed body."""
        if not self._lengths:
            yield _SINGLE
            yield self._next(bytes(self._pending), last=True)
            return
        yield self._next(bytes(self._pending), last=True)
        plain = struct.pack(f">Q{len(self._lengths)}I", self.octets, *self._lengths)
        index = self._cipher.encrypt(_nonce(_KIND_INDEX, 0), plain, _aad(_KIND_INDEX, self._blob_id, 0, last=True))
        yield index
        yield struct.pack(">I", len(index))


@dataclass(frozen=True, slots=True)
class Index:
    """Where the frames of a body are.

    Attributes:
        octets: Plain octets of the body; -1 when it is one frame and not opened yet.
        starts: Offset of each frame in the sealed body, and of the octet after the last one.
    """

    octets: int
    starts: tuple[int, ...]

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self.starts) - 1

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Sealed offset and octets of frames `first` to `last`, both included."""
        return self.starts[first], self.starts[last + 1] - self.starts[first]


def is_single(header: bytes) -> bool:
    """Whether a sealed body, of which the first octets are given, is one frame.

    Raises:
        DamagedError: it is not a sealed body.
    """
    if header[:HEADER_OCTETS] == _SINGLE:
        return True
    if header[:HEADER_OCTETS] == _MULTIPLE:
        return False
    raise DamagedError("not a sealed body")


def index_octets(trailer: bytes, sealed_octets: int) -> int:
    """Octets of the sealed index, from the last four octets of a sealed body of several frames."""
    if len(trailer) != TRAILER_OCTETS:
        raise DamagedError("no trailer")
    (octets,) = struct.unpack(">I", trailer)
    if not 8 + _TAG <= octets <= min(sealed_octets - HEADER_OCTETS - TRAILER_OCTETS, _MAX_INDEX_OCTETS):
        raise DamagedError("wrong index length")
    return int(octets)


def open_index(key: bytes, blob_id: UUID, sealed_index: bytes, sealed_octets: int) -> Index:
    """Open the index of a body of several frames and check it against the sealed body's length."""
    try:
        plain = AESGCM(key).decrypt(_nonce(_KIND_INDEX, 0), sealed_index, _aad(_KIND_INDEX, blob_id, 0, last=True))
    except InvalidTag:
        raise DamagedError("the index does not open") from None
    if len(plain) < 16 or len(plain) % 4:
        raise DamagedError("wrong index")
    octets, *lengths = struct.unpack(f">Q{(len(plain) - 8) // 4}I", plain)
    starts = [HEADER_OCTETS]
    for length in lengths:
        starts.append(starts[-1] + length)
    if starts[-1] + len(sealed_index) + TRAILER_OCTETS != sealed_octets:
        raise DamagedError("the body has a wrong length")
    return Index(octets, tuple(starts))


def single_index(sealed_octets: int) -> Index:
    """Return the index of a body of one frame."""
    return Index(-1, (HEADER_OCTETS, sealed_octets))


def open_frames(key: bytes, blob_id: UUID, index: Index, first: int, sealed: bytes) -> Iterator[bytes]:
    """Yield the content of consecutive frames, each checked.

    Args:
        key: The blob's key.
        blob_id: Its id.
        index: Its index.
        first: Number of the first frame in `sealed`.
        sealed: Whole frames, as `Index.span` says.
    """
    cipher = AESGCM(key)
    base = index.starts[first]
    number = first
    view = memoryview(sealed)
    while number < index.frames and index.starts[number + 1] - base <= len(view):
        frame = bytes(view[index.starts[number] - base : index.starts[number + 1] - base])
        yield _open_frame(cipher, blob_id, number, frame, last=number == index.frames - 1)
        number += 1
    if index.starts[number] - base != len(view):
        raise DamagedError("frames are cut")


def index_of(key: bytes, blob_id: UUID, sealed: bytes) -> Index:
    """Return the index of a sealed body that is in memory."""
    if is_single(sealed):
        return single_index(len(sealed))
    octets = index_octets(sealed[-TRAILER_OCTETS:], len(sealed))
    return open_index(key, blob_id, sealed[-TRAILER_OCTETS - octets : -TRAILER_OCTETS], len(sealed))


def unseal(key: bytes, blob_id: UUID, sealed: bytes) -> bytes:
    """Return the body of a sealed one that is in memory.

    Raises:
        DamagedError: when anything of it is not as it was sealed.
    """
    if is_single(sealed):
        return _open_frame(AESGCM(key), blob_id, 0, sealed[HEADER_OCTETS:], last=True)
    index = index_of(key, blob_id, sealed)
    body = b"".join(open_frames(key, blob_id, index, 0, sealed[HEADER_OCTETS : index.starts[-1]]))
    if len(body) != index.octets:
        raise DamagedError("the body has a wrong length")
    return body


def range_of(index: Index, offset: int, length: int | None) -> tuple[int, int] | None:
    """First and last frame that hold plain octets `offset` to `offset + length`; None when there are none such."""
    if index.octets < 0:
        return 0, 0
    end = index.octets if length is None else min(index.octets, offset + length)
    if offset >= end:
        return None
    return offset // FRAME_OCTETS, (end - 1) // FRAME_OCTETS


def clip(contents: Sequence[bytes], first: int, offset: int, length: int | None) -> list[bytes]:
    """Cut opened frames, of which the first has number `first`, down to the plain octets wanted."""
    position = first * FRAME_OCTETS
    end = None if length is None else offset + length
    cut: list[bytes] = []
    for content in contents:
        start = max(0, offset - position)
        stop = len(content) if end is None else max(0, min(len(content), end - position))
        if start < stop:
            cut.append(content if (start, stop) == (0, len(content)) else content[start:stop])
        position += len(content)
    return cut


def seal_envelope(key: bytes, blob_id: UUID, plain: bytes) -> bytes:
    """Seal the envelope of a message under the key of its blob; once a blob, for its nonce is fixed."""
    return AESGCM(key).encrypt(_nonce(_KIND_ENVELOPE, 0), plain, _aad(_KIND_ENVELOPE, blob_id, 0, last=True))


def open_envelope(key: bytes, blob_id: UUID, sealed: bytes) -> bytes:
    """Return what `seal_envelope` sealed."""
    try:
        return AESGCM(key).decrypt(_nonce(_KIND_ENVELOPE, 0), sealed, _aad(_KIND_ENVELOPE, blob_id, 0, last=True))
    except InvalidTag:
        raise DamagedError("the envelope does not open") from None
