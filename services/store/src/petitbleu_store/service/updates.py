"""UpdateMessages: keywords, mailboxes and destruction of up to 1,000 messages in one commit."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

import asyncpg

from petitbleu.events.v1.events_pb2 import AccountChanged
from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import message_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.domain import keywords
from petitbleu_store.domain.sharing import View, narrowed, refused
from petitbleu_store.domain.standard_mailboxes import DRAFTS, SENT, TRASH
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import views
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.removal import Keeping
from petitbleu_store.service.restating import Restated, restate
from petitbleu_store.service.updates_at_once import UpdatesAtOnce
from petitbleu_store.service.words import Words

MAX_UPDATES: Final = 1000
_OK: Final = mailbox_pb2.UPDATE_STATUS_OK
# Where a guarded account's own writing may be.
_OWN: Final = frozenset({DRAFTS, SENT, TRASH})


def changed_event(account: KnownAccount, modseq: int, last_id: int = 0) -> OutboxRow:
    """Return the event that an account changed; `last_id` is the last message added, if any was."""
    event = AccountChanged(account_id=account.account_id, modseq=modseq, last_id=last_id)
    return OutboxRow.make(account.partition, "mail.account.changed", event.SerializeToString())


async def locked_row(connection: Connection, account: KnownAccount, if_modseq: int) -> asyncpg.Record:
    """Lock an account's row.

    Raises:
        StoreError: NOT_FOUND; STATE_MISMATCH when `if_modseq` is given and is not the modseq (ifInState, RFC 8620 §5.3).
    """
    row = await message_rows.lock(connection, account.partition, account.account_id)
    if row is None:
        raise StoreError(Problem.NOT_FOUND)
    if if_modseq and if_modseq != row["modseq"]:
        raise StoreError(Problem.STATE_MISMATCH)
    return row


class Updates:
    """Changes messages.

    Args:
        core: The store's parts.
        words: Hears what is called junk.
    """

    def __init__(self, core: Core, words: Words) -> None:
        self._core = core
        self._words = words
        self._keeping = Keeping.of(core.settings)
        self._at_once = UpdatesAtOnce(core)

    async def update(
        self, account: KnownAccount, request: mailbox_pb2.UpdateMessagesRequest
    ) -> mailbox_pb2.UpdateMessagesResponse:
        """Do each change that can be done.

        Raises:
            StoreError: INVALID for too many, or a message named twice; NOT_FOUND; STATE_MISMATCH.
        """
        response = await self._update(account, request)
        self._words.heard(account.account_id, request.updates)
        return response

    async def _update(
        self, account: KnownAccount, request: mailbox_pb2.UpdateMessagesRequest
    ) -> mailbox_pb2.UpdateMessagesResponse:
        ids = [update.message_id for update in request.updates]
        if len(ids) > MAX_UPDATES or len(set(ids)) != len(ids):
            raise StoreError(Problem.INVALID, "too many updates, or one message twice")

        if account.view is None and not any(update.destroy for update in request.updates):
            done = await self._at_once.update(
                account, request, partial(apply, account), partial(changed_event, account)
            )
            if done is not None:
                return _response(done.statuses, done.before, done.after)

        async def work(connection: Connection) -> tuple[list[int], int, int, list[OutboxRow]]:
            locked = await locked_row(connection, account, request.if_modseq)
            before = locked["modseq"]
            view = (await views.locked(connection, account)).view
            known = await message_rows.mailbox_ids(connection, account.partition, account.account_id)
            do = partial(apply, account) if view is None else partial(_apply_for_another, account, view)
            rows = await _rows(connection, account, view, ids)
            statuses: list[int] = []
            messages: list[Restated] = []
            for update in request.updates:
                row = rows.get(update.message_id)
                if row is None:
                    statuses.append(mailbox_pb2.UPDATE_STATUS_NOT_FOUND)
                    continue
                message = Restated.of(row)
                if locked["guarded"] and _poses_as_received(update, message):
                    statuses.append(mailbox_pb2.UPDATE_STATUS_FORBIDDEN)
                    continue
                statuses.append(do(update, message, known))
                if statuses[-1] == _OK:
                    messages.append(message)
            after = await restate(connection, account, before, messages, self._keeping)
            events = [changed_event(account, after)] if after != before else []
            if events:
                await self._core.outbox.insert(connection, events)
            return statuses, before, after, events

        statuses, before, after, events = await in_transaction(self._core.pool, work)
        self._core.outbox.published_soon(events)
        return _response(statuses, before, after)


async def _rows(
    connection: Connection, account: KnownAccount, view: View | None, ids: list[int]
) -> dict[int, asyncpg.Record]:
    """Return the messages that are there for whoever asks."""
    rows = await message_rows.read(connection, account.partition, account.account_id, ids)
    return {row["message_id"]: row for row in rows if view is None or view.sees(row["mailbox_ids"])}


def _response(statuses: Iterable[int], before: int, after: int) -> mailbox_pb2.UpdateMessagesResponse:
    response = mailbox_pb2.UpdateMessagesResponse(old_modseq=before, new_modseq=after)
    for status in statuses:
        response.results.add(status=mailbox_pb2.UpdateStatus.ValueType(status))
    return response


def _apply_for_another(
    account: KnownAccount, view: View, update: mailbox_pb2.MessageUpdate, message: Restated, known: set[int]
) -> int:
    """Change a message in the name of another than its owner, as far as that one has the rights (RFC 8621 §2 myRights)."""
    mailboxes = message.row["mailbox_ids"]
    status = apply(account, narrowed(view, update, mailboxes), message, known & view.rights.keys())
    if status != _OK:
        return status
    before = (message.row["flags"], message.row["keywords"] or (), mailboxes)
    why = refused(view, before, (message.flags, message.keywords, message.mailbox_ids))
    return _OK if why is None else why


def _poses_as_received(update: mailbox_pb2.MessageUpdate, message: Restated) -> bool:
    """Whether a draft or sent copy would come where received mail is.

    Nobody decided on it (architecture, two gates): what may not be imported into the inbox may not be moved there either.
    """
    new = set(update.add_mailbox_ids) - set(message.mailbox_ids)
    return message.row["import_key"] is not None and not update.destroy and not new <= _OWN


def apply(account: KnownAccount, update: mailbox_pb2.MessageUpdate, message: Restated, mailbox_ids: set[int]) -> int:
    """Change a message as asked, or leave it as it is; return the status."""
    if update.destroy:
        message.mailbox_ids = ()
        return _OK
    mailboxes = set() if update.replace_mailboxes else set(message.mailbox_ids)
    mailboxes = (mailboxes - set(update.remove_mailbox_ids)) | set(update.add_mailbox_ids)
    # RFC 8621 §4.1.1: a message is in at least one mailbox
    if not mailboxes or not set(update.add_mailbox_ids) <= mailbox_ids:
        return mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX
    status = _apply_keywords(account, update, message)
    if status == _OK:
        message.mailbox_ids = tuple(sorted(mailboxes))
    return status


def _apply_keywords(account: KnownAccount, update: mailbox_pb2.MessageUpdate, message: Restated) -> int:
    if not (update.replace_keywords or update.add_keywords or update.remove_keywords):
        return _OK
    try:
        add_flags, add_names = keywords.split(update.add_keywords)
        remove_flags, remove_names = keywords.split(update.remove_keywords)
    except keywords.BadKeywordError:
        return mailbox_pb2.UPDATE_STATUS_INVALID_KEYWORD
    hashes = {account.cipher.hash64(b"keyword", name.encode()): name for name in sorted(add_names)}
    removed = {account.cipher.hash64(b"keyword", name.encode()) for name in remove_names}
    if update.replace_keywords:
        flags, numbers = message.flags & ~keywords.KEYWORD_BITS, set()
    else:
        flags, numbers = message.flags & ~remove_flags, set(message.keywords) - removed
    numbers |= hashes.keys()
    if len(numbers) > keywords.MAX_KEYWORDS:
        return mailbox_pb2.UPDATE_STATUS_INVALID_KEYWORD
    message.flags = flags | add_flags
    message.keywords = tuple(sorted(numbers))
    message.sealed_keywords = sealed_keywords(account, hashes.values())
    return _OK


def sealed_keywords(account: KnownAccount, names: Iterable[str]) -> tuple[tuple[int, bytes], ...]:
    """Return the keyed hash and the sealed name of keywords that have no flag."""
    cipher = account.cipher
    return tuple((cipher.hash64(b"keyword", name.encode()), cipher.seal(name.encode(), b"keyword")) for name in names)
