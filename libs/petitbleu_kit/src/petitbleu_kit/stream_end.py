"""How a stream that we write to ended: the status of the peer, which grpc.aio hides when a write fails.

A write to a stream that is over fails in the core of gRPC without a reason, and grpc.aio then sets the status of the call to
INTERNAL. The peer's own status comes before that and is overwritten, or after it, and then nothing announces it: so the first
status is taken down when it is set, and a later one is looked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import grpc
import grpc.aio

Value = TypeVar("Value")

# The core knows the peer's status, or that there is none, when a write fails: it is a matter of the loop's next turns. The pauses
# double, for a loop that is busy, and are a second together.
_FIRST_PAUSE_SECONDS: Final = 0.001
_PAUSES: Final = 10
_OF_A_FAILED_WRITE: Final = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class StreamEnd:
    """The status with which one call ended, to be made before the first write.

    Args:
        call: A `grpc.aio` call with a stream of requests.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._status: tuple[grpc.StatusCode, str] | None = None
        call.add_done_callback(self._note)

    def _note(self, call: Any) -> None:
        status = (_at_once(call.code()), _at_once(call.details()) or "")
        if status != _OF_A_FAILED_WRITE:
            self._status = status

    async def error(self) -> grpc.aio.AioRpcError:
        """Return why the stream is over: as the peer said, or UNAVAILABLE when it did not say or ended it in good order.

        To be asked when a write or a read has failed.
        """
        pause = _FIRST_PAUSE_SECONDS
        for _ in range(_PAUSES):
            if self._call.done() and self._status is None:
                self._note(self._call)
            if self._status is not None:
                break
            await asyncio.sleep(pause)
            pause *= 2
        self._call.cancel()  # nothing, when it is over
        code, details = self._status or (grpc.StatusCode.UNAVAILABLE, "broken while it was written to")
        if code is grpc.StatusCode.OK or code is grpc.StatusCode.CANCELLED:
            code = grpc.StatusCode.UNAVAILABLE
        return rpc_error(code, details)


def rpc_error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    """Return an error as grpc.aio raises it, without metadata."""
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details, debug_error_string=None
    )


def _at_once(work: Coroutine[Any, Any, Value]) -> Value:
    """Return what a coroutine gives that has nothing to wait for, as those of a status that is set."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    work.close()
    raise RuntimeError("a status was announced that is not set")
