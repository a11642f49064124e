"""The worker: waits with everything loaded, and for each file makes a child that reads it, answers and ends.

So one file never sees another's, and limits begin anew with each. Requests come on standard input, answers go to standard output
(`outcomes.REQUEST`, `outcomes.ANSWER`). A child that ends without having answered ends the worker: what is left in the pipes is
anybody's guess, and a new worker has new pipes.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import sys
from encodings.aliases import aliases

from petitbleu_kit import sandbox
from petitbleu_store.adapters.extraction import reading
from petitbleu_store.adapters.extraction.outcomes import (
    ANSWER,
    EXIT_TIMED_OUT,
    EXIT_TOO_BIG,
    REQUEST,
    Extracted,
    Kind,
    Outcome,
)

_PIECE = 1 << 20


def main() -> int:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is the parent's
    os.nice(10)  # mail comes first
    for codec in set(aliases.values()):
        with contextlib.suppress(LookupError, ImportError):
            codecs.lookup(codec)  # none can be loaded by a child
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
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGKILL}:
            return EXIT_TIMED_OUT  # soft and hard limit are the same: either may come
        if status != 0:
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1


def _serve(request: bytes) -> None:
    kind, octets, most, memory, seconds, charset = REQUEST.unpack(request)
    try:
        sandbox.enter(memory, seconds)
        data = _take(octets)
        if len(data) == octets:
            try:
                found = reading.read(Kind(kind), data, charset.rstrip(b"\0").decode("ascii", "replace"), most)
            except MemoryError:
                found = Extracted(Outcome.TOO_BIG)
            except Exception:  # noqa: BLE001 - whatever a stranger's file does to a reader, this file is broken
                found = Extracted(Outcome.BROKEN)
            text = found.text.encode()
            _give(ANSWER.pack(found.outcome, found.cut, len(text)) + text)
        os._exit(0)
    except MemoryError:
        os._exit(EXIT_TOO_BIG)
    except BaseException:  # noqa: BLE001 - the child must never go on as a second worker
        os._exit(1)


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
