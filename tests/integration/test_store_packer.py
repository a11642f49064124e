"""The packer against a real PostgreSQL and S3: nothing is lost, whoever writes and whenever it dies."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import asyncpg
import pytest
from tests.integration.arriving import TRACE, accept, body_of, findings, message, settle, text
from tests.integration.conftest import Opener

from petitbleu_kit.ids import BlobId
from petitbleu_store.adapters.postgres import LOCK_PACKER
from petitbleu_store.adapters.s3 import ObjectsAwayError
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.outcome import Outcome
from petitbleu_store.service.packer import BusyElsewhereError
from petitbleu_store.service.segments import Segments


class KilledError(BaseException):
    """Stands for kill -9 at one point: nothing of the process's own code runs after it."""


async def all_there(store: Store, sent: dict[BlobId, bytes]) -> None:
    for blob_id, body in sent.items():
        assert await body_of(store, blob_id) == TRACE + body


async def hot_rows(store: Store) -> int:
    counts = [
        await store.core.cold.fetchval(f"/* cold:test */ SELECT count(*) FROM hot_{slot:02d}") for slot in range(8)
    ]
    return sum(counts)


async def fill(store: Store, count: int, seed: int = 0) -> dict[BlobId, bytes]:
    bodies = [text(1000 + 37 * number, seed * 1000 + number) for number in range(count)]
    return dict(zip(await accept(store, *(message(body) for body in bodies)), bodies, strict=True))


async def test_hot_bodies_move_to_segments_and_the_table_is_empty(open_store: Opener) -> None:
    async with open_store(segment_octets=64 << 10) as store:
        sent = await fill(store, 100)
        first = next(iter(sent))
        await settle(store, first, Outcome.FILED, 4711)
        packed = await store.packer.pack_now()
        assert packed.bodies == 100
        assert packed.segments > 1
        assert await hot_rows(store) == 0
        await all_there(store, sent)
        row = await store.core.cold.fetchrow(
            "/* cold:test */ SELECT account_ids FROM blob_place WHERE blob_id = $1", first
        )
        assert row is not None and row["account_ids"] == [4711]
        assert store.core.ring.slot == 1
        states = await store.core.cold.fetch("/* cold:test */ SELECT state, count(*) FROM ring GROUP BY state")
        assert dict(map(tuple, states)) == {"written": 1, "free": 7}
        assert (await store.packer.pack_now()).bodies == 0
        assert await findings(store) == []


async def test_the_written_table_is_sealed_by_size_and_by_age(open_store: Opener) -> None:
    async with open_store(seal_octets=200 << 10) as store:
        await fill(store, 20)
        assert (await store.packer.tick()).bodies == 0
        await fill(store, 200, 1)
        assert (await store.packer.tick()).bodies == 220
    async with open_store(seal_seconds=0.0) as store:
        assert (await store.packer.tick()).bodies == 0
        await fill(store, 60, 2)
        assert (await store.packer.tick()).bodies == 60


async def test_writers_never_wait_long_and_nothing_is_lost_while_packing(open_store: Opener) -> None:
    async with open_store(seal_octets=32 << 10, segment_octets=48 << 10) as store, open_store() as stale:
        sent: dict[BlobId, bytes] = {}
        done = asyncio.Event()

        async def write(through: Store, seed: int) -> None:
            chooser = random.Random(seed)
            for turn in range(40):
                # `stale` never hears of a switch: it writes in whatever table was written when it started.
                bodies = [
                    text(chooser.randrange(100, 6000), seed * 10_000 + turn * 10 + n)
                    for n in range(chooser.randrange(1, 6))
                ]
                ids = await accept(through, *(message(body) for body in bodies))
                sent.update(zip(ids, bodies, strict=True))
                await asyncio.sleep(0)

        async def read() -> None:
            chooser = random.Random(9)
            while not done.is_set():
                if sent:
                    blob_id = chooser.choice(list(sent))
                    assert await body_of(store, blob_id) == TRACE + sent[blob_id]
                await asyncio.sleep(0)

        async def pack() -> None:
            while not done.is_set():
                await store.packer.tick()

        tasks = [asyncio.create_task(read()), asyncio.create_task(pack())]
        await asyncio.gather(write(store, 1), write(store, 2), write(stale, 3))
        done.set()
        await asyncio.gather(*tasks)
        await all_there(store, sent)
        packed = await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM blob_place")
        assert packed > 0
        assert packed + await hot_rows(store) == len(sent)
        for _ in range(8):
            await store.packer.pack_now()
        await all_there(store, sent)
        assert await findings(store) == []


@pytest.mark.parametrize("point", ["announced", "put", "placed", "before-empty", "in-empty"])
async def test_killed_at_any_point_and_started_again(
    open_store: Opener, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    async with open_store(segment_octets=24 << 10) as store:
        sent = await fill(store, 60)
        with monkeypatch.context() as patch:
            calls = 0

            async def killed(*_: Any, **__: Any) -> Any:
                raise KilledError

            async def after_second(original: Any, *args: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == 2:
                    raise KilledError
                return await original(*args)

            if point == "announced":
                put = store.core.objects.put
                patch.setattr(store.core.objects, "put", lambda *args: after_second(put, *args))
            elif point == "put":
                same = store.core.objects.same
                patch.setattr(store.core.objects, "same", lambda *args: after_second(same, *args))
            elif point == "placed":
                write = Segments.write

                async def written(self: Segments, draft: Any) -> Any:
                    await write(self, draft)
                    raise KilledError

                patch.setattr(Segments, "write", written)
            elif point == "before-empty":
                patch.setattr(store.packer, "_empty", killed)
            else:
                execute = "petitbleu_store.service.packer._LOCK_TIMEOUT"
                patch.setattr(execute, "200ms'; SELECT 1/0; --")
            with pytest.raises((KilledError, Exception)):
                await store.packer.pack_now()
        await all_there(store, sent)
    async with open_store(segment_octets=24 << 10) as again:
        more = await fill(again, 5, 7)
        await again.packer.pack_now()
        await again.packer.pack_now()
        await all_there(again, sent | more)
        assert await hot_rows(again) == 0
        assert await again.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM blob_place") == 65
        assert await again.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM segment WHERE state <> 'live'") == 0
        assert await findings(again) == []


async def test_s3_away_leaves_bodies_hot(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await fill(store, 30)

    async def away(*_: Any) -> None:
        raise ObjectsAwayError("away")

    with monkeypatch.context() as patch:
        patch.setattr(store.core.objects, "put", away)
        with pytest.raises(ObjectsAwayError):
            await store.packer.pack_now()
        more = await fill(store, 5, 3)
        with pytest.raises(ObjectsAwayError):
            await store.packer.tick()
        await all_there(store, sent | more)
    await store.packer.pack_now()
    await all_there(store, sent | more)
    assert await hot_rows(store) == 0
    assert await findings(store) == []


async def test_a_segment_read_back_wrong_is_not_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await fill(store, 10)
    put = store.core.objects.put

    async def flipped(name: str, body: bytearray) -> None:
        damaged = bytearray(body)
        damaged[100] ^= 1
        await put(name, damaged)

    with monkeypatch.context() as patch:
        patch.setattr(store.core.objects, "put", flipped)
        with pytest.raises(Exception, match=r"[0-9a-f-]{36}"):
            await store.packer.pack_now()
    assert await hot_rows(store) == 10
    await store.packer.pack_now()
    await all_there(store, sent)
    assert await findings(store) == []


async def test_one_packer_at_a_time(open_store: Opener) -> None:
    async with open_store() as one, open_store() as other:
        await fill(one, 3)
        async with one.packer.lease():
            with pytest.raises(BusyElsewhereError):
                await other.packer.pack_now()
            assert (await other.packer.tick()).bodies == 0
        assert (await other.packer.pack_now()).bodies == 3


async def test_when_no_slot_is_free_writing_goes_on(store: Store) -> None:
    await store.core.cold.execute("/* cold:test */ UPDATE ring SET state = 'sealed' WHERE slot <> 0")
    sent = await fill(store, 4)
    assert await store.core.ring.seal() is None
    sent |= await fill(store, 4, 1)
    await all_there(store, sent)
    # The sealed tables are empty: a round frees them.
    await store.packer.pack_now()
    await store.packer.pack_now()
    await all_there(store, sent)
    assert await hot_rows(store) == 0


async def test_only_a_sealed_table_is_emptied(store: Store) -> None:
    (blob_id,) = await accept(store, message())
    assert not await store.packer._empty(store.core.ring.slot, 1)
    assert blob_id in (await store.core.bodies.locate(store.core.cold, [blob_id], recent=False))[0]


async def test_a_lease_whose_release_fails_is_not_kept_by_the_pool(store: Store) -> None:
    lock = "/* cold:test */ SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = $1"
    async with store.packer.lease():
        holder = await store.core.cold.fetchval(lock, LOCK_PACKER)
        # The release comes when the server takes nothing but errors for it.
        pool: Any = store.core.cold
        held = [one._con for one in pool._holders if one._con is not None]
        (connection,) = [one for one in held if one.get_server_pid() == holder]
        await connection.execute("BEGIN")
        with contextlib.suppress(asyncpg.PostgresError):
            await connection.execute("/* cold:test */ SELECT 1 / 0")
    async with asyncio.timeout(5):
        while await store.core.cold.fetchval(lock, LOCK_PACKER) is not None:
            await asyncio.sleep(0.05)
