"""The store behind its gRPC door: identity, streams, the operator's commands, start and stop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from tests.integration.arriving import TRACE, text
from tests.integration.conftest import Backends

from petitbleu.store.v1 import (
    accept_pb2,
    accept_pb2_grpc,
    filing_pb2,
    filing_pb2_grpc,
    mailbox_pb2,
    mailbox_pb2_grpc,
    outgoing_pb2,
    outgoing_pb2_grpc,
)
from petitbleu_kit.identity import Signer
from petitbleu_kit.rpc import Peer
from petitbleu_store.bootstrap import serve
from petitbleu_store.config import StoreSettings


class Door:
    """The store's door, and peers that come to it."""

    def __init__(self, backends: Backends, address: str) -> None:
        self._backends = backends
        self._address = address
        self.peers: list[Peer] = []

    def peer(self, service: str) -> Peer:
        if service == "operator":
            token = self._backends.stack.layout.operator_token.read_text().strip()
            peer = Peer(self._address, "store", operator_token=token)
        else:
            key = self._backends.stack.layout.identity / f"{service}.key"
            peer = Peer(self._address, "store", Signer.from_file(service, key))
        self.peers.append(peer)
        return peer


@pytest.fixture
async def door(
    backends: Backends, store_schema: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Door]:
    for name, value in backends.environment("store").items():
        if name.startswith("PETITBLEU_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("PETITBLEU_HEALTH_PORT", "0")
    monkeypatch.setenv("PETITBLEU_SPOOL_DIR", str(tmp_path / "spool"))
    address = f"unix:{backends.stack.layout.run / 'store-test.sock'}"
    monkeypatch.setenv("PETITBLEU_LISTEN", address)
    stop = asyncio.Event()
    running = asyncio.create_task(serve(StoreSettings(), stop))
    door = Door(backends, address)
    try:
        async with asyncio.timeout(30):
            probe = door.peer("operator")
            admin = mailbox_pb2_grpc.AdminServiceStub(probe.channel)
            while True:
                try:
                    await probe.call(admin.GetStatus, mailbox_pb2.GetStatusRequest(), timeout=5)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE or running.done():
                        raise
                    await asyncio.sleep(0.1)
                else:
                    break
        yield door
    finally:
        for peer in door.peers:
            await peer.close()
        stop.set()
        async with asyncio.timeout(12):
            await running


def item(body: bytes = b"Subject: x\r\n\r\n", **more: object) -> accept_pb2.AcceptItem:
    return accept_pb2.AcceptItem(
        idempotency_key=os.urandom(32), mail_from="bob@example.org", trace=TRACE, body=body, header_from="bob@example.org",
        recipients=[accept_pb2.AcceptRecipient(address="zoe@demo.test", tenant_id=7)], **more,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_from_accept_to_settle_and_pack(door: Door) -> None:
    ingest, delivery, operator = door.peer("ingest"), door.peer("delivery"), door.peer("operator")
    accepts = accept_pb2_grpc.AcceptServiceStub(ingest.channel)
    filing = filing_pb2_grpc.FilingServiceStub(delivery.channel)
    admin = mailbox_pb2_grpc.AdminServiceStub(operator.channel)
    parked = filing_pb2_grpc.ParkedServiceStub(operator.channel)
    body = text(700_000)

    async def parts() -> AsyncIterator[accept_pb2.StageRequest]:
        yield accept_pb2.StageRequest(header=accept_pb2.StageHeader(trace=TRACE))
        for start in range(0, len(body), 200_000):
            yield accept_pb2.StageRequest(data=body[start : start + 200_000])
        yield accept_pb2.StageRequest(end=accept_pb2.StageEnd(octets=len(body)))

    staged = await accepts.Stage(parts(), timeout=20, metadata=ingest.metadata())
    request = accept_pb2.AcceptRequest(items=[item(), item(b"", staged_id=staged.staged_id)])
    response = await ingest.call(accepts.Accept, request, timeout=20)
    assert [result.status for result in response.results] == [accept_pb2.ACCEPT_STATUS_OK] * 2
    assert response.results[1].accepted_id == staged.staged_id
    ids = [result.accepted_id for result in response.results]
    opened = await delivery.call(filing.ListOpen, filing_pb2.ListOpenRequest(accepted_ids=ids), timeout=20)
    assert {message.accepted_id: message.size for message in opened.messages} == {
        ids[0]: len(TRACE) + 14, ids[1]: len(TRACE) + len(body),
    }  # fmt: skip
    assert {message.recipients[0].address for message in opened.messages} == {"zoe@demo.test"}
    settles = [
        filing_pb2.SettleItem(
            recipient=filing_pb2.RecipientRef(accepted_id=ids[0]), outcome=filing_pb2.OUTCOME_DISCARDED
        ),
        filing_pb2.SettleItem(
            recipient=filing_pb2.RecipientRef(accepted_id=ids[1]), outcome=filing_pb2.OUTCOME_PARKED, reason="loop"
        ),
    ]
    await delivery.call(filing.Settle, filing_pb2.SettleRequest(items=settles), timeout=20)
    status = await operator.call(admin.GetStatus, mailbox_pb2.GetStatusRequest(), timeout=20)
    assert (status.open_recipients, status.parked_recipients, status.hot_bodies) == (0, 1, 1)
    page = await operator.call(parked.ListParked, filing_pb2.ListParkedRequest(), timeout=20)
    assert [(one.recipient.accepted_id, one.reason) for one in page.recipients] == [(ids[1], "loop")]
    packed = await operator.call(admin.Pack, mailbox_pb2.PackRequest(), timeout=20)
    assert (packed.segments, packed.bodies) == (1, 1)
    stories = await operator.call(
        parked.Trace,
        filing_pb2.TraceRequest(**{"from": "bob@example.org", "to": "zoe@demo.test"}),  # type: ignore[arg-type]  # a keyword
        timeout=20,
    )
    assert sorted(entry.outcome for entry in stories.entries) == [
        filing_pb2.OUTCOME_DISCARDED,
        filing_pb2.OUTCOME_PARKED,
    ]
    verified = [one async for one in admin.Verify(mailbox_pb2.VerifyRequest(bodies=True), metadata=operator.metadata())]
    assert verified[-1].done
    assert verified[-1].blobs >= 2
    assert [one.finding for one in verified if one.finding] == []
    assert (await operator.call(admin.RotateKeys, mailbox_pb2.RotateKeysRequest(), timeout=20)).rotated == 0
    await operator.call(admin.Compact, mailbox_pb2.CompactRequest(), timeout=20)


async def test_the_full_accounts_are_listed_with_the_age_of_the_list(door: Door) -> None:
    accounts, ingest, delivery = door.peer("accounts"), door.peer("ingest"), door.peer("delivery")
    accepts = accept_pb2_grpc.AcceptServiceStub(ingest.channel)
    filing = filing_pb2_grpc.FilingServiceStub(delivery.channel)
    people = mailbox_pb2_grpc.AccountServiceStub(accounts.channel)
    new = [mailbox_pb2.NewStoreAccount(account_id=one, tenant_id=7, quota_octets=5, language="fr") for one in (77, 78)]
    await accounts.call(people.CreateAccounts, mailbox_pb2.CreateAccountsRequest(accounts=new), timeout=20)
    accepted = await ingest.call(accepts.Accept, accept_pb2.AcceptRequest(items=[item()]), timeout=20)
    one = filing_pb2.RecipientRef(accepted_id=accepted.results[0].accepted_id)
    request = filing_pb2.FileRequest(
        items=[filing_pb2.FileItem(recipient=one, account_id=77, prefix=b"Delivered-To: x\r\n")]
    )
    await delivery.call(filing.File, request, timeout=20)
    begun = time.monotonic()
    ages = []
    for _ in range(2):  # read, then from memory
        answer = await ingest.call(accepts.ListOverQuota, accept_pb2.ListOverQuotaRequest(), timeout=20)
        assert (list(answer.account_ids), answer.complete) == ([77], True)
        assert 0 < answer.age_milliseconds <= (time.monotonic() - begun) * 1000 + 1
        ages.append(answer.age_milliseconds)
        await asyncio.sleep(0.1)
    assert ages[1] - ages[0] >= 100


@pytest.mark.parametrize("ends", [[], [5], [4, 4]])
async def test_a_stage_that_does_not_add_up_is_refused(door: Door, ends: list[int]) -> None:
    ingest = door.peer("ingest")
    accepts = accept_pb2_grpc.AcceptServiceStub(ingest.channel)

    async def parts() -> AsyncIterator[accept_pb2.StageRequest]:
        yield accept_pb2.StageRequest(header=accept_pb2.StageHeader(trace=b""))
        yield accept_pb2.StageRequest(data=b"four")
        for octets in ends:
            yield accept_pb2.StageRequest(end=accept_pb2.StageEnd(octets=octets))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await accepts.Stage(parts(), timeout=20, metadata=ingest.metadata())
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_delivery_accepts_what_it_writes_and_reads_it_to_send_it(door: Door) -> None:
    delivery, ingest = door.peer("delivery"), door.peer("ingest")
    accepts = accept_pb2_grpc.AcceptServiceStub(delivery.channel)
    body = text(700_000)
    notice = item(body, origin=accept_pb2.ORIGIN_NOTICE)
    done = await delivery.call(accepts.Accept, accept_pb2.AcceptRequest(items=[notice, item()]), timeout=20)
    ids = [result.accepted_id for result in done.results]
    request = outgoing_pb2.ReadAcceptedRequest(accepted_ids=[ids[1], os.urandom(16), ids[0]])
    call = outgoing_pb2_grpc.OutgoingServiceStub(delivery.channel).ReadAccepted
    headers, bodies, ends = [], [b"", b"", b""], []
    async for part in call(request, timeout=20, metadata=delivery.metadata()):
        match part.WhichOneof("part"):
            case "header":
                headers.append(part.header)
            case "data":
                bodies[len(headers) - 1] += part.data
            case _:
                ends.append(part.end)
    assert [(header.found, header.origin) for header in headers] == [(True, 0), (False, 0), (True, 3)]
    assert (bodies[1], bodies[2]) == (b"", TRACE + body)
    assert [(end.octets, end.whole) for end in ends] == [(len(bodies[0]), True), (len(bodies[2]), True)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        outsider = outgoing_pb2_grpc.OutgoingServiceStub(ingest.channel).ReadAccepted
        _ = [part async for part in outsider(request, timeout=20, metadata=ingest.metadata())]
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_who_is_not_on_the_list_is_refused(door: Door) -> None:
    delivery, ingest = door.peer("delivery"), door.peer("ingest")
    accepts = accept_pb2_grpc.AcceptServiceStub(delivery.channel)
    admin = mailbox_pb2_grpc.AdminServiceStub(ingest.channel)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await delivery.call(accepts.CheckQuota, accept_pb2.CheckQuotaRequest(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    outgoing = outgoing_pb2_grpc.OutgoingServiceStub(ingest.channel)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ingest.call(outgoing.Submit, outgoing_pb2.SubmitRequest(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await delivery.call(accepts.ListOverQuota, accept_pb2.ListOverQuotaRequest(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ingest.call(admin.Pack, mailbox_pb2.PackRequest(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await accept_pb2_grpc.AcceptServiceStub(ingest.channel).Accept(accept_pb2.AcceptRequest(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
