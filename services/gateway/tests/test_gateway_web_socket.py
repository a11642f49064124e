"""The frames of a WebSocket, whatever a peer sends: bounds of memory and time, and messages that come out whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from petitbleu_gateway.http.exchange import OctetBudget
from petitbleu_gateway.http.web_socket import WebSocket
from petitbleu_gateway.http.web_socket_door import WebSocketDoor


class _Connection:
    """Remembers what was written and how it ended."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.closing = False
        self.write_paused = False
        self.was_cut = ""

    def hold(self, on_lost: Callable[[], None]) -> None:
        pass

    def switch(self, guest: Any, answer: bytes) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        pass

    def pause_reading(self, *, paused: bool) -> None:
        self.reading = not paused

    def close(self) -> None:
        self.closing = True

    def cut(self, why: str) -> None:
        self.closing = True
        self.was_cut = why

    def reads(self) -> bool:
        return self.reading

    def why_cut(self) -> str:
        return self.was_cut


def text(data: bytes, *, fin: bool = True, opcode: Opcode = Opcode.TEXT) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def socket_of(connection: _Connection, budget: OctetBudget, most: int = 1000) -> WebSocket:
    return WebSocket(connection, asyncio.Event(), most, 60.0, budget)


def closed_with(connection: _Connection) -> int:
    """Return the code of the Close at the end of what was written."""
    at = connection.written.rindex(b"\x88")
    return Close.parse(connection.written[at + 2 :]).code


async def test_a_message_holds_its_octets_until_it_is_settled() -> None:
    connection, budget = _Connection(), OctetBudget(10_000)
    socket = socket_of(connection, budget)
    octets = text(b"hello")
    for at in range(len(octets)):
        socket.received(octets[at : at + 1])
    assert socket.waiting
    assert not connection.reads()  # nothing is read on while one waits
    assert budget.held > 0
    message, held = socket.take()
    assert message == b"hello"
    assert connection.reads()
    socket.settle(held)
    assert budget.held == 0


async def test_a_budget_that_is_spent_ends_the_connection() -> None:
    connection, budget = _Connection(), OctetBudget(100)
    socket = socket_of(connection, budget)
    socket.received(text(b"x" * 200, fin=False))
    assert closed_with(connection) == 1013
    socket.release()
    assert budget.held == 0


async def test_a_message_that_comes_too_slowly_is_not_waited_for() -> None:
    connection = _Connection()
    socket = socket_of(connection, OctetBudget(10_000))
    now = asyncio.get_running_loop().time()
    socket.received(text(b"begin", fin=False))
    socket.tick(now + 50)
    assert not connection.written
    socket.tick(now + 62)
    assert closed_with(connection) == 1008


async def test_a_silent_peer_is_asked_and_then_cut() -> None:
    connection = _Connection()
    socket = socket_of(connection, OctetBudget(10_000))
    now = asyncio.get_running_loop().time()
    socket.tick(now + 10)
    assert not connection.written
    socket.tick(now + 56)
    assert connection.written[0] == 0x89
    socket.received(Frame(Opcode.PONG, b"").serialize(mask=True))
    socket.tick(now + 100)
    assert connection.why_cut() == ""
    socket.tick(now + 400)
    assert connection.why_cut() == "silent peer"


async def test_a_flood_of_pings_ends_the_connection() -> None:
    connection = _Connection()
    socket = socket_of(connection, OctetBudget(1 << 20))
    for _ in range(60):
        socket.received(Frame(Opcode.PING, b"x").serialize(mask=True))
    assert closed_with(connection) == 1008


async def test_a_peer_that_does_not_read_is_not_read() -> None:
    connection = _Connection()
    socket = socket_of(connection, OctetBudget(1 << 20))
    socket.write_paused()
    assert not connection.reads()
    socket.write_resumed()
    assert connection.reads()


async def test_rfc6455_7_1_closing_is_answered_and_ends() -> None:
    connection = _Connection()
    socket = socket_of(connection, OctetBudget(1 << 20))
    socket.received(Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True))
    assert closed_with(connection) == 1000
    assert connection.closing


async def test_rfc6455_7_1_what_comes_after_our_close_is_dropped() -> None:
    connection = _Connection()
    socket = socket_of(connection, OctetBudget(1 << 20))
    socket.close(1001)
    socket.received(text(b"late"))
    assert not socket.waiting
    socket.received(Frame(Opcode.CLOSE, Close(1001, "").serialize()).serialize(mask=True))
    assert connection.closing


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x81\x05hello", 1002), (b"\xc1\x80\0\0\0\0", 1002), (b"\x83\x80\0\0\0\0", 1002),
        (text(b"x" * 1001), 1009), (text(b"\xff"), 1007), (text(b"", opcode=Opcode.CONT), 1002),
        (text(b"", opcode=Opcode.BINARY), 1003),
    ],
    ids=("unmasked", "reserved", "unknown", "large", "no-utf-8", "continued", "binary"),  # masks are random
)  # fmt: skip
async def test_rfc6455_5_what_breaks_the_protocol_ends_the_connection(octets: bytes, code: int) -> None:
    connection = _Connection()
    socket_of(connection, OctetBudget(1 << 20)).received(octets)
    assert closed_with(connection) == code


@given(st.lists(st.binary(max_size=300), max_size=20))
@example([b"\x81\x82\x00\x80\x00\x00\x00\x00\x00\x00"])  # no text, and behind it what ends the connection by itself
@settings(deadline=None)
def test_whatever_comes_ends_or_waits_and_what_was_held_is_given_back(pieces: list[bytes]) -> None:
    async def feed() -> None:
        connection, budget = _Connection(), OctetBudget(1 << 20)
        socket = socket_of(connection, budget)
        for piece in pieces:
            socket.received(piece)
        while socket.waiting:
            socket.settle(socket.take()[1])
        assert 0 <= budget.held <= sum(map(len, pieces))
        socket.release()
        assert budget.held == 0

    asyncio.run(feed())


@given(st.lists(st.tuples(st.text(max_size=40), st.integers(1, 5)), max_size=10), st.integers(1, 60))
@settings(deadline=None)
def test_messages_come_out_as_they_went_in(messages: list[tuple[str, int]], step: int) -> None:
    async def feed() -> None:
        octets = b""
        for message, parts in messages:
            data = message.encode()
            size = max(1, len(data) // parts)
            frames = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
            for number, part in enumerate(frames):
                opcode = Opcode.CONT if number else Opcode.TEXT
                octets += text(part, fin=number == len(frames) - 1, opcode=opcode)
        budget = OctetBudget(1 << 20)
        socket = socket_of(_Connection(), budget, 10_000)
        found = []
        for at in range(0, len(octets), step):
            socket.received(octets[at : at + step])
            while socket.waiting:
                whole, held = socket.take()
                found.append(whole.decode())
                socket.settle(held)
        assert found == [message for message, _ in messages]
        assert budget.held == 0

    asyncio.run(feed())


async def test_what_an_account_s_web_sockets_hold_is_of_its_own_share(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = OctetBudget(1000, 300)
    seen: list[tuple[bool, bool, int]] = []

    class _Busy(_Connection):
        def switch(self, guest: Any, answer: bytes) -> None:
            guest.received(text(b"x" * 200, fin=False))
            seen.append((budget.of(7).has_taken(200), budget.of(8).has_taken(200), budget.held))
            budget.of(8).give_back(200)

    async def who_it_is(*_: object) -> SimpleNamespace:
        return SimpleNamespace(account_id=7)

    async def opened(*_: object) -> SimpleNamespace:
        return SimpleNamespace(wake=asyncio.Event(), over="shutdown", types=frozenset(), on_tick=None)

    monkeypatch.setattr("petitbleu_gateway.http.web_socket_door.identify", who_it_is)
    monkeypatch.setattr("petitbleu_gateway.http.web_socket_door.handshake", lambda *_: b"")
    hub = SimpleNamespace(close=lambda _: None)
    opening: Any = SimpleNamespace(open=opened, hub=hub)
    nothing: Any = None
    door = WebSocketDoor(nothing, opening, nothing, 1000, 16, 60.0, "https://one.test", budget)
    exchange: Any = SimpleNamespace(connection=_Busy(), origin=lambda url: url, status=0)
    await door.open(exchange)
    assert seen == [(False, True, 408)]  # the message's and its frame's octets, and those of the other account
    assert budget.held == 0
    assert budget.of(7).has_taken(300)  # all of it came back to the same share
