"""The second gate for children: the single way out of a message that somebody of ours sends.

"delivery sends nothing from a guarded account without junior-guard" (architecture, the way of a message): before a recipient of what an
account sends, forwards or answers is queued, and before a local one is filed, `WayOut` says whether it may go. What may not waits. It is
asked again before each attempt to send what was queued: what was approved once may be withdrawn, or the account be disabled, meanwhile.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Final

from prometheus_client import Counter

from petitbleu_delivery.domain.model import Recipient
from petitbleu_delivery.errors import PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import Leaving, OutgoingGuard, Submitter, SubmitterDirectory, Word
from petitbleu_delivery.service.halving import by_halves
from petitbleu_delivery.service.silence import Silence
from petitbleu_delivery.service.suspensions import IsSuspended, nobody
from petitbleu_kit.batching import Batcher
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_asked = Counter("petitbleu_delivery_way_out_total", "Recipients of guarded submitters", ["result"])
MAX_ITEMS: Final = 1000
MAX_REMEMBERED: Final = 20_000
_STILL_SECONDS: Final = 5.0


class Submitters:
    """Who submits: remembered for at most a minute, and forgotten when accounts says that something changed.

    Args:
        directory: accounts.
        seconds: How long an answer is believed.
        clock: Seconds that only grow.
    """

    def __init__(self, directory: SubmitterDirectory, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._directory = directory
        self._seconds = seconds
        self._clock = clock
        self._known: dict[int, tuple[Submitter, float]] = {}
        self._changes = 0

    async def find(self, account_ids: Iterable[int], oldest_seconds: float = math.inf) -> dict[int, Submitter]:
        """Return submitters by account; one that accounts does not know (any more) is left out.

        Args:
            account_ids: Who is wanted.
            oldest_seconds: An answer that is older is not believed.

        Raises:
            PeerUnavailableError: accounts does not answer.
            PeerRefusedError: it refuses the question.
        """
        now = self._clock()
        wanted = set(account_ids)
        known = {one: self.known(one, oldest_seconds) for one in wanted}
        found = {account_id: one for account_id, one in known.items() if one is not None}
        missing = sorted(wanted - found.keys())
        changes = self._changes
        for start in range(0, len(missing), MAX_ITEMS):
            for submitter in await self._directory.submitters(missing[start : start + MAX_ITEMS]):
                found[submitter.account_id] = submitter
                # What changed while the question was under way is not remembered from its answer.
                if self._seconds > 0 and changes == self._changes:
                    self._known.pop(submitter.account_id, None)
                    self._known[submitter.account_id] = (submitter, now)
        while len(self._known) > MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        return found

    def known(self, account_id: int, oldest_seconds: float = math.inf) -> Submitter | None:
        """Return a submitter whom accounts need not be asked about."""
        found = self._known.get(account_id)
        if found is None or self._clock() - found[1] >= min(self._seconds, oldest_seconds):
            return None
        return found[0]

    async def stopped(self, account_id: int) -> bool:
        """Whether an account is disabled, being closed, or not there at all, by what was known seconds ago at most.

        Raises:
            PeerUnavailableError: accounts does not answer.
            PeerRefusedError: it refuses the question.
        """
        found = (await self.find([account_id], _STILL_SECONDS)).get(account_id)
        return found is None or found.stopped

    def forget(self, account_ids: Iterable[int] = ()) -> None:
        """Forget some accounts."""
        self._changes += 1
        for account_id in account_ids:
            self._known.pop(account_id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._changes += 1
        self._known.clear()


class WayOut:
    """Says which recipients of submitted mail may go now.

    Args:
        submitters: Who submits, and whether they are guarded.
        guard: junior-guard.
        clock: Seconds that only grow.
        suspended: Who may send nothing for now.
    """

    def __init__(
        self, submitters: Submitters, guard: OutgoingGuard, clock: Callable[[], float] = monotonic,
        suspended: IsSuspended = nobody,
    ) -> None:  # fmt: skip
        self._suspended = suspended
        self._submitters = submitters
        self._guard = guard
        self._silence = Silence(clock)
        # what waits in it is bounded by the units in hand
        self._asking: Batcher[tuple[Leaving, ...], list[Word]] = Batcher(
            self._ask, max_items=MAX_ITEMS, max_queued=sys.maxsize, concurrency=2
        )

    async def open_to(self, recipients: Sequence[Recipient]) -> list[Word]:
        """Say for each recipient of a message, in order, whether it may go there now.

        Raises:
            PeerUnavailableError: as `words`.
        """
        return await self.words(
            [Leaving(one.message.submitter_id, one.message.accepted_id, one.address) for one in recipients]
        )

    async def still(self, account_id: int, accepted_id: bytes, addresses: Sequence[str]) -> list[Word]:
        """Say the same of the recipients of a message that was queued, by what was known seconds ago at most.

        Raises:
            PeerUnavailableError: as `words`.
        """
        if account_id:
            submitter = self._submitters.known(account_id, _STILL_SECONDS)
            if submitter is None or submitter.guarded or submitter.stopped or self._is_suspended(submitter):
                return await self._asking.submit(tuple(Leaving(account_id, accepted_id, one) for one in addresses))
        return [Word.GOES] * len(addresses)

    async def _ask(self, letters: Sequence[Sequence[Leaving]]) -> Sequence[list[Word]]:
        words = iter(await self.words([one for letter in letters for one in letter], _STILL_SECONDS))
        return [[next(words) for _ in letter] for letter in letters]

    async def words(self, leaving: Sequence[Leaving], oldest_seconds: float = math.inf) -> list[Word]:
        """Say for each recipient, in order, whether its message may go to it; it does without a question for what is nobody's.

        An account that accounts does not know is treated as guarded: junior-guard, which does not know it either, lets it wait.

        Args:
            leaving: The recipients.
            oldest_seconds: What accounts said longer ago is not believed.

        Raises:
            PeerUnavailableError: accounts does not answer, so nobody knows whether a submitter is a child.
        """
        accounts = {one.account_id for one in leaving if one.account_id}
        if not accounts:
            return [Word.GOES] * len(leaving)
        known = await self._submitters.find(accounts, oldest_seconds)
        words = {account_id: Word.STOPPED for account_id, one in known.items() if one.stopped}
        words |= {
            account_id: Word.SUSPENDED
            for account_id, one in known.items()
            if not one.stopped and self._is_suspended(one)
        }
        words |= {
            account_id: Word.GOES for account_id, one in known.items() if not one.guarded and account_id not in words
        }
        words[0] = Word.GOES
        asked = [one for one in leaving if one.account_id not in words]
        allowed = set(await self._allowed(asked)) if asked else set()
        return [words.get(one.account_id) or (Word.GOES if one in allowed else Word.WAITS) for one in leaving]

    def _is_suspended(self, submitter: Submitter) -> bool:
        return self._suspended(submitter.account_id, submitter.tenant_id)

    async def _allowed(self, asked: Sequence[Leaving]) -> list[Leaving]:
        """Return those that junior-guard lets go; none while it is silent, which holds up nobody else's mail."""
        if self._silence.holds:
            return []
        try:
            answers = await by_halves(asked, self._guard.check_outgoing, MAX_ITEMS)
        except PeerUnavailableError as error:
            self._silence.lengthen()
            _log.warning("junior-guard does not answer: what children send waits", code=error.code, waiting=len(asked))
            return []
        self._silence.end()
        allowed = [
            one
            for one, answer in zip(asked, answers, strict=True)
            if not isinstance(answer, PeerRefusedError) and answer
        ]
        _asked.labels(result="goes").inc(len(allowed))
        _asked.labels(result="waits").inc(len(asked) - len(allowed))
        return allowed
