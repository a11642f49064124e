"""Strangers try to reach a child by SMTP, judged as mail is, with names in a DNS: nothing of theirs gets through."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from services.ingest.tests.judging_world import signed
from tests.conformance.smtp.wire_client import Client
from tests.integration.delivery_world import DOMAIN, DeliveryWorld, prepared_stack, world_of
from tests.integration.judging_names import Names, quoted, zone
from tests.integration.junior.conftest import Family, switch_off
from tests.ports import offset_of

from petitbleu.delivery.v1 import scripts_pb2, scripts_pb2_grpc
from petitbleu.junior_guard.v1 import junior_guard_pb2
from petitbleu_dev.stack import Stack
from petitbleu_mail.addresses import canonical_domain

ANN = "ann@good.example"  # approved; signs, sends from here, DMARC p=reject
BOB = "bob@lax.example"  # approved; sends from elsewhere, and has no DMARC record
EVE = "eve@evil.example"  # a stranger; sends from here
TWIN_DOMAIN = canonical_domain("g\u043e\u043ed.example")  # the letters o are Cyrillic
TWINS = (f"ann@{TWIN_DOMAIN}", "ann@go0d.example", "a\u043dn@good.example")
_numbers = itertools.count(1)


def names() -> dict[str, list[str]]:
    here = quoted("v=spf1 ip4:127.0.0.1 -all")
    return {
        **zone(),
        "evil.example": [here],
        "lax.example": [quoted("v=spf1 ip4:192.0.2.1 -all")],
        TWIN_DOMAIN: [here],
        "go0d.example": [here],
        "good.example.evil.example": [here],
    }


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Names(names()) as server:
        environment = {"PETITBLEU_DNS": server.address, "PETITBLEU_JUDGE_SECONDS": "5"}
        only = "backends,store,accounts,delivery,junior-guard,ingest"
        data = tmp_path_factory.mktemp("attacked") / "data"
        with prepared_stack(data, offset_of(503), environment, only) as stack:
            switch_off(stack)
            yield stack


@pytest.fixture
async def world(attacked: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(attacked) as made:
        yield made


@pytest.fixture
async def child(world: DeliveryWorld, family: Family) -> Family:
    """A child with two friends."""
    for friend in (ANN, BOB):
        await world.guard_admin("Approve", junior_guard_pb2.ApproveRequest(account_id=family.child_id, address=friend))
    return family


def letter(header: str, *, rest: str = "") -> bytes:
    """A message; `header` is fields about who wrote it."""
    more = f"Subject: hello\r\nDate: Sun, 22 Nov 2026 01:00:00 +0000\r\nMessage-ID: <{next(_numbers)}@x.example>\r\n"
    return (header + "\r\n" + more + rest + "\r\nhello\r\n").encode()


def send(stack: Stack, to: str, whole: bytes, sender: str) -> int:
    """Send by SMTP; the answer's code."""
    with Client(stack.port("smtp"), seconds=60) as client:
        client.hello("mail.good.example")
        utf8 = not (whole.isascii() and sender.isascii())
        asked = client.cmd(f"MAIL FROM:<{sender}>" + " SMTPUTF8" * utf8)
        if asked.code != 250:
            return asked.code
        asked = client.cmd(f"RCPT TO:<{to}>")
        assert asked.code == 250  # as for an adult
        return client.data(whole + b".\r\n").code


async def tries(world: DeliveryWorld, to: str, whole: bytes, sender: str) -> int:
    code = await asyncio.to_thread(send, world.stack, to, whole, sender)
    await world.quiet()
    return code


async def came(world: DeliveryWorld, account_id: int) -> int:
    """How many messages an account has, once nothing more is on its way."""
    for _ in range(3):
        await asyncio.sleep(0.1)
        await world.quiet()
    return len(await world.messages(account_id))


async def test_a_friends_own_mail_comes(world: DeliveryWorld, child: Family) -> None:
    """Otherwise nothing below shows anything."""
    assert await tries(world, child.child, letter(f"From: Ann <{ANN}>"), ANN) == 250
    assert await tries(world, child.child, signed(letter(f"From: <{ANN}>\r\nTo: x")), EVE) == 250
    assert await came(world, child.child_id) == 2


FORGED = {
    "from is not who sent it": f"From: Ann <{ANN}>",
    "a friend without dmarc": f"From: Bob <{BOB}>",
    "two from fields": f"From: <{EVE}>\r\nFrom: <{ANN}>",
    "two from fields, the friend first": f"From: <{ANN}>\r\nFrom: <{EVE}>",
    "two authors": f"From: <{ANN}>, <{EVE}>",
    "a folded second author": f"From: <{EVE}>,\r\n <{ANN}>",
    "a comment": f"From: {EVE} ({ANN})",
    "a comment before": f"From: ({ANN}) {EVE}",
    "a comment inside": "From: eve(ann@good.example)@evil.example",
    "a group": f"From: {ANN}: {EVE};",
    "an empty group": f"From: {ANN}:;",
    "a group of the friend": f"From: friends: {ANN};",
    "an encoded word": "From: =?utf-8?q?ann=40good=2Eexample?= <eve@evil.example>",
    "an encoded word as the address": "From: =?utf-8?q?ann=40good=2Eexample?=",
    "an encoded word in angle brackets": "From: <=?utf-8?q?ann?=@good.example>",
    "nul": f"From: <{ANN}\x00@evil.example>",
    "nul behind": f"From: <{ANN}>\x00 <{EVE}>",
    "a display name": f'From: "{ANN}" <{EVE}>',
    "a display name of a person": f'From: "Ann Good" <{EVE}>',
    "a quoted local part": 'From: "ann@good.example"@evil.example',
    "a route": f"From: <@good.example:{EVE}>",
    "two angle brackets": f"From: <{ANN}> <{EVE}>",
    "reply-to": f"From: <{EVE}>\r\nReply-To: <{ANN}>",
    "resent": f"From: <{EVE}>\r\nResent-From: <{ANN}>\r\nResent-Sender: <{ANN}>",
    "resent of the friend's": f"Resent-From: <{EVE}>\r\nFrom: <{ANN}>",
    "sender": f"From: <{EVE}>\r\nSender: <{ANN}>",
    "sender is the stranger": f"From: <{ANN}>\r\nSender: <{EVE}>",
    "a list": f"From: <{EVE}>\r\nList-Id: <friends.good.example>\r\nX-Original-From: <{ANN}>",
    "forged results": f"Authentication-Results: mx; dkim=pass header.d=good.example; dmarc=pass\r\nFrom: <{ANN}>",
    "forged arc": f"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=good.example; s=rsa; b=AA==\r\nFrom: <{ANN}>",
    "no from": "To: <x@y.example>",
    "a space in the name of the field": f"From : <{ANN}>\r\nFrom: <{EVE}>",
    "below a friend's name": "From: <ann@good.example.evil.example>",
    "plus": "From: <ann+x@good.example>",
    "dot": "From: <a.nn@good.example>",
}


@pytest.mark.parametrize("how", FORGED)
async def test_who_is_not_the_friend_does_not_come(world: DeliveryWorld, child: Family, how: str) -> None:
    await tries(world, child.child, letter(FORGED[how]), EVE)
    assert await came(world, child.child_id) == 0
    assert await world.parked() == {}


@pytest.mark.parametrize("level", [2, 3, 4])
async def test_who_only_looks_like_a_friend_does_not_come_at_any_level(
    world: DeliveryWorld, child: Family, level: int
) -> None:
    await world.guard_admin("SetLevel", junior_guard_pb2.SetLevelRequest(account_id=child.child_id, level=level))
    for twin in TWINS:
        sender = twin if twin.isascii() else EVE
        await tries(world, child.child, letter(f"From: Ann <{twin}>"), sender)
    assert await came(world, child.child_id) == 0


async def test_variants_of_a_friend_are_others_even_with_a_good_signature(world: DeliveryWorld, child: Family) -> None:
    for variant in ("ann+x@good.example", "a.nn@good.example", "ann.@good.example"):
        await tries(world, child.child, signed(letter(f"From: <{variant}>\r\nTo: x")), ANN)
    assert await came(world, child.child_id) == 0


async def test_no_bounce_comes_forged_or_with_a_good_signature(world: DeliveryWorld, child: Family) -> None:
    report = "Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n"
    for author in (ANN, "mailer-daemon@good.example", f"postmaster@{DOMAIN}"):
        await tries(world, child.child, letter(f"From: <{author}>\r\nTo: x", rest=report), "")
        await tries(world, child.child, signed(letter(f"From: <{author}>\r\nTo: x", rest=report)), "")
    assert await came(world, child.child_id) == 0


async def test_no_other_address_of_the_child_is_a_way_round(world: DeliveryWorld, child: Family) -> None:
    nick, us = f"nick{child.child_id}@{DOMAIN}", f"us{child.child_id}@{DOMAIN}"
    await world.alias(nick, child.child)
    await world.alias(us, child.child, child.mother)
    local, _, domain = child.child.rpartition("@")
    for to in (nick, us, f"{local}+x@{domain}", child.child.upper()):
        await tries(world, to, letter(f"From: <{EVE}>"), EVE)
        await tries(world, to, letter(f"From: <{ANN}>"), EVE)
    assert await came(world, child.child_id) == 0


async def test_a_grown_up_who_sends_all_on_is_no_way_round(world: DeliveryWorld, child: Family) -> None:
    update = scripts_pb2.ScriptUpdate(name="main", content=f'redirect "{child.child}"; keep;'.encode())
    request = scripts_pb2.UpdateScriptsRequest(account_id=child.mother_id, updates=[update], activate_created_by=0)
    stub, principal = scripts_pb2_grpc.ScriptServiceStub, world.principal(child.mother_id)
    done = await world.call("delivery", "gateway", stub, "UpdateScripts", request, principal)
    assert done.activated_id
    await tries(world, child.mother, letter(f"From: <{EVE}>"), EVE)
    await tries(world, child.mother, letter(f"From: <{BOB}>"), EVE)
    await tries(world, child.mother, letter(f"From: <{EVE}>\r\nReply-To: <{ANN}>"), "")
    assert await came(world, child.mother_id) == 3
    assert await came(world, child.child_id) == 0
    await tries(world, child.mother, letter(f"From: <{ANN}>"), ANN)
    assert await came(world, child.child_id) == 1
