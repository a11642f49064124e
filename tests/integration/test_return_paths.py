"""Rewritten senders (SRS) on real services: what a rule sent on finds back to who sent it, and nothing else goes that way (ADR 47)."""

from __future__ import annotations

import asyncio
import re
import smtplib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.integration.delivery_world import ONLY, DeliveryWorld, prepared_stack, world_of
from tests.integration.test_delivery_scripts import activate, arrived
from tests.ports import offset_of
from tests.smtp_sink import Sink, Taken

from petitbleu_dev.stack import Stack

ANNA = "Anna=B@else.test"
FORM = re.compile(r"SRS0=[a-z2-7]{8}=[a-z2-7]{2}=else\.test=Anna=B@route\.test")


@pytest.fixture(scope="module")
def far() -> Iterator[Sink]:
    one = Sink(answers={"gone": "550 5.1.1 nobody here"})
    yield one
    one.stop()


@pytest.fixture(scope="module")
def returning_stack(tmp_path_factory: pytest.TempPathFactory, far: Sink) -> Iterator[Stack]:
    environment = {"PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{far.port}"}
    path = tmp_path_factory.mktemp("returning") / "data"
    with prepared_stack(path, offset_of(396), environment, only=f"{ONLY},ingest") as stack:
        yield stack


@pytest.fixture
async def world(returning_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(returning_stack) as made:
        yield made


async def came(far: Sink, mark: str, to: str) -> Taken:
    """Wait for a message at the other server."""
    deadline = time.monotonic() + 60
    while not (found := [one for one in far.taken if mark.encode() in one.content and one.recipients == [to]]):
        assert time.monotonic() < deadline, f"nothing came to {to}"
        await asyncio.sleep(0.1)
    return found[0]


def letter(mark: str, sender: str = ANNA) -> bytes:
    return f"From: <{sender}>\r\nSubject: {mark}\r\nMessage-ID: <{mark}@else.test>\r\n\r\nHello {mark}\r\n".encode()


def said(stack: Stack, sender: str, to: str, body: bytes = b"") -> tuple[int, bytes]:
    """Bring a mail to our MX: the answer to RCPT, or to the final dot of a body."""
    with smtplib.SMTP("127.0.0.1", stack.port("smtp"), timeout=60) as smtp:
        smtp.ehlo("else.test")
        smtp.docmd(f"MAIL FROM:<{sender}>")
        answer = smtp.docmd(f"RCPT TO:<{to}>")
        return smtp.data(body) if body and answer[0] == 250 else answer


async def test_a_bounce_of_what_was_sent_on_reaches_who_sent_it(
    world: DeliveryWorld, returning_stack: Stack, far: Sink
) -> None:
    address, account = await world.person()
    await activate(world, account, 'redirect "far@third.test";')
    body = letter("first-way")
    assert (await asyncio.to_thread(said, returning_stack, ANNA, address, body))[0] == 250
    path = (await came(far, "first-way", "far@third.test")).mail_from
    assert FORM.fullmatch(path), path
    bounce = b"From: <mailer-daemon@third.test>\r\nSubject: first-bounce\r\n\r\nIt cannot be delivered.\r\n"
    assert (await asyncio.to_thread(said, returning_stack, "", path.lower(), bounce))[0] == 250
    back = await came(far, "first-bounce", ANNA.lower())
    assert back.mail_from == "<>"
    assert bounce.strip() in back.content
    # the owner of the rule has nothing of it
    assert await world.messages(account) == []
    assert sum(b"first-bounce" in one.content for one in far.taken) == 1


async def test_only_bounces_to_senders_that_we_rewrote_go_that_way(
    world: DeliveryWorld, returning_stack: Stack, far: Sink
) -> None:
    address, account = await world.person()
    await activate(world, account, 'redirect "far@third.test";')
    await world.accept(address, mail_from=ANNA, body=letter("second-way"))
    path = (await came(far, "second-way", "far@third.test")).mail_from
    assert (await asyncio.to_thread(said, returning_stack, "", path))[0] == 250
    # it takes no mail that has a sender; a changed one, one of another domain and a made up one lead nowhere
    wrong = [
        path.replace("else.test", "evil.test"),
        path.replace("=Anna", "=Eve"),
        "SRS0=aaaaaaaa=aa=x.test=y@route.test",
    ]
    for sender, to in [("a@else.test", path), *(("", one) for one in wrong)]:
        code, text = await asyncio.to_thread(said, returning_stack, sender, to)
        assert (code, text[:5]) == (550, b"5.1.1"), (sender, to)


async def test_what_the_next_server_refuses_is_told_to_whose_rule_it_was(world: DeliveryWorld, far: Sink) -> None:
    address, account = await world.person()
    await activate(world, account, 'if header "subject" "third-way" { redirect "gone@third.test"; }')
    await world.accept(address, mail_from=ANNA, body=letter("third-way"))
    (notice,) = await arrived(world, account)
    assert notice.get_content_type() == "multipart/report"
    assert "gone@third.test" in notice.as_string()
    # a stranger may not have sent what bears their name
    assert not any(one.recipients == [ANNA] and b"third-way" in one.content for one in far.taken)


async def test_the_null_path_stays_null_and_what_does_not_fit_leaves_as_the_owners(
    world: DeliveryWorld, far: Sink
) -> None:
    address, account = await world.person()
    await activate(world, account, 'redirect "far@third.test";')
    await world.accept(address, mail_from="", body=letter("fourth-way"))
    assert (await came(far, "fourth-way", "far@third.test")).mail_from == "<>"
    long = f"{'a' * 60}@else.test"
    await world.accept(address, mail_from=long, body=letter("fifth-way", long))
    assert (await came(far, "fifth-way", "far@third.test")).mail_from == address
