"""Mail for other servers, from the queue to a server that takes, defers or refuses it: the stack as it ships, a smart host of the test's."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.integration.delivery_world import DOMAIN, DeliveryWorld, prepared_stack, submit, world_of
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu.store.v1 import accept_pb2
from petitbleu_dev.stack import Stack

OFFSET = offset_of(500)


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Stack]:
    environment = {
        "PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{sink.port}", "PETITBLEU_OUTBOUND_FIRST_RETRY_SECONDS": "2",
        "PETITBLEU_OUTBOUND_SILENT_SECONDS": "3",
    }  # fmt: skip
    with prepared_stack(tmp_path_factory.mktemp("outbound") / "data", OFFSET, environment, "backends,services") as one:
        yield one


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(stack) as made:
        yield made


async def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.05)


async def test_a_submitted_message_leaves_once_signed_and_byte_for_byte(world: DeliveryWorld, sink: Sink) -> None:
    sender, account = await world.person()
    token, accepted_id = await submit(world, account, sender, "far@else.test", "near@else.test", "other@third.test")
    await until(lambda: sum(len(one.recipients) for one in sink.by_token(token)) == 3)
    found = sink.by_token(token)
    assert sorted(tuple(one.recipients) for one in found) == [
        ("far@else.test", "near@else.test"),
        ("other@third.test",),
    ]
    for one in found:
        assert one.mail_from == sender
        assert one.content.endswith(b"\r\n\r\n.dots\r\n..too\r\n")
        assert f"d={DOMAIN};".encode() in one.content.replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")
    await world.settled([accepted_id])
    await asyncio.sleep(1)
    assert len(sink.by_token(token)) == 2


async def test_an_author_that_was_not_checked_never_leaves(world: DeliveryWorld, sink: Sink) -> None:
    """A door that let it in is not the last one: what comes out of the checks' sight by making line ends of it is refused."""
    sender, account = await world.person()
    token = os.urandom(6).hex()
    hidden = (
        f"From: <{sender}>\r\nSubject: {token}\rFrom: head@{DOMAIN}\rBcc: secret@else.test\r\n\r\nBonjour\r\n".encode()
    )
    _, accepted_id = await submit(world, account, sender, "far@else.test", body=hidden)
    await world.settled([accepted_id])
    plain, _ = await submit(world, account, sender, "far@else.test")
    await until(lambda: sink.by_token(plain) != [])
    assert sink.by_token(token) == []


@pytest.mark.parametrize("known", [True, False])
async def test_what_a_rule_sends_on_is_signed_for_an_author_who_is_known(
    world: DeliveryWorld, sink: Sink, known: bool
) -> None:
    owner, account = await world.person()
    token = os.urandom(6).hex()
    written = f"From: <head@{DOMAIN}>\r\nSubject: {token}\r\n\r\nBonjour\r\n".encode()
    await submit(
        world, account, owner, "far@else.test", body=written, origin=accept_pb2.ORIGIN_RULE, header_from=f"head@{DOMAIN}",
        verdicts=accept_pb2.AuthenticationVerdicts(from_authenticated=known),
    )  # fmt: skip
    await until(lambda: sink.by_token(token) != [])
    (one,) = sink.by_token(token)
    assert (b"DKIM-Signature:" in one.content) == known


async def test_what_a_stranger_sent_never_leaves(world: DeliveryWorld, sink: Sink) -> None:
    sender, account = await world.person()
    token, accepted_id = await submit(world, account, sender, "far@else.test", origin=accept_pb2.ORIGIN_STRANGER)
    await world.settled([accepted_id])
    assert sink.by_token(token) == []


async def test_a_childs_mail_waits(world: DeliveryWorld, sink: Sink) -> None:
    guardian, _ = await world.person("guardian")
    sender, account = await world.person("child", guarded=True, guardians=(guardian,))
    token, accepted_id = await submit(world, account, sender, "far@else.test")
    await asyncio.sleep(3)
    assert sink.by_token(token) == []
    assert (await world.still_open([accepted_id])).keys() == {(accepted_id, 0)}


async def test_a_deferred_recipient_is_tried_again_and_the_others_are_not(world: DeliveryWorld, sink: Sink) -> None:
    sender, account = await world.person()
    sink.answers["slow"] = "451 4.3.0 later"
    token, _ = await submit(world, account, sender, "fast@else.test", "slow@else.test")
    await until(lambda: sink.tried["slow"] >= 2)
    sink.answers["slow"] = "250 fine"
    await until(lambda: len(sink.by_token(token)) == 2)
    assert sorted(one.recipients[0] for one in sink.by_token(token)) == ["fast@else.test", "slow@else.test"]


async def test_kill_between_answers_sends_nothing_twice(world: DeliveryWorld, sink: Sink, stack: Stack) -> None:
    sender, account = await world.person()
    sent = [await submit(world, account, sender, f"k{number}@d{number % 7}.test") for number in range(40)]
    await asyncio.sleep(0.3)
    stack.kill("delivery")
    stack.wait_ready(name="delivery")
    sent += [await submit(world, account, sender, f"k{number}@d{number % 7}.test") for number in range(40, 50)]
    await until(lambda: all(sink.by_token(token) for token, _ in sent))
    doubled = [token for token, _ in sent if len(sink.by_token(token)) > 1]
    # RFC 1047: only what was answered and not yet kept when the process died
    assert len(doubled) <= 20
