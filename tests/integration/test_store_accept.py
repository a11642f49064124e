"""Acceptance against a real PostgreSQL and S3: what is answered OK is there, once, byte for byte."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from tests.integration.arriving import TENANT, TRACE, accept, body_of, message, settle, text
from tests.integration.conftest import Opener

from petitbleu.events.v1 import events_pb2
from petitbleu_kit.bus import ensure_stream
from petitbleu_kit.ids import new_blob_id, partition_of_blob
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.acceptance import AcceptedStatus
from petitbleu_store.domain.outcome import Outcome, Settlement
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.housekeeping import Housekeeping
from petitbleu_store.service.parked import ParkedRecipients
from petitbleu_store.service.ring import COLD_SLOT


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_batch_is_durable_and_told_in_one_event(store: Store) -> None:
    batch = [message(text(3000 + number, number), to=(f"u{number}@demo.test", "zoe@demo.test")) for number in range(20)]
    ids = await accept(store, *batch)
    assert len({partition_of_blob(blob_id) for blob_id in ids}) == 1
    rows = await store.core.cold.fetch("/* cold:test */ SELECT partition, subject, payload FROM outbox")
    assert len(rows) == 1
    event = events_pb2.MessageAccepted.FromString(rows[0]["payload"])
    assert list(event.accepted_ids) == [blob_id.bytes for blob_id in ids]
    assert rows[0]["subject"] == f"mail.message.accepted.v1.{event.partition}"
    for blob_id, one in zip(ids, batch, strict=True):
        assert await body_of(store, blob_id) == TRACE + one.body
    found = {one.message.blob_id: one for one in await store.core.recipients.list_open(store.core.pool, ids)}
    assert set(found) == set(ids)
    for blob_id, one in zip(ids, batch, strict=True):
        assert found[blob_id].message.envelope == one.envelope
        assert found[blob_id].message.size == len(TRACE + one.body)
        assert sorted(recipient.recipient_no for recipient in found[blob_id].recipients) == [0, 1]


async def test_no_address_and_no_body_is_in_clear_in_the_database(store: Store) -> None:
    await accept(store, message(b"Subject: canary-subject\r\n\r\ncanary-body\r\n", to=("canary-rcpt@demo.test",)))
    for table in ("accepted", "recipient", "hot_00", "outbox", "accept_key"):
        dump = await store.core.cold.fetchval(f"/* cold:test */ SELECT string_agg(t::text, ' ') FROM {table} t")
        octets = await store.core.cold.fetch(f"/* cold:test */ SELECT * FROM {table}")
        seen = dump.encode() + b"".join(value for row in octets for value in row.values() if isinstance(value, bytes))
        assert b"canary" not in seen
        assert b"xample.org" not in seen


async def test_a_repeat_is_the_earlier_message(store: Store) -> None:
    first = message(text(2000))
    (blob_id,) = await accept(store, first)
    fresh = message(text(2000, 2))
    results = await store.acceptance.accept([fresh, first, first])
    assert [result.status for result in results] == [AcceptedStatus.OK, AcceptedStatus.REPEAT, AcceptedStatus.REPEAT]
    assert results[1].accepted_id == results[2].accepted_id == blob_id
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM accepted") == 2
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM hot_00") == 2


async def test_twice_in_one_batch_is_once(store: Store) -> None:
    one = message(text(500))
    results = await store.acceptance.accept([one, one])
    assert sorted(result.status.name for result in results) == ["OK", "REPEAT"]
    assert results[0].accepted_id == results[1].accepted_id


async def test_a_key_that_was_seen_is_forgotten(store: Store) -> None:
    one = message(text(500))
    (first,) = await accept(store, one)
    results = await store.acceptance.accept([one], [one.idempotency_key])
    assert results[0].status is AcceptedStatus.OK
    assert results[0].accepted_id != first
    assert (await store.acceptance.accept([], [one.idempotency_key])) == []
    assert (await store.acceptance.accept([one]))[0].status is AcceptedStatus.OK


async def test_the_same_key_at_the_same_time_is_accepted_once(store: Store) -> None:
    one = message(text(900))
    results = await asyncio.gather(
        *(store.acceptance.accept([message(text(100, number)), one]) for number in range(12))
    )
    statuses = [result[1].status for result in results]
    assert statuses.count(AcceptedStatus.OK) == 1
    assert statuses.count(AcceptedStatus.REPEAT) == 11
    assert len({result[1].accepted_id for result in results}) == 1
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM accepted") == 13


async def test_what_is_wrong_is_answered_by_item(store: Store) -> None:
    results = await store.acceptance.accept(
        [message(key=b"short"), message(to=()), message(), message(staged_id=new_blob_id(1, COLD_SLOT))]
    )
    assert [result.status.name for result in results] == ["INVALID", "INVALID", "OK", "STAGED_UNKNOWN"]
    with pytest.raises(StoreError) as refused:
        await store.acceptance.accept([message() for _ in range(257)])
    assert refused.value.problem is Problem.INVALID


@pytest.mark.parametrize("octets", [0, 1, 65_535, 65_536, 65_537, 131_072, 400_001])
async def test_lengths_around_a_frame_come_back(store: Store, octets: int) -> None:
    body = os.urandom(octets)
    (blob_id,) = await accept(store, message(body))
    assert await body_of(store, blob_id) == TRACE + body


async def test_a_large_body_goes_straight_to_s3_and_ranges_are_read_alone(store: Store) -> None:
    body = os.urandom(900_000) + text(3_000_000)
    (blob_id,) = await accept(store, message(body))
    whole = TRACE + body
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM hot_00") == 0
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM staged") == 0
    assert await body_of(store, blob_id) == whole
    for offset, length in ((0, 1), (65_530, 20), (1_000_000, 200_000), (len(whole) - 5, 100), (len(whole), 1)):
        assert await body_of(store, blob_id, offset, length) == whole[offset : offset + length]
    assert not [path for path in store.core.settings.spool().rglob("*") if path.is_file()]


async def test_an_accept_of_a_staged_body_that_is_made_again_is_a_repeat(store: Store) -> None:
    staged = await store.staging.stage(pieces(TRACE, os.urandom(400_000)))
    arriving = message(b"", staged_id=staged.blob_id)
    stranger = message(b"", staged_id=staged.blob_id)
    (first,) = await store.acceptance.accept([arriving])
    # the answer was lost, and whoever asked asks again, perhaps with others beside it
    results = await store.acceptance.accept([arriving, message(), stranger])
    assert [(result.status, result.accepted_id == staged.blob_id) for result in results] == [
        (AcceptedStatus.REPEAT, True), (AcceptedStatus.OK, False), (AcceptedStatus.STAGED_UNKNOWN, False),
    ]  # fmt: skip
    # once its 250 was seen it is no repeat any more, and its octets are not here a second time
    (late,) = await store.acceptance.accept([arriving], [arriving.idempotency_key])
    assert (late.status, late.accepted_id) == (AcceptedStatus.STAGED_UNKNOWN, None)
    assert first.accepted_id == staged.blob_id
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM accepted") == 2


async def test_a_staged_body_is_accepted_once(store: Store) -> None:
    body = text(1_000_000)
    staged = await store.staging.stage(pieces(TRACE, body[:300_000], body[300_000:]))
    assert staged.size == len(TRACE) + len(body)
    arriving = message(b"", staged_id=staged.blob_id)
    (result, plain) = await store.acceptance.accept([arriving, message()])
    assert result.accepted_id == staged.blob_id
    assert plain.status is AcceptedStatus.OK
    assert await body_of(store, staged.blob_id) == TRACE + body
    assert (await store.acceptance.accept([message(b"", staged_id=staged.blob_id)]))[
        0
    ].status is AcceptedStatus.STAGED_UNKNOWN
    # A repeat whose body was staged again: the second object is nobody's, and is swept.
    again = await store.staging.stage(pieces(TRACE, body))
    (repeat,) = await store.acceptance.accept([message(b"", key=arriving.idempotency_key, staged_id=again.blob_id)])
    assert (repeat.status, repeat.accepted_id) == (AcceptedStatus.REPEAT, staged.blob_id)
    names = await store.core.objects.names("blob/")
    assert await store.staging.sweep(0) == 1
    assert set(names) - set(await store.core.objects.names("blob/")) == {
        f"blob/{again.blob_id.hex[-3:]}/{again.blob_id.hex}"
    }


async def test_a_stage_that_fails_leaves_nothing(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield text(300_000)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.staging.stage(broken())
    assert not [path for path in store.core.settings.spool().rglob("*") if path.is_file()]
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM staged") == 0


async def test_bounds_are_answered_busy(open_store: Opener) -> None:
    async with open_store(max_open_recipients=3) as store:
        await accept(store, message(to=("a@demo.test", "b@demo.test", "c@demo.test")))
        with pytest.raises(StoreError) as refused:
            await accept(store, message())
        assert refused.value.problem is Problem.BUSY
    async with open_store(max_hot_octets=1) as store:
        with pytest.raises(StoreError) as refused:
            await accept(store, message())
        assert refused.value.problem is Problem.BUSY


async def test_settling_is_final_except_for_held(store: Store) -> None:
    ids = await accept(store, *(message(text(300, number), to=("a@demo.test", "b@demo.test")) for number in range(3)))
    recipients = store.core.recipients
    await recipients.settle(store.core.pool, [
        Settlement(ids[0], 0, Outcome.FILED, [11, 12]), Settlement(ids[0], 1, Outcome.HELD, [13]),
        Settlement(ids[1], 0, Outcome.DISCARDED, reason="rule"), Settlement(ids[2], 1, Outcome.OPEN, retry_after=60),
    ])  # fmt: skip
    await recipients.settle(
        store.core.pool, [Settlement(ids[0], 0, Outcome.DISCARDED), Settlement(ids[0], 1, Outcome.FILED, [13])]
    )
    rows = {
        (row["accepted_id"], row["recipient_no"]): row
        for row in await store.core.cold.fetch(
            "/* cold:test */ SELECT *, next_attempt_at > now() + interval '50 s' AS later FROM recipient"
        )
    }
    assert (rows[ids[0], 0]["outcome"], rows[ids[0], 0]["account_ids"]) == (2, [11, 12])
    assert (rows[ids[0], 1]["outcome"], rows[ids[0], 1]["account_ids"]) == (2, [13])
    assert (rows[ids[1], 0]["outcome"], rows[ids[1], 0]["reason"]) == (5, "rule")
    assert (rows[ids[2], 1]["outcome"], rows[ids[2], 1]["attempts"]) == (1, 1)
    assert rows[ids[2], 1]["later"]
    found = await recipients.list_open(store.core.pool, ids)
    assert {(one.message.blob_id, r.recipient_no) for one in found for r in one.recipients} == {
        (ids[1], 1), (ids[2], 0), (ids[2], 1),
    }  # fmt: skip
    assert rows[ids[0], 0]["tenant_id"] == TENANT


async def test_the_first_listing_asks_no_row_and_a_second_one_does(store: Store) -> None:
    ids = await accept(store, message(to=("a@demo.test", "b@demo.test")), message(), message())
    recipients = store.core.recipients
    await store.core.cold.execute("/* cold:test */ UPDATE recipient SET attempts = 7")
    await settle(store, ids[2], Outcome.DISCARDED)
    first = await recipients.list_open(store.core.pool, ids[:2])
    assert {(one.message.blob_id, r.recipient_no, r.attempts) for one in first for r in one.recipients} == {
        (ids[0], 0, 0), (ids[0], 1, 0), (ids[1], 0, 0),
    }  # fmt: skip
    again = await recipients.list_open(store.core.pool, ids)  # what was settled is in neither
    assert {(one.message.blob_id, r.recipient_no, r.attempts) for one in again for r in one.recipients} == {
        (ids[0], 0, 7), (ids[0], 1, 7), (ids[1], 0, 7),
    }  # fmt: skip


async def test_what_stays_open_is_published_again(store: Store) -> None:
    await ensure_stream(store.core.bus, "MAIL")
    housekeeping = Housekeeping(store.core, store.staging)
    ids = await accept(store, message(), message())
    assert await housekeeping.publish_again() == 0
    await store.core.recipients.settle(store.core.pool, [Settlement(ids[0], 0, Outcome.OPEN, retry_after=0.0)])
    assert await housekeeping.publish_again() == 1
    assert await housekeeping.publish_again() == 0


async def test_a_parked_message_outlives_its_intake_key(open_store: Opener) -> None:
    body = text(700)
    async with open_store() as store:
        kept, lost = await accept(store, message(body), message())
        await settle(store, kept, Outcome.PARKED, reason="no-account")
        await settle(store, lost, Outcome.DISCARDED)
        await store.core.cold.execute("/* cold:test */ UPDATE intake_key SET created_at = now() - interval '3 days'")
        assert await store.core.intake.destroy_spent() == 0  # no process can have heard of a later key
        await store.core.cold.execute(
            "/* cold:test */ UPDATE intake_key SET created_at = now() - interval '1 hour' WHERE key_id = 2"
        )
        assert await store.core.intake.destroy_spent() == 1
    async with open_store() as store:
        assert await body_of(store, kept) == TRACE + body
        assert await store.core.intake.load(store.core.cold, [lost]) == {}
        parked = ParkedRecipients(store.core)
        (page, token) = await parked.list_page("", 10)
        assert [(one.accepted_id, one.reason, token) for one in page] == [(kept, "no-account", "")]
        assert await parked.replay_all() == 1
        (found,) = await store.core.recipients.list_open(store.core.pool, [kept])
        assert found.message.envelope.recipients[0].address == "zoe@demo.test"
        await settle(store, kept, Outcome.FILED, 5)
        await store.core.intake.destroy_spent()
    async with open_store() as store:
        assert await store.core.intake.load(store.core.cold, [kept]) == {}


async def test_an_intake_key_is_kept_while_its_mail_is_open(store: Store) -> None:
    await accept(store, message())
    await store.core.cold.execute("/* cold:test */ UPDATE intake_key SET created_at = now() - interval '3 days'")
    assert await store.core.intake.destroy_spent() == 0


async def test_a_message_that_does_not_open_is_parked(open_store: Opener) -> None:
    async with open_store() as store:
        (broken, whole) = await accept(store, message(), message())
        await store.core.cold.execute(
            "/* cold:test */ UPDATE accepted SET envelope = set_byte(envelope, 3, get_byte(envelope, 3) # 1) WHERE accepted_id = $1",
            broken,
        )
    async with open_store() as store:
        found = await store.core.recipients.list_open(store.core.pool, [broken, whole])
        assert [one.message.blob_id for one in found] == [whole]
        page, _ = await ParkedRecipients(store.core).list_page("", 10)
        assert [(one.accepted_id, one.reason) for one in page] == [(broken, "unreadable")]
