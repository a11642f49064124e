"""Conversations over a real socket: answers, errors by their status, deadlines, and a peer that dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc
from petitbleu_kit.lane import Lane
from petitbleu_kit.rpc import Peer

Request = accept_pb2.AcceptRequest
Response = accept_pb2.AcceptResponse


class _Store(accept_pb2_grpc.AcceptServiceServicer):
    """Answers with as many results as there are keys; a first key names a trouble, `refusal` one before anything is read."""

    def __init__(self) -> None:
        self.streams = 0
        self.refusal: grpc.StatusCode | None = None
        self.abandoned = asyncio.Event()

    async def AcceptMany(self, requests: AsyncIterator[Request], context: Any) -> AsyncIterator[Response]:
        self.streams += 1
        if self.refusal is not None:
            await context.abort(self.refusal, "as told")
        async for request in requests:
            trouble = request.seen_keys[0] if request.seen_keys else b""
            if trouble == b"full":
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "hot-octets")
            if trouble == b"end":
                return
            if trouble == b"slow":
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.abandoned.set()
                    raise
            yield Response(results=[accept_pb2.AcceptResult(accepted_id=key) for key in request.seen_keys])
            if trouble == b"last":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "as told")

    async def Stage(self, requests: AsyncIterator[accept_pb2.StageRequest], context: Any) -> accept_pb2.StageResponse:
        self.streams += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "as told")
        raise AssertionError


def _store() -> _Store:
    return _Store()  # type: ignore[abstract]


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path / 'store.sock'}"


Serve = Callable[[_Store], Awaitable[grpc.aio.Server]]


@pytest.fixture
async def serve(address: str) -> AsyncIterator[Serve]:
    """Serves at the address; what is not stopped is stopped after the test, however it went."""
    servers: list[grpc.aio.Server] = []

    async def start(store: _Store) -> grpc.aio.Server:
        server = grpc.aio.server()
        servers.append(server)
        accept_pb2_grpc.add_AcceptServiceServicer_to_server(store, server)
        server.add_insecure_port(address)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.stop(None)


@pytest.fixture
async def peer(address: str) -> AsyncIterator[Peer]:
    made = Peer(address, "store")
    yield made
    await made.close()


def _lane(peer: Peer) -> Lane[Request, Response]:
    stub = accept_pb2_grpc.AcceptServiceStub(peer.channel)
    return Lane(peer, stub.AcceptMany, stub.Accept)


async def _echo(lane: Lane[Request, Response], *keys: bytes, seconds: float = 10) -> list[bytes]:
    answer = await lane.call(Request(seen_keys=keys), timeout=seconds)
    return [result.accepted_id for result in answer.results]


async def test_calls_one_after_the_other_share_a_stream(serve: Serve, peer: Peer) -> None:
    store = _store()
    await serve(store)
    lane = _lane(peer)
    for number in range(50):
        assert await _echo(lane, b"%d" % number) == [b"%d" % number]
    assert store.streams == 1
    lane.close()


async def test_calls_at_once_never_get_each_other_s_answer(serve: Serve, peer: Peer) -> None:
    await serve(_store())
    lane = _lane(peer)
    for _ in range(5):
        answers = await asyncio.gather(*(_echo(lane, b"%d" % number, b"x") for number in range(20)))
        assert answers == [[b"%d" % number, b"x"] for number in range(20)]
    lane.close()


async def test_an_error_has_its_status_and_the_next_call_works(serve: Serve, peer: Peer) -> None:
    await serve(_store())
    lane = _lane(peer)
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await _echo(lane, b"full")
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "hot-octets")
        assert await _echo(lane, b"a") == [b"a"]
    lane.close()


async def test_at_the_deadline_the_peer_learns_that_nobody_waits(serve: Serve, peer: Peer) -> None:
    store = _store()
    await serve(store)
    lane = _lane(peer)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await _echo(lane, b"slow", seconds=0.3)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(10):
        await store.abandoned.wait()
    assert await _echo(lane, b"a") == [b"a"]
    lane.close()


async def test_a_peer_that_restarts_is_asked_again_within_the_deadline(serve: Serve, peer: Peer) -> None:
    server = await serve(_store())
    lane = _lane(peer)
    assert await _echo(lane, b"a") == [b"a"]
    await server.stop(None)
    waiting = asyncio.ensure_future(_echo(lane, b"b", seconds=20))
    await asyncio.sleep(0.1)
    await serve(_store())
    assert await waiting == [b"b"]
    lane.close()


async def test_a_peer_that_ends_a_stream_is_asked_on_another(serve: Serve, peer: Peer) -> None:
    store = _store()
    await serve(store)
    lane = _lane(peer)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await _echo(lane, b"end")
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert store.streams == 4
    assert await _echo(lane, b"a") == [b"a"]
    lane.close()


async def test_a_peer_that_is_away_is_given_up_when_the_budget_is_spent(peer: Peer) -> None:
    lane = _lane(peer)
    for _ in range(8):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await _echo(lane, b"a", seconds=5)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert lane._budget < 1.5


async def test_a_stream_that_breaks_while_it_is_written_to_is_no_internal_error(serve: Serve, peer: Peer) -> None:
    """The peer ends each stream right after its answer, so that the next call's write fails, as after a restart."""
    store = _store()
    await serve(store)
    for _ in range(8):
        lane = _lane(peer)
        for number in range(5):
            assert await _echo(lane, b"last", b"%d" % number) == [b"last", b"%d" % number]
        lane.close()
    assert store.streams == 40


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAUTHENTICATED]
)
async def test_a_stream_refused_while_it_is_written_to_has_the_peer_s_status(
    serve: Serve, peer: Peer, status: grpc.StatusCode
) -> None:
    store = _store()
    store.refusal = status
    await serve(store)
    lane = _lane(peer)
    for _ in range(100):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await _echo(lane, b"a" * 100_000)
        assert (error.value.code(), error.value.details()) == (status, "as told")
    assert store.streams == 100


async def test_grpc_itself_never_repeats_a_stream_of_requests(serve: Serve, peer: Peer) -> None:
    """Its core ends the process when such a try fails while it is written to."""
    store = _store()
    store.refusal = grpc.StatusCode.UNAVAILABLE
    await serve(store)
    stub: Any = accept_pb2_grpc.AcceptServiceStub(peer.channel)
    for begin in (stub.AcceptMany, stub.Stage):
        store.streams = 0
        call = begin(timeout=10, metadata=peer.metadata())
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert store.streams == 1
