"""A message on its way through a scanner: streamed as it comes, in bounded time and memory, and never a reason to lose mail."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from enum import Enum
from typing import Final, Protocol

import msgspec
from prometheus_client import Counter

from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
# Failures one after the other until a scanner is left alone, and for how long, seconds
_MOST_FAILURES: Final = 3
_REST_SECONDS: Final = 10.0
PIECE: Final = 64 << 10


class Advice(Enum):
    """What a scanner says of a message; `DOWN` is that it says nothing."""

    CLEAN = "clean"
    JUNK = "junk"
    LATER = "later"
    SPAM = "spam"
    VIRUS = "virus"
    DOWN = "down"


class Scanned(msgspec.Struct, frozen=True):
    """A scanner's answer; `score` is in hundredths, 0 where it gives none."""

    advice: Advice
    score: int = 0


class Letter(msgspec.Struct, frozen=True):
    """What a scanner is told beside the octets."""

    client: str
    helo: str
    mail_from: str
    recipients: Sequence[str]
    queue_id: str
    user: str = ""
    """Who submits it, by an opaque name; empty for a stranger."""


class ScanError(Exception):
    """The scanner's answer is none."""


class Scanner(Protocol):
    """A scanner that can be talked to."""

    name: str

    async def scan(self, letter: Letter, size: int | None, pieces: AsyncIterator[bytes], seconds: float) -> Scanned:
        """Send a message and read the answer; `size` is None while it still comes, `seconds` is for each step.

        Raises `OSError`, `TimeoutError`, `ScanError`, `asyncio.IncompleteReadError`.
        """


class Scanners:
    """Those that are configured, and how they are.

    Args:
        scanners: Whom to ask.
        seconds: Time for each step of a conversation: the connection, each piece, the answer.
        clock: Seconds that only rise.
        scans: Counts answers, by scanner and answer.
    """

    def __init__(
        self, scanners: Sequence[Scanner], seconds: float, clock: Callable[[], float], scans: Counter | None = None
    ) -> None:
        self._scans = scans
        self._scanners = scanners
        self._seconds = seconds
        self._clock = clock
        self._failures = dict.fromkeys([one.name for one in scanners], 0)
        self._rests_until = dict.fromkeys([one.name for one in scanners], 0.0)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._scanners)

    def begin(self, letter: Letter, size: int | None, progress: Callable[[], None]) -> list[Scan]:
        """Begin to send a message to all; one that failed again and again has a rest first."""
        return [Scan(self, one, letter, size, progress) for one in self._scanners]

    async def ask(self, scanner: Scanner, letter: Letter, size: int | None, pieces: AsyncIterator[bytes]) -> Scanned:
        """Ask one. Never raises but for cancellation."""
        name = scanner.name
        if self._clock() < self._rests_until[name]:
            self._count(name, "resting")
            return Scanned(Advice.DOWN)
        try:
            found = await scanner.scan(letter, size, pieces, self._seconds)
        except (
            OSError,
            TimeoutError,
            ScanError,
            ValueError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ) as error:
            self._failures[name] += 1
            if self._failures[name] >= _MOST_FAILURES:
                self._rests_until[name] = self._clock() + _REST_SECONDS
            _log.warning("a scanner does not answer", scanner=name, error_type=type(error).__qualname__)
            found = Scanned(Advice.DOWN)
        else:
            self._failures[name] = 0
        self._count(name, found.advice.value)
        return found

    def _count(self, name: str, answer: str) -> None:
        if self._scans is not None:
            self._scans.labels(name, answer).inc()


class Scan:
    """One message at one scanner. `pending` counts the octets that wait for it."""

    def __init__(
        self, scanners: Scanners, scanner: Scanner, letter: Letter, size: int | None, progress: Callable[[], None]
    ) -> None:
        self.name = scanner.name
        self.pending = 0
        self._progress = progress
        self._pieces: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._ended = False
        self._task = asyncio.create_task(scanners.ask(scanner, letter, size, self._octets()))
        self._task.add_done_callback(self._over)

    def feed(self, piece: bytes) -> None:
        """Queue the next octets."""
        if not self._task.done() and piece:
            self._pieces.append(piece)
            self.pending += len(piece)
            self._more.set()

    def end(self) -> None:
        """Say that all is queued."""
        self._ended = True
        self._more.set()

    async def result(self) -> Scanned:
        """Return what the scanner says, after `end`."""
        return await self._task

    def cancel(self) -> None:
        """Give it up."""
        self._task.cancel()

    async def _octets(self) -> AsyncIterator[bytes]:
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                for at in range(0, len(piece), PIECE):
                    yield piece[at : at + PIECE]
                self.pending -= len(piece)
                self._progress()
            if self._ended:
                return
            self._more.clear()
            await self._more.wait()

    def _over(self, task: asyncio.Task[Scanned]) -> None:
        """Forget what was not sent: nobody waits for it any more."""
        self._pieces.clear()
        self.pending = 0
        self._progress()
        if not task.cancelled():
            task.exception()
