"""Ports that answer from memory, and a connection without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu_ingest.bootstrap import make_door
from petitbleu_ingest.config import IngestSettings
from petitbleu_ingest.domain.message import Incoming
from petitbleu_ingest.ports import Accepted, FullList, Place, StoreAwayError, StoreFullError
from petitbleu_ingest.smtp.door import Door
from petitbleu_ingest.smtp.exchanger import MailExchanger
from petitbleu_ingest.smtp.message_log import MessageLog


class FakeDirectory:
    """Everything below demo.test that begins with a letter of a to m exists."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate: asyncio.Event | None = None
        self.broken = False

    async def resolve(self, addresses: Sequence[str]) -> list[Place]:
        self.calls.append(list(addresses))
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise OSError
        return [self._one(address) for address in addresses]

    def _one(self, address: str) -> Place:
        local, _, domain = address.rpartition("@")
        if domain != "demo.test":
            return Place(accounts_pb2.ADDRESS_STATUS_REMOTE, (), 0, 0)
        if local[:1] in "abcdefghijklm":
            return Place(accounts_pb2.ADDRESS_STATUS_LOCAL, (ord(local[0]),), 7, 3)
        if local[:1] == "z":
            return Place(accounts_pb2.ADDRESS_STATUS_DISABLED, (), 7, 3)
        return Place(accounts_pb2.ADDRESS_STATUS_UNKNOWN, (), 7, 3)


class FakeUpload:
    """Takes octets when told to; all at once without a gate."""

    def __init__(self, store: FakeStore, trace: bytes, progress: Callable[[], None]) -> None:
        self.pending = 0
        self.trace = trace
        self.body = b""
        self.aborted = False
        self._store = store
        self._progress = progress

    def put(self, piece: bytes) -> None:
        self.body += piece
        if self._store.hold:
            self.pending += len(piece)

    def release(self) -> None:
        self.pending = 0
        self._progress()

    def finish(self) -> Awaitable[bytes]:
        async def done() -> bytes:
            if self._store.error is not None:
                raise self._store.error
            return b"s" * 16

        return done()

    def abort(self) -> None:
        self.aborted = True
        self.pending = 0


class FakeStore:
    """Accepts what it is given."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self.seen: list[bytes] = []
        self.calls: list[int] = []
        self.full: frozenset[int] = frozenset()
        self.asked: list[frozenset[int]] = []
        self.listed: FullList | None = None
        self.list_gate: asyncio.Event | None = None
        self.error: StoreAwayError | StoreFullError | None = None
        self.gate: asyncio.Event | None = None
        self.hold = False
        self.uploads: list[FakeUpload] = []

    async def accept(self, messages: Sequence[Incoming], seen: Sequence[bytes]) -> list[Accepted]:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.calls.append(len(messages))
        self.seen += seen
        first = len(self.messages)
        self.messages += messages
        return [Accepted((first + number + 1).to_bytes(16, "big")) for number in range(len(messages))]

    def stage(self, trace: bytes, progress: Callable[[], None]) -> FakeUpload:
        self.uploads.append(FakeUpload(self, trace, progress))
        return self.uploads[-1]

    async def over_quota(self, account_ids: Sequence[int]) -> frozenset[int]:
        self.asked.append(frozenset(account_ids))
        return self.full & frozenset(account_ids)

    async def full_accounts(self) -> FullList:
        if self.list_gate is not None:
            await self.list_gate.wait()
        if self.listed is None:
            raise StoreAwayError
        return self.listed


class FakeTransport:
    """Remembers what was written."""

    def __init__(self, address: str = "192.0.2.9") -> None:
        self.writes: list[bytes] = []
        self.closed = False
        self.aborted = False
        self._reading = True
        self._address = address

    def get_extra_info(self, name: str) -> Any:
        return (self._address, 4000) if name == "peername" else None

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(data)

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def reads(self) -> bool:
        return self._reading

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True
        self.aborted = True

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True


class Bench:
    """A door with fake ports; make it inside a running loop."""

    def __init__(self, **settings: Any) -> None:
        self.directory = FakeDirectory()
        self.store = FakeStore()
        base = {"smtp_hostname": "mx.test", "smtp_exempt": "192.0.2.0/24"}
        chosen = IngestSettings(**{**base, **settings})
        log = MessageLog(cast("Any", None), enabled=False)
        self.door: Door = make_door(chosen, cast("Any", self.directory), cast("Any", self.store), b"k" * 32, log)

    def session(self, address: str = "192.0.2.9") -> Talk:
        return Talk(self.door, address)


class Talk:
    """One session and its transport."""

    def __init__(self, door: Door, address: str) -> None:
        self.transport = FakeTransport(address)
        self.smtp = MailExchanger(door)
        self.smtp.connection_made(cast("Any", self.transport))

    async def say(self, data: bytes) -> None:
        """Send octets, in as many turns as the session's reading allows, and wait until it waits for more."""
        self.smtp.data_received(data)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(200):
            if not self.smtp.waiting:
                return
            await asyncio.sleep(0)

    def replies(self) -> list[str]:
        """Last lines of the replies, codes and status only."""
        lines = self.transport.written.decode().splitlines()
        return [" ".join(line.split(" ")[:2]) for line in lines if line[3:4] == " "]

    def codes(self) -> list[int]:
        return [int(line[:3]) for line in self.transport.written.decode().splitlines() if line[3:4] == " "]
