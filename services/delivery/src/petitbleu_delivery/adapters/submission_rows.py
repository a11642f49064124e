"""Submissions in the database: one person's at a time, behind one row of theirs; what they say is sealed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg

from petitbleu.events.v1 import events_pb2
from petitbleu_delivery.adapters import submission_statements as sql
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.domain.submissions import (
    MAX_LIVE,
    Delivered,
    Heard,
    Ledger,
    News,
    Report,
    ReportKind,
    State,
    Step,
    Submission,
    Window,
)
from petitbleu_delivery.service.submissions.handover import now_ms
from petitbleu_delivery.service.submissions.ports import Place
from petitbleu_kit.ids import PARTITIONS, partition_of_account
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Result = TypeVar("Result")
_ROOM: Final = 1_000
"""The most that one call makes, so the most that must go for it."""
_PARTITIONS_AT_ONCE: Final = 64
_ACCOUNTS_AT_ONCE: Final = 500
_EARLY_MS: Final = 86_400_000
"""So long is kept what was heard of mail that may be a submission's."""


class PostgresSubmissions:
    """Ledgers of submissions."""

    def __init__(self, pool: Pool, outbox: Outbox, seal: Seal) -> None:
        self._pool = pool
        self._outbox = outbox
        self._seal = seal

    async def all(self, account_id: int) -> tuple[list[Submission], int]:
        """Give all that are not gone, without envelopes and news, and the modseq."""
        place = (partition_of_account(account_id), account_id)
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            book = await connection.fetchrow(sql.BOOK, *place)
            rows = await connection.fetch(sql.ALL, *place)
        return [self._light(row) for row in rows], 0 if book is None else book["modseq"]

    async def get(self, account_id: int, numbers: Collection[int]) -> tuple[list[Submission], int]:
        """Give those of these that are not gone, whole, and the modseq."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            book = await connection.fetchrow(sql.BOOK, partition_of_account(account_id), account_id)
            found = await self._load(connection, account_id, numbers)  # type: ignore[arg-type]
        return [one for one in found if not one.gone], 0 if book is None else book["modseq"]

    async def steps(self, account_id: int, since: int) -> tuple[list[Step], int, int]:
        """Give what moved after a modseq, the modseq, and the one from which on all is told."""
        place = (partition_of_account(account_id), account_id)
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            book = await connection.fetchrow(sql.BOOK, *place)
            rows = await connection.fetch(sql.STEPS, *place, since)
        modseq, pruned = (0, 0) if book is None else (book["modseq"], book["pruned_modseq"])
        return [Step(*row.values()) for row in rows], modseq, pruned

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        """Give the modseqs of accounts that ever submitted anything."""
        partitions = list({partition_of_account(account_id) for account_id in account_ids})
        rows = await self._pool.fetch(sql.STATES, partitions, list(account_ids))
        return {row["account_id"]: row["modseq"] for row in rows if row["modseq"]}

    async def work(
        self,
        account_id: int,
        numbers: Collection[int],
        work: Callable[[Ledger], Awaitable[Result]],
        *,
        new: Collection[bytes] = (),
    ) -> Result:
        """Let `work` change submissions of an account, alone, and write what it changed; `new`: ids of what it may make."""

        async def whole(connection: Connection) -> tuple[Result, list[OutboxRow]]:
            place = (partition_of_account(account_id), account_id)
            if new:
                await connection.execute(sql.OPEN, *place)
            book = await connection.fetchrow(sql.LOCK, *place)
            ledger = _ledger(account_id, book)
            before = ledger.modseq
            known = await connection.fetch(sql.MADE, *place, list(new)) if new else []
            for one in await self._load(connection, account_id, {*numbers, *(row["number"] for row in known)}):
                ledger.rows[one.number] = one
            if new and ledger.live + _ROOM > MAX_LIVE:
                for row in await connection.fetch(sql.OLDEST, *place, _ROOM):
                    ledger.rows.setdefault(row["number"], self._light(row))
            result = await work(ledger)
            await self._write(connection, ledger)
            if ledger.modseq == before:
                return result, []
            event = events_pb2.SubmissionChanged(account_id=account_id, modseq=ledger.modseq)
            events = [OutboxRow.make(place[0], "delivery.submission.changed", event.SerializeToString())]
            await self._outbox.insert(connection, events)
            return result, events

        result, events = await in_transaction(self._pool, whole)
        self._outbox.published_soon(events)
        return result

    async def due(self, at_ms: int, most: int) -> list[Place]:
        """Give submissions that wait for somebody to hand them over."""
        return [Place(*row.values()) for row in await self._pool.fetch(sql.DUE, at_ms, most)]

    async def concerned(self, mail: Sequence[tuple[int, bytes]]) -> set[int]:
        """Return the accounts of which mail (account and accepted id) is, or may come to be, a submission's."""
        rows = await self._pool.fetch(
            sql.CONCERNED_OF, [partition_of_account(account_id) for account_id, _ in mail],
            [account_id for account_id, _ in mail], [accepted_id for _, accepted_id in mail],
        )  # fmt: skip
        return {row["account_id"] for row in rows}

    async def hear(self, account_id: int, heard: Sequence[Heard]) -> None:
        """Record what became of accepted mail of an account, whether or not it is a submission's."""
        place = (partition_of_account(account_id), account_id)
        rows = await self._pool.fetch(sql.CONCERNED, *place, list({one.accepted_id for one in heard}))
        if not rows:  # neither is it known, nor was anything under way that it could be
            return

        async def work(ledger: Ledger) -> None:
            ledger.report(heard)

        await self.work(account_id, [row["number"] for row in rows], work)

    async def report(self, account_id: int, subject: str, report: Callable[[Submission], Report | None]) -> None:
        """Record a report about the message with a Message-ID, for each submission of it that it concerns.

        Args:
            account_id: Whose account it came to.
            subject: The Message-ID, without brackets.
            report: Says what it is to a submission, None for nothing.
        """
        place = (partition_of_account(account_id), account_id)
        rows = await self._pool.fetch(sql.SUBJECTS, *place, self._subject_key(account_id, subject))
        if not rows:
            return

        async def work(ledger: Ledger) -> None:
            for number, one in list(ledger.rows.items()):
                found = report(one)
                if found is not None:
                    ledger.add_report(number, found)

        await self.work(account_id, [row["number"] for row in rows], work)

    async def prune(self, keep_ms: int) -> None:
        """Destroy what has long been over, and forget news of mail that is no submission's."""
        for row in await self._pool.fetch(sql.STALE, now_ms() - keep_ms):
            numbers = row["numbers"]

            async def work(ledger: Ledger, numbers: list[int] = numbers) -> None:
                for number in numbers:
                    if (one := ledger.rows.get(number)) is not None and one.over and not one.gone:
                        ledger.destroy(number)

            await self.work(row["account_id"], numbers, work)
        await self._pool.execute(sql.DROP_NEWS, now_ms() - _EARLY_MS)

    async def erase_closed(self, living: Callable[[Sequence[int]], Awaitable[Container[int]]]) -> int:
        """Erase all of accounts that are there no more, what waits to be sent included; return how many.

        Args:
            living: Says which of at most 1,000 accounts are there.
        """
        erased = 0
        for first in range(0, PARTITIONS, _PARTITIONS_AT_ONCE):
            rows = await self._pool.fetch(sql.BOOKS, first, first + _PARTITIONS_AT_ONCE - 1)
            for at in range(0, len(rows), _ACCOUNTS_AT_ONCE):
                accounts = [row["account_id"] for row in rows[at : at + _ACCOUNTS_AT_ONCE]]
                there = await living(accounts)
                for account_id in accounts:
                    if account_id not in there:
                        await self._erase(account_id)
                        erased += 1
        return erased

    async def _erase(self, account_id: int) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(sql.LOCK, partition_of_account(account_id), account_id)
            for statement in sql.ERASE:
                await connection.execute(statement, partition_of_account(account_id), account_id)

    async def _load(self, connection: Connection, account_id: int, numbers: Collection[int]) -> list[Submission]:
        if not numbers:
            return []
        place = (partition_of_account(account_id), account_id, list(numbers))
        found: dict[int, Submission] = {}
        for row in await connection.fetch(sql.SOME, *place):
            one = self._light(row)
            if row["envelope"]:
                one.envelope = self._seal.open(account_id, b"envelope" + one.submission_id, row["envelope"])
            found[one.number] = one
        for row in await connection.fetch(sql.NEWS, *place):
            one = found[row["number"]]
            one.news[row["recipient_no"]] = self._news(row, account_id, one.submission_id)
        for row in await connection.fetch(sql.REPORTS, *place):
            found[row["number"]].reports.append(Report(row["message_id"], ReportKind(row["kind"]), row["displayed"]))
        return list(found.values())

    async def _write(self, connection: Connection, ledger: Ledger) -> None:
        place = (partition_of_account(ledger.account_id), ledger.account_id)
        await self._settle_early(connection, place, ledger)
        if not ledger.touched:
            return
        await connection.executemany(sql.PUT, [self._row(*place, ledger.rows[n]) for n in sorted(ledger.touched)])
        for number in sorted(ledger.touched):
            if (subject := ledger.rows[number].subject) and not ledger.rows[number].gone:
                await connection.execute(sql.SUBJECT, *place, self._subject_key(place[1], subject), number)
        if ledger.reported:
            reports = [(*place, number, *one) for number, one in ledger.reported if number not in ledger.forgotten]
            await connection.executemany(sql.REPORT, reports)
        told = [(ledger.rows[number], recipient_no) for number, recipient_no in sorted(ledger.heard)]
        rows = [
            (*place, one.number, number, *self._sealed(one.news[number], ledger.account_id, one.submission_id, number))
            for one, number in told
            if one.number not in ledger.forgotten
        ]
        if rows:
            await connection.executemany(sql.HEAR, rows)
        await connection.execute(
            sql.CLOSE, *place, ledger.modseq, ledger.last_number, ledger.live, ledger.hour.began_ms, ledger.hour.recipients,
            ledger.day.began_ms, ledger.day.recipients,
        )  # fmt: skip
        if ledger.forgotten:
            for statement in (sql.FORGET, *sql.FORGET_REPORTS):
                await connection.execute(statement, *place, sorted(ledger.forgotten))
            await connection.execute(sql.PRUNE, *place)

    async def _settle_early(self, connection: Connection, place: tuple[int, int], ledger: Ledger) -> None:
        """Tell a submission that is known now what was heard of it before, and keep what nobody can place yet."""
        for number in sorted(ledger.accepted):
            accepted_id = ledger.rows[number].accepted_id
            if accepted_id is not None:
                rows = await connection.fetch(sql.TAKE_EARLY, *place, accepted_id)
                ledger.hear(number, [(row["recipient_no"], self._news(row, place[1], accepted_id)) for row in rows])
        if ledger.early:
            now = now_ms()
            await connection.executemany(
                sql.EARLY,
                [
                    (*place, one.accepted_id, one.recipient_no,
                     *self._sealed(one.news, place[1], one.accepted_id, one.recipient_no), now)
                    for one in ledger.early
                ],
            )  # fmt: skip

    def _subject_key(self, account_id: int, subject: str) -> bytes:
        return self._seal.hash(account_id, b"subject", subject.encode("utf-8", "surrogatepass"))

    def _row(self, partition: int, account_id: int, one: Submission) -> tuple[Any, ...]:
        envelope = self._seal.seal(account_id, b"envelope" + one.submission_id, one.envelope) if one.envelope else b""
        return (
            partition, account_id, one.number, one.submission_id, one.tenant_id, one.identity_id, one.message_id, one.thread_id,
            int(one.state), one.created_modseq, one.modseq, one.gone, one.send_at_ms, one.next_try_ms, one.tries, one.finished_ms,
            one.accepted_id, one.recipients, envelope,
        )  # fmt: skip

    @staticmethod
    def _light(row: asyncpg.Record) -> Submission:
        return Submission(
            row["number"], row["submission_id"], row["tenant_id"], row["identity_id"], row["message_id"], row["thread_id"],
            State(row["state"]), row["created_modseq"], row["modseq"], row["send_at_ms"], row["next_try_ms"], row["recipients"],
            b"", row["gone"], row["tries"], row["finished_ms"], row["accepted_id"],
        )  # fmt: skip

    def _sealed(self, news: News, owner: int, of: bytes, recipient_no: int) -> tuple[int, bytes]:
        return int(news.delivered), self._seal.seal(owner, _reply_of(of, recipient_no), news.reply.encode())

    def _news(self, row: asyncpg.Record, owner: int, of: bytes) -> News:
        reply = self._seal.open(owner, _reply_of(of, row["recipient_no"]), row["reply"])
        return News(Delivered(row["delivered"]), reply.decode())


def _ledger(account_id: int, book: asyncpg.Record | None) -> Ledger:
    if book is None:
        return Ledger(account_id)
    return Ledger(
        account_id, book["modseq"], book["last_number"], book["pruned_modseq"], book["live"],
        Window(book["hour_ms"], book["hour_recipients"]), Window(book["day_ms"], book["day_recipients"]),
    )  # fmt: skip


def _reply_of(of: bytes, recipient_no: int) -> bytes:
    """Name a reply, of a submission or of an accepted message."""
    return b"reply" + of + recipient_no.to_bytes(4, "big")
