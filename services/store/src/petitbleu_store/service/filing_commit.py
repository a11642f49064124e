"""The transaction of filing: ids, uids, modseq, threads, counters, the change log and the events of a whole batch.

The accounts' rows are locked first, in order, by one UPDATE that also takes what the batch needs of ids and uids; so the order of
commits is the order of modseq. What turns out to be there already is given back by a second UPDATE of the same transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg

from petitbleu.events.v1.events_pb2 import MessageFiled
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters import filing_rows, filing_whole
from petitbleu_store.adapters.filing_rows import CHUNK, Connection, MessageRow, Raise, Rows, array
from petitbleu_store.adapters.filing_whole import Counters
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.domain import keywords
from petitbleu_store.domain.change_log import Kind, Op
from petitbleu_store.domain.folders import Folder
from petitbleu_store.domain.threads import AccountThreads
from petitbleu_store.service.account_book import KnownAccount

# States of what filing_rows.look finds.
_COUNTERS: Final = -2
_REFERENCE: Final = -1
_PRESENT: Final = 0
_WAS_HELD: Final = 2


class GuardChangedError(Exception):
    """An account's guard is not what the plan was made for: make it again."""


@dataclass(slots=True)
class Filing:
    """One message for one account, ready to be written, and what became of it.

    Attributes:
        account: Whose it is.
        blob_id: Its blob; the accepted id of accepted mail.
        size: Octets as served, prefix included.
        received_ms: Unix milliseconds of arrival.
        sent_ms: Unix milliseconds of its Date, or 0.
        flags: Bits of its keywords and of "has an attachment".
        keywords: Keyed hashes of its other keywords, with their sealed names.
        mailbox_ids: Mailboxes, at least one, each once.
        refs: Hashes by which it is threaded, each once.
        sealed: Sealed content.
        recipients: Numbers of the envelope's recipients it is for; None when it was not accepted by SMTP.
        import_key: Idempotency key of what was not accepted by SMTP.
        traceparent: Of the SMTP session, or empty.
        folders: More mailboxes, by what a rule calls them.
        message_id: Result: its id, 0 when the account is unknown.
        thread_id: Result: its thread.
        modseq: Result: its modseq.
        known: Result: it was there already, or had been.
        joins: Result: it was there, filed for other recipients than these: it may have to join mailboxes.
        was_held: Result: it had been held, and was destroyed.
    """

    account: KnownAccount
    blob_id: UUID
    size: int
    received_ms: int
    sent_ms: int
    flags: int
    keywords: tuple[tuple[int, bytes], ...]
    mailbox_ids: tuple[int, ...]
    refs: tuple[int, ...]
    sealed: bytes
    recipients: tuple[int, ...] | None = None
    import_key: UUID | None = None
    traceparent: str = ""
    folders: tuple[Folder, ...] = ()
    message_id: int = 0
    thread_id: int = 0
    modseq: int = 0
    known: bool = False
    joins: bool = False
    was_held: bool = False


@dataclass(slots=True)
class AccountBatch:
    """One account's part of a batch."""

    account: KnownAccount
    filings: list[Filing] = field(default_factory=list)
    # Accepted ids to be held, which only need the lock and the look.
    holds: list[UUID] = field(default_factory=list)
    held_known: set[UUID] = field(default_factory=set)
    exists: bool = False
    modseq: int = 0


@dataclass(slots=True)
class Plan:
    """All that a batch writes, if the accounts are still as they were read."""

    rows: Rows
    raises: list[tuple[Raise, Counters]]
    events: list[OutboxRow]


async def plan(executor: Executor, batches: Sequence[AccountBatch]) -> Plan | None:
    """Read without a lock what the batches need, and return what they would write; None when they need the lock.

    What it read holds for as long as the accounts' counters stand: whoever changes anything of an account raises them.
    """
    refs, blobs = _questions(batches)
    if any(filing.folders for batch in batches for filing in batch.filings):
        return None  # they are found under the lock alone
    plain = all(batch.filings and not batch.holds and not batch.account.guarded for batch in batches)
    if not plain or max(len(refs), len(blobs)) > CHUNK:
        return None
    places = [(batch.account.partition, batch.account.account_id) for batch in batches]
    found = await filing_whole.look_free(executor, refs, blobs, places)
    before = {row["account_id"]: Counters(row["a"], row["b"], row["c"]) for row in found if row["state"] == _COUNTERS}
    if len(before) < len(batches) or any(row["state"] >= _PRESENT for row in found):
        return None
    _, known_refs = _sorted_out(found, batches)
    states = await _states(executor, batches, known_refs)
    planned = Plan(Rows.empty(), [], [])
    for batch in batches:
        account_id = batch.account.account_id
        threads = AccountThreads(known_refs.get(account_id, {}), states.get(account_id, {}))
        used = _write_account(batch, batch.filings, before[account_id], threads, planned.rows)
        planned.raises.append((used, before[account_id]))
        planned.events.append(_event(batch, batch.filings))
    planned.raises.sort()
    return planned


async def commit(
    connection: Connection,
    batches: Sequence[AccountBatch],
    *,
    at_once: bool = False,
    prepare: Callable[[Connection, Sequence[AccountBatch]], Awaitable[None]] | None = None,
) -> list[OutboxRow]:
    """File the batches in the caller's transaction; results are set in them. Return the events to put in the outbox.

    `prepare` may change what is filed once the accounts are locked.

    Raises:
        asyncpg.FeatureNotSupportedError: the database does not take all rows `at_once`.
        GuardChangedError: an account's guard differs from what its `account` says.
    """
    asked = {batch.account.account_id: _needs(batch) for batch in batches}
    locked = {row["account_id"]: row for row in await filing_rows.raise_accounts(connection, list(asked.values()))}
    present = [batch for batch in batches if batch.account.account_id in locked]
    for batch in present:
        batch.exists = True
        if locked[batch.account.account_id]["guarded"] != batch.account.guarded:
            raise GuardChangedError
    if prepare is not None:
        await prepare(connection, present)
    fresh, known_refs = _sorted_out(await filing_rows.look(connection, *_questions(present)), present)
    states = await _states(connection, present, known_refs)
    rows = Rows.empty()
    events: list[OutboxRow] = []
    too_much: list[Raise] = []
    for batch in present:
        account_id = batch.account.account_id
        threads = AccountThreads(known_refs.get(account_id, {}), states.get(account_id, {}))
        now, taken = locked[account_id], asked[account_id]
        before = Counters(now["modseq"] - taken.steps, now["last_id"] - taken.ids, now["last_uid"] - taken.uids)
        used = _write_account(batch, fresh[account_id], before, threads, rows)
        if used != taken:
            too_much.append(_less(used, taken))
        if fresh[account_id]:
            events.append(_event(batch, fresh[account_id]))
    if too_much:
        await filing_rows.raise_accounts(connection, too_much)
    await filing_rows.write(connection, rows, at_once=at_once)
    return events


def _needs(batch: AccountBatch) -> Raise:
    filings = batch.filings
    touched = {mailbox_id for filing in filings for mailbox_id in filing.mailbox_ids}
    return Raise(
        batch.account.partition, batch.account.account_id, max(len(filings), len(touched)), len(filings),
        sum([len(filing.mailbox_ids) for filing in filings]), sum([filing.size for filing in filings]), len(filings),
    )  # fmt: skip


def _less(used: Raise, asked: Raise) -> Raise:
    return Raise(*asked[:2], *(a - b for a, b in zip(used[2:], asked[2:], strict=True)))


def _questions(batches: Sequence[AccountBatch]) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, UUID]]]:
    """Return the references and the blobs to look for."""
    refs: set[tuple[int, int, int]] = set()
    blobs: list[tuple[int, int, UUID]] = []
    for batch in batches:
        place = (batch.account.partition, batch.account.account_id)
        for filing in batch.filings:
            blobs.append((*place, filing.blob_id))
            refs.update([(*place, ref) for ref in filing.refs])
        blobs.extend([(*place, accepted_id) for accepted_id in batch.holds])
    return sorted(refs), blobs


def _sorted_out(
    found: Sequence[asyncpg.Record], batches: Sequence[AccountBatch]
) -> tuple[dict[int, list[Filing]], dict[int, dict[int, int]]]:
    """Sort the filings that are new from those that are known, and return the threads of references."""
    had: dict[tuple[int, UUID], asyncpg.Record] = {}
    known_refs: dict[int, dict[int, int]] = {}
    for row in found:
        if row["state"] == _REFERENCE:
            known_refs.setdefault(row["account_id"], {})[row["a"]] = row["b"]
        elif row["state"] >= _PRESENT:
            had[row["account_id"], row["blob_id"]] = row
    fresh: dict[int, list[Filing]] = {}
    for batch in batches:
        account_id = batch.account.account_id
        fresh[account_id] = [
            filing for filing in batch.filings if not _is_known(filing, had.get((account_id, filing.blob_id)))
        ]
        batch.held_known = {accepted_id for accepted_id in batch.holds if (account_id, accepted_id) in had}
    return fresh, known_refs


def _is_known(filing: Filing, row: asyncpg.Record | None) -> bool:
    filing.known = row is not None
    filing.joins = filing.was_held = False
    if row is None:
        return False
    if row["state"] == _PRESENT:
        filing.message_id = row["a"]
        filing.joins = not set(filing.recipients or ()) <= set(row["recipients"] or ())
    else:
        filing.was_held = row["state"] == _WAS_HELD
    return True


async def _states(
    executor: Executor, batches: Sequence[AccountBatch], known_refs: dict[int, dict[int, int]]
) -> dict[int, dict[int, list[tuple[Sequence[int], bool]]]]:
    """Read the messages of the threads that known references lead to."""
    wanted = [
        (batch.account.partition, batch.account.account_id, thread_id)
        for batch in batches
        for thread_id in sorted(set(known_refs.get(batch.account.account_id, {}).values()))
    ]
    states: dict[int, dict[int, list[tuple[Sequence[int], bool]]]] = {}
    if wanted:
        for row in await filing_rows.threads_state(executor, wanted):
            thread = states.setdefault(row["account_id"], {}).setdefault(row["thread_id"], [])
            thread.append((row["mailbox_ids"], keywords.is_unread(row["flags"])))
    return states


def _write_account(
    batch: AccountBatch,
    fresh: Sequence[Filing],
    before: Counters,
    threads: AccountThreads,
    rows: Rows,
) -> Raise:
    """Gather the rows of one account's new messages; return what they really took."""
    partition, account_id = batch.account.partition, batch.account.account_id
    base, message_id, first_uid = before
    uid = first_uid
    modseq = base
    octets = 0
    for filing in fresh:
        message_id += 1
        modseq += 1
        octets += filing.size
        mailbox_ids, flags = filing.mailbox_ids, filing.flags
        thread_id = threads.join(message_id, filing.refs, mailbox_ids, unread=keywords.is_unread(flags))
        filing.message_id, filing.thread_id, filing.modseq = message_id, thread_id, modseq
        rows.messages.append(
            MessageRow(
                partition, flags, account_id, message_id, thread_id, filing.received_ms, filing.sent_ms, filing.size, modseq,
                filing.blob_id, filing.import_key, array(mailbox_ids),
                array([number for number, _ in filing.keywords]) if filing.keywords else None, array(filing.refs),
            )
        )  # fmt: skip
        recipients = None if filing.recipients is None else array(filing.recipients)
        rows.origins.append((partition, account_id, filing.blob_id, message_id, recipients))
        if filing.import_key is not None:
            rows.origins.append((partition, account_id, filing.import_key, message_id, None))
        rows.members.append((partition, account_id, thread_id, filing.received_ms, message_id))
        rows.contents.append((partition, account_id, message_id, filing.sealed))
        for mailbox_id in mailbox_ids:
            uid += 1
            rows.places.append((partition, account_id, mailbox_id, filing.received_ms, message_id, thread_id, uid))
        rows.changes.append((partition, Kind.MESSAGE, Op.CREATED, account_id, modseq, message_id, thread_id))
        rows.keywords.extend([(partition, account_id, number, sealed) for number, sealed in filing.keywords])
    differences = threads.differences() if fresh else {}
    rows.refs.extend([(partition, account_id, ref, thread_id) for ref, thread_id in threads.refs.items()])
    # Mailboxes take modseqs of the same range: the kinds are numbered apart, and all of it becomes visible at once.
    for step, (mailbox_id, difference) in enumerate(sorted(differences.items()), 1):
        rows.counts.append((partition, account_id, mailbox_id, *difference, base + step))
        rows.changes.append((partition, Kind.MAILBOX, Op.COUNTED, account_id, base + step, mailbox_id, 0))
    batch.modseq = base + max(len(fresh), len(differences))
    return Raise(partition, account_id, batch.modseq - base, len(fresh), uid - first_uid, octets, len(fresh))


def _event(batch: AccountBatch, fresh: Sequence[Filing]) -> OutboxRow:
    account = batch.account
    event = MessageFiled(
        account_id=account.account_id, modseq=batch.modseq, message_ids=[filing.message_id for filing in fresh],
        octets=sum([filing.size for filing in fresh]), tenant_id=account.tenant_id,
    )  # fmt: skip
    if any(filing.traceparent for filing in fresh):
        event.traceparents.extend([filing.traceparent for filing in fresh])
    return OutboxRow.make(account.partition, "mail.message.filed", event.SerializeToString())
