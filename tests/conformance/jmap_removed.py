"""What people deleted, in memory, keeping what the contract of store's RemovedService promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from tests.conformance.jmap_boxes import key
from tests.conformance.jmap_lists import Kept

from petitbleu.store.v1 import mailbox_pb2
from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_gateway.ports import Identity
from petitbleu_store.domain.change_log import Op
from petitbleu_store.domain.mailbox_outcome import MailboxRow

if TYPE_CHECKING:
    from tests.conformance.jmap_store import Person

DAYS = 30 * 86_400_000
ARCHIVE, DRAFTS = 6, 2


@dataclass
class Removed:
    """What one account deleted: messages with the time and whether a mailbox took them along, mailboxes with time and members."""

    messages: dict[int, tuple[Kept, int, bool]] = field(default_factory=dict)
    boxes: dict[int, tuple[MailboxRow, int, list[int]]] = field(default_factory=dict)
    state: int = 0
    last_ms: int = 0

    def now(self) -> int:
        self.state += 1
        self.last_ms = max(self.last_ms + 1, int(time.time() * 1000))
        return self.last_ms

    def keep(self, kept: Kept, with_mailbox: bool) -> None:
        self.messages[kept.row.message_id] = (kept, self.now(), with_mailbox)

    def keep_box(self, row: MailboxRow, members: list[int]) -> None:
        self.boxes[row.mailbox_id] = (row, self.now(), members)

    def came_with(self, mailbox_id: int) -> list[int]:
        return [
            number
            for number, (kept, _, with_mailbox) in self.messages.items()
            if with_mailbox and mailbox_id in kept.row.mailbox_ids
        ]


class MemoryRemoved:
    """`petitbleu_gateway.ports.RemovedMail`, in memory."""

    def __init__(self, of: Callable[[Identity, str], Person]) -> None:
        self._of = of

    async def query(self, who: Identity, request: pb.QueryRemovedRequest) -> pb.QueryRemovedResponse:
        kept = self._of(who, "removed.query").removed
        found = [
            (number, one, at)
            for number, (one, at, _) in kept.messages.items()
            if (not request.before_ms or at < request.before_ms)
            and at >= request.after_ms
            and (not request.in_mailbox or request.in_mailbox in one.row.mailbox_ids)
        ]
        found.sort(key=lambda one: (_key(one, request.sort), one[0]), reverse=not request.ascending)
        numbers = [number for number, _, _ in found]
        answer = pb.QueryRemovedResponse(total=len(numbers), state=kept.state)
        if request.anchor and request.anchor not in numbers:
            answer.anchor_not_found = True
            return answer
        start = numbers.index(request.anchor) + request.anchor_offset if request.anchor else request.position
        if not request.anchor and start < 0:
            start += len(numbers)
        answer.position = max(0, start)
        answer.message_ids.extend(numbers[answer.position : answer.position + request.limit])
        return answer

    async def messages(self, who: Identity, message_ids: Sequence[int]) -> pb.GetRemovedResponse:
        kept = self._of(who, "removed.messages").removed
        answer = pb.GetRemovedResponse(state=kept.state)
        for number in message_ids:
            if number in kept.messages:
                one, at, with_mailbox = kept.messages[number]
                answer.messages.add(
                    message=one.row, removed_at_ms=at, expires_at_ms=at + DAYS, with_mailbox=with_mailbox
                )
        return answer

    async def mailboxes(self, who: Identity) -> pb.ListRemovedMailboxesResponse:
        kept = self._of(who, "removed.mailboxes").removed
        answer = pb.ListRemovedMailboxesResponse(state=kept.state)
        for row, at, members in sorted(kept.boxes.values(), key=lambda one: -one[1]):
            count = len(members) + len(kept.came_with(row.mailbox_id))
            answer.mailboxes.add(mailbox=_shown(row), removed_at_ms=at, expires_at_ms=at + DAYS, messages=count)
        return answer

    async def restore(self, who: Identity, request: pb.RestoreMessagesRequest) -> pb.RestoreMessagesResponse:
        person = self._of(who, "removed.restore")
        _check(request.if_modseq, person.modseq)
        answer = pb.RestoreMessagesResponse(old_modseq=person.modseq)
        for one in request.restorations:
            status = self._restore(person, one.message_id, list(one.mailbox_ids))
            found = person.messages.get(one.message_id)
            answer.results.add(status=status, message=found.row if found and status == pb.RESTORE_STATUS_OK else None)
        person.recount()
        answer.new_modseq = person.modseq
        return answer

    @staticmethod
    def _restore(person: Person, number: int, target: list[int]) -> pb.RestoreStatus.ValueType:
        if number not in person.removed.messages:
            return pb.RESTORE_STATUS_OK if number in person.messages else pb.RESTORE_STATUS_NOT_FOUND
        kept, _, _ = person.removed.messages[number]
        known = set(person.boxes.rows)
        was = set(kept.row.mailbox_ids)
        if not set(target) <= known:
            return pb.RESTORE_STATUS_INVALID_MAILBOX
        if person.over_quota:
            return pb.RESTORE_STATUS_OVER_QUOTA
        fallback = DRAFTS if "$draft" in kept.row.keywords else ARCHIVE
        for box in was & set(person.removed.boxes):
            person.removed.boxes[box][2].append(number)
        del person.removed.messages[number]
        person.removed.now()
        person.bring_back(kept, target or sorted(was & known) or [fallback])
        return pb.RESTORE_STATUS_OK

    async def restore_mailboxes(
        self, who: Identity, request: pb.RestoreMailboxesRequest
    ) -> pb.RestoreMailboxesResponse:
        person = self._of(who, "removed.restore_mailboxes")
        _check(request.if_modseq, person.modseq)
        answer = pb.RestoreMailboxesResponse(old_modseq=person.modseq)
        kept = person.removed.boxes

        def level(number: int) -> int:
            return 1 + level(kept[number][0].parent_id) if number in kept else 0

        done = {
            number: self._restore_box(person, number, without=request.without_messages)
            for number in sorted(request.mailbox_ids, key=level)
        }
        answer.results.extend([done[number] for number in request.mailbox_ids])
        person.recount()
        answer.new_modseq = person.modseq
        return answer

    def _restore_box(self, person: Person, number: int, *, without: bool) -> pb.RestoredMailbox:
        rows = person.boxes.rows
        if number in rows:
            row, count = rows[number], 0
        elif number not in person.removed.boxes:
            return pb.RestoredMailbox(status=pb.RESTORE_STATUS_NOT_FOUND)
        elif person.over_quota:
            return pb.RestoredMailbox(status=pb.RESTORE_STATUS_OVER_QUOTA)
        else:
            row, _, members = person.removed.boxes.pop(number)
            person.removed.now()
            if row.parent_id not in rows:
                row.parent_id = 0
            taken = {one.name_sealed for one in rows.values() if one.parent_id == row.parent_id}
            name, times = row.name_sealed.decode(), 1
            while row.name_sealed in taken:
                times += 1
                row.name_sealed = f"{name} ({times})".encode()
            row.name_hash = key(row.name_sealed.decode())
            if row.role in {one.role for one in rows.values()}:
                row.role = ""
            rows[number] = row
            person.modseq += 1
            person.boxes.note(person.modseq, number, Op.CREATED)
            came = [] if without else person.removed.came_with(number)
            for message_id in came:
                self._restore(person, message_id, [])
            living = [one for one in ([] if without else members) if one in person.messages]
            for message_id in living:
                person.modseq += 1
                message = person.messages[message_id].row
                message.mailbox_ids[:] = sorted({*message.mailbox_ids, number})
                message.modseq = person.modseq
                person.note(message_id)
            count = len(came) + len(living)
        return pb.RestoredMailbox(
            status=pb.RESTORE_STATUS_OK, name=row.name_sealed.decode(), parent_id=row.parent_id, role=row.role,
            messages=count,
        )  # fmt: skip

    async def purge(self, who: Identity, request: pb.PurgeRemovedRequest) -> pb.PurgeRemovedResponse:
        kept = self._of(who, "removed.purge").removed
        if request.HasField("if_state"):
            _check(request.if_state + 1, kept.state + 1)
        answer = pb.PurgeRemovedResponse(old_state=kept.state)
        for number in request.message_ids:
            if kept.messages.pop(number, None) is not None:
                kept.now()
                answer.message_ids.append(number)
        for number in request.mailbox_ids:
            if kept.boxes.pop(number, None) is not None:
                kept.now()
                answer.mailbox_ids.append(number)
        answer.new_state = kept.state
        return answer


def _check(wanted: int, state: int) -> None:
    if wanted and wanted != state:
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.ABORTED, grpc.aio.Metadata(), grpc.aio.Metadata(), details="as told", debug_error_string=""
        )


def _key(one: tuple[int, Kept, int], sort: Any) -> int:
    _, kept, at = one
    if sort == pb.REMOVED_SORT_RECEIVED_AT:
        return kept.row.received_at_ms
    return kept.row.size if sort == pb.REMOVED_SORT_SIZE else at


def _shown(row: MailboxRow) -> mailbox_pb2.Mailbox:
    return mailbox_pb2.Mailbox(
        mailbox_id=row.mailbox_id, parent_id=row.parent_id, name=row.name_sealed.decode(), role=row.role,
        sort_order=row.sort_order, subscribed=row.subscribed,
    )  # fmt: skip
