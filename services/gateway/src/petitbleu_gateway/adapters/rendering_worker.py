"""The worker: waits with everything loaded, and for each message makes a child that renders it, answers and ends.

So one message never sees another, and limits begin anew with each. Requests come on standard input (`REQUEST`, then a
`RenderingJob`), answers go to standard output (`ANSWER`, then JSON). A child that ends without an answer ends the worker.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import struct
import sys
from encodings.aliases import aliases
from typing import Final

import msgspec

from petitbleu_gateway.domain.rendering import RenderingJob, render
from petitbleu_kit import sandbox

# Octets of the job, memory, CPU seconds, most octets of the answer
REQUEST: Final = struct.Struct(">QQIQ")
# What came of it, octets of the rendering
ANSWER: Final = struct.Struct(">BQ")
RENDERED, NO_MESSAGE, FAILED, TOO_LARGE = 1, 2, 3, 4

_PIECE: Final = 1 << 20
_SAMPLE: Final = (
    b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
    b"<p>caf&eacute;<a href='http://&eacute;.example'><img src='cid:c'><img src='//x.example/i'>\r\n--b\r\nContent-ID: <c>\r\n"
    b"Content-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lGODlh\r\n--b--\r\n"
)


def main() -> int:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is the parent's
    for codec in set(aliases.values()):
        with contextlib.suppress(LookupError, ImportError):
            codecs.lookup(codec)  # none can be loaded by a child
    codecs.lookup("punycode")  # which has no aliases
    for leave in ("", "/"):
        job = RenderingJob("B1", "B1", "/", 0, b"", [(0, _SAMPLE)], embed=True, leave=leave)
        msgspec.json.encode(render(job))  # nor anything else
    while True:
        request = _take(REQUEST.size)
        if len(request) < REQUEST.size:
            return 0
        child = os.fork()
        if child == 0:
            _serve(request)
        # Who ends the worker ends the child too, and leaves no zombie where nobody would bury it.
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))  # noqa: B023 - called while this child is
        _, status = os.waitpid(child, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if status != 0:
            return 1


def _serve(request: bytes) -> None:
    octets, memory, seconds, most = REQUEST.unpack(request)
    try:
        sandbox.enter(memory, seconds)
        data = _take(octets)
        if len(data) == octets:
            outcome, body = _rendered(data)
            if len(body) > most:
                outcome, body = TOO_LARGE, b""
            _give(ANSWER.pack(outcome, len(body)))
            _give(body)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the child must never go on as a second worker
        os._exit(1)


def _rendered(data: bytes) -> tuple[int, bytes]:
    try:
        found = render(msgspec.msgpack.decode(data, type=RenderingJob))
        return (NO_MESSAGE, b"") if found is None else (RENDERED, msgspec.json.encode(found))
    except MemoryError:
        return TOO_LARGE, b""
    except Exception:  # noqa: BLE001 - whatever a stranger's message does to us, the next one is rendered
        return FAILED, b""


def _take(octets: int) -> bytes:
    pieces: list[bytes] = []
    while octets > 0:
        piece = os.read(0, min(octets, _PIECE))
        if not piece:
            break
        pieces.append(piece)
        octets -= len(piece)
    return b"".join(pieces)


def _give(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    sys.exit(main())
