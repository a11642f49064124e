"""Delivery status notifications (RFC 3461 §6, RFC 3464): who is told of what, once.

Only somebody of ours is ever told: a message that was submitted or that a rule sent, whose envelope sender is an address that leads to
an account here; of a message with a rewritten sender (SRS) it is whose rule sent it on. So no notice goes to the null path, to a stranger, or to whom a stranger named as the sender (backscatter).
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from prometheus_client import Counter

from petitbleu.store.v1 import accept_pb2, outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import MAX_MESSAGES, AcceptedLetter
from petitbleu_delivery.adapters.queue_rows import FinalAnswer
from petitbleu_delivery.domain.dsn import MAX_HEADER, Action, Concerned, Notice, delivery_notice
from petitbleu_delivery.domain.model import Recipient, Status
from petitbleu_delivery.domain.outbound import Answer, Reply, Verdict, destination_of
from petitbleu_delivery.errors import PeerRefusedError
from petitbleu_delivery.service.outbound.telling import SENT, Told
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_delivery.service.router import Router
from petitbleu_kit.logs import get_logger
from petitbleu_mail.srs import is_rewritten

_log = get_logger(__name__)
_notices = Counter("petitbleu_delivery_notices_total", "Delivery status notifications", ["action", "result"])
_TOLD_OF: Final = frozenset({accept_pb2.ORIGIN_SUBMITTED, accept_pb2.ORIGIN_RULE})
_MAX_RECIPIENTS: Final = 500
_FILED_HERE: Final = Reply(0, "2.1.5", "filed", "")


class Mail(Protocol):
    """store, for notices."""

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        """Return accepted messages by id, at most 64; unknown ones are left out."""
        ...

    async def accept(self, items: Sequence[accept_pb2.AcceptItem]) -> list[bytes]:
        """Accept messages that delivery wrote; their ids, empty for one that store does not take."""
        ...


def action_of(answer: Answer, notify: str) -> Action | None:
    """Return what the sender is told of a final answer, None for nothing (RFC 3461 §4.1, §5.2).

    `notify` is the value of NOTIFY in upper case, empty where none was given: then failures are told.
    """
    wanted = set(notify.split(",")) if notify else {"FAILURE"}
    if answer.verdict is Verdict.REFUSED:
        return Action.FAILED if "FAILURE" in wanted else None
    if answer.verdict is Verdict.SENT and "SUCCESS" in wanted and not answer.relayed_dsn:
        return Action.RELAYED  # RFC 3461 §5.2.2: the next server knows nothing of notifications
    return None


def warns(notify: str) -> bool:
    """Say whether the sender is told that it takes long (RFC 3461 §4.1: left to us where NOTIFY was not given)."""
    return not notify or "DELAY" in notify.split(",")


def _attempt(notice: int) -> str:
    """Name what an attempt brought: whoever tells of it, and how often, tells of the same."""
    return f"attempt {notice}"


def _number(answer: Answer) -> int:
    return answer.number


class DeliveryNotices:
    """Writes notices and hands them to store as mail.

    Args:
        router: Says whose an envelope sender is.
        submitters: Says in which language.
        mail: store.
        reporting_mta: Our host name.
        expires: Seconds for which mail is tried.
        clock: Unix seconds.
    """

    def __init__(
        self, router: Router, submitters: Submitters, mail: Mail, reporting_mta: str, expires: float,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._router = router
        self._submitters = submitters
        self._mail = mail
        self._reporting_mta = reporting_mta
        self._expires = expires
        self._clock = clock

    async def notify(self, told: Told) -> None:
        """Send those that are due of an attempt; twice is as once.

        Raises:
            PeerUnavailableError: store or accounts do not answer now.
        """
        groups: dict[Action, list[Answer]] = defaultdict(list)
        for answer in told.finals:
            action = action_of(answer, told.header.recipients[answer.number].notify)
            if action is not None:
                groups[action].append(answer)
        for answer in told.late:
            if warns(told.header.recipients[answer.number].notify):
                groups[Action.DELAYED].append(answer)
        delayed = f"{told.unit.destination} {told.unit.first_no}"
        await self._send(
            told.header, told.body,
            [(delayed if action is Action.DELAYED else _attempt(told.notice), action, found) for action, found in groups.items()],
        )  # fmt: skip

    async def again(self, finals: Sequence[FinalAnswer]) -> None:
        """Send those that are due of answers of which nobody was told, from what the rows keep of them.

        What the servers said is not known any more but for its codes. A notice has the same key as the one that `notify` may have sent
        of them, since it tells of the same: all that came with one attempt.

        Raises:
            PeerUnavailableError: store or accounts do not answer now.
        """
        kept: dict[bytes, list[FinalAnswer]] = defaultdict(list)
        for final in finals:
            # what an operator drops has no status, and nobody is told
            if final.reply.enhanced and not (final.state == SENT and final.informs):
                kept[final.accepted_id.bytes].append(final)
        ids = list(kept)
        for start in range(0, len(ids), MAX_MESSAGES):
            found = await self._mail.read(ids[start : start + MAX_MESSAGES], MAX_HEADER)
            for accepted_id, letter in found.items():
                groups: dict[tuple[str, Action], list[Answer]] = defaultdict(list)
                for final in kept[accepted_id]:
                    recipient = letter.header.recipients[final.recipient_no]
                    verdict = Verdict.SENT if final.state == SENT else Verdict.REFUSED
                    answer = Answer(final.recipient_no, verdict, final.reply, final.informs)
                    action = action_of(answer, recipient.notify)
                    if action is not None:
                        name = _attempt(final.notice) if final.notice else destination_of(recipient.address)
                        groups[name, action].append(answer)
                await self._send(
                    letter.header, letter.body, [(name, action, found) for (name, action), found in groups.items()]
                )

    async def filed(self, recipients: Sequence[Recipient]) -> None:
        """Tell senders of ours that mail was filed here, where NOTIFY=SUCCESS asked for it (RFC 3461 §5.2.3).

        A notice a recipient: who is filed together now may come apart when it is said again.

        Raises:
            PeerUnavailableError: store or accounts do not answer now.
        """
        wanted: dict[bytes, list[int]] = defaultdict(list)
        for recipient in recipients:
            if recipient.message.mail_from and recipient.message.origin in _TOLD_OF:
                wanted[recipient.message.accepted_id].append(recipient.number)
        ids = list(wanted)
        for start in range(0, len(ids), MAX_MESSAGES):
            found = await self._mail.read(ids[start : start + MAX_MESSAGES], MAX_HEADER)
            for accepted_id, letter in found.items():
                groups = [
                    (f"{number}", Action.DELIVERED, [Answer(number, Verdict.SENT, _FILED_HERE)])
                    for number in sorted(wanted[accepted_id])
                ]
                await self._send(letter.header, letter.body, groups)

    async def _send(
        self, header: outgoing_pb2.AcceptedHeader, body: bytes, groups: Sequence[tuple[str, Action, list[Answer]]]
    ) -> None:  # fmt: skip
        """Send a notice, or several where it is of very many, for each name of what is told of and action."""
        if not groups or header.origin not in _TOLD_OF or not header.mail_from:
            return
        known = await self._submitters.find([header.submitter_account_id])
        to = header.mail_from
        if is_rewritten(to):
            # the sender is a stranger, who may not have sent it; whose rule sent it on is somebody of ours
            to = known[header.submitter_account_id].address if known else ""
        if not to or (await self._router.routes([to]))[to].status is not Status.LOCAL:
            for _, action, _ in groups:
                _notices.labels(action=action.value, result="nobody-of-ours").inc()
            return
        language = known[header.submitter_account_id].language if known else ""
        items = [
            self._item(
                header,
                to,
                body,
                f"{name} {start}" if start else name,
                action,
                answers[start : start + _MAX_RECIPIENTS],
                language,
            )
            for name, action, found in groups
            for answers in (sorted(found, key=_number),)
            for start in range(0, len(answers), _MAX_RECIPIENTS)
        ]
        try:
            taken = await self._mail.accept(items)
        except PeerRefusedError as error:
            taken = [b""] * len(items)
            _log.error("store refuses a notice", code=error.code, about=header.accepted_id.hex())
        for _, action, _ in groups:
            _notices.labels(action=action.value, result="sent" if all(taken) else "refused").inc()

    def _item(
        self, header: outgoing_pb2.AcceptedHeader, to: str, body: bytes, of: str, action: Action,
        answers: Sequence[Answer], language: str,
    ) -> accept_pb2.AcceptItem:  # fmt: skip
        name = f"petitbleu dsn {action.value} {header.accepted_id.hex()} {of}"
        key = hashlib.sha256(name.encode()).digest()
        now = self._clock()
        arrived = header.received_at_ms / 1000
        recipients = header.recipients
        text = delivery_notice(
            Notice(
                action=action, language=language, to=to, reporting_mta=self._reporting_mta,
                recipients=tuple(Concerned(recipients[one.number].address, recipients[one.number].orcpt, one) for one in answers),
                original=body, full=header.parameters.ret == "FULL" and action is Action.FAILED, envid=header.parameters.envid,
                arrived=arrived, now=now, until=arrived + self._expires, message_id=f"{key.hex()[:32]}@{self._reporting_mta}",
            )
        )  # fmt: skip
        item = accept_pb2.AcceptItem(
            idempotency_key=key, body=text, origin=accept_pb2.ORIGIN_NOTICE,
            submitter_account_id=header.submitter_account_id, submitter_tenant_id=header.submitter_tenant_id,
        )  # fmt: skip
        item.recipients.add(address=to, tenant_id=header.submitter_tenant_id, notify="NEVER")
        item.parameters.eight_bit = not text.isascii()
        item.parameters.smtputf8 = not text.partition(b"\r\n\r\n")[0].isascii()
        return item
