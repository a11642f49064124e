"""What is sent over JMAP meets the scanners that mail over SMTP meets: a real rspamd, a real clamd, and one that is gone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from tests.folders import enterable
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.integration.scanner_daemons import CLAMD, EICAR, RSPAMD, SPAM, clamd, rspamd
from tests.integration.test_submissions import Sender
from tests.ports import offset_of

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack

OFFSET = offset_of(445)
pytestmark = pytest.mark.skipif(not (CLAMD and RSPAMD), reason="clamd or rspamd is not installed: nothing is scanned")


@pytest.fixture(scope="module")
def scanned_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("scanners")
    enterable(folder)
    with clamd(folder / "clamd") as place, rspamd(folder / "rspamd") as url:
        environment = {"PETITBLEU_CLAMD": place, "PETITBLEU_RSPAMD_URL": url}
        with prepared_stack(tmp_path_factory.mktemp("scanning") / "data", OFFSET, environment) as stack:
            yield stack


@pytest.fixture
async def world(scanned_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(scanned_stack) as made:
        yield made


@pytest.fixture
async def sender(world: DeliveryWorld) -> Sender:
    address, account = await world.person()
    to, other = await world.person()
    return Sender(world, address, account, to, other)


async def letter(sender: Sender, subject: str, text: bytes) -> int:
    boxes = await sender.world.mailbox("ListMailboxes", sender.account)
    drafts = next(box.mailbox_id for box in boxes.mailboxes if box.role == "drafts")
    head = f"From: <{sender.address}>\r\nTo: <{sender.to}>\r\nSubject: {subject}\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\n\r\n"
    made = await sender.world.mailbox(
        "ImportMessage", sender.account, body=head.encode() + text + b"\r\n", mailbox_ids=[drafts],
        idempotency_key=os.urandom(16),
    )  # fmt: skip
    return int(made.message.message_id)


@pytest.mark.parametrize("held_ms", [0, 2_000])
@pytest.mark.parametrize("filler", [b"", b"0123456789abcdef\r\n" * 100_000])
async def test_malware_is_not_sent_and_its_sender_is_told(sender: Sender, filler: bytes, held_ms: int) -> None:
    message_id = await letter(sender, "bad", filler + EICAR)
    hold = int(time.time() * 1000) + held_ms if held_ms else 0
    made = await sender.submit(message_id, sender.to, "far@else.test", hold_until_ms=hold)
    assert (await sender.over())[made.number] == pb.SUBMISSION_STATE_FAILED
    told = (await sender.whole(made.number)).recipients
    assert [(one.delivered, one.smtp_reply[:9]) for one in told] == [(pb.DELIVERED_NO, "550 5.7.1")] * 2
    # nothing is lost: the message is where it was, beside the notice
    deadline = time.monotonic() + 60
    while len(own := await sender.world.messages(sender.account)) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    texts = [await sender.world.text(sender.account, one) for one in own]
    assert sum(b"Auto-Submitted: auto-generated" in text and b"far@else.test" in text for text in texts) == 1
    assert sum(EICAR in text for text in texts) == 1
    assert await sender.arrived(0) == {}


async def test_spam_leaves_and_counts_against_its_sender(sender: Sender, scanned_stack: Stack) -> None:
    await sender.submit(await letter(sender, "clean", b"hello"), sender.to)
    await sender.submit(await letter(sender, "spam", SPAM), sender.to, "far@else.test")
    assert await sender.arrived(2) == {"clean": 1, "spam": 1}
    context = Context(scanned_stack.layout, scanned_stack.ports, None, print)  # type: ignore[arg-type]
    connection = await asyncpg.connect(postgres.dsn(context, postgres.SUPERUSER))
    try:
        deadline = time.monotonic() + 60
        while not await connection.fetchval(
            "/* cold:test */ SELECT sum(spam) FROM delivery.conduct WHERE account_id = $1", sender.account
        ):
            assert time.monotonic() < deadline, "what a scanner says of submitted mail is counted"
            await asyncio.sleep(0.2)
    finally:
        await connection.close()
