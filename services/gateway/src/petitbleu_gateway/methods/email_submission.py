"""EmailSubmission/get, /changes, /query and /queryChanges (RFC 8621 §7): delivery keeps them, so their states are of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import grpc

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu_gateway.domain.small_lists import ListArguments, ListQuery, ListQueryChanges, matcher, ordered, window
from petitbleu_gateway.domain.submission_view import PROPERTIES, SORTS, condition, listed, shown, submission_id
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.changes import ChangesArguments
from petitbleu_gateway.ports import Identity

_MOST_CHANGES: Final = 1_000


class Submissions(Protocol):
    """delivery, as far as people's own submissions go. Raises grpc.aio.AioRpcError as delivery answered."""

    async def all(self, who: Identity) -> pb.ListSubmissionsResponse:
        """Give all submissions, without envelopes."""

    async def get(self, who: Identity, numbers: Sequence[int] | None) -> pb.GetSubmissionsResponse:
        """Give at most 1,000 submissions whole; None asks for all."""

    async def changes(self, who: Identity, since: int, most: int) -> pb.GetSubmissionChangesResponse:
        """Give what changed of them."""

    async def update(self, who: Identity, request: pb.UpdateSubmissionsRequest) -> pb.UpdateSubmissionsResponse:
        """Change them in one commit, and let go out what is due."""


class SubmissionGet(AccountArguments, kw_only=True):
    """Arguments of EmailSubmission/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class SubmissionReading:
    """The methods that change nothing."""

    def __init__(self, submissions: Submissions) -> None:
        self._submissions = submissions

    async def get(self, context: Context, arguments: SubmissionGet) -> dict[str, Any]:
        """RFC 8621 §7.1."""
        names = dict.fromkeys(["id", *(PROPERTIES if arguments.properties is None else arguments.properties)])
        if any(name not in PROPERTIES for name in names):
            raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
        if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
            raise MethodError(Fault.REQUEST_TOO_LARGE)
        wanted = None
        if arguments.ids is not None:
            wanted = {context.resolve_id(text): text for text in arguments.ids}
        numbers = None if wanted is None else [n for text in wanted if (n := ids.submission_number(text)) is not None]
        answer = await self._whole(context, numbers)
        found = {one["id"]: one for one in map(shown, answer.submissions)}
        order = found if wanted is None else wanted
        return {
            "accountId": arguments.account_id,
            "state": ids.state_text(answer.modseq),
            "list": [{name: found[text][name] for name in names} for text in order if text in found],
            "notFound": [given for text, given in (wanted or {}).items() if text not in found],
        }

    async def _whole(self, context: Context, numbers: Sequence[int] | None) -> pb.GetSubmissionsResponse:
        try:
            answer = await self._submissions.get(context.who, numbers)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                raise MethodError(Fault.REQUEST_TOO_LARGE) from None
            raise
        if numbers is None and len(answer.submissions) > context.limits.objects_in_get:
            raise MethodError(Fault.REQUEST_TOO_LARGE)
        return answer

    async def changes(self, context: Context, arguments: ChangesArguments) -> dict[str, Any]:
        """RFC 8621 §7.2."""
        since = ids.state_number(arguments.since_state)
        if since is None:
            raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
        answer = await self._changed(context, since, min(arguments.max_changes or _MOST_CHANGES, _MOST_CHANGES))
        return {
            "accountId": arguments.account_id,
            "oldState": arguments.since_state,
            "newState": ids.state_text(answer.new_modseq),
            "hasMoreChanges": answer.has_more,
            "created": [submission_id(number) for number in answer.created],
            "updated": [submission_id(number) for number in answer.updated],
            "destroyed": [submission_id(number) for number in answer.destroyed],
        }

    async def _changed(self, context: Context, since: int, most: int) -> pb.GetSubmissionChangesResponse:
        try:
            return await self._submissions.changes(context.who, since, most)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.OUT_OF_RANGE:
                raise MethodError(Fault.CANNOT_CALCULATE_CHANGES) from None
            raise

    async def query(self, context: Context, arguments: ListQuery) -> dict[str, Any]:
        """RFC 8621 §7.3."""
        found, modseq = await self._list(context, arguments)
        return window(arguments, found, ids.state_text(modseq), changes=True)

    async def _list(self, context: Context, arguments: ListArguments) -> tuple[list[str], int]:
        """Return the ids that a filter keeps, in the order wanted, and the modseq."""
        matches = matcher(arguments.filter, condition)
        ordered((), arguments.sort, SORTS)  # what cannot be is refused before anything is read
        answer = await self._submissions.all(context.who)
        objects = [one for one in map(listed, answer.submissions) if matches(one)]
        return [one["id"] for one in ordered(objects, arguments.sort, SORTS)], answer.modseq

    async def query_changes(self, context: Context, arguments: ListQueryChanges) -> dict[str, Any]:
        """RFC 8621 §7.4: what changed since is taken out, and put in again where it is now."""
        since = ids.state_number(arguments.since_query_state)
        if since is None:
            raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
        changed = await self._changed(context, since, 0)
        found, modseq = await self._list(context, arguments)
        if modseq != changed.new_modseq:  # something moved between the two looks: the older is what is told from
            changed = await self._changed(context, since, 0)
            found, modseq = await self._list(context, arguments)
            if modseq != changed.new_modseq:
                raise MethodError(Fault.SERVER_UNAVAILABLE)
        moved = {submission_id(number) for number in (*changed.created, *changed.updated)}
        removed = [submission_id(number) for number in (*changed.updated, *changed.destroyed)]
        added = [{"id": text, "index": index} for index, text in enumerate(found) if text in moved]
        if arguments.max_changes is not None and len(removed) + len(added) > arguments.max_changes:
            raise MethodError(Fault.TOO_MANY_CHANGES)
        result: dict[str, Any] = {
            "accountId": arguments.account_id,
            "oldQueryState": arguments.since_query_state,
            "newQueryState": ids.state_text(modseq),
            "removed": removed,
            "added": added,
        }
        if arguments.calculate_total:
            result["total"] = len(found)
        return result
