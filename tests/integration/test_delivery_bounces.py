"""Mail that comes back, through the real door: a bounce of what we sent, and those of what we never sent."""

from __future__ import annotations

import asyncio
import re
import smtplib
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from tests.integration.delivery_world import ONLY, DeliveryWorld, prepared_stack, world_of
from tests.integration.test_delivery_queue import submit, until
from tests.integration.test_submissions import Sender
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu.events.v1 import events_pb2
from petitbleu_delivery.adapters.bounce_keys import BounceKeyRows
from petitbleu_delivery.adapters.suppression_rows import SuppressionRows
from petitbleu_delivery.domain.seal import Seal
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack
from petitbleu_kit.postgres import open_pool

OFFSET = offset_of(560)
_BOUNCE = (
    "From: MAILER-DAEMON@else.test\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\n"
    "Message-ID: <{subject}@else.test>\r\n\r\nIt could not be delivered.\r\n"
)


@pytest.fixture(scope="module")
def next_server() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def returning_stack(tmp_path_factory: pytest.TempPathFactory, next_server: Sink) -> Iterator[Stack]:
    environment = {
        "PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{next_server.port}", "PETITBLEU_BOUNCE_TOKENS": "enforce",
        "PETITBLEU_JUDGE_SECONDS": "1", "PETITBLEU_FEEDBACK_ADDRESSES": "fbl@route.test", "PETITBLEU_AUTHSERV_ID": "mx.route.test",
    }  # fmt: skip
    data = tmp_path_factory.mktemp("returning") / "data"
    with prepared_stack(data, OFFSET, environment, only=f"{ONLY},ingest") as stack:
        yield stack


@pytest.fixture
async def world(returning_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(returning_stack) as made:
        yield made


@pytest.fixture
async def pool(returning_stack: Stack) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    context = Context(returning_stack.layout, returning_stack.ports, None, print)  # type: ignore[arg-type]
    made = await open_pool(postgres.dsn(context, "delivery"), "delivery", 4)
    yield made
    await made.close()


def send_back(stack: Stack, to: str, message: str) -> int:
    """Bring a mail without a sender, as another server does; the code of the answer."""
    with smtplib.SMTP("127.0.0.1", stack.port("smtp"), timeout=30) as client:
        client.ehlo("mx.else.test")
        client.mail("")
        code, _ = client.rcpt(to)
        return code if code != 250 else client.data(message.encode())[0]


async def folder_of(world: DeliveryWorld, account_id: int, subject: str) -> str:
    """Wait for a message of an account; the role of the mailbox that has it."""
    found = ""

    async def there() -> bool:
        nonlocal found
        ids = await world.messages(account_id)
        roles = {box.mailbox_id: box.role for box in (await world.mailbox("ListMailboxes", account_id)).mailboxes}
        for row in (await world.mailbox("GetMessages", account_id, message_ids=ids)).messages:
            if f"Subject: {subject}".encode() in await world.text(account_id, row.message_id):
                found = roles[row.mailbox_ids[0]]
        return bool(found)

    await until(there)
    return found


async def test_a_bounce_is_real_by_its_token_and_all_others_go_to_junk(
    world: DeliveryWorld, returning_stack: Stack, next_server: Sink
) -> None:
    sender = await world.person("alice")
    other = await world.person("bob")
    child = await world.person("zoe", guarded=True, guardians=(other[0],))
    token, _ = await submit(world, sender, "some@else.test", "more@else.test", "far@away.test")
    await until(lambda: len(next_server.by_token(token)) == 2)
    sent = {one.recipients[0]: one.mail_from for one in next_server.by_token(token)}
    local, _, domain = sender[0].partition("@")
    for address in sent.values():
        assert re.fullmatch(rf"{local}\+b[a-z2-7]{{36}}@{domain}", address)
    assert len(set(sent.values())) == 2  # what was said to one server is not said to the other
    real = sent["some@else.test"]

    async def back(subject: str, to: str, account: tuple[str, int]) -> str:
        message = _BOUNCE.format(to=to, subject=subject)
        assert await asyncio.to_thread(send_back, returning_stack, to, message) == 250
        return await folder_of(world, account[1], subject)

    assert await back("real", real, sender) == "inbox"
    assert await back("shouted", real.upper(), sender) == "inbox"
    assert await back("absent", sender[0], sender) == "junk"
    assert await back("forged", _forged(real), sender) == "junk"
    assert await back("of-another", _of(real, other[0]), other) == "junk"
    assert await back("detail", sender[0].replace("@", "+shop@"), sender) == "inbox"
    # a child's mail is refused no more than an adult's
    assert (
        await asyncio.to_thread(send_back, returning_stack, child[0], _BOUNCE.format(to=child[0], subject="z")) == 250
    )


def _forged(address: str) -> str:
    local, _, domain = address.partition("@")
    return f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"


def _of(address: str, other: str) -> str:
    """Return another's address with the token of this one."""
    return other.replace("@", f"+{address.partition('@')[0].partition('+')[2]}@")


async def test_the_first_secret_is_made_once_and_sealed(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    rows = BounceKeyRows(pool, Seal(bytes(32), "other"))
    await asyncio.gather(*(rows.make(1) for _ in range(4)))
    found = await pool.fetch("/* cold:test.bounce_keys */ SELECT key_no, secret, made_at FROM bounce_key")
    assert [row["key_no"] for row in found] == [1]
    assert len(found[0]["secret"]) > 32 + 12
    try:
        await asyncio.gather(*(rows.make(2) for _ in range(4)))
        await pool.execute("/* cold:test.bounce_old */ UPDATE bounce_key SET made_at = now() - interval '30 days'")
        await rows.forget(31 * 86_400)
        assert await pool.fetchval("/* cold:test.bounce_count */ SELECT count(*) FROM bounce_key") == 2
        await rows.forget(29 * 86_400)
        assert await pool.fetchval("/* cold:test.bounce_left */ SELECT min(key_no) FROM bounce_key") == 2
    finally:
        # the others need the secret of this stack's processes
        await pool.execute("/* cold:test.bounce_none */ DELETE FROM bounce_key")
        put = "/* cold:test.bounce_put */ INSERT INTO bounce_key (key_no, secret, made_at) VALUES ($1, $2, $3)"
        await pool.execute(put, *found[0].values())


def _report(to: str, *failed: str) -> str:
    groups = "".join(
        f"\r\nFinal-Recipient: rfc822; {one}\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 nobody\r\n"
        for one in failed
    )
    return (
        f"From: mailer-daemon@else.test\r\nTo: {to}\r\nSubject: returned\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\n"
        "Message-ID: <r@else.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nIt failed.\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.else.test\r\n{groups}\r\n--b--\r\n"
    )


async def test_rfc3464_2_a_real_bounce_is_an_event_once_and_stops_the_next_message(
    world: DeliveryWorld, returning_stack: Stack, next_server: Sink, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    sender = await world.person("carol")
    token, accepted_id = await submit(world, sender, "gone@else.test", "here@else.test", "gone@away.test")
    await until(lambda: len(next_server.by_token(token)) == 2)
    sent = {one.recipients[0]: one.mail_from for one in next_server.by_token(token)}
    # of all that it names, one recipient is of the message that went to that server
    message = _report(sent["gone@else.test"], "gone@else.test", "gone@away.test", "stranger@else.test")
    for forged in (sender[0], _forged(sent["gone@else.test"])):
        assert await asyncio.to_thread(send_back, returning_stack, forged, message) == 250
    for count in range(2):
        assert (
            await asyncio.to_thread(send_back, returning_stack, sent["gone@else.test"], f"X-N: {count}\r\n{message}")
            == 250
        )

    async def all_there() -> bool:
        return len(await world.messages(sender[1])) >= 4

    await until(all_there)
    kept = await pool.fetch("/* cold:test.returned */ SELECT * FROM returned WHERE account_id = $1", sender[1])
    assert [(row["accepted_id"].bytes, row["recipient_no"], row["kind"], row["status"]) for row in kept] == [
        (accepted_id, 0, 1, "5.1.1")
    ]
    told = "/* cold:test.conduct */ SELECT bounced, complained, tenant_id FROM conduct WHERE account_id = $1"
    assert [tuple(row) for row in await pool.fetch(told, sender[1])] == [(1, 0, world._tenants[sender[1]])]

    async def published() -> bool:
        rows = await pool.fetch(
            "/* cold:test.bounced */ SELECT payload, published_at FROM outbox WHERE subject LIKE 'delivery.message.bounced.v1.%'"
        )
        events = [(events_pb2.MessageBounced.FromString(row["payload"]), row["published_at"]) for row in rows]
        mine = [(event, at) for event, at in events if event.account_id == sender[1]]
        assert [[(one.recipient_no, one.status) for one in event.recipients] for event, _ in mine] == [[(0, "5.1.1")]]
        assert mine[0][0].accepted_id == accepted_id
        return mine[0][1] is not None

    await until(published)
    tried = next_server.tried["gone"]
    again, _ = await submit(world, sender, "gone@else.test", "stranger@else.test", "gone@away.test")
    await until(lambda: len(next_server.by_token(again)) == 2)

    async def refused() -> bool:
        return len(await world.messages(sender[1])) == 5

    await until(refused)  # a notice that says that it is not tried
    assert sorted(address for one in next_server.by_token(again) for address in one.recipients) == [
        "gone@away.test", "stranger@else.test",
    ]  # fmt: skip
    assert next_server.tried["gone"] == tried + 1


async def test_rfc5965_2_who_complained_gets_nothing_more_from_that_account(
    world: DeliveryWorld, returning_stack: Stack, next_server: Sink, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    sender, other, reader = await world.person("dora"), await world.person("emil"), await world.person("reader")
    await world.alias("fbl@route.test", reader[0])
    token, accepted_id = await submit(world, sender, "cross@big.test", "calm@big.test", "cross@away.test")
    await until(lambda: len(next_server.by_token(token)) == 2)
    mail_from = next(
        one.mail_from for one in next_server.by_token(token) if one.recipients[0].endswith("@big.test")
    )  # fmt: skip
    report = (
        "Authentication-Results: mx.route.test; dkim=pass header.d=big.test\r\nFrom: fbl@big.test\r\nSubject: complaint\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\r\nSpam.\r\n"
        "--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n"
        f"Original-Mail-From: <{mail_from}>\r\nOriginal-Rcpt-To: <cross@big.test>\r\nOriginal-Rcpt-To: <cross@away.test>\r\n\r\n--b--\r\n"
    ).encode()
    await world.accept("fbl@route.test", mail_from="fbl@big.test", body=report, authenticated=False)
    ids = await world.accept("fbl@route.test", mail_from="fbl@big.test", body=report, authenticated=True, count=2)
    await world.settled(ids)
    assert len(await world.messages(reader[1])) >= 2  # they are mail all the same
    kept = await pool.fetch(
        "/* cold:test.complaints */ SELECT accepted_id, recipient_no, kind FROM returned WHERE account_id = $1",
        sender[1],
    )
    assert [(row["accepted_id"].bytes, row["recipient_no"], row["kind"]) for row in kept] == [(accepted_id, 0, 2)]
    told = "/* cold:test.conduct */ SELECT bounced, complained FROM conduct WHERE account_id = $1"
    assert [tuple(row) for row in await pool.fetch(told, sender[1])] == [(0, 1)]
    rows = await pool.fetch(
        "/* cold:test.complained */ SELECT payload FROM outbox WHERE subject LIKE 'delivery.message.complained.v1.%'"
    )
    events = [events_pb2.MessageComplained.FromString(row["payload"]) for row in rows]
    assert [(one.account_id, list(one.recipient_nos), one.feedback_type) for one in events] == [
        (sender[1], [0], "abuse")
    ]
    again, _ = await submit(world, sender, "cross@big.test", "calm@big.test", "cross@away.test")
    await until(lambda: len(next_server.by_token(again)) == 2)

    async def refused() -> bool:
        return len(await world.messages(sender[1])) == 1

    await until(refused)
    taken = sorted(address for one in next_server.by_token(again) for address in one.recipients)
    assert taken == ["calm@big.test", "cross@away.test"]
    freely, _ = await submit(world, other, "cross@big.test")
    await until(lambda: len(next_server.by_token(freely)) == 1)
    # what another message's taking says of an address lifts no complaint
    rows_of = SuppressionRows(pool)
    keys = [one.key for one in await rows_of.list(sender[1], 10)]
    await rows_of.taken(sender[1], keys)
    assert [one.status for one in await rows_of.list(sender[1], 10)] == ["complaint"]
    assert await rows_of.lift(sender[1], keys) == 1


async def test_rfc8621_7_what_a_bounce_says_is_the_status_of_the_submission(
    world: DeliveryWorld, returning_stack: Stack, next_server: Sink
) -> None:
    address, account = await world.person("gina")
    person = Sender(world, address, account, address, account)
    made = await person.submit(await person.letter("later"), "late@else.test", "fine@else.test")
    await until(lambda: len(next_server.by_token("later")) == 1)

    async def statuses() -> dict[int, int]:
        return {one.recipient_no: one.delivered for one in (await person.whole(made.number)).recipients}

    async def sent() -> bool:
        return await statuses() == {0: pb.DELIVERED_UNKNOWN, 1: pb.DELIVERED_UNKNOWN}

    await until(sent)
    sender = next_server.by_token("later")[0].mail_from
    message = _report(sender, "late@else.test")
    assert await asyncio.to_thread(send_back, returning_stack, sender, message) == 250

    async def failed() -> bool:
        return await statuses() == {0: pb.DELIVERED_NO, 1: pb.DELIVERED_UNKNOWN}

    await until(failed)
    replies = {one.recipient_no: one.smtp_reply for one in (await person.whole(made.number)).recipients}
    assert replies[0] == "550 5.1.1 nobody"
