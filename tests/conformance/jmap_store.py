"""Mail of some people in memory, keeping what the contract of store's MailboxService promises.

It stands behind the gateway's port in unit tests, and behind gRPC in the wire tests that need no whole stack.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import grpc
import grpc.aio
from tests.conformance import jmap_lists
from tests.conformance.jmap_boxes import Boxes
from tests.conformance.jmap_lists import Kept
from tests.conformance.jmap_removed import MemoryRemoved, Removed

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import uploads_pb2
from petitbleu_gateway.ports import Identity, Scripts
from petitbleu_mail.structure import encode_meta, parse_message
from petitbleu_mail.threading import thread_keys
from petitbleu_store.domain.change_log import Op, fold

NOW = 1_760_000_000_000


def refuse(code: grpc.StatusCode) -> NoReturn:
    raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="as told", debug_error_string="")


@dataclass
class Person:
    """One account's mail."""

    modseq: int = 1
    last_id: int = 0
    last_thread: int = 0
    log_from: int = 0
    over_quota: bool = False
    boxes: Boxes = field(default_factory=Boxes)
    messages: dict[int, Kept] = field(default_factory=dict)
    removed: Removed = field(default_factory=Removed)
    threads: dict[tuple[str, str], int] = field(default_factory=dict)
    thread_log: list[tuple[int, int, int, int]] = field(default_factory=list)
    imported: dict[bytes, int] = field(default_factory=dict)
    uploads: dict[int, bytes] = field(default_factory=dict)
    history: list[tuple[int, int, Kept | None]] = field(default_factory=list)
    quota: int = 0
    limit_modseq: int = 0
    limited_modseq: int = 0

    def limit(self, octets: int) -> None:
        """Set what the account may hold, as the operator does."""
        if octets != self.quota:
            self.modseq += 1
            self.limit_modseq = self.modseq
            self.limited_modseq = self.limited_modseq if self.quota else self.modseq
            self.quota = octets

    def recount(self) -> None:
        """Note which counts of mailboxes have changed, each under a modseq of its own."""
        self.modseq = self.boxes.count(self.modseq, self.messages)

    def note(self, message_id: int) -> None:
        """Remember what became of a message."""
        self.history.append((self.modseq, message_id, copy.deepcopy(self.messages.get(message_id))))

    def steps(self) -> list[tuple[int, int, int, int]]:
        """Return the log of messages."""
        there: set[int] = set()
        log: list[tuple[int, int, int, int]] = []
        for modseq, message_id, kept in self.history:
            op = Op.DESTROYED if kept is None else Op.UPDATED if message_id in there else Op.CREATED
            (there.discard if kept is None else there.add)(message_id)
            log.append((modseq, message_id, 0, op))
        return log

    def bring_back(self, kept: Kept, mailboxes: Sequence[int]) -> None:
        """Put a message that was destroyed in mailboxes again."""
        self.modseq += 1
        row = kept.row
        known = any(other.row.thread_id == row.thread_id for other in self.messages.values())
        self.thread_log.append((self.modseq, row.thread_id, 0, Op.UPDATED if known else Op.CREATED))
        row.mailbox_ids[:] = sorted(mailboxes)
        row.modseq = self.modseq
        self.messages[row.message_id] = kept
        self.note(row.message_id)

    def before(self, modseq: int) -> tuple[dict[int, Kept], set[int]]:
        """Return the messages as they were, and those of threads in which one was touched since."""
        then: dict[int, Kept] = {}
        threads: set[int] = set()
        for step, message_id, kept in self.history:
            if step > modseq:
                told = kept or next(one for _, number, one in self.history if number == message_id and one is not None)
                threads.add(told.row.thread_id)
            elif kept is None:
                then.pop(message_id, None)
            else:
                then[message_id] = kept
        every = [*then.items(), *self.messages.items()]
        return then, {number for number, kept in every if kept.row.thread_id in threads}

    def file(
        self,
        body: bytes,
        mailboxes: Sequence[int] = (1,),
        keywords: Sequence[str] = (),
        received: int = 0,
        prefix: bytes = b"",
    ) -> pb.Message:
        """Put a message in mailboxes, as delivery would."""
        self.modseq += 1
        self.last_id += 1
        parsed = parse_message(body)
        keys = thread_keys(parsed)
        thread = next((self.threads[key] for key in keys if key in self.threads), 0)
        if not thread:
            self.last_thread += 1
            thread = self.last_thread
        for key in keys:
            self.threads.setdefault(key, thread)
        known = any(kept.row.thread_id == thread for kept in self.messages.values())
        self.thread_log.append((self.modseq, thread, 0, Op.UPDATED if known else Op.CREATED))
        row = pb.Message(
            message_id=self.last_id, thread_id=thread, mailbox_ids=sorted(mailboxes), keywords=sorted(keywords),
            size=len(prefix) + len(body), received_at_ms=received or NOW + 1000 * self.last_id, meta=encode_meta(parsed),
            prefix_octets=len(prefix), modseq=self.modseq,
        )  # fmt: skip
        sent = parsed.sent_at[0] if parsed.sent_at else 0
        self.messages[self.last_id] = Kept(row, prefix + body, self.modseq, sent, parsed.has_attachment)
        self.note(self.last_id)
        self.recount()
        return row


class MemoryStore:
    """`petitbleu_gateway.ports.MailStore`, in memory; rules are served apart (`jmap_scripts`)."""

    scripts: Scripts

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}
        self.removed = MemoryRemoved(self._of)
        self.calls: list[str] = []
        self.fail: grpc.StatusCode | None = None

    def person(self, account_id: int) -> Person:
        return self.people.setdefault(account_id, Person())

    def _of(self, who: Identity, call: str) -> Person:
        self.calls.append(call)
        if self.fail is not None:
            refuse(self.fail)
        person = self.person(who.account_id)
        person.recount()
        return person

    async def state(self, who: Identity) -> pb.GetStateResponse:
        found = self._of(who, "state")
        return pb.GetStateResponse(
            modseq=found.modseq, messages=len(found.messages), quota_octets=found.quota,
            used_octets=sum(kept.row.size for kept in found.messages.values()), limit_modseq=found.limit_modseq,
            limited_modseq=found.limited_modseq,
        )  # fmt: skip

    async def mailboxes(self, who: Identity) -> pb.ListMailboxesResponse:
        person = self._of(who, "mailboxes")
        return person.boxes.listed(person.modseq)

    async def query(self, who: Identity, request: pb.QueryMessagesRequest) -> pb.QueryMessagesResponse:
        person = self._of(who, "query")
        if jmap_lists.refused(request.filter):
            return pb.QueryMessagesResponse(refusal=pb.QUERY_REFUSAL_FILTER)
        answer = jmap_lists.window(person.messages, request, person.modseq)
        if request.with_messages and answer.message_ids:
            answer.rows.CopyFrom(await self.messages(who, answer.message_ids))
        return answer

    async def snippets(self, who: Identity, request: pb.GetSnippetsRequest) -> pb.GetSnippetsResponse:
        person = self._of(who, "snippets")
        if jmap_lists.refused(request.filter):
            refuse(grpc.StatusCode.INVALID_ARGUMENT)
        return jmap_lists.snippets(person.messages, request)

    async def query_changes(
        self, who: Identity, request: pb.QueryMessageChangesRequest
    ) -> pb.QueryMessageChangesResponse:
        person = self._of(who, "query_changes")
        if not person.log_from <= request.since_modseq <= person.modseq:
            refuse(grpc.StatusCode.FAILED_PRECONDITION)
        if jmap_lists.refused(request.filter):
            return pb.QueryMessageChangesResponse(refusal=pb.QUERY_REFUSAL_FILTER)
        before, touched = person.before(request.since_modseq)
        return jmap_lists.became(before, person.messages, touched, request, person.modseq)

    async def messages(
        self, who: Identity, message_ids: Sequence[int], *, without_meta: bool = False
    ) -> pb.GetMessagesResponse:
        person = self._of(who, "messages")
        if len(message_ids) > 1000:
            refuse(grpc.StatusCode.INVALID_ARGUMENT)
        answer = pb.GetMessagesResponse(modseq=person.modseq)
        for number in message_ids:
            if number in person.messages:
                row = answer.messages.add()
                row.CopyFrom(person.messages[number].row)
                if without_meta:
                    row.ClearField("meta")
        return answer

    async def threads(self, who: Identity, thread_ids: Sequence[int]) -> pb.GetThreadsResponse:
        person = self._of(who, "threads")
        answer = pb.GetThreadsResponse(modseq=person.modseq)
        for thread in thread_ids:
            inside = [kept.row for kept in person.messages.values() if kept.row.thread_id == thread]
            if inside:
                inside.sort(key=lambda row: row.received_at_ms)
                answer.threads.add(thread_id=thread, message_ids=[row.message_id for row in inside])
        return answer

    async def changes(self, who: Identity, request: pb.GetChangesRequest) -> pb.GetChangesResponse:
        person = self._of(who, "changes")
        since = request.since_modseq
        if since < person.log_from:
            refuse(grpc.StatusCode.FAILED_PRECONDITION)
        if request.kind == pb.CHANGE_KIND_MAILBOX:
            return person.boxes.changed(since, person.modseq, request.max_changes)
        if request.kind == pb.CHANGE_KIND_THREAD:
            window = fold([step for step in person.thread_log if step[0] > since], since, request.max_changes or 1000)
            return pb.GetChangesResponse(
                created=window.created, updated=window.updated, destroyed=window.destroyed, has_more=window.cut,
                new_modseq=window.upto if window.cut else person.modseq,
            )  # fmt: skip
        window = fold([step for step in person.steps() if step[0] > since], since, request.max_changes or 1000)
        return pb.GetChangesResponse(
            created=window.created, updated=window.updated, destroyed=window.destroyed, has_more=window.cut,
            new_modseq=window.upto if window.cut else person.modseq,
        )  # fmt: skip

    async def update(self, who: Identity, request: pb.UpdateMessagesRequest) -> pb.UpdateMessagesResponse:
        person = self._of(who, "update")
        if request.if_modseq and request.if_modseq != person.modseq:
            refuse(grpc.StatusCode.ABORTED)
        assert len({update.message_id for update in request.updates}) == len(request.updates)
        answer = pb.UpdateMessagesResponse(old_modseq=person.modseq)
        for update in request.updates:
            answer.results.add(status=self._apply(person, update))
        person.recount()
        answer.new_modseq = person.modseq
        return answer

    def _apply(self, person: Person, update: pb.MessageUpdate, *, going: bool = False) -> pb.UpdateStatus.ValueType:
        kept = person.messages.get(update.message_id)
        if kept is None:
            return pb.UPDATE_STATUS_NOT_FOUND
        if update.destroy:
            person.modseq += 1
            del person.messages[update.message_id]
            left = any(other.row.thread_id == kept.row.thread_id for other in person.messages.values())
            step = (person.modseq, kept.row.thread_id, 0, Op.UPDATED if left else Op.DESTROYED)
            person.thread_log.append(step)
            person.removed.keep(kept, going)
            person.note(update.message_id)
            return pb.UPDATE_STATUS_OK
        keywords = set() if update.replace_keywords else set(kept.row.keywords)
        keywords = (keywords | set(update.add_keywords)) - set(update.remove_keywords)
        mailboxes = set() if update.replace_mailboxes else set(kept.row.mailbox_ids)
        mailboxes = (mailboxes | set(update.add_mailbox_ids)) - set(update.remove_mailbox_ids)
        if not mailboxes or not mailboxes <= set(person.boxes.rows):
            return pb.UPDATE_STATUS_INVALID_MAILBOX
        if len(keywords) > 100:
            return pb.UPDATE_STATUS_INVALID_KEYWORD
        person.modseq += 1
        kept.row.keywords[:] = sorted(keywords)
        kept.row.mailbox_ids[:] = sorted(mailboxes)
        kept.row.modseq = person.modseq
        person.note(update.message_id)
        return pb.UPDATE_STATUS_OK

    async def update_mailboxes(self, who: Identity, request: pb.UpdateMailboxesRequest) -> pb.UpdateMailboxesResponse:
        person = self._of(who, "update_mailboxes")
        old = person.modseq
        if request.if_modseq and request.if_modseq != old:
            refuse(grpc.StatusCode.ABORTED)
        boxes = dict(person.boxes.rows)
        answer, gone = person.boxes.update(person.modseq, request.updates)
        person.modseq = answer.new_modseq
        members: dict[int, list[int]] = {number: [] for number in gone}
        for message_id, kept in list(person.messages.items()):
            leaving = gone.intersection(kept.row.mailbox_ids)
            if not leaving:
                continue
            left = pb.MessageUpdate(message_id=message_id, remove_mailbox_ids=sorted(leaving))
            left.destroy = set(kept.row.mailbox_ids) == leaving
            for number in () if left.destroy else leaving:
                members[number].append(message_id)
            self._apply(person, left, going=True)
        for number, some in members.items():
            person.removed.keep_box(boxes[number], some)
        person.recount()
        answer.new_modseq = person.modseq
        return answer

    async def import_message(self, who: Identity, request: pb.ImportMessageRequest) -> pb.ImportMessageResponse:
        person = self._of(who, "import")
        assert 16 <= len(request.idempotency_key) <= 64
        old = person.modseq
        if request.if_modseq and request.if_modseq != old:
            refuse(grpc.StatusCode.ABORTED)
        known = person.messages.get(person.imported.get(request.idempotency_key, 0))
        if known is not None:
            return pb.ImportMessageResponse(
                status=pb.UPDATE_STATUS_OK, message=known.row, old_modseq=old, new_modseq=old, existed=True
            )
        if person.over_quota:
            return pb.ImportMessageResponse(over_quota=True)
        if not request.mailbox_ids or not set(request.mailbox_ids) <= set(person.boxes.rows):
            return pb.ImportMessageResponse(status=pb.UPDATE_STATUS_INVALID_MAILBOX)
        row = person.file(request.body, request.mailbox_ids, request.keywords, request.received_at_ms)
        person.imported[request.idempotency_key] = row.message_id
        return pb.ImportMessageResponse(
            status=pb.UPDATE_STATUS_OK, message=row, old_modseq=old, new_modseq=person.modseq
        )

    async def upload(self, who: Identity, pieces: AsyncIterator[bytes]) -> uploads_pb2.StoredUpload:
        person = self._of(who, "upload")
        octets = b"".join([piece async for piece in pieces])
        number = (NOW << 21) + sum(len(one.uploads) for one in self.people.values())
        person.uploads[number] = octets
        return uploads_pb2.StoredUpload(upload_id=number, size=len(octets))

    async def uploads(self, who: Identity, upload_ids: Sequence[int]) -> Sequence[uploads_pb2.StoredUpload]:
        kept = self._of(who, "uploads").uploads
        return [uploads_pb2.StoredUpload(upload_id=one, size=len(kept[one])) for one in upload_ids if one in kept]

    async def read_upload(self, who: Identity, upload_id: int, offset: int, length: int) -> AsyncIterator[bytes]:
        octets = self._of(who, "read_upload").uploads.get(upload_id)
        if octets is None:
            refuse(grpc.StatusCode.NOT_FOUND)
        end = min(offset + length if length else len(octets), len(octets))
        for at in range(offset, end, 256 << 10):
            yield octets[at : min(at + (256 << 10), end)]

    async def read(self, who: Identity, message_id: int, offset: int, length: int) -> AsyncIterator[bytes]:
        kept = self._of(who, "read").messages.get(message_id)
        if kept is None:
            refuse(grpc.StatusCode.NOT_FOUND)
        end = offset + length if length else len(kept.served)
        for at in range(offset, min(end, len(kept.served)), 256 << 10):
            yield kept.served[at : min(at + (256 << 10), end)]


def person_identity(account_id: int = 101, address: str = "alice@demo.test") -> Identity:
    """An identity for tests that have no accounts."""
    return Identity(account_id, 3, address, "Alice", (1,), 0, secrets.token_hex(8), 1 << 40)
