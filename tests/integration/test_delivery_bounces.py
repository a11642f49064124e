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
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu_delivery.adapters.bounce_keys import BounceKeyRows
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
        "PETITBLEU_JUDGE_SECONDS": "1",
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
    found = await pool.fetch("/* cold:test.bounce_keys */ SELECT key_no, secret FROM bounce_key")
    assert [row["key_no"] for row in found] == [1]
    assert len(found[0]["secret"]) > 32 + 12
    await asyncio.gather(*(rows.make(2) for _ in range(4)))
    await pool.execute("/* cold:test.bounce_old */ UPDATE bounce_key SET made_at = now() - interval '30 days'")
    await rows.forget(31 * 86_400)
    assert await pool.fetchval("/* cold:test.bounce_count */ SELECT count(*) FROM bounce_key") == 2
    await rows.forget(29 * 86_400)
    assert await pool.fetchval("/* cold:test.bounce_left */ SELECT min(key_no) FROM bounce_key") == 2
