"""Octets in flight: bounded a session and a worker, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

from services.ingest.tests import ingest_fakes as fakes

from petitbleu_ingest.adapters.store import GrpcUpload
from petitbleu_ingest.service.memory import ByteBudget

BEGIN = b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n"
MIB = 1 << 20
LINE = b"x" * 1022 + b"\r\n"


class Holder:
    def __init__(self) -> None:
        self.held = 0
        self.reading = True
        self.budget: ByteBudget | None = None

    def hold_reading(self) -> None:
        self.reading = False

    def release_reading(self) -> None:
        self.reading = True

    def give_up_message(self) -> None:
        if self.budget is not None:
            self.budget.charge(self, 0, 0)


def test_all_stop_when_the_budget_is_spent_and_go_on_below_three_quarters() -> None:
    budget = ByteBudget(100, 5)
    holders = [Holder() for _ in range(4)]
    for holder in holders:
        budget.join(holder, 0)
        budget.charge(holder, 25, 0)
    assert budget.exhausted
    assert not any(holder.reading for holder in holders)
    budget.charge(holders[0], 10, 1)
    assert not holders[1].reading, "85 of 100 is not room enough"
    budget.charge(holders[0], 0, 1)
    assert all(holder.reading for holder in holders)
    assert (budget.used, budget.peak) == (75, 100)


def test_largest_gives_up_first_when_the_wait_is_too_long() -> None:
    budget = ByteBudget(100, 5)
    holders = [Holder() for _ in range(3)]
    for holder, size in zip(holders, (10, 60, 30), strict=True):
        holder.budget = budget
        budget.join(holder, 0)
        budget.charge(holder, size, 0)
    assert budget.relieve(4) == 0
    assert budget.relieve(6) == 1
    assert [holder.held for holder in holders] == [10, 0, 30]
    assert not budget.exhausted


async def test_upload_that_leaves_slowly_stops_reading_below_one_mebibyte() -> None:
    bench = fakes.Bench()
    bench.store.hold = True
    talk = bench.session()
    await talk.say(BEGIN)
    sent = 0
    while talk.transport.reads() and sent < 5 * MIB:
        await talk.say(LINE * 64)
        sent += 64 * 1024
    assert sent < MIB
    assert talk.smtp.held <= MIB
    assert bench.door.budget.used == talk.smtp.held
    bench.store.uploads[0].release()
    assert talk.transport.reads()
    await talk.say(b".\r\n")
    await asyncio.sleep(0.01)
    assert talk.codes()[-1] == 250
    assert bench.store.messages[0].staged_id
    assert len(bench.store.uploads[0].body) == sent
    assert bench.door.budget.used == 0


async def test_under_pressure_messages_leave_earlier() -> None:
    bench = fakes.Bench(ingest_memory=MIB)
    talks = [bench.session() for _ in range(6)]
    for talk in talks:
        await talk.say(BEGIN)
        await talk.say(LINE * 160)
    assert bench.door.budget.used <= MIB
    assert len(bench.store.uploads) >= 1, "160 KiB is staged once half the memory is in use"


async def test_memory_that_never_comes_is_452() -> None:
    bench = fakes.Bench(ingest_memory=MIB, ingest_memory_wait=1)
    bench.store.hold = True
    talks = [bench.session() for _ in range(8)]
    for talk in talks:
        await talk.say(BEGIN)
        while talk.transport.reads() and not bench.door.budget.exhausted:
            await talk.say(LINE * 64)
    assert bench.door.budget.exhausted
    assert bench.door.budget.peak <= MIB + 65 * 1024, "one read above the bound at most"
    late = bench.session()
    await late.say(BEGIN)
    assert late.replies()[-3:-2] == ["452 4.3.1"], "no new message while memory is spent"
    bench.door.budget.relieve(bench.door.loop.time() + 2)
    assert bench.door.budget.used < MIB
    told = 0
    for talk in talks:
        bench.store.hold = False
        for upload in bench.store.uploads:
            if upload.pending:
                upload.release()
        await talk.say(b"end\r\n.\r\n")
        await asyncio.sleep(0.01)
        told += talk.replies()[-1] == "452 4.3.1"
    assert told >= 1
    assert bench.door.budget.used == 0


async def test_refused_message_holds_nothing() -> None:
    bench = fakes.Bench(smtp_message_size=MIB)
    talk = bench.session()
    await talk.say(BEGIN)
    for _ in range(40):
        await talk.say(LINE * 64)
        assert bench.door.budget.used <= MIB
    assert bench.store.uploads[0].aborted
    assert bench.door.budget.used == 0
    await talk.say(b".\r\n")
    assert talk.replies()[-1] == "552 5.3.4"


def _growth(work: Callable[[], object]) -> int:
    """Return how many octets are held after `work` that were not before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = work()
        grown = tracemalloc.get_traced_memory()[0] - before
        assert kept is not None
        return grown
    finally:
        tracemalloc.stop()


async def test_a_message_in_tiny_chunks_holds_what_it_is_charged_for() -> None:
    bench = fakes.Bench()
    talk = bench.session()
    await talk.say(BEGIN.removesuffix(b"DATA\r\n"))

    def chunks() -> object:
        for _ in range(200):
            talk.smtp.data_received(b"BDAT 2\r\nxy" * 100)
            talk.transport.writes.clear()
        return talk

    grown = _growth(chunks)
    assert talk.smtp.held == 40_000
    assert grown < 3 * 40_000, "an object for each chunk would be twenty times its octets"
    await talk.say(b"BDAT 3 LAST\r\nend")
    assert bench.store.messages[0].body == b"xy" * 20_000 + b"end"


class _ClosedWindow:
    """A call whose peer takes nothing yet."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.open = asyncio.Event()

    async def write(self, request: Any) -> None:
        await self.open.wait()
        self.written.append(request)

    async def done_writing(self) -> None:
        await self.open.wait()

    def add_done_callback(self, _callback: Callable[[Any], None]) -> None:
        pass

    def cancel(self) -> None:
        pass

    def __await__(self) -> Any:
        return asyncio.sleep(0, _Staged()).__await__()


class _Staged:
    staged_id = b"s" * 16


async def test_an_upload_that_waits_holds_tiny_pieces_as_one() -> None:
    call = _ClosedWindow()
    upload = GrpcUpload(call, b"", lambda: None)
    await asyncio.sleep(0)

    def put() -> object:
        for number in range(100_000):
            upload.put(b"%02d" % (number % 100))
        return upload

    assert _growth(put) < 2 * 200_000
    assert upload.pending == 200_000
    call.open.set()
    assert await upload.finish() == b"s" * 16
    assert b"".join(one.data for one in call.written) == b"".join(b"%02d" % (n % 100) for n in range(100_000))
    assert call.written[-1].end.octets == 200_000
