"""Where mail comes from is in its row, and queued mail stays readable for as long as it is queued: by its sender's key."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.arriving import TRACE, accept, body_of, findings, settle, text
from tests.integration.conftest import Opener
from tests.integration.mailing import file, item, new_account, parts_of, served

from petitbleu.events.v1 import events_pb2
from petitbleu.store.v1 import accept_pb2, filing_pb2
from petitbleu_kit.ids import BlobId, new_blob_id
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.acceptance import Arriving
from petitbleu_store.domain.outcome import Outcome, Settlement
from petitbleu_store.errors import StoreError
from petitbleu_store.grpc_api.accept import arriving
from petitbleu_store.service import queued
from petitbleu_store.service.accepted_reading import MAX_MESSAGES, AcceptedReading, Begin, End
from petitbleu_store.service.housekeeping import Housekeeping
from petitbleu_store.service.ring import HOT_SLOTS
from petitbleu_store.service.trace import Trace

REMOTE = ("ann@far.test", "bea@far.test")


def letter(body: bytes = b"Subject: x\r\n\r\nhello\r\n", *, to: Sequence[str] = REMOTE, **more: Any) -> Arriving:
    """A message as it comes over gRPC."""
    return arriving(
        accept_pb2.AcceptItem(
            idempotency_key=os.urandom(32), mail_from="me@demo.test", header_from="me@demo.test", body=body, trace=TRACE,
            recipients=[accept_pb2.AcceptRecipient(address=one, tenant_id=7) for one in to], **more,
        )
    )  # fmt: skip


def submitted(account_id: int, body: bytes = b"Subject: x\r\n\r\nhello\r\n", **more: Any) -> Arriving:
    return letter(
        body, origin=accept_pb2.ORIGIN_SUBMITTED, submitter_account_id=account_id, submitter_tenant_id=7, **more
    )


async def record(store: Store, blob_id: BlobId, outcome: Outcome, *numbers: int, reason: str = "") -> None:
    await store.core.recipients.record(
        store.core.pool, [Settlement(blob_id, number, outcome, (), reason) for number in numbers]
    )


async def outcomes(store: Store, blob_id: BlobId) -> list[int]:
    rows = await store.core.cold.fetch(
        "/* cold:test */ SELECT outcome FROM recipient WHERE accepted_id = $1 ORDER BY recipient_no", blob_id
    )
    return [row["outcome"] for row in rows]


async def read(store: Store, *ids: BlobId, max_octets: int = 0) -> list[tuple[Begin, bytes, End | None]]:
    found: list[tuple[Begin, bytes, End | None]] = []
    async for part in AcceptedReading(store.core).read(ids, max_octets):
        if isinstance(part, Begin):
            found.append((part, b"", None))
        elif isinstance(part, End):
            found[-1] = (*found[-1][:2], part)
        else:
            assert len(part) <= 256 << 10
            found[-1] = (found[-1][0], found[-1][1] + part, None)
    return found


async def destroy_intake_keys(store: Store) -> int:
    """Let the days of all intake keys be over and see which are destroyed; a later day's is in use."""
    await store.core.cold.execute("/* cold:test */ UPDATE intake_key SET created_at = created_at - interval '3 days'")
    store.core.intake._current = None
    await store.core.intake.current()
    await store.core.cold.execute(
        "/* cold:test */ UPDATE intake_key SET created_at = created_at - interval '30 minutes' "
        "WHERE key_id = (SELECT max(key_id) FROM intake_key)"
    )
    return await store.core.intake.destroy_spent()


async def test_origin_submitter_and_verdicts_are_columns(store: Store) -> None:
    judged = accept_pb2.AuthenticationVerdicts(
        from_authenticated=True, spf=accept_pb2.VERDICT_PASS, dkim=accept_pb2.VERDICT_FAIL, dmarc=accept_pb2.VERDICT_POLICY,
        arc=accept_pb2.VERDICT_NONE, treatment=accept_pb2.TREATMENT_JUNK, spam_score=-1234,
    )  # fmt: skip
    highest = accept_pb2.AuthenticationVerdicts(envelope_authenticated=True, spam_score=2**31 - 1)
    rule: dict[str, Any] = {
        "origin": accept_pb2.ORIGIN_RULE,
        "submitter_account_id": 12,
        "submitter_tenant_id": 7,
        "verdicts": judged,
    }
    both = await accept(
        store, letter(**rule), letter(verdicts=highest, submitter_account_id=1 << 60, origin=2), letter()
    )
    (alone,) = await accept(store, letter(**rule))
    (held,) = await accept(store, letter(**rule, hold_until_ms=4_000_000_000_000))
    ruled = (4, 2, 3, 8, 1, 1, -1234, True, False, 12, 7)
    wanted = {
        both[0]: (*ruled, None), both[1]: (2, 0, 0, 0, 0, 0, 2**31 - 1, False, True, 1 << 60, None, None),
        both[2]: (1, 0, 0, 0, 0, 0, 0, False, False, None, None, None), alone: (*ruled, None),
        held: (*ruled, datetime.fromtimestamp(4_000_000_000, UTC)),
    }  # fmt: skip
    rows = await store.core.cold.fetch(
        "/* cold:test */ SELECT accepted_id, origin, spf, dkim, dmarc, arc, treatment, spam_score, from_authenticated, "
        "envelope_authenticated, submitter_account_id, submitter_tenant_id, hold_until FROM accepted"
    )
    assert {row["accepted_id"]: tuple(row.values())[1:] for row in rows} == wanted


async def test_an_origin_of_a_later_version_is_a_strangers(store: Store) -> None:
    (blob_id,) = await accept(store, letter(origin=99))
    assert await store.core.cold.fetchval("/* cold:test */ SELECT origin FROM accepted") == 1
    assert blob_id


async def test_held_mail_is_told_at_its_time_and_not_later(store: Store) -> None:
    soon = int(time.time() * 1000) + 30_000
    ids = await accept(store, *[letter(hold_until_ms=ms) for ms in (soon, 1, -1, 1 << 62)], letter())
    rows = await store.core.cold.fetch(
        "/* cold:test */ SELECT accepted_id, extract(epoch FROM next_attempt_at)::float8 AS at FROM recipient"
    )
    at = {row["accepted_id"]: row["at"] for row in rows}
    assert abs(at[ids[0]] - soon / 1000) < 0.01
    assert at[ids[1]] == at[ids[2]] == at[ids[4]]
    assert at[ids[3]] > 253_000_000_000
    (event,) = await store.core.cold.fetch("/* cold:test */ SELECT payload FROM outbox")
    told = set(events_pb2.MessageAccepted.FromString(event["payload"]).accepted_ids)
    assert told == {ids[number].bytes for number in (1, 2, 4)}


@pytest.mark.parametrize("at_once", [True, False])
async def test_queued_then_sent_or_failed_and_nothing_else(store: Store, *, at_once: bool) -> None:
    store.core.recipients._at_once = at_once  # as one statement, or as on an engine that does not take it
    account_id = await new_account(store)
    (blob_id,) = await accept(store, submitted(account_id))
    await record(store, blob_id, Outcome.QUEUED, 0, 1)
    assert await outcomes(store, blob_id) == [4, 4]
    for outcome in (Outcome.OPEN, Outcome.FILED, Outcome.HELD, Outcome.DISCARDED, Outcome.PARKED, Outcome.QUEUED):
        await record(store, blob_id, outcome, 0, 1)
        assert await outcomes(store, blob_id) == [4, 4], outcome
    queued_at = await store.core.cold.fetchval("/* cold:test */ SELECT max(settled_at) FROM recipient")
    await record(store, blob_id, Outcome.SENT, 0)
    await record(store, blob_id, Outcome.FAILED, 1, reason="5.1.1")
    for outcome in Outcome:
        await record(store, blob_id, outcome, 0, 1)
    assert await outcomes(store, blob_id) == [7, 8]
    rows = await store.core.cold.fetch(
        "/* cold:test */ SELECT settled_at > $1 AS later, reason FROM recipient ORDER BY recipient_no", queued_at
    )
    assert [tuple(row) for row in rows] == [(True, None), (True, "5.1.1")]
    # and from what else is settled there is no way to sent
    (other,) = await accept(store, submitted(account_id))
    await record(store, other, Outcome.DISCARDED, 0)
    await settle(store, other, Outcome.PARKED, number=1)
    await record(store, other, Outcome.SENT, 0, 1)
    assert await outcomes(store, other) == [5, 6]
    stories = await Trace(store.core).look(
        caller="operator", sender="", recipient="ann@far.test", since=datetime.now(UTC) - timedelta(days=1), limit=10
    )
    assert {(story.accepted_id, story.outcome) for story in stories} == {(blob_id, 7), (other, 5)}


async def test_what_was_sent_before_it_was_said_to_be_queued_is_sent(store: Store) -> None:
    account_id = await new_account(store)
    (blob_id,) = await accept(store, submitted(account_id))
    await record(store, blob_id, Outcome.SENT, 0)
    await record(store, blob_id, Outcome.QUEUED, 0, 1)
    assert await outcomes(store, blob_id) == [7, 4]


async def test_queued_mail_is_read_after_its_intake_key_is_destroyed(store: Store, open_store: Opener) -> None:
    account_id = await new_account(store)
    large = text(900_000)
    mine, notice, gone = await accept(
        store, submitted(account_id), letter(origin=accept_pb2.ORIGIN_NOTICE), submitted(account_id)
    )
    (big,) = await accept(store, submitted(account_id, large))
    for blob_id in (mine, notice, big):
        await record(store, blob_id, Outcome.QUEUED, 0, 1)
    await record(store, gone, Outcome.SENT, 0, 1)
    assert await destroy_intake_keys(store) == 1
    async with open_store() as other:
        first, second, third, fourth = await read(other, mine, gone, big, notice)
        assert first[0].message is not None
        assert first[0].message.envelope.recipients[1].address == "bea@far.test"
        assert first[0].message.envelope.submitter_account_id == account_id
        assert (first[1], first[2]) == (TRACE + b"Subject: x\r\n\r\nhello\r\n", End(len(TRACE) + 21, whole=True))
        assert second == (Begin(gone, None), b"", None)
        assert third[1] == TRACE + large
        assert fourth[1] == first[1]
        assert await findings(other) == []
    # once nobody is queued any more, and the time for reports is over, nobody reads it again
    await record(store, notice, Outcome.FAILED, 0, 1)
    await record(store, mine, Outcome.SENT, 0)
    assert await queued.destroy_spent(store.core.cold, 24) == 0
    assert await queued.destroy_spent(store.core.cold, 0) == 1
    assert await store.core.cold.fetchval("/* cold:test */ SELECT array_agg(blob_id) FROM blob_release") == [notice]
    await Housekeeping(store.core, store.staging).prune()
    async with open_store() as other:
        assert [one[0].message is not None for one in await read(other, mine, big, notice)] == [True, True, False]


async def test_some_recipients_are_filed_and_some_are_queued(store: Store, open_store: Opener) -> None:
    sender, receiver = await new_account(store), await new_account(store)
    (blob_id,) = await accept(store, submitted(sender, to=("zoe@demo.test", *REMOTE)))
    await record(store, blob_id, Outcome.QUEUED, 1)
    async with open_store() as other:  # remembers nothing
        (result,) = await file(other, item(blob_id, receiver, 0, sole=True))
        assert (result.status, result.settled) == (filing_pb2.FILE_STATUS_FILED, True)
        assert (await served(other, receiver, result.message_id)).endswith(b"hello\r\n")
    await record(store, blob_id, Outcome.PARKED, 2)
    await destroy_intake_keys(store)
    async with open_store() as other:
        ((begin, octets, end),) = await read(other, blob_id)
        assert begin.message is not None
        assert end is not None
        assert end.whole
        assert octets.endswith(b"hello\r\n")
        assert await findings(other) == []
    await record(store, blob_id, Outcome.SENT, 1)
    assert await outcomes(store, blob_id) == [2, 7, 6]
    assert await queued.destroy_spent(store.core.cold, 0) == 1
    async with open_store() as other:  # an operator still may
        assert await body_of(other, blob_id)


async def test_a_closed_submitters_mail_is_found_no_more(store: Store, open_store: Opener) -> None:
    account_id = await new_account(store)
    early, late, unsaid = await accept(store, submitted(account_id), submitted(account_id), submitted(account_id))
    await record(store, early, Outcome.QUEUED, 0, 1)
    await parts_of(store).erasure.erase(account_id)
    await record(store, late, Outcome.QUEUED, 0)
    for where in (None, "another process"):
        if where is None:
            found = await read(store, early, late, unsaid)
        else:
            async with open_store() as other:
                found = await read(other, early, late, unsaid)
        assert [(one[0].message, one[1], one[2]) for one in found] == [(None, b"", None)] * 3
    assert await outcomes(store, early) == [4, 4]
    # it can be ended, and a recipient in the house is still served from the day's key
    await record(store, early, Outcome.FAILED, 0, 1, reason="submitter-closed")
    assert await outcomes(store, early) == [8, 8]
    receiver = await new_account(store)
    (result,) = await file(store, item(late, receiver, 1))
    assert result.status == filing_pb2.FILE_STATUS_FILED


async def test_pruning_and_compaction_leave_what_is_queued(store: Store, open_store: Opener) -> None:
    account_id = await new_account(store)
    waits, sent = await accept(store, submitted(account_id), submitted(account_id))
    for blob_id in (waits, sent):
        await record(store, blob_id, Outcome.QUEUED, 0, 1)
    await record(store, sent, Outcome.SENT, 0, 1)
    await store.packer.pack_now()
    await store.core.cold.execute("/* cold:test */ UPDATE accepted SET received_at = received_at - interval '40 days'")
    await Housekeeping(store.core, store.staging).prune()
    assert await store.core.cold.fetch("/* cold:test */ SELECT accepted_id FROM accepted") == [(waits,)]
    await store.core.cold.execute(
        "/* cold:test */ INSERT INTO blob_release (partition, blob_id) SELECT partition, accepted_id FROM accepted "
        "ON CONFLICT DO NOTHING"
    )
    await store.compaction.compact()
    async with open_store() as other:
        ((_, octets, end),) = await read(other, waits)
    assert octets
    assert end == End(len(octets), whole=True)


async def test_a_body_that_is_gone_ends_as_not_whole(store: Store) -> None:
    account_id = await new_account(store)
    first, lost, last = await accept(
        store, submitted(account_id), submitted(account_id, text(3_000)), submitted(account_id)
    )
    store.core.bodies._recent.clear()
    for slot in range(HOT_SLOTS):
        await store.core.cold.execute(f"/* cold:test */ DELETE FROM hot_{slot:02} WHERE blob_id = $1", lost)
    found = await read(store, first, lost, new_blob_id(3, 0), last)
    assert [one[0].message is not None for one in found] == [True, True, False, True]
    assert [one[2] for one in found] == [End(len(found[0][1]), True), End(0, False), None, End(len(found[3][1]), True)]


async def test_only_so_many_octets_of_so_many_messages(store: Store) -> None:
    account_id = await new_account(store)
    ids = await accept(store, *[submitted(account_id, text(150_000 + n, n)) for n in range(40)])
    for octets in (1, 65_536, 100_000):
        found = await read(store, *ids, max_octets=octets)
        assert [len(one[1]) for one in found] == [octets] * 40
        assert all(one[2] == End(octets, whole=True) for one in found)
    found = await read(store, *ids, max_octets=-1)
    assert all(one[1] == b"" and one[2] == End(0, whole=True) for one in found)
    found = await read(store, *ids)
    for number, one in enumerate(found):
        assert one[1] == TRACE + text(150_000 + number, number)
    with pytest.raises(StoreError):
        await read(store, *[ids[0]] * (MAX_MESSAGES + 1))


async def test_verification_misses_a_queued_message_that_does_not_open(store: Store, open_store: Opener) -> None:
    account_id, closed = await new_account(store), await new_account(store)
    lost, kept, gone = await accept(store, submitted(account_id), submitted(account_id), submitted(closed))
    for blob_id in (lost, kept, gone):
        await record(store, blob_id, Outcome.QUEUED, 0, 1)
    await parts_of(store).erasure.erase(closed)
    await destroy_intake_keys(store)
    async with open_store() as other:
        assert await findings(other) == []
    await store.core.cold.execute(
        "/* cold:test */ UPDATE accepted SET queued_key = 'broken' WHERE accepted_id = $1", lost
    )
    async with open_store() as other:
        assert await findings(other) == [f"accepted {lost}: it does not open"]
