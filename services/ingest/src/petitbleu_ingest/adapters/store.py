"""Store, by gRPC: batches, quota and the streaming of large bodies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc
from petitbleu_ingest.domain.message import Incoming
from petitbleu_ingest.domain.verdicts import Verdicts
from petitbleu_ingest.ports import Accepted, FullList, StoreAwayError, StoreFullError
from petitbleu_kit.lane import Lane
from petitbleu_kit.rpc import Peer
from petitbleu_kit.stream_end import StreamEnd
from petitbleu_kit.telemetry import links_to, span, tracing_on

# A StageRequest may hold 256 KiB; gRPC copies what is being sent, once a session, so smaller is thriftier
_MAX_PIECE: Final = 64 << 10
# Pieces up to this size are queued as one: an object for each of a few octets would take many times as many
_SMALL_PIECE: Final = 1 << 10
_DURABLE: Final = {accept_pb2.ACCEPT_STATUS_OK, accept_pb2.ACCEPT_STATUS_REPEAT}

_VERDICTS: Final = {
    "": accept_pb2.VERDICT_UNSPECIFIED,
    "none": accept_pb2.VERDICT_NONE,
    "pass": accept_pb2.VERDICT_PASS,
    "fail": accept_pb2.VERDICT_FAIL,
    "softfail": accept_pb2.VERDICT_SOFTFAIL,
    "neutral": accept_pb2.VERDICT_NEUTRAL,
    "temperror": accept_pb2.VERDICT_TEMPERROR,
    "permerror": accept_pb2.VERDICT_PERMERROR,
    "policy": accept_pb2.VERDICT_POLICY,
}


def _raise(error: BaseException) -> NoReturn:
    if isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise StoreFullError from error
    raise StoreAwayError from error


def _fill(item: accept_pb2.AcceptItem, message: Incoming) -> None:
    mail = message.mail
    item.idempotency_key = message.key
    item.mail_from = message.mail_from
    item.trace = message.trace
    if message.staged_id:
        item.staged_id = message.staged_id
    else:
        item.body = message.body
    if message.header_from:
        item.header_from = message.header_from
    if message.traceparent:
        item.traceparent = message.traceparent
    if mail.body is not None or mail.smtputf8 or mail.ret is not None or mail.envid is not None:
        parameters = item.parameters
        parameters.eight_bit = mail.body is not None and mail.body.value == "8BITMIME"
        parameters.smtputf8 = mail.smtputf8
        parameters.ret = mail.ret.value if mail.ret else ""
        parameters.envid = mail.envid or ""
    item.hold_until_ms = message.hold_until_ms
    submitter = message.submitter
    if submitter is not None:
        item.origin = accept_pb2.ORIGIN_SUBMITTED
        item.submitter_account_id = submitter.account_id
        item.submitter_tenant_id = submitter.tenant_id
        item.verdicts.from_authenticated = True
        item.verdicts.envelope_authenticated = True
    if message.verdicts is not None:
        _fill_verdicts(item.verdicts, message.verdicts)
    for one in message.recipients:
        item.recipients.add(address=one.address, notify=one.notify, orcpt=one.orcpt, tenant_id=one.tenant_id)


def _fill_verdicts(item: accept_pb2.AuthenticationVerdicts, verdicts: Verdicts) -> None:
    item.from_authenticated = verdicts.from_authenticated
    item.envelope_authenticated = verdicts.envelope_authenticated
    item.spf = _VERDICTS[verdicts.spf]
    item.dkim = _VERDICTS[verdicts.dkim]
    item.dmarc = _VERDICTS[verdicts.dmarc]
    item.arc = _VERDICTS[verdicts.arc]
    if verdicts.junk:
        item.treatment = accept_pb2.TREATMENT_JUNK
    item.spam_score = verdicts.spam_score
    item.late_results = verdicts.late_results
    if verdicts.junk_recipients:
        item.junk_recipients.extend(verdicts.junk_recipients)


class GrpcStore:
    """`AcceptService` of store.

    Args:
        peer: For batches and quota.
        stage_peer: For large bodies: a connection of its own, so that their flow control never stops a batch.
        accept_seconds: Deadline of Accept.
        quota_seconds: Deadline of CheckQuota and ListOverQuota.
        stage_seconds: Longest life of an upload.
    """

    def __init__(
        self, peer: Peer, stage_peer: Peer, *, accept_seconds: float, quota_seconds: float, stage_seconds: float
    ) -> None:
        self._peer = peer
        self._stage_peer = stage_peer
        self._stub = stub = accept_pb2_grpc.AcceptServiceStub(peer.channel)
        self._stage_stub = accept_pb2_grpc.AcceptServiceStub(stage_peer.channel)
        self._accept: Lane[accept_pb2.AcceptRequest, accept_pb2.AcceptResponse] = Lane(
            peer, stub.AcceptMany, stub.Accept
        )
        self._quota: Lane[accept_pb2.CheckQuotaRequest, accept_pb2.CheckQuotaResponse] = Lane(
            peer, stub.CheckQuotaMany, stub.CheckQuota
        )
        self._accept_seconds = accept_seconds
        self._quota_seconds = quota_seconds
        self._stage_seconds = stage_seconds
        self._tracing = tracing_on()

    async def accept(self, messages: Sequence[Incoming], seen: Sequence[bytes]) -> list[Accepted]:
        """Commit messages and marks; one result each. Raises `StoreAwayError`, `StoreFullError`."""
        request = accept_pb2.AcceptRequest(seen_keys=seen)
        for message in messages:
            _fill(request.items.add(), message)
        try:
            if self._tracing:
                with span("store.Accept", links=links_to([m.traceparent for m in messages])):
                    answer = await self._accept.call(request, timeout=self._accept_seconds)
            else:
                answer = await self._accept.call(request, timeout=self._accept_seconds)
        except grpc.RpcError as error:
            _raise(error)
        results = [
            Accepted(one.accepted_id, one.status == accept_pb2.ACCEPT_STATUS_REPEAT)
            if one.status in _DURABLE and one.accepted_id
            else Accepted(b"")
            for one in answer.results
        ]
        if len(results) != len(messages):
            raise StoreAwayError
        return results

    async def over_quota(self, account_ids: Sequence[int]) -> frozenset[int]:
        """Return those accounts that are at or over their quota now."""
        request = accept_pb2.CheckQuotaRequest(account_ids=account_ids)
        answer = await self._quota.call(request, timeout=self._quota_seconds)
        return frozenset(answer.over_quota_account_ids)

    async def full_accounts(self) -> FullList:
        """Return all accounts that were at or over their quota a while ago. Raises `StoreAwayError`, `StoreFullError`."""
        request = accept_pb2.ListOverQuotaRequest()
        try:
            answer = await self._peer.call(self._stub.ListOverQuota, request, timeout=self._quota_seconds)
        except grpc.RpcError as error:
            _raise(error)
        return FullList(frozenset(answer.account_ids), answer.age_milliseconds / 1000, answer.complete)

    def stage(self, trace: bytes, progress: Callable[[], None]) -> GrpcUpload:
        """Begin a large body; `progress` is called whenever `pending` fell or the upload failed."""
        # without an iterator the call is written to by hand, which the stubs do not know
        begin: Any = self._stage_stub.Stage
        call = begin(timeout=self._stage_seconds, metadata=self._stage_peer.metadata())
        return GrpcUpload(call, trace, progress)


class GrpcUpload:
    """One Stage call; `pending` counts the octets not yet handed over to the connection, whose window holds them back."""

    def __init__(self, call: Any, trace: bytes, progress: Callable[[], None]) -> None:
        self.pending = 0
        self._call = call
        self._end = StreamEnd(call)
        self._trace = trace
        self._progress = progress
        self._pieces: deque[bytes] = deque()
        self._octets = 0
        self._ended = False
        self._broken = False
        self._more = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())
        # its outcome is read by whoever calls finish(); an upload given up is nobody's error
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    def put(self, piece: bytes) -> None:
        """Queue the next octets."""
        if self._broken or self._task.done():
            return
        if self._pieces and len(self._pieces[-1]) + len(piece) <= _SMALL_PIECE:
            self._pieces[-1] += piece
        else:
            self._pieces.append(piece)
        self._octets += len(piece)
        self.pending += len(piece)
        self._more.set()

    async def finish(self) -> bytes:
        """Say that all is queued; gives the staged id once it is durable."""
        self._ended = True
        self._more.set()
        return await self._task

    def abort(self) -> None:
        """Give it up."""
        self._task.cancel()
        self._call.cancel()
        self._pieces.clear()
        self.pending = 0

    def _next(self) -> bytes:
        pieces = [self._pieces.popleft()]
        size = len(pieces[0])
        while self._pieces and size + len(self._pieces[0]) <= _MAX_PIECE:
            pieces.append(self._pieces.popleft())
            size += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _run(self) -> bytes:
        try:
            header = accept_pb2.StageHeader(trace=self._trace)
            await self._call.write(accept_pb2.StageRequest(header=header))
            while True:
                while self._pieces:
                    data = self._next()
                    for at in range(0, len(data), _MAX_PIECE):
                        await self._call.write(accept_pb2.StageRequest(data=data[at : at + _MAX_PIECE]))
                    self.pending -= len(data)
                    self._progress()
                if self._ended:
                    break
                self._more.clear()
                await self._more.wait()
            await self._call.write(accept_pb2.StageRequest(end=accept_pb2.StageEnd(octets=self._octets)))
            await self._call.done_writing()
            answer = await self._call
        except (grpc.RpcError, asyncio.InvalidStateError):
            self._broken = True
            self._pieces.clear()
            self.pending = 0
            self._progress()
            # a write to a call that store has ended tells less than the call's own status
            _raise(await self._end.error())
        return bytes(answer.staged_id)
