"""Delivery status notifications (RFC 3461 §6, RFC 3464): who is told of what, once.

Only somebody of ours is ever told: a message that was submitted or that a rule sent, whose envelope sender is an address that leads to
an account here. So no notice goes to the null path, to a stranger, or to whom a stranger named as the sender (backscatter).
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
        await self._send(told.header, told.body, told.unit.destination, groups)

    async def again(self, finals: Sequence[FinalAnswer]) -> None:
        """Send those that are due of answers of which nobody was told, from what the rows keep of them.

        What the servers said is not known any more but for its codes. A success whose server may itself notify is not told.

        Raises:
            PeerUnavailableError: store or accounts do not answer now.
        """
        failed: dict[bytes, list[FinalAnswer]] = defaultdict(list)
        for final in finals:
            if final.state != SENT and final.reply.enhanced:  # what an operator drops has no status, and nobody is told
                failed[final.accepted_id.bytes].append(final)
        ids = list(failed)
        for start in range(0, len(ids), MAX_MESSAGES):
            found = await self._mail.read(ids[start : start + MAX_MESSAGES], MAX_HEADER)
            for accepted_id, letter in found.items():
                groups: dict[str, list[Answer]] = defaultdict(list)
                for final in failed[accepted_id]:
                    recipient = letter.header.recipients[final.recipient_no]
                    answer = Answer(final.recipient_no, Verdict.REFUSED, final.reply)
                    if action_of(answer, recipient.notify) is not None:
                        groups[destination_of(recipient.address)].append(answer)
                for destination, answers in groups.items():
                    await self._send(letter.header, letter.body, destination, {Action.FAILED: answers})

    async def filed(self, recipients: Sequence[Recipient]) -> None:
        """Tell senders of ours that mail was filed here, where NOTIFY=SUCCESS asked for it (RFC 3461 §5.2.3).

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
                answers = [Answer(number, Verdict.SENT, _FILED_HERE) for number in sorted(wanted[accepted_id])]
                await self._send(letter.header, letter.body, "", {Action.DELIVERED: answers})

    async def _send(
        self, header: outgoing_pb2.AcceptedHeader, body: bytes, destination: str, groups: dict[Action, list[Answer]]
    ) -> None:  # fmt: skip
        if not groups or header.origin not in _TOLD_OF or not header.mail_from:
            return
        route = (await self._router.routes([header.mail_from]))[header.mail_from]
        if route.status is not Status.LOCAL:
            for action in groups:
                _notices.labels(action=action.value, result="nobody-of-ours").inc()
            return
        known = await self._submitters.find([header.submitter_account_id])
        language = known[header.submitter_account_id].language if known else ""
        items = [
            self._item(header, body, destination, action, answers[start : start + _MAX_RECIPIENTS], language)
            for action, answers in groups.items()
            for start in range(0, len(answers), _MAX_RECIPIENTS)
        ]
        try:
            taken = await self._mail.accept(items)
        except PeerRefusedError as error:
            taken = [b""] * len(items)
            _log.error("store refuses a notice", code=error.code, about=header.accepted_id.hex())
        for action in groups:
            _notices.labels(action=action.value, result="sent" if all(taken) else "refused").inc()

    def _item(
        self, header: outgoing_pb2.AcceptedHeader, body: bytes, destination: str, action: Action,
        answers: Sequence[Answer], language: str,
    ) -> accept_pb2.AcceptItem:  # fmt: skip
        numbers = ",".join(str(number) for number in sorted(answer.number for answer in answers))
        name = f"petitbleu dsn {action.value} {header.accepted_id.hex()} {destination} {numbers}"
        key = hashlib.sha256(name.encode()).digest()
        now = self._clock()
        arrived = header.received_at_ms / 1000
        recipients = header.recipients
        text = delivery_notice(
            Notice(
                action=action, language=language, to=header.mail_from, reporting_mta=self._reporting_mta,
                recipients=tuple(Concerned(recipients[one.number].address, recipients[one.number].orcpt, one) for one in answers),
                original=body, full=header.parameters.ret == "FULL" and action is Action.FAILED, envid=header.parameters.envid,
                arrived=arrived, now=now, until=arrived + self._expires, message_id=f"{key.hex()[:32]}@{self._reporting_mta}",
            )
        )  # fmt: skip
        item = accept_pb2.AcceptItem(
            idempotency_key=key, body=text, origin=accept_pb2.ORIGIN_NOTICE,
            submitter_account_id=header.submitter_account_id, submitter_tenant_id=header.submitter_tenant_id,
        )  # fmt: skip
        item.recipients.add(address=header.mail_from, tenant_id=header.submitter_tenant_id, notify="NEVER")
        item.parameters.eight_bit = not text.isascii()
        item.parameters.smtputf8 = not text.partition(b"\r\n\r\n")[0].isascii()
        return item
