"""SubmissionService of the contract: translation only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg
import grpc
import grpc.aio

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu.delivery.v1 import submission_pb2_grpc
from petitbleu_delivery.domain.submissions import ReportKind, State, Submission, Wanted
from petitbleu_delivery.service.submissions.submissions import Fault, Submissions, SubmissionsError, Update
from petitbleu_kit.identity import Principal
from petitbleu_kit.logs import get_logger
from petitbleu_kit.rpc import caller

_log = get_logger(__name__)
_SERVICE: Final = "/petitbleu.delivery.v1.SubmissionService/"
ALLOWED_SUBMISSIONS: Final = {_SERVICE: frozenset({"gateway"})}
PERSON_SUBMISSIONS: Final = frozenset(
    f"{_SERVICE}{name}"
    for name in ("ListSubmissions", "GetSubmissions", "GetSubmissionChanges", "UpdateSubmissions")
)  # fmt: skip
_CODES: Final = {
    Fault.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Fault.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.UNKNOWN_STATE: grpc.StatusCode.OUT_OF_RANGE,
    Fault.STATE_MISMATCH: grpc.StatusCode.ABORTED,
    Fault.TOO_MANY: grpc.StatusCode.FAILED_PRECONDITION,
}
_AWAY: Final = (
    asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError,
)  # fmt: skip
_MOST_ID: Final = 998
_Context = grpc.aio.ServicerContext[Any, Any]
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


def _answered(
    method: Callable[[SubmissionServicer, _Request, _Context], Awaitable[_Response]],
) -> Callable[[SubmissionServicer, _Request, _Context], Awaitable[_Response]]:
    """Translate a method's errors to statuses, never with an exception's own text."""

    async def wrapper(self: SubmissionServicer, request: _Request, context: _Context) -> _Response:
        try:
            return await method(self, request, context)
        except SubmissionsError as error:
            await context.abort(_CODES[error.fault], error.sentence)
        except _AWAY as error:
            _log.warning("database away", method=method.__name__, error_type=type(error).__qualname__)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the database does not answer, try again")
        raise AssertionError("abort raises")

    return wrapper


def _person() -> Principal:
    principal = caller().principal
    if principal is None:  # the interceptor asks for one; this is the second lock
        raise SubmissionsError(Fault.FORBIDDEN, "nobody asks")
    return principal


def _light(one: Submission) -> pb.Submission:
    return pb.Submission(
        number=one.number, identity_id=one.identity_id, message_id=one.message_id, thread_id=one.thread_id,
        state=pb.SubmissionState.ValueType(int(one.state)), send_at_ms=one.send_at_ms, handed_over=one.state is State.DONE,
    )  # fmt: skip


def _whole(one: Submission) -> pb.Submission:
    shown = _light(one)
    shown.envelope.ParseFromString(one.envelope)
    seen = {report.displayed for report in one.reports}
    for recipient_no in range(one.recipients):
        news = one.status_of(recipient_no)
        shown.recipients.add(
            recipient_no=recipient_no, delivered=pb.Delivered.ValueType(int(news.delivered)), smtp_reply=news.reply,
            displayed=recipient_no in seen,
        )  # fmt: skip
    for report in one.reports:
        listed = shown.mdn_message_ids if report.kind is ReportKind.RECEIPT else shown.dsn_message_ids
        listed.append(report.message_id)
    return shown


def _told(one: Submission | None) -> pb.Submission | None:
    if one is None:
        return None
    return _whole(one) if one.envelope else _light(one)


def _update(given: pb.SubmissionUpdate, tenant_id: int) -> Update:
    wanted = None
    if given.HasField("create"):
        new = given.create
        wanted = Wanted(
            new.submission_id, tenant_id, new.identity_id, new.message_id, new.thread_id, new.envelope.SerializeToString(),
            len(new.envelope.recipients), new.hold_until_ms, new.message_id_header[:_MOST_ID],
        )  # fmt: skip
    created_by = given.created_by if given.HasField("created_by") else None
    return Update(wanted, given.number, created_by, given.cancel, given.destroy)


class SubmissionServicer(submission_pb2_grpc.SubmissionServiceServicer):
    """What people submit."""

    def __init__(self, submissions: Submissions) -> None:
        self._submissions = submissions

    @_answered
    async def ListSubmissions(
        self, request: pb.ListSubmissionsRequest, _context: _Context
    ) -> pb.ListSubmissionsResponse:  # fmt: skip
        """Give all of the principal's submissions."""
        found, modseq = await self._submissions.all(_person(), request.account_id)
        return pb.ListSubmissionsResponse(submissions=[_light(one) for one in found], modseq=modseq)

    @_answered
    async def GetSubmissions(self, request: pb.GetSubmissionsRequest, _context: _Context) -> pb.GetSubmissionsResponse:
        """Give submissions of the principal whole."""
        numbers = None if request.all else list(request.numbers)
        found, modseq = await self._submissions.get(_person(), request.account_id, numbers)
        return pb.GetSubmissionsResponse(submissions=[_whole(one) for one in found], modseq=modseq)

    @_answered
    async def GetSubmissionChanges(
        self, request: pb.GetSubmissionChangesRequest, _context: _Context
    ) -> pb.GetSubmissionChangesResponse:
        """Say what changed of the principal's submissions."""
        found = await self._submissions.changes(
            _person(), request.account_id, request.since_modseq, request.max_changes
        )
        return pb.GetSubmissionChangesResponse(
            created=found.created, updated=found.updated, destroyed=found.destroyed, new_modseq=found.upto,
            has_more=found.more,
        )  # fmt: skip

    @_answered
    async def UpdateSubmissions(
        self, request: pb.UpdateSubmissionsRequest, _context: _Context
    ) -> pb.UpdateSubmissionsResponse:
        """Change the principal's submissions."""
        person = _person()
        updates = [_update(update, person.tenant_id) for update in request.updates]
        expected = request.if_modseq if request.HasField("if_modseq") else None
        done = await self._submissions.update(person, request.account_id, updates, expected)
        answer = pb.UpdateSubmissionsResponse(old_modseq=done.before, new_modseq=done.after)
        for one in done.results:
            answer.results.add(
                status=pb.SubmissionStatus.ValueType(one.status.value), retry_after_seconds=one.retry_after_seconds,
                submission=_told(one.submission),
            )  # fmt: skip
        return answer

    @_answered
    async def GetSubmissionStates(
        self, request: pb.GetSubmissionStatesRequest, _context: _Context
    ) -> pb.GetSubmissionStatesResponse:
        """Say how far accounts are."""
        found = await self._submissions.states(request.account_ids)
        return pb.GetSubmissionStatesResponse(
            states=[pb.SubmissionModseq(account_id=account_id, modseq=modseq) for account_id, modseq in found.items()]
        )
