"""The statements that record what became of a recipient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_store.domain.outcome import Settlement

# Open may become anything (sent too: who crashed before it said queued may know already); held may become filed or discarded (a guardian's decision, or expiry), queued sent or failed.
SETTLE: Final = (
    "/* hot:store.settle */ UPDATE recipient r SET outcome = s.outcome, "
    "attempts = r.attempts + (s.outcome = 1)::int, "
    "next_attempt_at = CASE WHEN s.outcome = 1 THEN now() + make_interval(secs => s.retry_after) ELSE r.next_attempt_at END, "
    "settled_at = CASE WHEN s.outcome = 1 THEN NULL ELSE now() END, reason = nullif(s.reason, ''), "
    "account_ids = CASE WHEN s.account_ids = '{}' OR r.account_ids @> s.account_ids::bigint[] THEN r.account_ids "
    "ELSE coalesce(r.account_ids, '{}') || s.account_ids::bigint[] END "
    "FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::smallint[], $5::text[], $6::text[], $7::float8[]) "
    "AS s (partition, accepted_id, recipient_no, outcome, account_ids, reason, retry_after) "
    "WHERE r.partition = s.partition AND r.accepted_id = s.accepted_id AND r.recipient_no = s.recipient_no "
    "AND r.partition = ANY($1::smallint[]) AND (r.outcome = 1 OR r.outcome = 3 AND s.outcome IN (2, 5) OR r.outcome = 4 AND s.outcome IN (7, 8))"
)
SETTLE_ARRAYS: Final = 7
# Whoever has a message is known from the commit that gave it, whatever outcome its recipient comes to.
REACHED: Final = (
    "/* hot:store.recipient_reached */ UPDATE recipient r "
    "SET account_ids = coalesce(r.account_ids, '{}') || w.account_ids::bigint[] "
    "FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::text[]) AS w (partition, accepted_id, recipient_no, account_ids) "
    "WHERE r.partition = w.partition AND r.accepted_id = w.accepted_id AND r.recipient_no = w.recipient_no "
    "AND r.partition = ANY($1::smallint[]) AND NOT coalesce(r.account_ids, '{}') @> w.account_ids::bigint[]"
)
REACHED_ARRAYS: Final = 4


def in_order(items: Sequence[Settlement]) -> list[Settlement]:
    """Return the first settlement of each recipient, in the order in which all commits take their rows."""
    return sorted(
        {(item.accepted_id, item.recipient_no): item for item in reversed(items)}.values(),
        key=lambda item: (partition_of_blob(item.accepted_id), item.accepted_id, item.recipient_no),
    )


def settle_arrays(rows: Sequence[Settlement]) -> list[Sequence[Any]]:
    """Return the arrays of `SETTLE`."""
    return [
        [partition_of_blob(item.accepted_id) for item in rows], [item.accepted_id for item in rows],
        [item.recipient_no for item in rows], [item.outcome.value for item in rows],
        ["{" + ",".join(map(str, item.account_ids)) + "}" for item in rows], [item.reason for item in rows],
        [item.retry_after for item in rows],
    ]  # fmt: skip


def reached_arrays(accounts: Mapping[tuple[BlobId, int], Iterable[int]]) -> list[Sequence[Any]]:
    """Return the arrays of `REACHED` for accounts by accepted id and recipient's number."""
    rows = sorted((partition_of_blob(blob_id), blob_id, number) for blob_id, number in accounts)
    return [
        [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows],
        ["{" + ",".join(map(str, sorted(set(accounts[row[1:]])))) + "}" for row in rows],
    ]  # fmt: skip
