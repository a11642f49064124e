"""Five hundred slow senders of 50 MB: the worker's memory stays bounded, and who waits too long hears 452."""

from __future__ import annotations

import asyncio
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conformance.smtp.servers import Ours, PeersThread

SENDERS = 500
STEP = 16 << 10
MIB = 1 << 20
LINE = b"x" * 1022 + b"\r\n"
# A worker may hold 64 MiB; on top come, for each of the sessions, an open stream to storage and gRPC's copy of what it sends.
ALLOWED_GROWTH = 64 * MIB + SENDERS * (MIB // 4)


def pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


def gauge(server: Ours, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.health_port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise AssertionError(name)


class Sender:
    """One slow sender; `sent` counts octets that the socket has taken."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.sent = 0

    @classmethod
    async def begin(cls, port: int, number: int) -> Sender:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=STEP)
        writer.transport.set_write_buffer_limits(STEP)
        sender = cls(reader, writer)
        writer.write(
            b"EHLO slow.example\r\nMAIL FROM:<slow%d@b.example> SIZE=50000000\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n"
            % number
        )
        while not (await reader.readline()).startswith(b"354 "):
            pass
        return sender

    async def dribble(self, octets: int, seconds: float) -> None:
        """Send so many octets in steps; a server that stops reading holds it up, at most so many seconds in all."""
        try:
            async with asyncio.timeout(seconds):
                while self.sent < octets:
                    self.writer.write(LINE * (STEP // len(LINE)))
                    await self.writer.drain()
                    self.sent += STEP
                    await asyncio.sleep(0)
        except TimeoutError:
            pass

    async def end(self) -> int:
        self.writer.write(b"end\r\n.\r\n")
        line = await self.reader.readline()
        return int(line[:3] or b"0")

    def close(self) -> None:
        self.writer.transport.abort()


async def _senders(port: int, count: int = SENDERS) -> list[Sender]:
    found: list[Sender] = []
    for at in range(0, count, 20):
        found += await asyncio.gather(*(Sender.begin(port, at + number) for number in range(20)))
    return found


@pytest.fixture
def thrifty_store(quiet_store: PeersThread) -> PeersThread:
    quiet_store.peers.store.keep = False
    return quiet_store


async def test_500_slow_senders_are_bounded(ours_with: Callable[..., Ours], thrifty_store: PeersThread) -> None:
    """Everything flows: each sender's octets go on to storage, and the worker holds little."""
    server = ours_with(smtp_connections="600")
    before = pss(server.pid)
    each = int(os.environ.get("PETITBLEU_SLOW_OCTETS", str(MIB)))
    senders = await _senders(server.port)
    work = asyncio.gather(*(sender.dribble(each, 600) for sender in senders))
    peak = 0
    while not work.done():
        peak = max(peak, pss(server.pid))
        await asyncio.sleep(0.2)
    codes = await asyncio.gather(*(sender.end() for sender in senders))
    held = gauge(server, "petitbleu_ingest_memory_peak_octets")
    for sender in senders:
        sender.close()
    thrifty_store.peers.store.keep = True
    print(f"500 senders of {each} octets: held {held / MIB:.1f} MiB at most, PSS grew {(peak - before) / MIB:.1f} MiB")
    assert held <= 64 * MIB + STEP * 4
    assert peak - before <= ALLOWED_GROWTH
    assert codes.count(250) == SENDERS


async def test_senders_against_a_store_that_takes_nothing(
    ours_with: Callable[..., Ours], thrifty_store: PeersThread
) -> None:
    """Storage stalls: reading stops at the bound (8 MiB here), the largest are told 452 4.3.1 in the end, the others get their 250."""
    store = thrifty_store.peers.store

    async def close_gate() -> None:
        store.stage_gate = asyncio.Event()

    async def open_gate() -> None:
        if store.stage_gate is not None:
            store.stage_gate.set()

    thrifty_store.call(close_gate())
    server = ours_with(ingest_memory=str(8 * MIB), ingest_memory_wait="2", smtp_connections="600")
    senders = await _senders(server.port, 60)
    # what the kernel and gRPC's windows hold on the way does not count, so there must be more than that
    work = asyncio.gather(*(sender.dribble(24 * MIB, 45) for sender in senders))
    deadline = asyncio.get_running_loop().time() + 40
    while gauge(server, "petitbleu_ingest_memory_given_up_total") == 0:
        assert asyncio.get_running_loop().time() < deadline, "nobody was told that there is no room"
        await asyncio.sleep(0.3)
    held = gauge(server, "petitbleu_ingest_memory_peak_octets")
    thrifty_store.call(open_gate())
    await work
    codes = await asyncio.gather(*(sender.end() for sender in senders))
    for sender in senders:
        sender.close()
    store.keep = True
    print(f"stalled: held {held / MIB:.1f} MiB at most, {codes.count(452)} of {len(codes)} told 452")
    assert held <= 8 * MIB + STEP * 4
    assert set(codes) == {250, 452}
    assert gauge(server, "petitbleu_ingest_memory_octets") == 0
