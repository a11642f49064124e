"""Recipients: the unit of outcome. Which are open, and settling them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg
from prometheus_client import Counter, Gauge

from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import get_logger
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters.postgres import Executor, Pool
from petitbleu_store.adapters.recipient_rows import REACHED, SETTLE, in_order, reached_arrays, settle_arrays
from petitbleu_store.domain.outcome import Outcome, Settlement
from petitbleu_store.service.intake import AcceptedMessage, Intake
from petitbleu_store.service.queued import KEYS, KEYS_AND_SETTLE

_log = get_logger(__name__)
_open = Gauge("petitbleu_store_open_recipients", "Recipients without an outcome")
_open_limit = Gauge("petitbleu_store_open_recipients_limit", "Open recipients beyond which nothing is accepted")
_settled = Counter("petitbleu_store_settled_total", "Outcomes recorded", ["outcome"])
# What is parked or queued outlives the intake key of its day.
_MOVES_KEY: Final = frozenset({Outcome.PARKED, Outcome.QUEUED})
_ENDS_QUEUED: Final = frozenset({Outcome.SENT, Outcome.FAILED})
_COUNT_SECONDS: Final = 5.0
# Messages kept at hand until they are listed, and how long: the bus delivers an event again later than that.
_FRESH: Final = 4096
_FRESH_SECONDS: Final = 5.0

_LIST_OPEN: Final = (
    "/* hot:store.list_open */ SELECT r.accepted_id, r.recipient_no, r.attempts "
    "FROM unnest($1::smallint[], $2::uuid[]) AS want (partition, accepted_id) JOIN recipient r "
    "ON r.partition = want.partition AND r.accepted_id = want.accepted_id AND r.partition = ANY($1::smallint[]) "
    "WHERE r.outcome = 1"
)


@dataclass(frozen=True, slots=True)
class OpenRecipient:
    """An open recipient: its number in the envelope, and attempts so far."""

    recipient_no: int
    attempts: int


@dataclass(frozen=True, slots=True)
class OpenMessage:
    """A message with open recipients."""

    message: AcceptedMessage
    recipients: list[OpenRecipient] = field(default_factory=list)


class Recipients:
    """Open recipients of accepted messages and their outcomes."""

    def __init__(self, cold: Pool, intake: Intake, max_open: int) -> None:
        self._cold = cold
        self._intake = intake
        self._max_open = max_open
        self._open = 0
        self._delta = 0
        self._at_once = True
        self._fresh: OrderedDict[UUID, tuple[AcceptedMessage, float]] = OrderedDict()
        _open_limit.set(max_open)

    def opened(self, count: int) -> None:
        """Count recipients that were just committed."""
        self._delta += count

    def accepted(self, messages: Sequence[AcceptedMessage]) -> None:
        """Count the recipients of messages that were just accepted, and keep them at hand for their first listing."""
        until = time.monotonic() + _FRESH_SECONDS
        for message in messages:
            self._delta += len(message.envelope.recipients)
            self._fresh[message.blob_id] = (message, until)
        while len(self._fresh) > _FRESH:
            self._fresh.popitem(last=False)

    def _just_opened(self, ids: Sequence[BlobId]) -> list[OpenMessage] | None:
        """Return messages of which nobody has heard since their commit, None unless all of them are; each is given once.

        A second listing asks the rows: then somebody may have settled them.
        """
        given = [self._fresh.pop(blob_id, None) for blob_id in dict.fromkeys(ids)]
        now = time.monotonic()
        found = []
        for one in given:
            if one is None or one[1] < now:
                return None
            message = one[0]
            found.append(OpenMessage(message, [OpenRecipient(n, 0) for n in range(len(message.envelope.recipients))]))
        return found

    @property
    def full(self) -> bool:
        """Whether the bound of open recipients is reached."""
        return self._open + self._delta >= self._max_open

    async def count(self) -> int:
        """Count open recipients; counting stops at the bound, beyond which the figure matters to nobody."""
        delta = self._delta
        self._open = await self._cold.fetchval(
            "/* cold:store.count_open */ SELECT count(*) FROM (SELECT 1 FROM recipient WHERE outcome = 1 LIMIT $1) AS few",
            self._max_open + 1,
        )
        self._delta -= delta
        _open.set(self._open)
        return self._open

    async def run(self) -> None:
        """Count until cancelled."""
        await forever("store.count_open", _COUNT_SECONDS, self.count)

    async def list_open(self, executor: Executor, ids: Sequence[BlobId]) -> list[OpenMessage]:
        """Return messages of which recipients are open; settled and unknown ones are left out.

        A message whose key or envelope does not open is parked, so that it does not come back for ever.
        """
        fresh = self._just_opened(ids)
        if fresh is not None:
            return fresh
        rows = await executor.fetch(_LIST_OPEN, [partition_of_blob(blob_id) for blob_id in ids], ids)
        if not rows:
            return []
        wanted = list(dict.fromkeys(row["accepted_id"] for row in rows))
        messages = await self._intake.load(executor, wanted)
        found = {blob_id: OpenMessage(message) for blob_id, message in messages.items()}
        unreadable: list[Settlement] = []
        for row in rows:
            message = found.get(row["accepted_id"])
            if message is None:
                unreadable.append(
                    Settlement(row["accepted_id"], row["recipient_no"], Outcome.PARKED, reason="unreadable")
                )
            else:
                message.recipients.append(OpenRecipient(row["recipient_no"], row["attempts"]))
        if unreadable:
            _log.error("unreadable messages parked", count=len(unreadable))
            await self.settle(executor, unreadable)
        return list(found.values())

    async def settle(self, executor: Executor, items: Sequence[Settlement]) -> None:
        """Record outcomes; settling a settled recipient is a no-op.

        With a parked or queued one among them, call it on a connection inside a transaction: the key moves with the outcome.
        """
        rows = in_order(items)
        if not rows:
            return
        parked = [item.accepted_id for item in rows if item.outcome is Outcome.PARKED]
        if parked:
            await self._intake.to_operations_key(executor, parked)
        queued = [item.accepted_id for item in rows if item.outcome is Outcome.QUEUED]
        if queued:
            await executor.execute(KEYS, *await self._intake.to_queued(executor, queued))
        status = await executor.execute(SETTLE, *settle_arrays(rows))
        self.settled(rows, int(status.rpartition(" ")[2]))

    async def record(self, pool: Pool, items: Sequence[Settlement]) -> None:
        """Record outcomes in one commit; settling a settled recipient is a no-op, but for a queued one that is sent or has failed."""
        outcomes = {item.outcome for item in items}
        if Outcome.PARKED not in outcomes and Outcome.QUEUED in outcomes and self._at_once:
            rows = in_order(items)
            keys = await self._intake.to_queued(
                pool, [item.accepted_id for item in rows if item.outcome is Outcome.QUEUED]
            )
            try:
                status = await pool.execute(KEYS_AND_SETTLE, *keys, *settle_arrays(rows))
            except asyncpg.FeatureNotSupportedError:
                # A distributed engine that does not take it as one statement.
                _log.warning("queued mail is settled step by step on this database")
                self._at_once = False
            else:
                self.settled(rows, int(status.rpartition(" ")[2]))
                return
        if outcomes & _MOVES_KEY:
            await in_transaction(pool, lambda connection: self.settle(connection, items))
        else:
            await self.settle(pool, items)

    def settled(self, rows: Sequence[Settlement], touched: int) -> None:
        """Count outcomes that a commit recorded, `touched` of them of recipients that were open."""
        if all(item.outcome is not Outcome.OPEN and item.outcome not in _ENDS_QUEUED for item in rows):
            self._delta -= touched
        for item in rows:
            self._fresh.pop(item.accepted_id, None)
            _settled.labels(outcome=item.outcome.name.lower()).inc()

    async def reached(self, executor: Executor, accounts: Mapping[tuple[BlobId, int], Iterable[int]]) -> None:
        """Record accounts that got a message for a recipient (accepted id, number) that leads to others too."""
        if accounts:
            await executor.execute(REACHED, *reached_arrays(accounts))
