"""From accepted to filed through real services: routing, exactly once, parked mail, and what delivery remembers."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import grpc
import grpc.aio
import pytest
from tests.integration.delivery_world import DOMAIN, DeliveryWorld, prepared_stack, world_of
from tests.ports import offset_of

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.delivery.v1 import delivery_pb2, delivery_pb2_grpc
from petitbleu.store.v1 import filing_pb2, filing_pb2_grpc
from petitbleu_dev.stack import Stack

OFFSET = offset_of(500)


@pytest.fixture(scope="module")
def delivery_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with prepared_stack(tmp_path_factory.mktemp("delivery") / "data", OFFSET) as stack:
        yield stack


@pytest.fixture
async def world(delivery_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(delivery_stack) as made:
        yield made


async def test_mail_is_filed_with_its_prefix_and_byte_for_byte(world: DeliveryWorld) -> None:
    address, account = await world.person("Alice")
    body = b"From: <peer@else.test>\r\nSubject: bytes\r\n\r\n\xff\x00.dots\r\n..more\r\n"
    shown = address.upper().replace("@", "+News@", 1)
    ids = await world.accept(shown, body=body)
    await world.settled(ids)
    (message,) = await world.messages(account)
    text = await world.text(account, message)
    prefix = b"Return-Path: <peer@else.test>\r\nDelivered-To: %s\r\nReceived: " % shown.encode()
    assert text.startswith(prefix)
    assert text.endswith(body)


async def test_own_addresses_aliases_groups_plus_and_catch_all_lead_where_they_should(world: DeliveryWorld) -> None:
    domain = await world.new_domain()
    first, one = await world.person(domain=domain)
    second, two = await world.person(domain=domain)
    catcher, three = await world.person(domain=domain)
    await world.alias(f"alias@{domain}", first)
    await world.alias(f"team@{domain}", first, second, f"alias@{domain}")
    await world.admin("SetCatchAll", accounts_pb2.SetCatchAllRequest(domain=domain, address=catcher))
    ids = await world.accept(first)
    ids += await world.accept(f"alias@{domain}")
    ids += await world.accept(f"team@{domain}")
    ids += await world.accept(first.replace("@", "+x@"))
    ids += await world.accept(f"whoever@{domain}")
    ids += await world.accept(
        first, f"alias@{domain}", f"team@{domain}"
    )  # one message for the first, one for the second
    await world.settled(ids)
    assert len(await world.messages(one)) == 5
    assert len(await world.messages(two)) == 2
    assert len(await world.messages(three)) == 1


async def test_duplicate_and_reordered_events_file_once(world: DeliveryWorld) -> None:
    address, account = await world.person()
    ids = [one for _ in range(6) for one in await world.accept(address, count=9)]
    replayed = await world.replay_events()
    assert replayed >= 18
    await world.settled(ids)
    await world.quiet()
    assert len(await world.messages(account)) == 54


async def test_a_killed_delivery_loses_and_doubles_nothing(world: DeliveryWorld) -> None:
    address, account = await world.person()
    ids = []
    for round_no in range(12):
        ids += await world.accept(address, count=8)
        if round_no in {3, 7}:
            world.stack.wait_ready(name="delivery")
            world.stack.kill("delivery", signal.SIGKILL)
    world.stack.wait_ready(name="delivery")
    await world.settled(ids)
    await world.quiet()
    assert len(await world.messages(account)) == 96


async def test_sigterm_drains_within_ten_seconds_and_nothing_waits_for_it_afterwards(world: DeliveryWorld) -> None:
    address, account = await world.person()
    ids = [one for _ in range(10) for one in await world.accept(address, count=20)]
    started = time.monotonic()
    world.stack.restart("delivery")
    assert time.monotonic() - started < 15
    world.stack.wait_ready(name="delivery")
    await world.settled(ids, 8)  # less than the bus waits for a process that died
    assert len(await world.messages(account)) == 200


async def test_what_accounts_says_is_forgotten_at_once(world: DeliveryWorld) -> None:
    first, one = await world.person()
    second, two = await world.person()
    alias = f"moves{one}@{DOMAIN}"
    await world.alias(alias, first)
    await world.settled(await world.accept(alias))
    assert len(await world.messages(one)) == 1
    await world.alias(alias, second)
    await asyncio.sleep(1)  # the event's way
    await world.settled(await world.accept(alias))
    assert (len(await world.messages(one)), len(await world.messages(two))) == (1, 1)


async def test_an_address_deleted_meanwhile_is_parked_listed_replayed_and_dropped(world: DeliveryWorld) -> None:
    address, account = await world.person()
    alias = f"gone{account}@{DOMAIN}"
    await world.alias(alias, address)
    world.stack.stop_process("delivery")
    replayed, dropped = await world.accept(alias, count=2)
    (neighbour,) = await world.accept(address)
    await world.admin("DeleteAlias", accounts_pb2.DeleteAliasRequest(address=alias))
    world.stack.start_process("delivery")
    await world.settled([replayed, dropped, neighbour])
    parked = await world.parked()
    assert parked[replayed] == parked[dropped] == "no-such-address"
    assert neighbour not in parked
    assert len(await world.messages(account)) == 1

    stub = filing_pb2_grpc.ParkedServiceStub
    drop = filing_pb2.DropParkedRequest(recipients=[filing_pb2.RecipientRef(accepted_id=dropped)])
    assert (await world.call("store", "operator", stub, "DropParked", drop)).dropped == 1
    await world.alias(alias, address)
    await asyncio.sleep(1)
    replay = filing_pb2.ReplayParkedRequest(recipients=[filing_pb2.RecipientRef(accepted_id=replayed)])
    assert (await world.call("store", "operator", stub, "ReplayParked", replay)).replayed == 1
    deadline = time.monotonic() + 20
    while len(await world.messages(account)) < 2:
        assert time.monotonic() < deadline, "the replayed message was not filed"
        await asyncio.sleep(0.1)
    left = await world.parked()
    assert replayed not in left
    assert dropped not in left


async def test_accounts_away_makes_mail_wait_and_nothing_is_parked(world: DeliveryWorld) -> None:
    address, account = await world.person()
    world.stack.stop_process("accounts")
    ids = await world.accept(address)
    await asyncio.sleep(2)
    assert await world.still_open(ids)
    world.stack.start_process("accounts")
    await world.settled(ids)
    assert len(await world.messages(account)) == 1
    assert not set(ids) & set(await world.parked())


async def test_only_the_operator_is_let_in(world: DeliveryWorld) -> None:
    stub = delivery_pb2_grpc.RoutingServiceStub
    await world.call("delivery", "operator", stub, "ForgetCaches", delivery_pb2.ForgetCachesRequest())
    assert (await world.status()).pending_events >= 0
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await world.call("delivery", "ingest", stub, "GetStatus", delivery_pb2.GetStatusRequest())
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
