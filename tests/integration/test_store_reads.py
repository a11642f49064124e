"""Conversations of reads behind store's door: each request is its own person's, and holds as long as that person's principal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tests.integration.conftest import Backends
from tests.integration.mailing import change_mailboxes, file_new, known, mail, new_account, parts_of, update
from tests.integration.test_store_grpc import Door, door

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2_grpc
from petitbleu_kit.identity import Principal, Signer, principal_claims
from petitbleu_kit.lane import Lane
from petitbleu_kit.rpc import Peer
from petitbleu_store.bootstrap import Store
from petitbleu_store.service import reading as reads

__all__ = ["door"]

PEOPLE = {901: 7, 902: 7, 903: 8}
Sign = Callable[..., str]
Reads = Lane[pb.ReadManyRequest, pb.ReadManyResponse]


@pytest.fixture
def principal(backends: Backends) -> Sign:
    """Signs as accounts: `principal(account, tenant, seconds)`."""
    signer = Signer.from_file("accounts", backends.stack.layout.identity / "accounts.key")

    def sign(account_id: int, tenant_id: int | None = None, seconds: int = 60) -> str:
        person = Principal(account_id, PEOPLE[account_id] if tenant_id is None else tenant_id, (), 0)
        return signer.sign("petitbleu", principal_claims(person), seconds)

    return sign


async def lane_of(door: Door, service: str = "gateway") -> tuple[Reads, Peer]:
    accounts, peer = door.peer("accounts"), door.peer(service)
    made = pb.CreateAccountsRequest(
        accounts=[pb.NewStoreAccount(account_id=one, tenant_id=tenant) for one, tenant in PEOPLE.items()]
    )
    await accounts.call(mailbox_pb2_grpc.AccountServiceStub(accounts.channel).CreateAccounts, made, timeout=20)
    return Lane(peer, mailbox_pb2_grpc.ReadingServiceStub(peer.channel).ReadMany, None), peer


def mailboxes_of(account_id: int, principal: str) -> pb.ReadManyRequest:
    return pb.ReadManyRequest(principal=principal, mailboxes=pb.ListMailboxesRequest(account_id=account_id))


async def refusal(lane: Reads, request: pb.ReadManyRequest) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await lane.call(request, timeout=20)
    return error.value.code()


async def test_a_conversation_answers_as_the_calls_do(door: Door, principal: Sign) -> None:
    lane, peer = await lane_of(door)
    stub = mailbox_pb2_grpc.MailboxServiceStub(peer.channel)
    asks: dict[str, tuple[Any, Any]] = {
        "state": (stub.GetState, pb.GetStateRequest(account_id=901)),
        "mailboxes": (stub.ListMailboxes, pb.ListMailboxesRequest(account_id=901)),
        "query": (stub.QueryMessages, pb.QueryMessagesRequest(account_id=901, limit=5, calculate_total=True)),
        "messages": (stub.GetMessages, pb.GetMessagesRequest(account_id=901, message_ids=[1, 2])),
        "threads": (stub.GetThreads, pb.GetThreadsRequest(account_id=901, thread_ids=[1])),
        "changes": (stub.GetChanges, pb.GetChangesRequest(account_id=901, kind=pb.CHANGE_KIND_MAILBOX)),
        "query_changes": (stub.QueryMessageChanges, pb.QueryMessageChangesRequest(account_id=901, since_modseq=1)),
    }
    assert set(asks) == {field.name for field in pb.ReadManyRequest.DESCRIPTOR.oneofs_by_name["ask"].fields}
    for name, (method, request) in asks.items():
        token = principal(901)
        answer = await lane.call(pb.ReadManyRequest(principal=token, **{name: request}), timeout=20)
        assert answer.WhichOneof("answer") == name
        assert getattr(answer, name) == await peer.call(method, request, timeout=20, principal=token)
    assert len((await lane.call(mailboxes_of(901, principal(901)), timeout=20)).mailboxes.mailboxes) > 4
    lane.close()


async def test_each_request_of_a_conversation_reaches_its_own_person_s_account_only(
    door: Door, principal: Sign
) -> None:
    lane, _ = await lane_of(door)
    for one in (901, 902, 903, 901):
        assert (await lane.call(mailboxes_of(one, principal(one)), timeout=20)).mailboxes.mailboxes
    for wrong in (mailboxes_of(902, principal(901)), mailboxes_of(901, principal(901, tenant_id=8))):
        assert await refusal(lane, wrong) is grpc.StatusCode.PERMISSION_DENIED
        assert (await lane.call(mailboxes_of(901, principal(901)), timeout=20)).mailboxes.mailboxes
    assert await refusal(lane, mailboxes_of(901, "")) is grpc.StatusCode.UNAUTHENTICATED
    assert await refusal(lane, mailboxes_of(901, principal(901)[:-8] + "AAAAAAAA")) is grpc.StatusCode.UNAUTHENTICATED
    assert await refusal(lane, pb.ReadManyRequest(principal=principal(901))) is grpc.StatusCode.INVALID_ARGUMENT
    lane.close()


async def test_a_principal_that_runs_out_opens_nothing_on_a_stream_that_is_open(door: Door, principal: Sign) -> None:
    lane, _ = await lane_of(door)
    token = principal(901, seconds=-3)  # five seconds of leeway
    assert (await lane.call(mailboxes_of(901, token), timeout=20)).mailboxes.mailboxes
    await asyncio.sleep(2.2)
    assert (await lane.call(mailboxes_of(902, principal(902)), timeout=20)).mailboxes.mailboxes, "the stream is open"
    assert await refusal(lane, mailboxes_of(901, token)) is grpc.StatusCode.UNAUTHENTICATED
    lane.close()


async def test_another_service_opens_no_conversation_of_reads(door: Door, principal: Sign) -> None:
    lane, _ = await lane_of(door, "delivery")
    assert await refusal(lane, mailboxes_of(901, principal(901))) is grpc.StatusCode.PERMISSION_DENIED
    lane.close()


async def test_how_far_accounts_are_is_told_without_a_principal(door: Door, principal: Sign) -> None:
    _, peer = await lane_of(door)
    reading = mailbox_pb2_grpc.ReadingServiceStub(peer.channel)
    request = pb.GetStatesRequest(account_ids=[901, 902, 999_999])
    found = {state.account_id: state for state in (await peer.call(reading.GetStates, request, timeout=20)).states}
    assert set(found) == {901, 902}
    stub = mailbox_pb2_grpc.MailboxServiceStub(peer.channel)
    own = await peer.call(stub.GetState, pb.GetStateRequest(account_id=901), timeout=20, principal=principal(901))
    assert found[901].modseq == own.modseq
    many = pb.GetStatesRequest(account_ids=range(1, 1002))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await peer.call(reading.GetStates, many, timeout=20)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_rfc8621_1_5_the_last_id_of_an_account_is_that_of_its_newest_message(store: Store) -> None:
    """Mailboxes and notifications of shares take ids too, and are no mail."""
    account_id = await new_account(store)

    async def last_id() -> int:
        (state,) = (await parts_of(store).cases.reading.states([account_id])).states
        return int(state.last_id)

    assert await last_id() == 0
    (first,) = await file_new(store, account_id, mail("one"))
    assert await last_id() == first
    await change_mailboxes(store, account_id, pb.MailboxUpdate(name="No mail"))
    assert await last_id() == first
    (second,) = await file_new(store, account_id, mail("two"))
    assert await last_id() == second > first
    await update(store, account_id, pb.MessageUpdate(message_id=second, destroy=True))
    assert await last_id() == first


async def test_how_far_an_account_is_costs_one_look_at_the_end_of_its_messages(store: Store) -> None:
    account_id = await new_account(store)
    account = await known(store, account_id)
    async with store.core.pool.acquire() as connection:
        explain = "/* cold:test */ EXPLAIN " + reads._STATES.partition("*/")[2]
        rows = await connection.fetch(explain, [account.partition], [account_id])
    plan = "\n".join(row[0] for row in rows)
    assert "Scan Backward using message_pkey" in plan, plan
    assert "Sort" not in plan, plan
