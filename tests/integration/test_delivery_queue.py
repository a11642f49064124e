"""What people and operators see of the outbound queue: notices, warnings, orders, and a child's mail at the second gate."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.integration.junior.hands import Hands
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.delivery.v1 import permits_pb2, permits_pb2_grpc, queue_pb2, queue_pb2_grpc
from petitbleu.junior_guard.v1 import junior_guard_pb2
from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc, filing_pb2, filing_pb2_grpc
from petitbleu_delivery.service.suspensions import SECONDS
from petitbleu_dev.stack import Stack
from petitbleu_mail.delivery_status import DeliveryStatus, read_delivery_status
from petitbleu_mail.reports import find_report

OFFSET = offset_of(450)


@pytest.fixture(scope="module")
def other_server() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def queue_stack(tmp_path_factory: pytest.TempPathFactory, other_server: Sink) -> Iterator[Stack]:
    environment = {
        "PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{other_server.port}", "PETITBLEU_OUTBOUND_FIRST_RETRY_SECONDS": "1",
        "PETITBLEU_OUTBOUND_LONGEST_RETRY_SECONDS": "2", "PETITBLEU_OUTBOUND_WARN_SECONDS": "2",
        "PETITBLEU_OUTBOUND_EXPIRE_SECONDS": "12", "PETITBLEU_OUTBOUND_NAME": "mail.route.test",
        "PETITBLEU_OUTBOUND_SOURCES": "main=127.0.0.2 out2.route.test, 127.0.0.3 out3.route.test",
    }  # fmt: skip
    with prepared_stack(tmp_path_factory.mktemp("queue") / "data", OFFSET, environment) as stack:
        yield stack


@pytest.fixture
async def world(queue_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(queue_stack) as made:
        yield made


async def submit(
    world: DeliveryWorld, sender: tuple[str, int], *recipients: str, notify: str = "", ret: str = ""
) -> tuple[str, bytes]:
    """Accept a message as the submission door does; its subject and id."""
    address, account_id = sender
    token = os.urandom(6).hex()
    item = accept_pb2.AcceptItem(
        idempotency_key=hashlib.sha256(token.encode()).digest(), mail_from=address, header_from=address,
        body=f"From: <{address}>\r\nSubject: {token}\r\nMessage-ID: <{token}@route.test>\r\n\r\nthe whole text\r\n".encode(),
        recipients=[accept_pb2.AcceptRecipient(address=one, tenant_id=1, notify=notify) for one in recipients],
        trace=b"Received: by us; Sun, 22 Nov 2026 00:00:00 +0000\r\n", origin=accept_pb2.ORIGIN_SUBMITTED,
        verdicts=accept_pb2.AuthenticationVerdicts(from_authenticated=True), submitter_account_id=account_id,
        submitter_tenant_id=world._tenants[account_id], parameters=accept_pb2.EnvelopeParameters(ret=ret),
    )  # fmt: skip
    request = accept_pb2.AcceptRequest(items=[item])
    done = await world.call("store", "ingest", accept_pb2_grpc.AcceptServiceStub, "Accept", request)
    assert done.results[0].status == accept_pb2.ACCEPT_STATUS_OK
    return token, done.results[0].accepted_id


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.1)


async def notices(world: DeliveryWorld, account_id: int, count: int) -> list[tuple[bytes, DeliveryStatus]]:
    """Wait for so many notices in an account; each with what it says to machines, oldest first."""

    async def enough() -> bool:
        return len(await world.messages(account_id)) >= count

    await until(enough)
    found = []
    for message_id in reversed(await world.messages(account_id)):
        raw = await world.text(account_id, message_id)
        report = find_report(raw)
        assert report is not None
        status = read_delivery_status(raw[report.machine.body_start : report.machine.body_end])
        assert status is not None
        found.append((raw, status))
    return found


async def outcomes(world: DeliveryWorld, address: str) -> dict[int, int]:
    """Recipient's number → outcome of what an address was sent, by the operator's trace."""
    request = filing_pb2.TraceRequest(to=address, limit=100)
    found = await world.call("store", "operator", filing_pb2_grpc.ParkedServiceStub, "Trace", request)
    return {entry.recipient.recipient_no: entry.outcome for entry in found.entries}


async def order(world: DeliveryWorld, method: str, request: object) -> object:
    return await world.call("delivery", "operator", queue_pb2_grpc.QueueServiceStub, method, request)


async def test_rfc3461_6_a_refusal_is_told_once_and_not_where_nobody_wants_to_know(
    world: DeliveryWorld, other_server: Sink
) -> None:
    sender = await world.person()
    other_server.answers["nobody"] = "550 5.1.1 no such mailbox here"
    token, accepted_id = await submit(world, sender, "nobody@else.test", "some@else.test")
    silent, _ = await submit(world, sender, "nobody@else.test", notify="NEVER")
    passed, _ = await submit(world, sender, "some@else.test", notify="SUCCESS")
    found = await notices(world, sender[1], 2)
    by_action = {status.recipients[0].action: (raw, status) for raw, status in found}
    assert by_action.keys() == {"failed", "relayed"}
    raw, status = by_action["failed"]
    assert token.encode() in raw
    assert silent.encode() not in raw
    assert b"the whole text" not in raw
    assert raw.startswith(b"Return-Path: <>\r\n")
    assert b"\r\nFrom: Service de messagerie <mailer-daemon@mail.route.test>\r\n" in raw
    assert [(one.final_recipient.address, one.status) for one in status.recipients] == [("nobody@else.test", "5.1.1")]
    assert passed.encode() in by_action["relayed"][0]
    await until(lambda: len(other_server.by_token(token)) == 1)

    async def ended() -> bool:
        return set((await outcomes(world, "nobody@else.test")).values()) == {filing_pb2.OUTCOME_FAILED}

    await until(ended)
    shown = await order(world, "ShowMessage", queue_pb2.ShowMessageRequest(accepted_id=accepted_id))
    assert isinstance(shown, queue_pb2.ShowMessageResponse)
    assert [(one.state, one.code) for one in shown.recipients] == [("failed", 550), ("sent", 250)]
    await asyncio.sleep(1)
    assert len(await world.messages(sender[1])) == 2


async def test_rfc3461_5_2_3_mail_for_our_own_people_is_confirmed(world: DeliveryWorld) -> None:
    sender, friend = await world.person(), await world.person()
    token, _ = await submit(world, sender, friend[0], notify="SUCCESS")
    ((raw, status),) = await notices(world, sender[1], 1)
    assert [(one.action, one.final_recipient.address) for one in status.recipients] == [("delivered", friend[0])]
    assert token.encode() in raw
    assert len(await world.messages(friend[1])) == 1


async def test_what_lasts_too_long_is_told_once_and_fails_in_the_end(world: DeliveryWorld, other_server: Sink) -> None:
    sender = await world.person()
    other_server.answers["busy"] = "451 4.3.0 not now"
    token, _ = await submit(world, sender, "busy@slow.test", ret="FULL")
    found = await notices(world, sender[1], 2)
    assert [status.recipients[0].action for _, status in found] == ["delayed", "failed"]
    assert found[0][1].recipients[0].will_retry_until is not None
    assert found[1][1].recipients[0].status == "4.4.7"
    assert b"the whole text" in found[1][0]
    assert token.encode() in found[1][0]
    tried = other_server.tried["busy"]
    await asyncio.sleep(3)
    assert other_server.tried["busy"] == tried
    assert len(await world.messages(sender[1])) == 2


async def test_an_operator_pauses_looks_resumes_and_drops(world: DeliveryWorld, other_server: Sink) -> None:
    sender = await world.person()
    request = queue_pb2.DirectDestinationRequest(destination="Paused.test", paused=True)
    done = await order(world, "DirectDestination", request)
    assert isinstance(done, queue_pb2.DirectDestinationResponse)
    assert (done.destination.destination, done.destination.paused) == ("paused.test", True)
    await asyncio.sleep(2.5)  # a process hears of orders each second
    token, accepted_id = await submit(world, sender, "a@paused.test", "b@paused.test")
    dropped, dropped_id = await submit(world, sender, "drop@paused.test")

    async def waiting() -> list[queue_pb2.QueueUnit]:
        found = await order(world, "ListUnits", queue_pb2.ListUnitsRequest(destination="paused.test"))
        assert isinstance(found, queue_pb2.ListUnitsResponse)
        return list(found.units)

    async def both_wait() -> bool:
        return len(await waiting()) == 2

    await until(both_wait)
    assert {tuple(one.recipient_nos) for one in await waiting()} == {(0, 1), (0,)}
    listed = await order(world, "ListDestinations", queue_pb2.ListDestinationsRequest())
    assert isinstance(listed, queue_pb2.ListDestinationsResponse)
    assert [(one.units, one.paused) for one in listed.destinations if one.destination == "paused.test"] == [(2, True)]
    gone = await order(world, "DropUnits", queue_pb2.DropUnitsRequest(accepted_id=dropped_id))
    assert isinstance(gone, queue_pb2.DropUnitsResponse)
    assert gone.units == 1
    assert other_server.by_token(token) == []
    await order(world, "DirectDestination", queue_pb2.DirectDestinationRequest(destination="paused.test", paused=False))
    await until(lambda: len(other_server.by_token(token)) == 1)
    assert sorted(other_server.by_token(token)[0].recipients) == ["a@paused.test", "b@paused.test"]

    async def failed() -> bool:
        return await outcomes(world, "drop@paused.test") == {0: filing_pb2.OUTCOME_FAILED}

    await until(failed)
    assert other_server.by_token(dropped) == []
    assert await world.messages(sender[1]) == []
    shown = await order(world, "ShowMessage", queue_pb2.ShowMessageRequest(accepted_id=accepted_id))
    assert isinstance(shown, queue_pb2.ShowMessageResponse)
    assert [one.state for one in shown.recipients] == ["sent", "sent"]


def command(stack: Stack, *arguments: str) -> Any:
    """Run `petitbleu queue … --json` as an operator does; its answer."""
    done = subprocess.run(
        [sys.executable, "-m", "petitbleu_cli", "queue", *arguments, "--json"],
        env={**os.environ, "PETITBLEU_DATA": str(stack.layout.data)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_the_command_line_gives_orders(world: DeliveryWorld, queue_stack: Stack, other_server: Sink) -> None:
    sender = await world.person()

    async def queue(*arguments: str) -> Any:
        return await asyncio.to_thread(command, queue_stack, *arguments)

    assert (await queue("pause", "orders.test"))["paused"] is True
    await asyncio.sleep(2.5)
    token, accepted_id = await submit(world, sender, "a@orders.test")
    name = str(UUID(bytes=accepted_id))

    async def waits() -> bool:
        return [unit["message"] for unit in await queue("list", "orders.test")] == [name]

    await until(waits)
    assert ("orders.test", 1, True) in [
        (one["destination"], one["units"], one["paused"]) for one in await queue("list")
    ]
    assert (await queue("show", name))["recipients"][0]["state"] == "waits"
    assert (await queue("retry", "--message", name))["units"] <= 1
    await queue("resume", "orders.test")
    await until(lambda: len(other_server.by_token(token)) == 1)
    assert (await queue("drop", "--message", name))["units"] == 0


async def test_mail_is_rerouted(world: DeliveryWorld) -> None:
    elsewhere = Sink()
    try:
        sender = await world.person()
        route = queue_pb2.DirectDestinationRequest(destination="moved.test", route=f"127.0.0.1:{elsewhere.port}")
        await order(world, "DirectDestination", route)
        await asyncio.sleep(2.5)
        token, _ = await submit(world, sender, "a@moved.test")
        await until(lambda: len(elsewhere.by_token(token)) == 1)
    finally:
        elsewhere.stop()


async def test_a_childs_mail_leaves_when_its_correspondent_is_approved(
    world: DeliveryWorld, other_server: Sink
) -> None:
    mother, _ = await world.person("mother")
    neighbour, neighbour_id = await world.person("neighbour")
    child = await world.person("child", guarded=True, guardians=(mother,))
    token, accepted_id = await submit(world, child, "aunt@else.test", neighbour, mother)

    async def only_mother() -> bool:
        return (await world.still_open([accepted_id])).keys() == {(accepted_id, 0), (accepted_id, 1)}

    await until(only_mother)
    await asyncio.sleep(1)
    assert other_server.by_token(token) == []
    assert await world.messages(neighbour_id) == []
    for address in ("aunt@else.test", neighbour):
        await world.guard_admin("Approve", junior_guard_pb2.ApproveRequest(account_id=child[1], address=address))
    await until(lambda: len(other_server.by_token(token)) == 1, 120)
    await world.settled([accepted_id])
    assert len(await world.messages(neighbour_id)) == 1


async def _queued_and_paused(
    world: DeliveryWorld, destination: str, sender: tuple[str, int], *recipients: str
) -> tuple[str, bytes]:
    """Have a message queued for a destination that is paused; its subject and id."""
    await order(world, "DirectDestination", queue_pb2.DirectDestinationRequest(destination=destination, paused=True))
    await asyncio.sleep(2.5)
    token, accepted_id = await submit(world, sender, *recipients)

    async def waits() -> bool:
        found = await order(world, "ListUnits", queue_pb2.ListUnitsRequest(destination=destination))
        assert isinstance(found, queue_pb2.ListUnitsResponse)
        return [one.accepted_id for one in found.units] == [accepted_id]

    await until(waits)
    return token, accepted_id


async def test_an_approval_that_is_withdrawn_stops_what_was_queued(world: DeliveryWorld, other_server: Sink) -> None:
    mother, mother_id = await world.person("mother")
    child = await world.person("child", guarded=True, guardians=(mother,))
    aunt = "aunt@withdrawn.test"
    hands = Hands(world)
    await hands.say(mother_id, child[1], aunt, "APPROVE")
    token, accepted_id = await _queued_and_paused(world, "withdrawn.test", child, aunt)
    await hands.say(mother_id, child[1], aunt, "REFUSE")
    resumed = queue_pb2.DirectDestinationRequest(destination="withdrawn.test", paused=False)
    await order(world, "DirectDestination", resumed)

    async def asked() -> bool:
        found = await order(world, "ShowMessage", queue_pb2.ShowMessageRequest(accepted_id=accepted_id))
        assert isinstance(found, queue_pb2.ShowMessageResponse)
        return {one.state for one in found.recipients} != {"waits"} or {one.reason for one in found.units} <= {
            "waits-for-guard", "4.7.1",
        }  # fmt: skip

    await until(asked)
    assert other_server.by_token(token) == []
    await hands.say(mother_id, child[1], aunt, "APPROVE")
    await order(world, "RetryUnits", queue_pb2.RetryUnitsRequest(accepted_id=accepted_id))
    await until(lambda: len(other_server.by_token(token)) == 1)


async def test_what_a_disabled_account_sent_does_not_leave_the_queue(world: DeliveryWorld, other_server: Sink) -> None:
    sender = await world.person()
    token, accepted_id = await _queued_and_paused(world, "disabled.test", sender, "x@disabled.test")
    state = accounts_pb2.SetAccountStateRequest(address=sender[0], state=accounts_pb2.ACCOUNT_STATE_DISABLED)
    await world.admin("SetAccountState", state)
    resumed = queue_pb2.DirectDestinationRequest(destination="disabled.test", paused=False)
    await order(world, "DirectDestination", resumed)

    async def failed() -> bool:
        return await outcomes(world, "x@disabled.test") == {0: filing_pb2.OUTCOME_FAILED}

    await until(failed)
    assert other_server.by_token(token) == []
    shown = await order(world, "ShowMessage", queue_pb2.ShowMessageRequest(accepted_id=accepted_id))
    assert isinstance(shown, queue_pb2.ShowMessageResponse)
    assert [(one.state, one.enhanced) for one in shown.recipients] == [("failed", "5.7.1")]
    assert await world.messages(sender[1]) == []


async def test_a_suspension_holds_what_is_under_way_and_loses_nothing(world: DeliveryWorld, other_server: Sink) -> None:
    sender, friend = await world.person(), await world.person()
    token, accepted_id = await _queued_and_paused(world, "suspended.test", sender, "x@suspended.test")

    async def suspend(suspended: bool) -> None:
        request = permits_pb2.SuspendRequest(
            scope=permits_pb2.TERMS_SCOPE_ACCOUNT, subject_id=sender[1], suspended=suspended
        )
        await world.call("delivery", "operator", permits_pb2_grpc.PermitTermsServiceStub, "Suspend", request)

    await suspend(True)
    await asyncio.sleep(2 * SECONDS)
    resumed = queue_pb2.DirectDestinationRequest(destination="suspended.test", paused=False)
    await order(world, "DirectDestination", resumed)
    # what was accepted and is not queued yet, to one of ours and to somebody else
    late, _ = await submit(world, sender, friend[0], "y@suspended.test")

    async def waits() -> bool:
        shown = await order(world, "ShowMessage", queue_pb2.ShowMessageRequest(accepted_id=accepted_id))
        assert isinstance(shown, queue_pb2.ShowMessageResponse)
        return [one.reason for one in shown.units] == ["sender-suspended"]

    await until(waits)
    await asyncio.sleep(12)  # longer than a message may take to be sent here
    assert await waits()
    assert other_server.by_token(token) == other_server.by_token(late) == []
    assert await world.messages(friend[1]) == await world.messages(sender[1]) == []
    await suspend(False)

    async def sent() -> bool:
        there = len(other_server.by_token(token)) == len(other_server.by_token(late)) == 1
        return there and len(await world.messages(friend[1])) == 1

    await until(sent, 100)


async def test_an_operator_sees_the_addresses_that_mail_leaves_by(queue_stack: Stack) -> None:
    rows = await asyncio.to_thread(command, queue_stack, "sources")
    assert [(row["address"], row["state"]) for row in rows] == [("127.0.0.2", "warm"), ("127.0.0.3", "warm")]
    rows = await asyncio.to_thread(command, queue_stack, "sources", "--new", "127.0.0.3")
    assert [(row["address"], row["state"]) for row in rows] == [("127.0.0.2", "warm"), ("127.0.0.3", "warming")]
    rows = await asyncio.to_thread(command, queue_stack, "sources", "--warm", "127.0.0.3")
    assert {row["state"] for row in rows} == {"warm"}
