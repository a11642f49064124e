"""EmailSubmission/set (RFC 8621 §7.5): mail goes out, or is held back in time; then its Email is changed or destroyed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2
from petitbleu_gateway.domain.submission_envelope import Envelope, derived_envelope, read_envelope
from petitbleu_gateway.domain.submission_view import GIVEN, shown, wants_cancel
from petitbleu_gateway.domain.submitted_header import SubmittedHeader, is_own, read_header
from petitbleu_gateway.errors import Fault, Invalid, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.email_set import EmailSet, email_set
from petitbleu_gateway.methods.email_submission import Submissions
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.structure import decode_meta

_LOST = frozenset({grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})


class SubmissionSet(AccountArguments, kw_only=True):
    """Arguments of EmailSubmission/set (RFC 8621 §7.5)."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None
    on_success_update_email: dict[str, dict[str, Any]] | None = None
    on_success_destroy_email: list[str] | None = None


@dataclass(slots=True)
class _Step:
    """One change: what it is for, by creation id or id as given, and what was sent."""

    kind: str
    text: str
    update: pb.SubmissionUpdate
    given: dict[str, Any]


class SubmissionSetting:
    """The method.

    Args:
        submissions: delivery.
        most_octets: The largest message that is sent.
    """

    def __init__(self, submissions: Submissions, most_octets: int) -> None:
        self._submissions = submissions
        self._most_octets = most_octets

    async def set(self, context: Context, arguments: SubmissionSet) -> dict[str, Any]:
        """RFC 8621 §7.5."""
        count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
        if count > context.limits.objects_in_set:
            raise MethodError(Fault.REQUEST_TOO_LARGE)
        call = _Call(context, arguments, self._most_octets)
        answer = await self._submissions.get(context.who, call.numbers())
        if arguments.if_in_state is not None and ids.state_number(arguments.if_in_state) != answer.modseq:
            raise MethodError(Fault.STATE_MISMATCH)
        call.known = {f"E{one.number}": one for one in answer.submissions}
        steps = await call.steps()
        old = new = answer.modseq
        if steps:
            done = await self._update(context, arguments, steps, answer.modseq)
            old, new = done.old_modseq, done.new_modseq
            for step, result in zip(steps, done.results, strict=True):
                call.settle(step, result)
        told = {name: found or None for name, found in call.told.items()}
        await call.on_success()
        return {
            "accountId": arguments.account_id,
            "oldState": ids.state_text(old),
            "newState": ids.state_text(new),
            **told,
        }

    async def _update(
        self, context: Context, arguments: SubmissionSet, steps: list[_Step], modseq: int
    ) -> pb.UpdateSubmissionsResponse:
        request = pb.UpdateSubmissionsRequest(updates=[step.update for step in steps])
        if arguments.if_in_state is not None:
            request.if_modseq = modseq
        try:
            return await self._submissions.update(context.who, request)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.ABORTED:
                raise MethodError(Fault.STATE_MISMATCH) from None
            if error.code() in _LOST:
                # it may be done: who sends again without a look may send twice (RFC 8620 §3.6.2)
                raise MethodError(Fault.SERVER_PARTIAL_FAIL) from None
            raise


class _Call:
    """Reads what a call wants (creations, then changes, then destructions) and tells what became of it."""

    def __init__(self, context: Context, arguments: SubmissionSet, most_octets: int) -> None:
        self._context = context
        self._arguments = arguments
        self._most_octets = most_octets
        self._index: dict[str, int] = {}
        self._emails: dict[str, str] = {}
        # Emails that must stay, and why
        self._kept: dict[str, str] = {}
        self.known: Mapping[str, pb.Submission] = {}
        self.told: dict[str, Any] = {
            "created": {}, "updated": {}, "destroyed": [], "notCreated": {}, "notUpdated": {}, "notDestroyed": {},
        }  # fmt: skip
        # ids to destroy, or `#` and a creation id of this call → as they are given
        self._doomed: dict[str, str] = {}
        for text in arguments.destroy or ():
            self._doomed.setdefault(self._resolved(text), text)

    def _resolved(self, text: str) -> str:
        made_here = text.startswith("#") and text[1:] in (self._arguments.create or {})
        return text if made_here else self._context.resolve_id(text)

    def numbers(self) -> list[int]:
        """Return the submissions that are to change, by number."""
        texts = [self._resolved(text) for text in self._arguments.update or ()]
        return sorted(
            {number for text in (*texts, *self._doomed) if (number := ids.submission_number(text)) is not None}
        )

    async def steps(self) -> list[_Step]:
        """Return what delivery is to do; what is wrong in itself is told."""
        steps: list[_Step] = []
        create = self._arguments.create or {}
        making = await self._making(create)
        for creation_id, given in create.items():
            try:
                steps.append(_Step("Created", creation_id, await making.one(given), given))
            except SetError as error:
                self.told["notCreated"][creation_id] = error.as_object()
            else:
                self._index[creation_id] = len(steps) - 1
        seen: set[str] = set()
        for text, patch in (self._arguments.update or {}).items():
            resolved = self._resolved(text)
            try:
                if resolved in self._doomed:
                    raise SetError(SetFault.WILL_DESTROY)  # noqa: TRY301 — RFC 8620 §5.3
                if resolved in seen:  # by its id and by its creation id
                    raise SetError(SetFault.INVALID_PATCH, "the submission is named twice")  # noqa: TRY301
                update = self._aimed(resolved)
                update.cancel = wants_cancel(patch, shown(self.known[resolved]) if resolved in self.known else None)
                steps.append(_Step("Updated", text, update, patch))
                seen.add(resolved)
            except SetError as error:
                self.told["notUpdated"][text] = error.as_object()
        for resolved, text in self._doomed.items():
            try:
                update = self._aimed(resolved)
            except SetError as error:
                self.told["notDestroyed"][text] = error.as_object()
                continue
            update.destroy = True
            steps.append(_Step("Destroyed", text, update, {}))
        return steps

    def _aimed(self, resolved: str) -> pb.SubmissionUpdate:
        """Return the change of a submission that is there, or that this call makes."""
        if resolved in self.known:
            return pb.SubmissionUpdate(number=self.known[resolved].number)
        if resolved.removeprefix("#") not in self._index:
            raise SetError(SetFault.NOT_FOUND)
        return pb.SubmissionUpdate(created_by=self._index[resolved.removeprefix("#")])

    async def _making(self, create: Mapping[str, dict[str, Any]]) -> _Making:
        """Read what all creations need, at once."""
        context = self._context
        if not create:
            return _Making(context, self._most_octets, {}, {})
        identities = await context.people.identities(context.who)
        named = [
            context.resolve_id(given["emailId"]) for given in create.values() if isinstance(given.get("emailId"), str)
        ]
        numbers = sorted({number for text in named if (number := ids.message_number(text)) is not None})
        rows = await context.store.messages(context.who, numbers) if numbers else mailbox_pb2.GetMessagesResponse()
        return _Making(
            context, self._most_octets, {f"I{one.identity_id}": one.email for one in identities.identities},
            {f"M{row.message_id}": row for row in rows.messages},
        )  # fmt: skip

    def settle(self, step: _Step, result: pb.SubmissionResult) -> None:
        """Tell what delivery did of one."""
        if result.status != pb.SUBMISSION_STATUS_OK:
            self.told[f"not{step.kind}"][step.text] = refusal_of(result).as_object()
            return
        resolved = self._resolved(step.text)
        if step.kind == "Destroyed":
            gone = self.known.get(resolved)
            if gone is not None:
                self._succeeded(resolved, gone)
            self.told["destroyed"].append(self._context.resolve_id(step.text))
            return
        self._succeeded(resolved, result.submission)
        found = shown(result.submission)
        if step.kind == "Created":
            self._succeeded(f"#{step.text}", result.submission)
            self._context.created_ids[step.text] = found["id"]
            # RFC 8620 §5.3: what the client did not send, or not so
            self.told["created"][step.text] = {
                name: value for name, value in found.items() if name not in step.given or step.given[name] != value
            }
        else:
            self.told["updated"][found["id"]] = None

    def _succeeded(self, text: str, one: pb.Submission) -> None:
        """Note the Email of a submission that was made, changed or destroyed, and whether it is needed for the mail still."""
        waits = one.state in {pb.SUBMISSION_STATE_PENDING, pb.SUBMISSION_STATE_SENDING} and not one.handed_over
        self._emails[text] = f"M{one.message_id}"
        if waits:  # mail that waits is the Email's own octets: they must not go before it
            self._kept[f"M{one.message_id}"] = "it is to be sent yet"
        elif one.state == pb.SUBMISSION_STATE_FAILED:  # nobody else has it
            self._kept[f"M{one.message_id}"] = "it was not sent"

    async def on_success(self) -> None:
        """Do what the client wants done with the Emails, in one implicit Email/set (RFC 8621 §7.5)."""
        update: dict[str, dict[str, Any]] = {}
        for text, patch in (self._arguments.on_success_update_email or {}).items():
            email = self._emails.get(self._resolved(text))
            if email is not None:
                update[email] = update.get(email, {}) | patch
        named = (self._emails.get(self._resolved(text)) for text in self._arguments.on_success_destroy_email or ())
        doomed = list(dict.fromkeys(email for email in named if email is not None))
        if not update and not doomed:
            return
        kept = [email for email in doomed if email in self._kept]
        request = EmailSet(
            account_id=self._arguments.account_id, update=update or None,
            destroy=[email for email in doomed if email not in kept] or None,
        )  # fmt: skip
        try:
            answer = await email_set(self._context, request)
        except MethodError as error:
            self._context.implied.append(("error", error.arguments()))
            return
        if kept:
            why = {email: SetError(SetFault.FORBIDDEN, self._kept[email]).as_object() for email in kept}
            answer["notDestroyed"] = (answer["notDestroyed"] or {}) | why
        self._context.implied.append(("Email/set", answer))


@dataclass(frozen=True, slots=True)
class _Making:
    """What creations are made of: identities by id with their address, and rows of Emails by id."""

    context: Context
    most_octets: int
    identities: Mapping[str, str]
    rows: Mapping[str, mailbox_pb2.Message]

    async def one(self, given: dict[str, Any]) -> pb.SubmissionUpdate:
        """Return the creation of a submission.

        Raises:
            SetError: any of RFC 8621 §7.5.
        """
        wrong = Invalid()
        for name in given.keys() - GIVEN:
            with wrong:
                raise invalid(name)
        with wrong:
            identity = self._named(given, "identityId", self.identities)
        with wrong:
            email = self._named(given, "emailId", self.rows)
        wrong.settle()
        row = self.rows[email]
        if row.size > self.most_octets:
            raise SetError(SetFault.TOO_LARGE, maxSize=self.most_octets)
        header = await self._header(row)
        self._check_sender(header)
        now = int(time.time() * 1000)
        own = self.identities[identity]
        if given.get("envelope") is None:
            sender = header.author if is_own(header.author, [own]) else own
            envelope = derived_envelope(sender, header.recipients)
        else:
            envelope = read_envelope(given["envelope"], now)
            path = envelope.message.mail_from.address
            if path and not is_own(path, self.identities.values()):
                raise SetError(SetFault.FORBIDDEN_MAIL_FROM)
        return self._update(identity, row, header, envelope)

    def _named(self, given: dict[str, Any], name: str, known: Mapping[str, Any]) -> str:
        value = given.get(name)
        if not isinstance(value, str) or self.context.resolve_id(value) not in known:
            raise invalid(name)
        return self.context.resolve_id(value)

    async def _header(self, row: mailbox_pb2.Message) -> SubmittedHeader:
        meta = decode_meta(row.meta)
        end = meta.root.body_start
        self.context.spend(end)
        pieces = (
            [piece async for piece in self.context.store.read(self.context.who, row.message_id, row.prefix_octets, end)]
            if end
            else []
        )
        octets = b"".join(pieces)
        return read_header(scan_headers(octets), octets, body=end < meta.size)

    def _check_sender(self, header: SubmittedHeader) -> None:
        """Refuse to send in the name of another (RFC 6409 §6.1). Raises `SetError` forbiddenFrom."""
        emails = self.identities.values()
        authors = [*header.from_, header.sender] if header.sender else header.from_
        if not all(is_own(address, emails) for address in authors):
            raise SetError(SetFault.FORBIDDEN_FROM, "the account may not write under this address")

    @staticmethod
    def _update(
        identity: str, row: mailbox_pb2.Message, header: SubmittedHeader, envelope: Envelope
    ) -> pb.SubmissionUpdate:  # fmt: skip
        message = envelope.message
        message.header_from = header.from_[0] if len(header.from_) == 1 else ""
        message.lacks_date = not header.has_date
        message.lacks_message_id = not header.has_message_id
        message.smtputf8 = message.smtputf8 or header.eight_bit  # RFC 6531 §3.4: a header in UTF-8
        return pb.SubmissionUpdate(
            create=pb.NewSubmission(
                submission_id=secrets.token_bytes(16), identity_id=int(identity[1:]), message_id=row.message_id,
                thread_id=row.thread_id, envelope=message, hold_until_ms=envelope.hold_until_ms,
                message_id_header=next(iter(decode_meta(row.meta).message_id or ()), ""),
            )
        )  # fmt: skip


def refusal_of(result: pb.SubmissionResult) -> SetError:
    """Return the SetError that an outcome of delivery is."""
    if result.status == pb.SUBMISSION_STATUS_NOT_FOUND:
        return SetError(SetFault.NOT_FOUND)
    if result.status == pb.SUBMISSION_STATUS_CANNOT_UNSEND:
        return SetError(SetFault.CANNOT_UNSEND, "it is on its way")
    if result.status == pb.SUBMISSION_STATUS_TOO_MANY:
        return SetError(SetFault.OVER_QUOTA, "the account has as many submissions as it may")
    if result.status == pb.SUBMISSION_STATUS_OVER_LIMIT:
        return SetError(SetFault.RATE_LIMIT, f"the account sends much; try again in {result.retry_after_seconds} s")
    if result.status == pb.SUBMISSION_STATUS_SUSPENDED:
        return SetError(
            SetFault.FORBIDDEN_TO_SEND, "sending is suspended for this account; ask its administrator"
        )  # RFC 8621 §7.5
    return invalid("envelope")
