"""rspamd by HTTP: the message is the body of POST /checkv2, the envelope its header fields, the answer is JSON."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from petitbleu_kit.scanners.scanning import Advice, Letter, ScanError, Scanned

_MAX_HEAD: Final = 64 << 10
_MAX_ANSWER: Final = 1 << 20
# Recipients that are named; rspamd looks at few
_MAX_RECIPIENTS: Final = 50
# Hundredths of a score that are passed on
_MAX_SCORE: Final = 100_000
# What its antivirus module calls what the scanners behind it find: CLAM_VIRUS and so on
_VIRUS: Final = "_VIRUS"
_ADVICE: Final = {
    "no action": Advice.CLEAN,
    "greylist": Advice.CLEAN,  # a hint: its own module says "soft reject" where it means it
    "add header": Advice.JUNK,
    "rewrite subject": Advice.JUNK,
    "quarantine": Advice.JUNK,
    "soft reject": Advice.LATER,
    "reject": Advice.SPAM,
    "discard": Advice.SPAM,
}


class _Answer(msgspec.Struct):
    action: str
    score: float = 0.0
    symbols: dict[str, msgspec.Raw] = {}


_decode = msgspec.json.Decoder(_Answer).decode


class Rspamd:
    """An rspamd at `http://host:port`; its normal worker, or the proxy in front of it."""

    name = "rspamd"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("rspamd is reached by http://host:port")
        self._host = parts.hostname
        self._port = parts.port or 11333
        self._path = parts.path.rstrip("/") + "/checkv2"

    async def scan(self, letter: Letter, size: int | None, pieces: AsyncIterator[bytes], seconds: float) -> Scanned:
        """Send a message and read the answer; raises as `Scanner.scan` says."""
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=_MAX_HEAD)
        try:
            writer.write(self._head(letter, size))
            async for piece in pieces:
                # RFC 9112 §7.1: in chunks while nobody knows how many octets there will be
                writer.write(piece if size is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
                async with asyncio.timeout(seconds):
                    await writer.drain()
            if size is None:
                writer.write(b"0\r\n\r\n")
            async with asyncio.timeout(seconds):
                await writer.drain()
                return answer_of(await _body(reader))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _head(self, letter: Letter, size: int | None) -> bytes:
        fields = [
            ("Host", f"{self._host}:{self._port}"),
            ("Connection", "close"),
            ("Content-Length", str(size)) if size is not None else ("Transfer-Encoding", "chunked"),
            ("Queue-Id", letter.queue_id),
            ("IP", letter.client),
            ("Helo", letter.helo),
            ("User", letter.user),
            ("From", letter.mail_from),
            *[("Rcpt", one) for one in letter.recipients[:_MAX_RECIPIENTS]],
        ]
        lines = [f"{name}: {_field(value)}" for name, value in fields if value]
        return "\r\n".join([f"POST {self._path} HTTP/1.1", *lines, "", ""]).encode()


def _field(value: str) -> str:
    """Return a value that ends no line: what a stranger said is in some of them."""
    return value if value.isprintable() else quote(value)


async def _body(reader: asyncio.StreamReader) -> bytes:
    """Read an answer to its end: the connection is for one (RFC 9112 §6.3)."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
        raise ScanError("rspamd refuses")
    body = bytearray()
    while len(body) <= _MAX_ANSWER:
        piece = await reader.read(_MAX_HEAD)
        if not piece:
            return bytes(body)
        body += piece
    raise ScanError("rspamd says too much")


def answer_of(body: bytes) -> Scanned:
    """Read the JSON. Raises `ScanError`."""
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ScanError("rspamd's answer is no JSON as it should be") from None
    if answer.action not in _ADVICE or not math.isfinite(answer.score):
        raise ScanError("rspamd says what it never said")
    score = int(answer.score * 100)
    advice = _ADVICE[answer.action]
    if advice is Advice.SPAM and any(name.endswith(_VIRUS) for name in answer.symbols):
        advice = Advice.VIRUS
    return Scanned(advice, max(-_MAX_SCORE, min(score, _MAX_SCORE)))
