"""Mail that leaves: queued recipients keep what they need, what is submitted is accepted once, held mail waits."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest
from tests.integration.arriving import TENANT, TRACE, accept, body_of, message, settle, text
from tests.integration.conftest import Opener
from tests.integration.mailing import file_new, known, mail, new_account, parts_of, update

from petitbleu.store.v1 import accept_pb2, filing_pb2, mailbox_pb2, outgoing_pb2
from petitbleu_kit.bus import ensure_stream
from petitbleu_kit.ids import new_blob_id
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.outcome import Outcome
from petitbleu_store.grpc_api.accept import arriving
from petitbleu_store.grpc_api.filing import FilingServicer
from petitbleu_store.grpc_api.outgoing import OutgoingServicer
from petitbleu_store.service import queued
from petitbleu_store.service.housekeeping import Housekeeping
from petitbleu_store.service.outgoing import Outgoing

CONTEXT: Any = None  # the servicers ask nothing of it unless they fail


def servicer(store: Store) -> OutgoingServicer:
    return OutgoingServicer(Outgoing(store.core, parts_of(store).book, store.acceptance))


async def read(store: Store, *ids: bytes, max_octets: int = 0) -> list[tuple[outgoing_pb2.AcceptedHeader, bytes, bool]]:
    """What ReadAccepted gives: header, octets, and whether they are whole."""
    found: list[tuple[outgoing_pb2.AcceptedHeader, bytes, bool]] = []
    request = outgoing_pb2.ReadAcceptedRequest(accepted_ids=ids, max_octets=max_octets)
    body = b""
    async for part in servicer(store).ReadAccepted(request, CONTEXT):
        match part.WhichOneof("part"):
            case "header":
                found.append((part.header, b"", False))
                body = b""
            case "data":
                body += part.data
            case "end":
                assert part.end.octets == len(body)
                found[-1] = (found[-1][0], body, part.end.whole)
    return found


def submission(account_id: int, message_id: int, **more: Any) -> outgoing_pb2.SubmitRequest:
    told = {
        "submission_id": os.urandom(16), "account_id": account_id, "tenant_id": TENANT, "message_id": message_id,
        "mail_from": "zoe@demo.test", "header_from": "zoe@demo.test", "trace": TRACE,
        "recipients": [accept_pb2.AcceptRecipient(address="far@else.test", notify="FAILURE", tenant_id=TENANT)],
    }  # fmt: skip
    return outgoing_pb2.SubmitRequest(**{**told, **more})


async def submit(store: Store, request: outgoing_pb2.SubmitRequest) -> tuple[int, bytes]:
    done = await servicer(store).Submit(request, CONTEXT)
    return done.status, done.accepted_id


async def test_what_ingest_says_of_a_message_comes_back_to_delivery(store: Store) -> None:
    account = await new_account(store)
    verdicts = accept_pb2.AuthenticationVerdicts(
        from_authenticated=True, spf=accept_pb2.VERDICT_PASS, dmarc=accept_pb2.VERDICT_FAIL, spam_score=-120,
        treatment=accept_pb2.TREATMENT_JUNK,
    )  # fmt: skip
    told = accept_pb2.AcceptItem(
        idempotency_key=os.urandom(32), mail_from="zoe@demo.test", body=b"Subject: x\r\n\r\n", verdicts=verdicts,
        origin=accept_pb2.ORIGIN_SUBMITTED, submitter_account_id=account, submitter_tenant_id=TENANT,
        parameters=accept_pb2.EnvelopeParameters(ret="HDRS", envid="id 1", smtputf8=True, require_tls=True),
        recipients=[accept_pb2.AcceptRecipient(address="far@else.test", notify="NEVER", orcpt="rfc822;far@else.test")],
    )  # fmt: skip
    (accepted_id,) = await accept(store, arriving(told))
    filing = FilingServicer(store.core.pool, store.core.recipients, store.mailboxes)
    for _ in range(2):  # from memory, and from its row
        opened = await filing.ListOpen(filing_pb2.ListOpenRequest(accepted_ids=[accepted_id.bytes]), CONTEXT)
        (found,) = opened.messages
        assert (found.origin, found.submitter_account_id, found.submitter_tenant_id) == (2, account, TENANT)
        assert (found.verdicts, found.parameters) == (verdicts, told.parameters)
        (recipient,) = found.recipients
        assert (recipient.notify, recipient.orcpt) == ("NEVER", "rfc822;far@else.test")
        store.core.intake._known.clear()
    ((header, body, whole),) = await read(store, accepted_id.bytes)
    assert (body, whole) == (told.body, True)
    assert header.found
    assert (header.parameters, header.recipients[0].orcpt) == (told.parameters, "rfc822;far@else.test")


async def test_messages_are_read_in_order_whole_in_part_or_not_at_all(store: Store) -> None:
    bodies = [text(300, 1), text(900_000, 2)]
    ids = [one.bytes for one in await accept(store, *[message(body) for body in bodies])]
    unknown = new_blob_id(3, 0).bytes
    found = await read(store, ids[1], unknown, ids[0])
    assert [header.accepted_id for header, _, _ in found] == [ids[1], unknown, ids[0]]
    assert [header.found for header, _, _ in found] == [True, False, True]
    assert [body for _, body, _ in found] == [TRACE + bodies[1], b"", TRACE + bodies[0]]
    ((header, body, whole),) = await read(store, ids[1], max_octets=1000)
    assert (body, whole, header.size) == ((TRACE + bodies[1])[:1000], True, len(TRACE + bodies[1]))
    ((_, body, whole),) = await read(store, ids[0], max_octets=-1)
    assert (body, whole) == (b"", True)


async def test_a_body_that_is_gone_is_not_whole(open_store: Opener) -> None:
    async with open_store() as store:
        (accepted_id,) = await accept(store, message(text(300)))
        await store.core.cold.execute("/* cold:test */ DELETE FROM hot_00")
    async with open_store() as store:
        ((header, _, whole),) = await read(store, accepted_id.bytes)
        assert (header.found, whole) == (True, False)


async def test_a_queued_message_outlives_its_intake_key_until_it_is_sent(open_store: Opener) -> None:
    body = text(700)
    async with open_store() as store:
        sent, both = await accept(store, message(body), message(to=("a@demo.test", "far@else.test")))
        await settle(store, sent, Outcome.QUEUED)
        await settle(store, both, Outcome.FILED, 5)
        await settle(store, both, Outcome.QUEUED, number=1)
        await store.core.cold.execute(
            "/* cold:test */ UPDATE intake_key SET created_at = now() - interval '3 days'; "
            "UPDATE accepted SET received_at = now() - interval '99 days'"
        )
        await store.core.intake.destroy_spent()
        await store.core.cold.execute(
            "/* cold:test */ UPDATE intake_key SET created_at = now() - interval '1 hour' WHERE key_id = 2"
        )
        assert await store.core.intake.destroy_spent() == 1
        assert await Housekeeping(store.core, store.staging).prune_accepted() == 0
    async with open_store() as store:
        assert await body_of(store, sent) == TRACE + body
        assert await store.core.recipients.list_open(store.core.pool, [sent, both]) == []
        await settle(store, sent, Outcome.FILED, 9)  # what is queued is not filed any more
        await settle(store, sent, Outcome.SENT)
        await settle(store, both, Outcome.FAILED, number=1, reason="refused")
        await settle(store, sent, Outcome.FAILED)
        rows = await store.core.cold.fetch(
            "/* cold:test */ SELECT accepted_id, recipient_no, outcome, reason FROM recipient"
        )
        assert {(row["accepted_id"], row["recipient_no"]): row["outcome"] for row in rows} == {
            (sent, 0): 7, (both, 0): 2, (both, 1): 8,
        }  # fmt: skip
        await queued.destroy_spent(store.core.cold, 0)
    async with open_store() as store:
        assert await store.core.intake.load(store.core.cold, [sent, both]) == {}


async def test_queueing_and_sending_keep_the_count_of_the_open(store: Store) -> None:
    recipients = store.core.recipients
    (one,) = await accept(store, message())
    await settle(store, one, Outcome.QUEUED)
    await settle(store, one, Outcome.SENT)
    assert recipients._open + recipients._delta == 0


async def test_held_mail_is_told_to_nobody_before_its_time(store: Store) -> None:
    await ensure_stream(store.core.bus, "MAIL")
    later = message(hold_until=time.time() + 3600)
    (now,) = await accept(store, message())
    (held,) = await accept(store, later)
    rows = await store.core.cold.fetch("/* cold:test */ SELECT payload FROM outbox")
    assert not [row for row in rows if held.bytes in row["payload"]]
    assert [row for row in rows if now.bytes in row["payload"]]
    housekeeping = Housekeeping(store.core, store.staging)
    assert await housekeeping.publish_again() == 0
    await store.core.cold.execute(
        "/* cold:test */ UPDATE recipient SET next_attempt_at = next_attempt_at - interval '3601 s' WHERE accepted_id = $1",
        held,
    )
    assert await housekeeping.publish_again() == 1


async def test_a_message_of_an_account_is_submitted_once_and_without_its_blind_copies(store: Store) -> None:
    account = await new_account(store)
    kept = mail("to be sent")
    drafted = b"Bcc: secret@else.test,\r\n\tother@else.test\r\n" + kept.replace(
        b"\r\nDate", b"\r\nRESENT-BCC : x@y.test\r\nDate"
    )
    (message_id,) = await file_new(store, account, drafted)
    request = submission(account, message_id)
    status, accepted_id = await submit(store, request)
    assert status == outgoing_pb2.SUBMIT_STATUS_OK
    ((header, body, whole),) = await read(store, accepted_id)
    # what was filed has its own trace lines, which are part of the message now
    assert (body, whole) == (TRACE + TRACE + kept, True)
    assert (header.origin, header.submitter_account_id, header.mail_from) == (2, account, "zoe@demo.test")
    assert await submit(store, request) == (outgoing_pb2.SUBMIT_STATUS_REPEAT, accepted_id)
    other = submission(account, message_id)
    assert (await submit(store, other))[1] != accepted_id
    # the key outlives the day for which peers' keys are kept, and the message in the account
    await store.core.cold.execute("/* cold:test */ UPDATE accept_key SET created_at = now() - interval '20 days'")
    await Housekeeping(store.core, store.staging).prune()
    await update(store, account, mailbox_pb2.MessageUpdate(message_id=message_id, destroy=True))
    assert await submit(store, request) == (outgoing_pb2.SUBMIT_STATUS_REPEAT, accepted_id)
    assert (await submit(store, submission(account, message_id)))[0] == outgoing_pb2.SUBMIT_STATUS_NO_MESSAGE


async def test_the_same_submission_many_times_at_once_is_one(store: Store) -> None:
    account = await new_account(store)
    small, large = await file_new(store, account, mail("at once"), mail("at once", octets=1_500_000))
    for message_id in (small, large):
        request = submission(account, message_id)
        done = await asyncio.gather(*(submit(store, request) for _ in range(6)))
        assert sorted(status for status, _ in done) == [1, 2, 2, 2, 2, 2]
        assert len({accepted_id for _, accepted_id in done}) == 1
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM accepted WHERE origin = 2") == 2


async def test_a_message_is_nobodys_of_another_tenant(store: Store) -> None:
    account = await new_account(store)
    (message_id,) = await file_new(store, account, mail("mine"))
    request = submission(account, message_id, tenant_id=TENANT + 1)
    assert (await submit(store, request))[0] == outgoing_pb2.SUBMIT_STATUS_NO_MESSAGE


async def test_a_large_message_is_submitted_by_way_of_s3(store: Store) -> None:
    account = await new_account(store)
    large = b"Bcc: secret@else.test\r\n" + mail("large", octets=3_000_000)
    (message_id,) = await file_new(store, account, large)
    request = submission(account, message_id)
    status, accepted_id = await submit(store, request)
    assert status == outgoing_pb2.SUBMIT_STATUS_OK
    ((_, body, whole),) = await read(store, accepted_id)
    # the draft's own first lines are the trace of its acceptance: the blind copy is behind them
    assert (body, whole) == (TRACE + TRACE + large.partition(b"\r\n")[2], True)
    assert await submit(store, request) == (outgoing_pb2.SUBMIT_STATUS_REPEAT, accepted_id)


async def to_submit(store: Store, request: outgoing_pb2.SubmitRequest) -> tuple[int, bytes, bool]:
    """What ReadToSubmit gives of what would be submitted: status, octets, and whether they are whole."""
    asked = outgoing_pb2.ReadToSubmitRequest(
        submission_id=request.submission_id, account_id=request.account_id, tenant_id=request.tenant_id,
        message_id=request.message_id,
    )  # fmt: skip
    parts = [part async for part in servicer(store).ReadToSubmit(asked, CONTEXT)]
    assert [part.WhichOneof("part") for part in parts].count("header") == 1
    octets = b"".join(part.data for part in parts)
    assert all(len(part.data) <= 256 << 10 for part in parts)
    end = parts[-1].end
    return parts[0].header.status, octets, end.whole and end.octets == len(octets)


@pytest.mark.parametrize("octets", [0, 3_000_000])
async def test_what_would_be_submitted_is_read_before_and_not_after(store: Store, octets: int) -> None:
    account = await new_account(store)
    (message_id,) = await file_new(store, account, b"Bcc: secret@else.test\r\n" + mail("before", octets=octets))
    request = submission(account, message_id, spam_score=1500)
    read_before = await to_submit(store, request)
    status, accepted_id = await submit(store, request)
    assert status == outgoing_pb2.SUBMIT_STATUS_OK
    ((_, body, _),) = await read(store, accepted_id)
    assert read_before == (outgoing_pb2.SUBMIT_STATUS_OK, body.removeprefix(TRACE), True)
    assert b"secret@" not in body
    assert await to_submit(store, request) == (outgoing_pb2.SUBMIT_STATUS_REPEAT, b"", False)
    scored = "/* cold:test */ SELECT spam_score FROM accepted ORDER BY accepted_id"
    assert 1500 in [row[0] for row in await store.core.cold.fetch(scored)]
    for missing in (
        submission(account, 999),
        submission(account + 1, 1),
        submission(account, message_id, tenant_id=TENANT + 1),
    ):
        assert await to_submit(store, missing) == (outgoing_pb2.SUBMIT_STATUS_NO_MESSAGE, b"", False)


async def test_what_is_not_there_is_said(store: Store) -> None:
    account = await new_account(store)
    assert (await submit(store, submission(account, 999)))[0] == outgoing_pb2.SUBMIT_STATUS_NO_MESSAGE
    assert (await submit(store, submission(account + 1, 1)))[0] == outgoing_pb2.SUBMIT_STATUS_NO_MESSAGE
    (message_id,) = await file_new(store, account, b"Subject: endless" + b"x" * 2_000_000)
    assert (await submit(store, submission(account, message_id)))[0] == outgoing_pb2.SUBMIT_STATUS_UNREADABLE
    assert await known(store, account)
