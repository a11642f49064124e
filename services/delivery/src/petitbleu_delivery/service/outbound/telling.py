"""Telling of answers: store settles the recipient, a submission learns its status, the sender gets a notice where one is due.

An answer is kept before it is told, so that a crash tells it again: each of the three takes it twice as once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from petitbleu.store.v1 import accept_pb2, filing_pb2, outgoing_pb2
from petitbleu_delivery.adapters.queue_rows import FinalAnswer, QueueRows, Unit
from petitbleu_delivery.domain.outbound import Answer, Verdict
from petitbleu_delivery.errors import PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import News, SubmissionNews
from petitbleu_kit.batching import Batcher
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_MOST: Final = 500
# Nobody waits for it: so answers are told together.
_LINGER: Final = 0.05
SENT: Final = int(filing_pb2.OUTCOME_SENT)
FAILED: Final = int(filing_pb2.OUTCOME_FAILED)


def final_of(unit: Unit, answer: Answer, notice: int) -> FinalAnswer:
    """Return what is kept of an answer after which nothing more is tried; `notice` names the attempt that brought it."""
    state = SENT if answer.verdict is Verdict.SENT else FAILED
    return FinalAnswer(
        unit.accepted_id, answer.number, unit.account_id, state, answer.reply, notice, answer.relayed_dsn
    )


class Told(msgspec.Struct, frozen=True):
    """What an attempt came to: the unit, the message's envelope and octets, final answers, those that last too long, and its name."""

    unit: Unit
    header: outgoing_pb2.AcceptedHeader
    body: bytes
    finals: tuple[Answer, ...]
    late: tuple[Answer, ...]
    notice: int


class Notices(Protocol):
    """Writes delivery status notifications (RFC 3461)."""

    async def notify(self, told: Told) -> None:
        """Send those that are due of an attempt whose answers are kept, or of its delay; twice is as once.

        Raises:
            PeerUnavailableError: store does not take them now.
        """

    async def again(self, finals: Sequence[FinalAnswer]) -> None:
        """Send those that are due of answers that were kept and never told, as `notify`; with all that came with them."""


class Settling(Protocol):
    """store's outcomes of queued recipients."""

    async def settle_queued(self, outcomes: Sequence[tuple[bytes, int, int, str]]) -> None:
        """Record outcomes: accepted id, recipient's number, 7 sent or 8 failed, a code."""


class Teller:
    """Tells of answers.

    Args:
        rows: The queue.
        settling: store.
        news: Submissions.
        notices: Writes notices.
    """

    def __init__(self, rows: QueueRows, settling: Settling, news: SubmissionNews, notices: Notices) -> None:
        self._rows = rows
        self._settling = settling
        self._news = news
        self._notices = notices
        self._telling: Batcher[tuple[FinalAnswer, bool], None] = Batcher(
            self._tell, max_items=_MOST, max_queued=sys.maxsize, concurrency=2, linger=_LINGER
        )

    async def tell(self, told: Told) -> None:
        """Tell of an attempt; what cannot be told now is told later from the rows, without what the server said."""
        try:
            if told.finals:
                await self._notices.notify(told)
            submitted = told.header.origin == accept_pb2.ORIGIN_SUBMITTED
            finals = [final_of(told.unit, answer, told.notice) for answer in told.finals]
            await asyncio.gather(*(self._telling.submit((final, submitted)) for final in finals))
        except (PeerUnavailableError, PeerRefusedError) as error:
            _log.warning("answers are told later", code=error.code)

    async def warn(self, told: Told) -> bool:
        """Tell of a delay, before it is kept that it was told; False when that cannot be done now."""
        try:
            await self._notices.notify(told)
        except (PeerUnavailableError, PeerRefusedError) as error:
            _log.warning("a delay is told at the next attempt", code=error.code)
            return False
        return True

    async def settle(self, finals: Sequence[FinalAnswer], *, submitted: bool = True) -> None:
        """Tell store and submissions of final answers, and keep that they were told.

        Raises:
            PeerUnavailableError: store does not answer: they stay untold.
        """
        await self._notices.again(await self._rows.together(finals))
        for start in range(0, len(finals), _MOST):
            await self._tell([(final, submitted) for final in finals[start : start + _MOST]])

    async def _tell(self, finals: Sequence[tuple[FinalAnswer, bool]]) -> Sequence[None]:
        await self._news.record(
            [
                News(
                    final.accepted_id.bytes, final.account_id, final.recipient_no,
                    Verdict.SENT if final.state == SENT else Verdict.REFUSED, final.reply,
                )
                for final, submitted in finals
                if submitted
            ]
        )  # fmt: skip
        await self._settling.settle_queued(
            [
                (final.accepted_id.bytes, final.recipient_no, final.state, final.reply.enhanced or "dropped")
                for final, _ in finals
            ]
        )
        await self._rows.told([(final.accepted_id, final.recipient_no) for final, _ in finals])
        return [None] * len(finals)
