"""Submissions on real services: each goes out once, or not at all when it was held back in time, whatever dies in between."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import asyncpg
import grpc
import pytest
from nats.aio.client import Client
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu.delivery.v1 import submission_pb2_grpc
from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.adapters.submission_rows import PostgresSubmissions
from petitbleu_delivery.adapters.submission_statements import KEPT_GONE
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.domain.submissions import Delivered, Heard, Ledger, News, State, Wanted
from petitbleu_delivery.service.submissions.handover import now_ms
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.outbox import Outbox
from petitbleu_kit.postgres import open_pool

OFFSET = offset_of(530)
ON_THE_WAY = {pb.SUBMISSION_STATE_PENDING, pb.SUBMISSION_STATE_SENDING}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Sink]:
    """Another server."""
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def submission_stack(tmp_path_factory: pytest.TempPathFactory, elsewhere: Sink) -> Iterator[Stack]:
    environment = {"PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{elsewhere.port}"}
    with prepared_stack(tmp_path_factory.mktemp("submissions") / "data", OFFSET, environment) as stack:
        yield stack


@pytest.fixture
async def world(submission_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(submission_stack) as made:
        yield made


@pytest.fixture
async def database(submission_stack: Stack) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    context = Context(submission_stack.layout, submission_stack.ports, None, print)  # type: ignore[arg-type]
    connection = await asyncpg.connect(postgres.dsn(context, postgres.SUPERUSER))
    yield connection
    await connection.close()


class Sender:
    """A person who submits mail to another."""

    def __init__(self, world: DeliveryWorld, address: str, account: int, to: str, other: int) -> None:
        self.world, self.address, self.account, self.to, self.other = world, address, account, to, other

    async def ask(self, method: str, **fields: Any) -> Any:
        """Call delivery as the gateway does, again and again while it is away: what is asked is the same each time."""
        request = getattr(pb, f"{method}Request")(account_id=self.account, **fields)
        stub = submission_pb2_grpc.SubmissionServiceStub
        deadline = time.monotonic() + 90
        while True:
            try:
                principal = self.world.principal(self.account)
                return await self.world.call("delivery", "gateway", stub, method, request, principal)
            except grpc.aio.AioRpcError as error:
                assert time.monotonic() < deadline, error  # noqa: PT017
                await asyncio.sleep(0.2)

    async def letter(self, subject: str) -> int:
        boxes = await self.world.mailbox("ListMailboxes", self.account)
        drafts = next(box.mailbox_id for box in boxes.mailboxes if box.role == "drafts")
        body = (
            f"From: <{self.address}>\r\nTo: <{self.to}>\r\nBcc: <{self.to}>\r\nSubject: {subject}\r\n"
            f"Message-ID: <{os.urandom(8).hex()}@x.test>\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\n\r\nHello\r\n"
        )
        made = await self.world.mailbox(
            "ImportMessage", self.account, body=body.encode(), mailbox_ids=[drafts], idempotency_key=os.urandom(16)
        )
        return int(made.message.message_id)

    async def submit(self, message_id: int, *to: str, hold_until_ms: int = 0) -> Any:
        envelope = pb.SubmissionEnvelope(
            mail_from=pb.EnvelopeAddress(address=self.address),
            header_from=self.address,
            recipients=[pb.EnvelopeAddress(address=one) for one in to or (self.to,)],
        )
        update = pb.SubmissionUpdate(
            create=pb.NewSubmission(
                submission_id=os.urandom(16), identity_id=1, message_id=message_id, thread_id=1, envelope=envelope,
                hold_until_ms=hold_until_ms,
            )
        )  # fmt: skip
        done = await self.ask("UpdateSubmissions", updates=[update])
        assert done.results[0].status == pb.SUBMISSION_STATUS_OK
        return done.results[0].submission

    async def cancel(self, number: int) -> int:
        done = await self.ask("UpdateSubmissions", updates=[pb.SubmissionUpdate(number=number, cancel=True)])
        return int(done.results[0].status)

    async def whole(self, number: int) -> Any:
        (found,) = (await self.ask("GetSubmissions", numbers=[number])).submissions
        return found

    async def over(self, seconds: float = 150) -> dict[int, int]:
        """Wait until nothing is on its way; submission → state."""
        deadline = time.monotonic() + seconds
        while True:
            found = {one.number: one.state for one in (await self.ask("ListSubmissions")).submissions}
            if not ON_THE_WAY & set(found.values()):
                return found
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.5)

    async def arrived(self, wanted: int) -> Counter[str]:
        """Wait until so many messages are with the other; subject → how often."""
        deadline = time.monotonic() + 90
        while len(ids := await self.world.messages(self.other)) < wanted:
            assert time.monotonic() < deadline, f"{len(ids)} of {wanted} arrived"
            await asyncio.sleep(0.3)
        await self.world.quiet()
        texts = [await self.world.text(self.other, one) for one in await self.world.messages(self.other)]
        assert not any(b"Bcc" in text for text in texts)
        return Counter(re.findall(r"Subject: (\S+)", b"".join(texts).decode()))


@pytest.fixture
async def sender(world: DeliveryWorld) -> Sender:
    address, account = await world.person()
    to, other = await world.person()
    return Sender(world, address, account, to, other)


async def test_killed_processes_lose_and_double_no_submission(sender: Sender) -> None:
    letters = {f"s{number}": await sender.letter(f"s{number}") for number in range(24)}
    chooser = random.Random(8621)
    stack = sender.world.stack

    async def kill() -> None:
        for service in ("delivery", "store", "delivery", "store"):
            await asyncio.sleep(chooser.uniform(0.3, 1.5))
            await asyncio.to_thread(stack.wait_ready, name=service)
            await asyncio.to_thread(stack.kill, service, signal.SIGKILL)
        for service in ("delivery", "store"):
            await asyncio.to_thread(stack.wait_ready, name=service)

    async def send() -> None:
        for message_id in letters.values():
            await asyncio.sleep(chooser.uniform(0, 0.4))
            await sender.submit(message_id)

    await asyncio.gather(kill(), send())
    assert set((await sender.over()).values()) == {pb.SUBMISSION_STATE_DONE}
    assert await sender.arrived(len(letters)) == dict.fromkeys(letters, 1)


async def test_a_submission_that_store_has_and_nobody_recorded_goes_out_once(
    sender: Sender, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    """As after `kill -9` between store's commit and ours."""
    made = await sender.submit(await sender.letter("once"))
    assert await sender.arrived(1) == {"once": 1}
    place = (partition_of_account(sender.account), sender.account)
    known = await database.fetchval(
        "/* cold:test.forget */ UPDATE delivery.submission s SET state = 2, accepted_id = NULL, next_try_ms = 0 FROM delivery.submission o "
        "WHERE s.partition = $1 AND s.account_id = $2 AND o.partition = $1 AND o.account_id = $2 AND o.number = s.number "
        "RETURNING o.accepted_id", *place,
    )  # fmt: skip
    assert (await sender.over())[made.number] == pb.SUBMISSION_STATE_DONE
    again = "/* cold:test.again */ SELECT accepted_id FROM delivery.submission WHERE partition = $1 AND account_id = $2"
    assert await database.fetchval(again, *place) == known
    await sender.world.settled([known])
    assert await sender.arrived(1) == {"once": 1}


async def test_what_is_canceled_does_not_go_out_and_what_goes_out_was_not_canceled(sender: Sender) -> None:
    chooser = random.Random(7)
    due = int(time.time() * 1000) + 4000
    letters = {f"r{number}": await sender.letter(f"r{number}") for number in range(16)}
    numbers = {
        subject: (await sender.submit(message_id, hold_until_ms=due)).number for subject, message_id in letters.items()
    }

    async def cancel(number: int) -> int:
        await asyncio.sleep(max(0.0, due / 1000 - time.time()) + chooser.uniform(-0.3, 1.5))
        return await sender.cancel(number)

    told = dict(zip(numbers, await asyncio.gather(*map(cancel, numbers.values())), strict=True))
    states = await sender.over()
    for subject, number in numbers.items():
        canceled = told[subject] == pb.SUBMISSION_STATUS_OK
        assert canceled or told[subject] == pb.SUBMISSION_STATUS_CANNOT_UNSEND
        assert states[number] == (pb.SUBMISSION_STATE_CANCELED if canceled else pb.SUBMISSION_STATE_DONE)
    sent = [subject for subject, status in told.items() if status != pb.SUBMISSION_STATUS_OK]
    assert await sender.arrived(len(sent)) == dict.fromkeys(sent, 1)


async def test_what_another_server_said_is_told(sender: Sender, elsewhere: Sink) -> None:
    elsewhere.answers["nobody"] = "550 5.1.1 no such mailbox"
    made = await sender.submit(await sender.letter("abroad"), "some@else.test", "nobody@else.test", sender.to)
    deadline = time.monotonic() + 60
    while True:
        found = {one.recipient_no: one for one in (await sender.whole(made.number)).recipients}
        if all(one.delivered != pb.DELIVERED_QUEUED for one in found.values()):
            break
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
    assert [found[number].delivered for number in range(3)] == [
        pb.DELIVERED_UNKNOWN, pb.DELIVERED_NO, pb.DELIVERED_YES,
    ]  # fmt: skip
    assert found[0].smtp_reply.startswith("250 ")
    assert found[1].smtp_reply.startswith("550 5.1.1 no such mailbox")
    (taken,) = [one for one in elsewhere.taken if one.token == "abroad"]
    assert (taken.mail_from, taken.recipients) == (sender.address, ["some@else.test"])
    assert b"\r\nBcc:" not in taken.content
    assert b"DKIM-Signature:" in taken.content


async def test_a_store_that_is_away_delays_a_submission_and_loses_none(sender: Sender) -> None:
    message_id = await sender.letter("patient")
    sender.world.stack.stop_process("store")
    try:
        made = await sender.submit(message_id)
        assert made.state == pb.SUBMISSION_STATE_SENDING
        assert not made.handed_over
        assert await sender.cancel(made.number) == pb.SUBMISSION_STATUS_CANNOT_UNSEND
        sender.world.stack.kill("delivery", signal.SIGKILL)
    finally:
        sender.world.stack.start_process("store")
    sender.world.stack.wait_ready(name="store")
    assert (await sender.over())[made.number] == pb.SUBMISSION_STATE_DONE
    assert await sender.arrived(1) == {"patient": 1}


async def test_what_a_disabled_account_held_does_not_go_out(sender: Sender) -> None:
    due = int(time.time() * 1000) + 4000
    made = await sender.submit(await sender.letter("held"), hold_until_ms=due)
    state = accounts_pb2.SetAccountStateRequest(address=sender.address, state=accounts_pb2.ACCOUNT_STATE_DISABLED)
    await sender.world.admin("SetAccountState", state)
    assert (await sender.over())[made.number] == pb.SUBMISSION_STATE_FAILED
    (told,) = (await sender.whole(made.number)).recipients
    assert told.delivered == pb.DELIVERED_NO
    assert "disabled" in told.smtp_reply
    assert await sender.arrived(0) == {}


async def test_no_address_stands_in_the_tables(
    sender: Sender, database: asyncpg.Connection[asyncpg.Record]
) -> None:  # fmt: skip
    await sender.submit(await sender.letter("sealed"), hold_until_ms=int(time.time() * 1000) + 3_600_000)
    made = await sender.submit(await sender.letter("sealed2"))
    assert (await sender.whole(made.number)).envelope.recipients[0].address == sender.to
    for table in ("submission", "submission_recipient", "submission_news", "submission_book", "outbox"):
        rows = await database.fetch(f"/* cold:test.look */ SELECT t::text AS text FROM delivery.{table} t")
        text = "".join(row["text"] for row in rows)
        for word in (sender.address, sender.to, sender.to.partition("@")[0]):
            assert word not in text
            assert word.encode().hex() not in text


@pytest.fixture
async def table(submission_stack: Stack) -> AsyncIterator[PostgresSubmissions]:
    """The rows, beside the process."""
    pool = await open_pool(submission_stack.environment("delivery")["PETITBLEU_PG_DSN"], "delivery", 4)
    outbox = Outbox(pool, Client(), "delivery", "DELIVERY")  # of a bus that is away: the process sweeps
    yield PostgresSubmissions(
        pool, outbox, Seal(read_key(submission_stack.layout.keys / "delivery.key"), "submissions")
    )
    await pool.close()


async def test_what_is_long_over_is_destroyed_and_the_log_is_bounded(
    sender: Sender, table: PostgresSubmissions
) -> None:  # fmt: skip
    made = await sender.submit(await sender.letter("old"))
    state = (await sender.ask("ListSubmissions")).modseq
    await table.prune(keep_ms=-60_000)
    found = await sender.ask("GetSubmissionChanges", since_modseq=state)
    assert list(found.destroyed) == [made.number]
    assert not (await sender.ask("ListSubmissions")).submissions
    start = found.new_modseq

    async def fill(ledger: Ledger) -> None:
        for number in range(KEPT_GONE + 50):
            wanted = Wanted(number.to_bytes(16, "big"), 1, 1, 1, 1, b"x", 1, (1 << 31) * 1000)
            one = ledger.create(wanted._replace(hold_until_ms=now_ms() + 60_000), now_ms(), 1000)
            ledger.cancel(one.number, now_ms())
            ledger.destroy(one.number)

    await table.work(sender.account, (), fill, new=[bytes(16)])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await sender.world.call(
            "delivery", "gateway", submission_pb2_grpc.SubmissionServiceStub, "GetSubmissionChanges",
            pb.GetSubmissionChangesRequest(account_id=sender.account, since_modseq=start),
            sender.world.principal(sender.account),
        )  # fmt: skip
    assert refused.value.code() == grpc.StatusCode.OUT_OF_RANGE


async def test_news_that_comes_early_is_kept_until_the_hand_over_is_recorded(
    sender: Sender, table: PostgresSubmissions
) -> None:  # fmt: skip
    made = await sender.submit(await sender.letter("early"))
    accepted = os.urandom(16)
    heard = [Heard(accepted, 0, News(Delivered.NO, "550 5.1.1 <someone@x.test> is not here"))]
    await table.hear(sender.account, heard)  # nothing is under way: it is nobody's
    assert (await sender.whole(made.number)).recipients[0].smtp_reply != heard[0].news.reply

    async def begin(ledger: Ledger) -> None:
        wanted = Wanted(os.urandom(16), 1, 1, 1, 1, b"", 1, now_ms() + 3_600_000)
        one = ledger.create(wanted, now_ms(), 1000)
        one.state = State.SENDING  # and whoever does it does not come to the end

    await table.work(sender.account, (), begin, new=[bytes(16)])
    await table.hear(sender.account, heard)

    async def done(ledger: Ledger) -> None:
        ledger.done(made.number + 1, accepted, now_ms())

    await table.work(sender.account, [made.number + 1], done)
    ((found,), _) = await table.get(sender.account, [made.number + 1])
    assert found.news == {0: heard[0].news}
    before = (await table.all(sender.account))[1]
    await table.hear(sender.account, heard)
    assert (await table.all(sender.account))[1] == before


async def test_who_submitted_much_waits(
    sender: Sender, database: asyncpg.Connection[asyncpg.Record]
) -> None:  # fmt: skip
    message_id = await sender.letter("much")
    await sender.submit(message_id)
    book = "/* cold:test.much */ UPDATE delivery.submission_book SET hour_recipients = hour_recipients + 1999 WHERE account_id = $1"
    assert await database.execute(book, sender.account) == "UPDATE 1"
    envelope = pb.SubmissionEnvelope(recipients=[pb.EnvelopeAddress(address=sender.to)])
    create = pb.NewSubmission(submission_id=os.urandom(16), message_id=message_id, envelope=envelope)
    done = await sender.ask("UpdateSubmissions", updates=[pb.SubmissionUpdate(create=create)])
    assert done.results[0].status == pb.SUBMISSION_STATUS_OVER_LIMIT
    assert 3_000 < done.results[0].retry_after_seconds <= 3_600


async def test_submissions_of_closed_accounts_are_erased(
    sender: Sender, table: PostgresSubmissions, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await sender.submit(await sender.letter("kept"), hold_until_ms=int(time.time() * 1000) + 3_600_000)

    async def living(account_ids: Sequence[int]) -> set[int]:
        return set(account_ids)

    assert await table.erase_closed(living) == 0

    async def without(account_ids: Sequence[int]) -> set[int]:
        return set(account_ids) - {sender.account}

    assert await table.erase_closed(without) == 1
    for name in ("submission", "submission_recipient", "submission_news", "submission_book"):
        statement = f"/* cold:test.left */ SELECT count(*) FROM delivery.{name} WHERE account_id = $1"
        assert await database.fetchval(statement, sender.account) == 0


async def test_nobody_reaches_the_submissions_of_another(sender: Sender) -> None:
    await sender.submit(await sender.letter("mine"))
    request = pb.ListSubmissionsRequest(account_id=sender.account)
    stub = submission_pb2_grpc.SubmissionServiceStub
    for caller, principal in (("gateway", sender.world.principal(sender.other)), ("gateway", ""), ("ingest", "")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await sender.world.call("delivery", caller, stub, "ListSubmissions", request, principal)
        assert refused.value.code() in {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
