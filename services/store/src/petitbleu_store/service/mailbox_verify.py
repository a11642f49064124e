"""Verification of the mailbox half: each account is read in one snapshot, and everything that is counted is counted again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

import asyncpg

from petitbleu_kit.ids import BlobId
from petitbleu_mail.structure import decode_meta
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.core import Core
from petitbleu_store.domain import counts
from petitbleu_store.domain.account_cipher import SealBrokenError
from petitbleu_store.domain.content import Content, open_content
from petitbleu_store.domain.counts import Counts
from petitbleu_store.domain.frames import DamagedError
from petitbleu_store.domain.keywords import is_unread
from petitbleu_store.domain.mailbox_names import open_name
from petitbleu_store.ports import VerifiedMessages
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.bodies import BodyMissingError

_ROWS: Final = 500

_ACCOUNTS: Final = """/* cold:store.verify_accounts */ SELECT partition, account_id FROM account WHERE (partition, account_id) > ($1, $2)
    AND wrapped_key IS NOT NULL ORDER BY partition, account_id LIMIT 500"""
_ACCOUNT: Final = """/* cold:store.verify_account */ SELECT a.*, greatest(a.limit_modseq, (SELECT max(c.modseq)
        FROM change_log c WHERE c.partition = a.partition AND c.account_id = a.account_id)) AS log_modseq,
    (SELECT count(*) FROM message_content c WHERE c.partition = a.partition AND c.account_id = a.account_id) AS contents,
    (SELECT count(*) FROM mailbox_message b WHERE b.partition = a.partition AND b.account_id = a.account_id) AS places,
    (SELECT count(*) FROM thread_message t WHERE t.partition = a.partition AND t.account_id = a.account_id) AS members,
    (SELECT count(*) FROM origin o WHERE o.partition = a.partition AND o.account_id = a.account_id AND o.state = 0) AS origins,
    (SELECT count(*) FROM origin o WHERE o.partition = a.partition AND o.account_id = a.account_id AND o.state = 3) AS kept_origins,
    (SELECT count(DISTINCT b.uid) FROM mailbox_message b WHERE b.partition = a.partition AND b.account_id = a.account_id) AS uids,
    (SELECT max(b.uid) FROM mailbox_message b WHERE b.partition = a.partition AND b.account_id = a.account_id) AS max_uid
FROM account a WHERE a.partition = $1 AND a.account_id = $2"""
_MAILBOXES: Final = """/* cold:store.verify_mailboxes */ SELECT mailbox_id, parent_id, total, unread, threads, unread_threads, name_sealed
FROM mailbox WHERE partition = $1 AND account_id = $2"""
_MESSAGES: Final = """/* cold:store.verify_messages */ SELECT m.message_id, m.thread_id, m.mailbox_ids, m.flags, m.size, m.blob_id, m.refs,
    m.modseq, c.sealed, (SELECT count(*) FROM mailbox_message b WHERE b.partition = $1 AND b.account_id = $2
        AND b.mailbox_id = ANY(m.mailbox_ids) AND b.received_ms = m.received_ms AND b.message_id = m.message_id
        AND b.thread_id = m.thread_id) AS places,
    (SELECT count(*) FROM thread_ref r WHERE r.partition = $1 AND r.account_id = $2 AND r.ref_hash = ANY(m.refs)) AS known_refs,
    (SELECT count(*) FROM thread_message t WHERE t.partition = $1 AND t.account_id = $2 AND t.thread_id = m.thread_id
        AND t.received_ms = m.received_ms AND t.message_id = m.message_id) AS members,
    (SELECT count(*) FROM origin o WHERE o.partition = $1 AND o.account_id = $2 AND o.message_id = m.message_id AND o.state = 0
        AND o.origin_id IN (m.blob_id, m.import_key)) AS origins, m.import_key IS NOT NULL AS imported
FROM message m LEFT JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = m.message_id
WHERE m.partition = $1 AND m.account_id = $2 ORDER BY m.thread_id"""
_REMOVED: Final = """/* cold:store.verify_removed */ SELECT m.message_id, m.size, m.blob_id, c.sealed,
    (SELECT count(*) FROM origin o WHERE o.partition = $1 AND o.account_id = $2 AND o.origin_id = m.blob_id AND o.state = 3) AS origins,
    (SELECT count(*) FROM message n WHERE n.partition = $1 AND n.account_id = $2 AND n.message_id = m.message_id) AS living
FROM removed_message m LEFT JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = m.message_id
WHERE m.partition = $1 AND m.account_id = $2 ORDER BY m.message_id"""
_REMOVED_MAILBOXES: Final = """/* cold:store.verify_removed_mailboxes */ SELECT mailbox_id, name_sealed FROM removed_mailbox
WHERE partition = $1 AND account_id = $2"""
_STRAY_REFS: Final = """/* cold:store.verify_refs */ SELECT count(*) FROM thread_ref r WHERE r.partition = $1 AND r.account_id = $2
    AND NOT EXISTS (SELECT 1 FROM thread_message t JOIN message m ON m.partition = $1 AND m.account_id = $2
        AND m.message_id = t.message_id WHERE t.partition = $1 AND t.account_id = $2 AND t.thread_id = r.thread_id
        AND r.ref_hash = ANY(m.refs))"""


async def verify_accounts(core: Core, book: AccountBook, *, bodies: bool) -> AsyncIterator[VerifiedMessages]:
    """Verify every account; yield progress and findings ("kind id: what is wrong", ids only)."""
    at = (-1, 0)
    while rows := await core.cold.fetch(_ACCOUNTS, *at):
        for row in rows:
            at = (row["partition"], row["account_id"])
            account = (await book.many(core.cold, (row["account_id"],))).get(row["account_id"])
            if account is None:
                yield VerifiedMessages(0, (f"account {row['account_id']}: its key does not open",))
                continue
            async for found in _Check(core, account).run(bodies=bodies):
                yield found


class _Check:
    """One account, in one snapshot."""

    def __init__(self, core: Core, account: KnownAccount) -> None:
        self._core = core
        self._account = account
        self._name = f"account {account.account_id}"
        self._counted: dict[int, Counts] = {}
        self._thread: list[tuple[Sequence[int], bool]] = []
        self._messages = self._octets = self._places = self._origins = 0
        self._thread_id = 0
        self._removed = self._removed_octets = 0

    async def run(self, *, bodies: bool) -> AsyncIterator[VerifiedMessages]:
        place = (self._account.partition, self._account.account_id)
        async with (
            self._core.cold.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(_ACCOUNT, *place)
            if row is None or row["wrapped_key"] is None:
                return
            batch: list[asyncpg.Record] = []
            async for message in connection.cursor(_MESSAGES, *place, prefetch=_ROWS):
                batch.append(message)
                if len(batch) == _ROWS:
                    yield await self._batch(batch, bodies=bodies)
                    batch = []
            if batch:
                yield await self._batch(batch, bodies=bodies)
            self._close_thread()
            batch = []
            async for message in connection.cursor(_REMOVED, *place, prefetch=_ROWS):
                batch.append(message)
                if len(batch) == _ROWS:
                    yield await self._removed_batch(batch, bodies=bodies)
                    batch = []
            if batch:
                yield await self._removed_batch(batch, bodies=bodies)
            yield VerifiedMessages(0, (*self._account_findings(row), *await self._mailbox_findings(connection, place)))

    async def _batch(self, rows: Sequence[asyncpg.Record], *, bodies: bool) -> VerifiedMessages:
        return await self._looked_at(rows, self._row, bodies=bodies)

    async def _removed_batch(self, rows: Sequence[asyncpg.Record], *, bodies: bool) -> VerifiedMessages:
        return await self._looked_at(rows, self._removed_row, bodies=bodies)

    async def _looked_at(
        self, rows: Sequence[asyncpg.Record], look: Callable[[asyncpg.Record], Iterator[str]], *, bodies: bool
    ) -> VerifiedMessages:
        findings: list[str] = []
        hot, places = await self._core.bodies.locate(
            self._core.cold, [BlobId(row["blob_id"]) for row in rows], recent=False
        )
        for row in rows:
            findings.extend(f"message {self._account.account_id}/{row['message_id']}: {what}" for what in look(row))
            if row["blob_id"] not in hot and row["blob_id"] not in places:
                findings.append(f"message {self._account.account_id}/{row['message_id']}: its body is nowhere")
            elif bodies:
                findings.extend(await self._body(row))
        return VerifiedMessages(len(rows), tuple(findings))

    def _row(self, row: asyncpg.Record) -> Iterator[str]:
        if row["thread_id"] != self._thread_id:
            self._close_thread()
            self._thread_id = row["thread_id"]
        self._thread.append((row["mailbox_ids"], is_unread(row["flags"])))
        self._messages += 1
        self._octets += row["size"]
        self._places += len(row["mailbox_ids"])
        if not row["mailbox_ids"]:
            yield "it is in no mailbox"
        if row["places"] != len(row["mailbox_ids"]):
            yield "it is not in the lists of its mailboxes"
        if row["members"] != 1:
            yield "it is not in the list of its thread"
        if row["origins"] != 1 + row["imported"]:
            yield "it is not known by where it came from"
        self._origins += row["origins"]
        if row["known_refs"] != len(row["refs"]):
            yield "its references are not known"
        yield from self._opens(row)

    def _removed_row(self, row: asyncpg.Record) -> Iterator[str]:
        """A message that can be brought back: its blob is known to be alive, and it is nowhere else."""
        self._removed += 1
        self._removed_octets += row["size"]
        if row["origins"] != 1:
            yield "it is deleted, and where it came from is not kept"
        if row["living"]:
            yield "it is deleted, and there"
        yield from self._opens(row)

    def _opens(self, row: asyncpg.Record) -> Iterator[str]:
        try:
            decode_meta(self._content(row).meta)
        except (SealBrokenError, ValueError):
            yield "its content does not open"

    def _content(self, row: asyncpg.Record) -> Content:
        if row["sealed"] is None:
            raise SealBrokenError
        return open_content(self._account.cipher, row["blob_id"], row["sealed"])

    async def _body(self, row: asyncpg.Record) -> list[str]:
        name = f"message {self._account.account_id}/{row['message_id']}"
        octets = 0
        try:
            content = self._content(row)
            async for piece in self._core.bodies.stream(BlobId(row["blob_id"]), content.blob_key):
                octets += len(piece)
        except (SealBrokenError, DamagedError, BodyMissingError):
            return [f"{name}: its body does not open"]
        octets += len(content.prefix) + len(content.header) - content.skip
        return [] if octets == row["size"] else [f"{name}: its body has a wrong length"]

    def _close_thread(self) -> None:
        counts.add(self._counted, counts.of_thread(self._thread))
        self._thread = []

    def _account_findings(self, row: asyncpg.Record) -> Iterator[str]:
        wanted: dict[str, tuple[Any, Any]] = {
            "messages": (row["messages"], self._messages),
            "used octets": (row["used_octets"], self._octets),
            "contents": (row["contents"], self._messages + self._removed),
            "deleted messages": (row["removed_messages"], self._removed),
            "octets of deleted messages": (row["removed_octets"], self._removed_octets),
            "origins of deleted messages": (row["kept_origins"], self._removed),
            "entries of mailboxes": (row["places"], self._places),
            "members of threads": (row["members"], self._messages),
            "origins": (row["origins"], self._origins),
            "uids": (row["uids"], self._places),
            "modseq of the log": (row["log_modseq"], row["modseq"]),
        }
        for what, (has, should) in wanted.items():
            if has != should:
                yield f"{self._name}: {what}: {has}, not {should}"
        if (row["max_uid"] or 0) > row["last_uid"]:
            yield f"{self._name}: a uid is beyond the last given"

    async def _mailbox_findings(self, connection: Executor, place: tuple[int, int]) -> list[str]:
        findings: list[str] = []
        rows = await connection.fetch(_MAILBOXES, *place)
        known = {row["mailbox_id"] for row in rows}
        for row in rows:
            name = f"mailbox {self._account.account_id}/{row['mailbox_id']}"
            has = (row["total"], row["unread"], row["threads"], row["unread_threads"])
            should = self._counted.get(row["mailbox_id"], (0, 0, 0, 0))
            if has != should:
                findings.append(f"{name}: counts {has}, not {should}")
            if row["parent_id"] and row["parent_id"] not in known:
                findings.append(f"{name}: its parent does not exist")
            try:
                open_name(self._account.cipher, row["mailbox_id"], row["name_sealed"])
            except (SealBrokenError, ValueError):
                findings.append(f"{name}: its name does not open")
        for row in await connection.fetch(_REMOVED_MAILBOXES, *place):
            if row["mailbox_id"] in known:
                findings.append(f"mailbox {self._account.account_id}/{row['mailbox_id']}: it is deleted, and there")
            try:
                open_name(self._account.cipher, row["mailbox_id"], row["name_sealed"])
            except (SealBrokenError, ValueError):
                findings.append(f"mailbox {self._account.account_id}/{row['mailbox_id']}: its name does not open")
        findings.extend(
            f"{self._name}: messages are in mailbox {lost}, which does not exist"
            for lost in self._counted.keys() - known
        )
        stray = await connection.fetchval(_STRAY_REFS, *place)
        if stray:
            findings.append(f"{self._name}: {stray} references of threads that nothing has")
        return findings
