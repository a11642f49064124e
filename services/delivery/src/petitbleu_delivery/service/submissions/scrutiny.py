"""What is submitted over JMAP is looked through by the scanners that mail programs' mail meets at the door, with what follows there.

Malware is refused, a score travels with the message (ADR 43), and a scanner that is down keeps nothing back unless the operator wants it
so. Asked before store accepts the message: what store has already is out of reach, and is not looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from petitbleu_delivery.domain.submissions import MALWARE, News, Submission
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_delivery.service.measures import SCANS
from petitbleu_kit.scanners.clamd import Clamd
from petitbleu_kit.scanners.scanning import Advice, Letter, Scan, Scanned, Scanners

MOST_SECONDS: Final = 30.0
"""The longest that scanners may take together: with the hand-over after it, less than its lease."""
_MOST_PENDING: Final = 1 << 20


class Found(NamedTuple):
    """What came of it: why the message does not leave, if so, and its score in hundredths of a point."""

    failure: News | None = None
    score: int = 0


class ToSubmit(Protocol):
    """store, for messages that are about to be submitted."""

    def letter(self, account_id: int, submission: Submission) -> Letter:
        """Return what scanners are told beside the octets."""
        ...

    async def read(self, account_id: int, submission: Submission, take: Callable[[bytes], Awaitable[None]]) -> bool:
        """Give a message to `take`; say whether it is new to store and was given as a whole."""
        ...


class Notice(Protocol):
    """Tells the person, once however often it is asked. Raises `PeerUnavailableError`."""

    async def __call__(self, account_id: int, submission: Submission, /) -> None:
        """Write that a message was not sent, for there is malware in it."""
        ...


class Scrutiny:
    """Looks submissions through.

    Args:
        scanners: Whom to ask.
        source: The messages.
        notice: Tells the person of what is refused.
        must_answer: Whether what the virus scanner did not look at waits.
        seconds: How long they may take together.
    """

    def __init__(
        self, scanners: Scanners, source: ToSubmit, notice: Notice, *, must_answer: bool = False,
        seconds: float = MOST_SECONDS,
    ) -> None:  # fmt: skip
        self._scanners = scanners
        self._source = source
        self._notice = notice
        self._must_answer = must_answer
        self._seconds = seconds

    async def look(self, account_id: int, submission: Submission) -> Found:
        """Look a message through, and tell the person if it does not leave.

        Raises:
            PeerUnavailableError: it is to be tried again later.
            PeerRefusedError: the same.
        """
        if not self._scanners:
            return Found()
        said = await self._said(account_id, submission)
        if any(one.advice is Advice.VIRUS for one in said.values()):
            # before it is recorded: who dies in between tells it again, which store knows
            await self._notice(account_id, submission)
            return Found(MALWARE)
        clamd = said.get(Clamd.name)
        if clamd is not None and clamd.advice is Advice.DOWN and self._must_answer:
            raise PeerUnavailableError(Peer.SCANNER, "NOT_SCANNED")
        return Found(None, max((one.score for one in said.values()), key=abs, default=0))

    async def _said(self, account_id: int, submission: Submission) -> dict[str, Scanned]:
        """Return what the scanners say; nothing of a message that store has, or that cannot be submitted."""
        room = asyncio.Event()
        scans = self._scanners.begin(self._source.letter(account_id, submission), None, room.set)

        async def take(piece: bytes) -> None:
            for scan in scans:
                scan.feed(piece)
            while any(scan.pending > _MOST_PENDING for scan in scans):
                room.clear()
                await room.wait()

        async def all_said() -> bool:
            whole = await self._source.read(account_id, submission, take)
            if whole:
                for scan in scans:
                    scan.end()
                await asyncio.gather(*(scan.result() for scan in scans))
            return whole

        try:
            async with asyncio.timeout(self._seconds):
                if not await all_said():
                    return {}
        except TimeoutError:
            pass  # who has not answered by now is down
        finally:
            for scan in scans:
                scan.cancel()
        return {scan.name: await _answer(scan) for scan in scans}


async def _answer(scan: Scan) -> Scanned:
    try:
        return await scan.result()
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        SCANS.labels(scan.name, "late").inc()
        return Scanned(Advice.DOWN)
