"""GetChanges in the name of another than the owner: reads, of one instant, what tells what that one saw and sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.domain.change_log import CREATING, Kind, Row, Window
from petitbleu_store.domain.seen_changes import History, Seen, TooMuchError
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import views
from petitbleu_store.service.account_book import KnownAccount

_MOST_ROWS: Final = 5000
"""A client that is further behind reads what it sees anew."""

_MOST_MEMBERS: Final = 20_000
"""Messages of all threads in which something happened."""

_LOG: Final = """/* hot:store.seen_log */ SELECT modseq, entity_id, thread_id, op FROM change_log
WHERE partition = $1 AND account_id = $2 AND kind = $3 AND modseq > $4 ORDER BY modseq LIMIT $5"""
_LIMITS: Final = (
    """/* hot:store.seen_limits */ SELECT modseq, pruned_modseq FROM account WHERE partition = $1 AND account_id = $2"""
)
_HISTORY: Final = """/* hot:store.seen_history */ SELECT modseq, before FROM share_history
WHERE partition = $1 AND account_id = $2 AND grantee_id = $3 AND modseq > $4 ORDER BY modseq LIMIT $5"""
_BEFORE: Final = """/* hot:store.seen_before */ SELECT modseq, message_id, mailbox_ids FROM message_before
WHERE partition = $1 AND account_id = $2 AND modseq > $3 ORDER BY modseq LIMIT $4"""
_IN_MAILBOXES: Final = """/* hot:store.seen_in_mailboxes */ SELECT b.message_id FROM unnest($3::bigint[]) AS v (mailbox_id)
JOIN mailbox_message b ON b.partition = $1 AND b.account_id = $2 AND b.mailbox_id = v.mailbox_id LIMIT $4"""
_PLACES: Final = """/* hot:store.seen_places */ SELECT m.message_id, m.thread_id, m.mailbox_ids FROM unnest($3::bigint[]) AS v (message_id)
JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id"""
_THREADS: Final = """/* hot:store.seen_threads */ SELECT m.message_id, m.thread_id, m.mailbox_ids FROM unnest($3::bigint[]) AS v (thread_id)
JOIN thread_message t ON t.partition = $1 AND t.account_id = $2 AND t.thread_id = v.thread_id
JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = t.message_id LIMIT $4"""


class SeenChanges:
    """Tells what changed for another."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def get(
        self, account: KnownAccount, grantee_id: int, request: mailbox_pb2.GetChangesRequest, most: int
    ) -> mailbox_pb2.GetChangesResponse:
        """Return what changed after a modseq.

        Raises:
            StoreError: CANNOT_CALCULATE when the log does not reach back that far, the modseq was never given, or too much changed;
                FORBIDDEN when nothing is shared.
        """
        async with (
            self._core.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            reading = _Reading(connection, account, grantee_id, request.since_modseq)  # type: ignore[arg-type]
            try:
                window = await reading.window(request.kind, most)
            except TooMuchError:
                raise StoreError(Problem.CANNOT_CALCULATE) from None
        of_mailboxes = request.kind == mailbox_pb2.CHANGE_KIND_MAILBOX
        return mailbox_pb2.GetChangesResponse(
            created=window.created, updated=window.updated, destroyed=window.destroyed, new_modseq=window.upto,
            has_more=window.cut, only_counts=window.only_counts and of_mailboxes, counted=window.counted if of_mailboxes else (),
        )  # fmt: skip


class _Reading:
    """What is read for one answer."""

    def __init__(self, connection: Connection, account: KnownAccount, grantee_id: int, since: int) -> None:
        self._connection = connection
        self._account = account
        self._place = (account.partition, account.account_id)
        self._grantee_id = grantee_id
        self._since = since

    async def _fetch(self, statement: str, *values: Any, most: int = _MOST_ROWS) -> Sequence[Any]:
        """Return the rows of a statement whose last parameter is how many at most, or refuse."""
        rows: Sequence[Any] = await self._connection.fetch(statement, *self._place, *values, most + 1)
        if len(rows) > most:
            raise TooMuchError
        return rows

    async def window(self, kind: int, most: int) -> Window:
        view = await views.current(self._connection, self._account, self._grantee_id)
        limits = await self._connection.fetchrow(_LIMITS, *self._place)
        if limits is None or not limits["pruned_modseq"] <= self._since <= limits["modseq"]:
            raise StoreError(Problem.CANNOT_CALCULATE)
        history = await self._fetch(_HISTORY, self._grantee_id, self._since)
        saw = History(frozenset(view.rights), [(row["modseq"], frozenset(row["before"])) for row in history])
        of_mailboxes = kind == mailbox_pb2.CHANGE_KIND_MAILBOX
        log: list[Row] = [
            (row["modseq"], row["entity_id"], row["thread_id"], row["op"])
            for row in await self._fetch(_LOG, Kind.MAILBOX if of_mailboxes else Kind.MESSAGE, self._since)
        ]
        seen = Seen(self._since, limits["modseq"], saw, log)
        if of_mailboxes:
            return seen.of_mailboxes(most)
        of_threads = kind == mailbox_pb2.CHANGE_KIND_THREAD
        await self._messages(seen, of_threads=of_threads)
        return seen.of_threads(most) if of_threads else seen.of_messages(most)

    async def _messages(self, seen: Seen, *, of_threads: bool) -> None:
        """Read where all messages were and are that may have come, changed or gone."""
        threads = {entity: thread_id for _, entity, thread_id, _ in seen.rows}
        boxes = sorted(frozenset().union(*(changed for _, changed in seen.view.steps())))
        wanted = {entity for _, entity, _, _ in seen.rows}
        if boxes:
            wanted |= {row["message_id"] for row in await self._fetch(_IN_MAILBOXES, boxes)}
        places = await self._connection.fetch(_PLACES, *self._place, sorted(wanted))
        if of_threads:
            threads.update({row["message_id"]: row["thread_id"] for row in places})
            places = [*places, *await self._fetch(_THREADS, sorted(set(threads.values())), most=_MOST_MEMBERS)]
            threads.update({row["message_id"]: row["thread_id"] for row in places})
        before: dict[int, list[tuple[int, frozenset[int]]]] = {}
        for row in await self._fetch(_BEFORE, self._since):
            before.setdefault(row["message_id"], []).append((row["modseq"], frozenset(row["mailbox_ids"])))
        for modseq, entity, _, op in seen.rows:
            if op in CREATING:  # it was not there before, or not any more (ADR 20)
                before.setdefault(entity, []).append((modseq, frozenset()))
        now = {row["message_id"]: frozenset(row["mailbox_ids"]) for row in places}
        seen.messages = {
            one: History(now.get(one, frozenset()), sorted(before.get(one, ()), key=_modseq))
            for one in _all(wanted, now)
        }
        seen.threads = threads


def _modseq(step: tuple[int, frozenset[int]]) -> int:
    return step[0]


def _all(wanted: Iterable[int], now: Iterable[int]) -> set[int]:
    return {*wanted, *now}
