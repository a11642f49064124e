"""Calls that follow one another closely, over streams that stay open: cheaper than a unary call each (ADR 9).

The method is a conversation (`rpc Many(stream Request) returns (stream Response)`) in which each request is answered before the
next is read; an error ends the stream with its status. A stream carries one call at a time, so an answer needs no number.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Generic, TypeVar

import grpc
import grpc.aio
from grpc.aio import EOF  # type: ignore[attr-defined]  # the stubs do not know it

from petitbleu_kit.identity import SERVICE_TOKEN_SECONDS
from petitbleu_kit.rpc import Peer
from petitbleu_kit.stream_end import StreamEnd, rpc_error
from petitbleu_kit.telemetry import tracing_on

Request = TypeVar("Request")
Response = TypeVar("Response")

# The pauses before the second to the fourth try: a second together, in which a peer that is being restarted may be back.
_PAUSES_SECONDS: Final = (0.05, 0.2, 0.8)
# The budget of tries beyond the first, as gRPC keeps one for unary calls (gRFC A6): ten, and one more for each ten calls.
_BUDGET: Final = 10.0
_BUDGET_EACH: Final = 0.1
_FRESH_SECONDS: Final = SERVICE_TOKEN_SECONDS / 2


class _Stream:
    """One open stream."""

    def __init__(self, call: Any, opened_at: float) -> None:
        self.call = call
        self.end = StreamEnd(call)
        self.opened_at = opened_at


class Lane(Generic[Request, Response]):
    """Calls of one conversational method of a peer.

    Args:
        peer: The peer; its identity goes with each stream.
        conversation: `stub.MethodMany`; idempotent, as every method of our contracts.
        unary: `stub.Method`, used when traces are on: a trace's parent goes with a call, and a stream outlives many. None when
            the caller itself decides what to do then.
    """

    def __init__(self, peer: Peer, conversation: Any, unary: Any | None) -> None:
        self._peer = peer
        self._conversation = conversation
        self._traced = unary if tracing_on() else None
        self.busy = 0
        """Calls that are being answered now, each on a stream of its own."""
        self._idle: list[_Stream] = []
        self._budget = _BUDGET

    async def call(self, request: Request, *, timeout: float) -> Response:  # noqa: ASYNC109 — as Peer.call
        """Ask once and return the answer; a broken connection is tried again within the deadline and the budget.

        Args:
            request: The request.
            timeout: Seconds until the deadline, after which the peer learns that nobody waits any more.

        Raises:
            grpc.aio.AioRpcError: as the peer answered, or UNAVAILABLE, or DEADLINE_EXCEEDED.
        """
        if self._traced is not None:
            traced: Response = await self._peer.call(self._traced, request, timeout=timeout)
            return traced
        self.busy += 1
        try:
            async with asyncio.timeout(timeout):
                return await self._with_tries(request)
        except TimeoutError:
            raise rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer in time") from None
        finally:
            self.busy -= 1

    async def _with_tries(self, request: Request) -> Response:
        self._budget = min(_BUDGET, self._budget + _BUDGET_EACH)
        for pause in _PAUSES_SECONDS:
            try:
                return await self._once(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or self._budget < 1:
                    raise
                self._budget -= 1
            await asyncio.sleep(pause)
        return await self._once(request)

    async def _once(self, request: Request) -> Response:
        stream = self._take()
        try:
            await stream.call.write(request)
            answer = await stream.call.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            answer = EOF  # it ended before we wrote, while we wrote or instead of an answer: its status says why
        except BaseException:
            stream.call.cancel()
            raise
        if answer is EOF:
            # An orderly end is the peer's wish for a fresh stream: UNAVAILABLE, as a broken one.
            raise await stream.end.error()
        self._idle.append(stream)
        return answer  # type: ignore[no-any-return]

    def _take(self) -> _Stream:
        now = asyncio.get_running_loop().time()
        while self._idle:
            stream = self._idle.pop()
            if not stream.call.done() and now - stream.opened_at < _FRESH_SECONDS:
                return stream
            stream.call.cancel()
        call = self._conversation(timeout=SERVICE_TOKEN_SECONDS, metadata=self._peer.metadata())
        return _Stream(call, now)

    def close(self) -> None:
        """End the idle streams."""
        while self._idle:
            self._idle.pop().call.cancel()
