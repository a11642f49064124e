"""FilingService.File: bodies are read and described, then one transaction files or holds the whole batch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from prometheus_client import Counter

from petitbleu.store.v1 import filing_pb2
from petitbleu_kit.decisions import verdict_in
from petitbleu_kit.identity import IdentityError
from petitbleu_kit.ids import BlobId, millis_of_blob
from petitbleu_kit.logs import get_logger
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.adapters.filing_whole import CHANGED, write_whole
from petitbleu_store.adapters.recipient_rows import in_order
from petitbleu_store.core import Core
from petitbleu_store.domain import content, keywords
from petitbleu_store.domain.content import Content
from petitbleu_store.domain.description import Description, describe
from petitbleu_store.domain.folders import Folder
from petitbleu_store.domain.standard_mailboxes import INBOX, JUNK
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import filing_commit, folders, held_rows, joining
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.filing_commit import AccountBatch, Filing, GuardChangedError
from petitbleu_store.service.filing_items import SETTLES, Wanted, outcomes, wanted_of
from petitbleu_store.service.intake import AcceptedMessage
from petitbleu_store.service.updates import sealed_keywords
from petitbleu_store.service.words import Words

_log = get_logger(__name__)
_commits = Counter(
    "petitbleu_store_filing_commits_total",
    "Filings by how they were committed: whole, under the accounts' lock, or changed meanwhile (which then takes the lock)",
    ["way"],
)
# Bodies in memory at once; a larger single one comes alone.
_GROUP_OCTETS: Final = 4 << 20
# A larger body is described in a thread, so that the event loop goes on.
_LARGE_OCTETS: Final = 512 << 10
# The event loop is given a turn after describing this much.
_TURN_OCTETS: Final = 128 << 10
_PLANS: Final = 5
# So many batches take the lock at once after one that met another writer.
_LOCKED_NEXT: Final = 8


@dataclass(slots=True)
class Bodies:
    """What a batch needs of accepted messages: their keys, and what is in them."""

    messages: dict[BlobId, AcceptedMessage] = field(default_factory=dict)
    described: dict[BlobId, Description] = field(default_factory=dict)


class FilingService:
    """Files accepted mail in accounts, or holds it for a guardian.

    Args:
        core: The shared parts of the store.
        book: Accounts.
        words: What accounts' junk is made of.
    """

    def __init__(self, core: Core, book: AccountBook, words: Words) -> None:
        self._words = words
        self._core = core
        self._book = book
        self._folders = folders.Folders(core, book)
        self._large = asyncio.Semaphore(1)
        self._at_once = True
        self._whole = True
        self._locked_next = 0

    async def file(self, request: filing_pb2.FileRequest) -> filing_pb2.FileResponse:
        """File or hold each item, in one commit."""
        wanted, of_item = wanted_of(request.items)
        if wanted:
            bodies = await self._read({one.accepted_id for one in wanted})
            await self._edit([one for one in wanted if one.skip], bodies)
            weighed = [one for one in wanted if one.weigh and one.mailbox_ids == [INBOX] and not one.folders]
            for one in await self._junk(await self._with_words(weighed), bodies):
                one.mailbox_ids = [JUNK]
            await self.place(wanted, bodies)
        return filing_pb2.FileResponse(
            results=[
                filing_pb2.FileResult(
                    status=one.status,
                    message_id=one.filing.message_id
                    if one.filing is not None and one.status == filing_pb2.FILE_STATUS_FILED
                    else 0,
                    settled=one.settled and item.sole,
                )
                for one, item in zip(of_item, request.items, strict=True)
            ]
        )

    async def weigh(self, request: filing_pb2.WeighWordsRequest) -> filing_pb2.WeighWordsResponse:
        """Say of messages whether they are junk by the words of accounts; nothing is filed."""
        items = [
            filing_pb2.FileItem(
                recipient=filing_pb2.RecipientRef(accepted_id=one.accepted_id),
                account_id=one.account_id,
                weigh_words=True,
            )
            for one in request.items
        ]
        wanted, of_item = wanted_of(items)
        weighed = await self._with_words(wanted)
        junk = await self._junk(weighed, await self._read({one.accepted_id for one, _ in weighed})) if weighed else []
        found = {id(one) for one in junk}
        return filing_pb2.WeighWordsResponse(junk=[id(one) in found for one in of_item])

    async def _with_words(self, wanted: Sequence[Wanted]) -> list[tuple[Wanted, KnownAccount]]:
        """Return what is for accounts whose words say anything; of a guarded one they do not: its guardians decide."""
        accounts = await self._book.many(self._core.pool, {one.account_id for one in wanted}) if wanted else {}
        return [
            (one, account)
            for one in wanted
            if (account := accounts.get(one.account_id)) is not None and account.words and not account.guarded
        ]

    async def _junk(self, wanted: Sequence[tuple[Wanted, KnownAccount]], bodies: Bodies) -> list[Wanted]:
        """Return what is junk by the words of the account that it is for."""
        items = [
            (one, account, message, described)
            for one, account in wanted
            if (message := bodies.messages.get(one.accepted_id)) is not None
            and (described := bodies.described.get(one.accepted_id)) is not None
        ]
        if not items:
            return []
        weighings = await self._words.weighings(
            (account, message, described.meta, one.prefix) for one, account, message, described in items
        )
        await self._words.weigh(weighings)
        return [item[0] for item, weighing in zip(items, weighings, strict=True) if weighing.junk]

    async def place(self, wanted: Sequence[Wanted], bodies: Bodies) -> None:
        """File or hold what is wanted; each one's status is set."""
        await self._make_folders(wanted)
        for _ in range(_PLANS):
            accounts = await self._book.many(self._core.pool, {one.account_id for one in wanted})
            batches, holds = self._plan(wanted, accounts, bodies)

            try:
                if await self._filed_whole(wanted, batches):
                    return
            except asyncpg.FeatureNotSupportedError:
                _log.warning("messages are not filed by one statement on this database")
                self._whole = False

            async def work(
                connection: Connection,
                batches: dict[int, AccountBatch] = batches,
                holds: dict[int, list[held_rows.Hold]] = holds,
            ) -> list[OutboxRow]:
                return await self._commit(connection, wanted, batches, holds)

            try:
                events = await in_transaction(self._core.pool, work)
            except GuardChangedError:
                for account_id in accounts:
                    self._book.forget(account_id)
                continue
            except asyncpg.FeatureNotSupportedError:
                if not self._at_once:
                    raise
                # A distributed engine that does not take it as one statement.
                _log.warning("messages are filed table by table on this database")
                self._at_once = False
                continue
            self._core.outbox.published_soon(events)
            return
        raise StoreError(Problem.BUSY, "the guard of an account keeps changing")

    async def _make_folders(self, wanted: Sequence[Wanted]) -> None:
        """Make the mailboxes that rules want to be made, before the transaction that files."""
        missing: dict[int, list[Folder]] = {}
        for one in wanted:
            made = [folder for folder in one.folders if folder.create]
            if made:
                missing.setdefault(one.account_id, []).extend(made)
        if missing:
            accounts = await self._book.many(self._core.pool, set(missing))
            for account_id, account in accounts.items():
                await self._folders.make(account, missing[account_id])

    async def _read(self, ids: Iterable[BlobId]) -> Bodies:
        """Open and describe accepted messages."""
        bodies = Bodies(await self._core.intake.load(self._core.pool, list(ids)))
        await self.describe(bodies)
        return bodies

    async def describe(self, bodies: Bodies) -> None:
        """Read bodies, a bounded number of octets at a time, and describe them; one that cannot be read stays without description."""
        group: list[AcceptedMessage] = []
        octets = 0
        for message in sorted(bodies.messages.values(), key=lambda message: message.size):
            if group and octets + message.size > _GROUP_OCTETS:
                await self._describe(group, bodies)
                group, octets = [], 0
            group.append(message)
            octets += message.size
        if group:
            await self._describe(group, bodies)

    async def _describe(self, group: Sequence[AcceptedMessage], bodies: Bodies) -> None:
        if len(group) == 1 and group[0].size > _LARGE_OCTETS:
            async with self._large:
                await self._describe_large(group[0], bodies)
            return
        read = await self._core.bodies.read_many(self._core.pool, [(message.blob_id, message.key) for message in group])
        turn = 0
        for blob_id, body in read.items():
            bodies.described[blob_id] = describe(body)
            turn += len(body)
            if turn > _TURN_OCTETS:
                turn = 0
                await asyncio.sleep(0)

    async def _describe_large(self, message: AcceptedMessage, bodies: Bodies) -> None:
        read = await self._core.bodies.read_many(self._core.pool, [(message.blob_id, message.key)])
        for blob_id, body in read.items():
            bodies.described[blob_id] = await asyncio.to_thread(describe, body)

    async def _edit(self, wanted: Sequence[Wanted], bodies: Bodies) -> None:
        """Describe messages as they are with the headers that rules gave them; one that cannot be read is found out elsewhere."""
        for one in wanted:
            message = bodies.messages.get(one.accepted_id)
            if message is None or one.accepted_id not in bodies.described:
                continue
            if one.skip > message.size:
                raise StoreError(Problem.INVALID, "a header is not longer than its message")
            async with self._large:
                read = await self._core.bodies.read_many(self._core.pool, [(message.blob_id, message.key)])
                body = read.get(message.blob_id)
                if body is not None:
                    one.edited = await asyncio.to_thread(describe, one.header + body[one.skip :])

    def _verdict(self, one: Wanted) -> str:
        """Return what junior-guard decided of a message for a guarded account, empty when it did not."""
        for token in one.tokens:
            verdict = self.verdict_of(token, one.account_id, one.accepted_id)
            if verdict in {"deliver", "hold"}:
                return verdict
        return ""

    def verdict_of(self, token: str, account_id: int, accepted_id: BlobId) -> str:
        """Return the verdict of a token of junior-guard, empty when it is none or for something else."""
        try:
            claims = self._core.decisions.verify(token, issuer="junior-guard", use="decision")
        except IdentityError:
            return ""
        return verdict_in(claims, account_id, accepted_id.bytes)

    def _plan(
        self, wanted: Sequence[Wanted], accounts: dict[int, KnownAccount], bodies: Bodies
    ) -> tuple[dict[int, AccountBatch], dict[int, list[held_rows.Hold]]]:
        batches: dict[int, AccountBatch] = {}
        holds: dict[int, list[held_rows.Hold]] = {}
        for one in wanted:
            one.filing = None
            account = accounts.get(one.account_id)
            if account is None:
                one.status = filing_pb2.FILE_STATUS_NO_ACCOUNT
                continue
            verdict = self._verdict(one) if account.guarded else "deliver"
            if not verdict:
                one.status = filing_pb2.FILE_STATUS_DECISION_REQUIRED
                continue
            batch = batches.get(one.account_id)
            if batch is None:
                batch = batches[one.account_id] = AccountBatch(account)
            message, described = bodies.messages.get(one.accepted_id), bodies.described.get(one.accepted_id)
            if message is None or described is None:
                # It may have been filed before its key was destroyed; only the look under the lock tells.
                one.status = filing_pb2.FILE_STATUS_UNREADABLE
                batch.holds.append(one.accepted_id)
            elif verdict == "hold":
                one.status = filing_pb2.FILE_STATUS_HELD
                batch.holds.append(one.accepted_id)
                holds.setdefault(one.account_id, []).append(
                    held_rows.hold_of(account, one.accepted_id, _held_content(one, message))
                )
            else:
                one.status = filing_pb2.FILE_STATUS_FILED
                one.filing = filing_of(account, one, message, described)
                batch.filings.append(one.filing)
        return batches, holds

    async def _filed_whole(self, wanted: Sequence[Wanted], batches: dict[int, AccountBatch]) -> bool:
        """File what nearly every batch is, new mail for accounts that nobody guards, by one statement; say whether it is done.

        After one that met other writers of its accounts, the next ones take the lock at once.
        """
        if not self._whole or not batches or self._locked_next > 0:
            self._locked_next -= 1
            return False
        settlements, shared = outcomes(wanted)
        if any((item.accepted_id, item.recipient_no) in shared for item in settlements):
            return False
        plan = await filing_commit.plan(self._core.pool, list(batches.values()))
        if plan is None:
            return False
        settlements = in_order(settlements)
        try:
            touched = await write_whole(self._core.pool, plan.raises, plan.rows, plan.events, shared, settlements)
        except CHANGED:
            self._locked_next = _LOCKED_NEXT
            _commits.labels(way="changed").inc()
            return False
        _commits.labels(way="whole").inc()
        for one in wanted:
            one.settled = one.status in SETTLES
        self._core.recipients.settled(settlements, touched)
        self._core.outbox.published_soon(plan.events)
        return True

    async def _commit(
        self,
        connection: Connection,
        wanted: Sequence[Wanted],
        batches: dict[int, AccountBatch],
        holds: dict[int, list[held_rows.Hold]],
    ) -> list[OutboxRow]:
        if not batches:
            return []
        _commits.labels(way="locked").inc()
        events = await filing_commit.commit(
            connection, list(batches.values()), at_once=self._at_once, prepare=folders.find
        )
        for one in wanted:
            batch = batches.get(one.account_id)
            if batch is not None:
                _settle_status(one, batch)
        for batch in batches.values():
            if batch.account.guarded and batch.filings:
                await held_rows.forget(connection, batch.account, [filing.blob_id for filing in batch.filings])
            joins = [filing for filing in batch.filings if filing.joins]
            if joins:
                events.extend(await joining.join(connection, batch.account, joins))
        for account_id, rows in holds.items():
            batch = batches[account_id]
            new = [hold for hold in rows if batch.exists and hold.accepted_id not in batch.held_known]
            events.extend(await held_rows.hold(connection, batch.account, new))
        if events:
            await self._core.outbox.insert(connection, events)
        await self._settle(connection, wanted)
        return events

    async def _settle(self, connection: Connection, wanted: Sequence[Wanted]) -> None:
        """Record the outcome of the recipients for which what is filed or held here is all, and who has it of the others."""
        settlements, shared = outcomes(wanted)
        for one in wanted:
            one.settled = one.status in SETTLES
        await self._core.recipients.reached(connection, shared)
        await self._core.recipients.settle(connection, settlements)


def _settle_status(one: Wanted, batch: AccountBatch) -> None:
    if not batch.exists:
        one.status = filing_pb2.FILE_STATUS_NO_ACCOUNT
    elif one.filing is None:
        if one.accepted_id in batch.held_known:
            one.status = filing_pb2.FILE_STATUS_FILED
    elif one.filing.was_held:
        one.status = filing_pb2.FILE_STATUS_HELD


def _held_content(one: Wanted, message: AcceptedMessage) -> held_rows.HeldContent:
    return held_rows.HeldContent(
        message.key, message.size, one.recipients, one.mailbox_ids or [INBOX], one.flags, sorted(one.keywords), one.prefix,
        message.envelope.traceparent,
    )  # fmt: skip


def filing_of(account: KnownAccount, one: Wanted, message: AcceptedMessage, described: Description) -> Filing:
    """Return a message for an account, sealed and ready to be written."""
    cipher = account.cipher
    header, skip = b"", 0
    # guardians decide on what came: nothing of it is another for the child
    if one.edited is not None and not account.guarded:
        described, header, skip = one.edited, one.header, one.skip
    return Filing(
        account=account,
        blob_id=message.blob_id,
        size=described.size + len(one.prefix),
        received_ms=millis_of_blob(message.blob_id),
        sent_ms=described.sent_ms,
        flags=one.flags | (keywords.HAS_ATTACHMENT if described.has_attachment else 0),
        keywords=sealed_keywords(account, one.keywords),
        mailbox_ids=tuple(one.mailbox_ids),
        refs=tuple(dict.fromkeys([cipher.hash64(b"thread", ref) for ref in described.refs])),
        sealed=content.seal(cipher, message.blob_id, Content(message.key, one.prefix, described.meta, header, skip)),
        recipients=tuple(one.recipients),
        folders=tuple(one.folders),
        traceparent=message.envelope.traceparent,
    )
