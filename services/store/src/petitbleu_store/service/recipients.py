"""Recipients: the unit of outcome. Which are open, and settling them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Counter, Gauge

from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.postgres import Executor, Pool
from petitbleu_store.domain.outcome import Outcome
from petitbleu_store.service.intake import AcceptedMessage, Intake

_log = get_logger(__name__)
_open = Gauge("petitbleu_store_open_recipients", "Recipients without an outcome")
_open_limit = Gauge("petitbleu_store_open_recipients_limit", "Open recipients beyond which nothing is accepted")
_settled = Counter("petitbleu_store_settled_total", "Outcomes recorded", ["outcome"])
_COUNT_SECONDS: Final = 5.0

_LIST_OPEN: Final = (
    "/* hot:store.list_open */ SELECT r.accepted_id, r.recipient_no, r.attempts "
    "FROM unnest($1::smallint[], $2::uuid[]) AS want (partition, accepted_id) JOIN recipient r "
    "ON r.partition = want.partition AND r.accepted_id = want.accepted_id AND r.partition = ANY($1::smallint[]) "
    "WHERE r.outcome = 1"
)
# Open may become anything; held may become filed or discarded (a guardian's decision, or expiry).
_SETTLE: Final = (
    "/* hot:store.settle */ UPDATE recipient r SET outcome = s.outcome, "
    "attempts = r.attempts + (s.outcome = 1)::int, "
    "next_attempt_at = CASE WHEN s.outcome = 1 THEN now() + make_interval(secs => s.retry_after) ELSE r.next_attempt_at END, "
    "settled_at = CASE WHEN s.outcome = 1 THEN NULL ELSE now() END, reason = nullif(s.reason, ''), "
    "account_ids = CASE WHEN s.account_ids = '{}' OR r.account_ids @> s.account_ids::bigint[] THEN r.account_ids "
    "ELSE coalesce(r.account_ids, '{}') || s.account_ids::bigint[] END "
    "FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::smallint[], $5::text[], $6::text[], $7::float8[]) "
    "AS s (partition, accepted_id, recipient_no, outcome, account_ids, reason, retry_after) "
    "WHERE r.partition = s.partition AND r.accepted_id = s.accepted_id AND r.recipient_no = s.recipient_no "
    "AND r.partition = ANY($1::smallint[]) AND (r.outcome = 1 OR r.outcome = 3 AND s.outcome IN (2, 5))"
)
# Whoever has a message is known from the commit that gave it, whatever outcome its recipient comes to.
_REACHED: Final = (
    "/* hot:store.recipient_reached */ UPDATE recipient r "
    "SET account_ids = coalesce(r.account_ids, '{}') || w.account_ids::bigint[] "
    "FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::text[]) AS w (partition, accepted_id, recipient_no, account_ids) "
    "WHERE r.partition = w.partition AND r.accepted_id = w.accepted_id AND r.recipient_no = w.recipient_no "
    "AND r.partition = ANY($1::smallint[]) AND NOT coalesce(r.account_ids, '{}') @> w.account_ids::bigint[]"
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


@dataclass(frozen=True, slots=True)
class Settlement:
    """An outcome to record.

    Attributes:
        accepted_id: The message.
        recipient_no: The recipient's number in its envelope.
        outcome: The outcome; OPEN counts a failed attempt.
        account_ids: Accounts that have the message, when filed or held; added to those that are known to have it.
        reason: A code, no free text.
        retry_after: For OPEN: seconds until it is published again.
    """

    accepted_id: BlobId
    recipient_no: int
    outcome: Outcome
    account_ids: Sequence[int] = ()
    reason: str = ""
    retry_after: float = 0.0


class Recipients:
    """Open recipients of accepted messages and their outcomes."""

    def __init__(self, cold: Pool, intake: Intake, max_open: int) -> None:
        self._cold = cold
        self._intake = intake
        self._max_open = max_open
        self._open = 0
        self._delta = 0
        _open_limit.set(max_open)

    def opened(self, count: int) -> None:
        """Count recipients that were just committed."""
        self._delta += count

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

        With a parked one among them, call it on a connection inside a transaction: the key moves with the outcome.
        """
        rows = sorted(
            {(item.accepted_id, item.recipient_no): item for item in reversed(items)}.values(),
            key=lambda item: (partition_of_blob(item.accepted_id), item.accepted_id, item.recipient_no),
        )
        if not rows:
            return
        parked = [item.accepted_id for item in rows if item.outcome is Outcome.PARKED]
        if parked:
            await self._intake.to_operations_key(executor, parked)
        status = await executor.execute(
            _SETTLE, [partition_of_blob(item.accepted_id) for item in rows], [item.accepted_id for item in rows],
            [item.recipient_no for item in rows], [item.outcome.value for item in rows],
            ["{" + ",".join(map(str, item.account_ids)) + "}" for item in rows], [item.reason for item in rows],
            [item.retry_after for item in rows],
        )  # fmt: skip
        if all(item.outcome is not Outcome.OPEN for item in rows):
            self._delta -= int(status.rpartition(" ")[2])
        for item in rows:
            _settled.labels(outcome=item.outcome.name.lower()).inc()

    async def reached(self, executor: Executor, accounts: Mapping[tuple[BlobId, int], Iterable[int]]) -> None:
        """Record accounts that got a message for a recipient (accepted id, number) that leads to others too."""
        if not accounts:
            return
        rows = sorted((partition_of_blob(blob_id), blob_id, number) for blob_id, number in accounts)
        await executor.execute(
            _REACHED, *map(list, zip(*rows, strict=True)),
            ["{" + ",".join(map(str, sorted(set(accounts[row[1:]])))) + "}" for row in rows],
        )  # fmt: skip
