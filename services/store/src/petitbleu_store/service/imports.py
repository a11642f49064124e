"""ImportMessage: a message that the account itself made (a draft, a sent copy, an import) is stored and filed in one commit."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.ids import BlobId, new_blob_id
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import message_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.domain import content, frames, keywords
from petitbleu_store.domain.content import Content
from petitbleu_store.domain.description import describe
from petitbleu_store.domain.keys import new_key
from petitbleu_store.domain.sharing import Right
from petitbleu_store.domain.standard_mailboxes import DRAFTS, SENT
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import filing_commit, views
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.bodies import HotBody
from petitbleu_store.service.filing_commit import AccountBatch, Filing, GuardChangedError
from petitbleu_store.service.keyword_names import KeywordNames
from petitbleu_store.service.reading import one_message
from petitbleu_store.service.staging import Staged
from petitbleu_store.service.updates import changed_event, locked_row, sealed_keywords

# Described in a thread beyond this, so that the event loop goes on.
_THREAD_OCTETS: Final = 128 << 10
_KEY_OCTETS: Final = range(16, 65)
_PLANS: Final = 3

_KNOWN: Final = """/* hot:store.import_known */ SELECT message_id FROM origin WHERE partition = $1 AND account_id = $2 AND origin_id = $3
    AND state = 0"""


@dataclass(slots=True)
class _Body:
    """A sealed body: hot, or in S3 already."""

    hot: HotBody | None
    staged: Staged | None


@dataclass(slots=True)
class _Made:
    """What the transaction found or made."""

    message_id: int
    before: int
    after: int
    status: mailbox_pb2.UpdateStatus.ValueType = mailbox_pb2.UPDATE_STATUS_OK
    over_quota: bool = False
    existed: bool = False
    events: tuple[OutboxRow, ...] = ()


class Imports:
    """Stores what an account made itself."""

    def __init__(self, core: Core, book: AccountBook, names: KeywordNames) -> None:
        self._core = core
        self._book = book
        self._names = names

    async def add(
        self, account: KnownAccount, request: mailbox_pb2.ImportMessageRequest
    ) -> mailbox_pb2.ImportMessageResponse:
        """Store and file; a repeat with the same key gives the same message.

        Raises:
            StoreError: INVALID for a key or body that is none; BUSY when the hot tables or the spool are full; NOT_FOUND;
                STATE_MISMATCH.
        """
        if len(request.idempotency_key) not in _KEY_OCTETS or not request.body:
            raise StoreError(Problem.INVALID, "a body, and a key of 16-64 octets")
        if len(request.body) > self._core.settings.max_body_octets:
            raise StoreError(Problem.INVALID, "the body is too large")
        key = request.idempotency_key
        if account.view is not None:
            # what others put there themselves is all that they are told is there already
            key = b"%d by " % account.view.grantee_id + key
        import_key = UUID(bytes=account.cipher.hash128(b"import", key))
        known = await self._core.pool.fetchval(_KNOWN, account.partition, account.account_id, import_key)
        if known is None:
            made = await self._make(account, request, import_key)
        else:
            state = await self._core.pool.fetchval(
                "/* hot:store.modseq */ SELECT modseq FROM account WHERE partition = $1 AND account_id = $2",
                account.partition, account.account_id,
            )  # fmt: skip
            if request.if_modseq and request.if_modseq != state:
                raise StoreError(Problem.STATE_MISMATCH)
            made = _Made(known, state, state, existed=True)
        response = mailbox_pb2.ImportMessageResponse(
            status=made.status, old_modseq=made.before, new_modseq=made.after, over_quota=made.over_quota,
            existed=made.existed,
        )  # fmt: skip
        if made.message_id:
            message = await one_message(self._core.pool, account, made.message_id, self._names)
            if message is not None:
                response.message.CopyFrom(message)
            response.message.message_id = made.message_id
        return response

    async def _make(self, account: KnownAccount, request: mailbox_pb2.ImportMessageRequest, import_key: UUID) -> _Made:
        try:
            flags, names = keywords.split(request.keywords)
        except keywords.BadKeywordError:
            return _Made(0, 0, 0, mailbox_pb2.UPDATE_STATUS_INVALID_KEYWORD)
        body, key, blob_id = await self._seal(account, request.body)
        described = (
            await asyncio.to_thread(describe, request.body)
            if len(request.body) > _THREAD_OCTETS
            else describe(request.body)
        )
        cipher = account.cipher
        filing = Filing(
            account=account,
            blob_id=blob_id,
            size=len(request.body),
            received_ms=request.received_at_ms or time.time_ns() // 1_000_000,
            sent_ms=described.sent_ms,
            flags=flags | (keywords.HAS_ATTACHMENT if described.has_attachment else 0),
            keywords=sealed_keywords(account, names),
            mailbox_ids=tuple(sorted(set(request.mailbox_ids))),
            refs=tuple(dict.fromkeys([cipher.hash64(b"thread", ref) for ref in described.refs])),
            sealed=content.seal(cipher, blob_id, Content(key, b"", described.meta)),
            import_key=import_key,
        )
        for _ in range(_PLANS):
            try:
                made = await in_transaction(
                    self._core.pool, lambda connection: self._commit(connection, filing, body, request.if_modseq)
                )
            except GuardChangedError:
                self._book.forget(account.account_id)
                fresh = await self._book.one(self._core.pool, account.account_id)
                account = filing.account = dataclasses.replace(fresh, view=account.view)
                continue
            if made.after != made.before and body.hot is not None:
                self._core.bodies.remember([body.hot])
                self._core.ring.added(len(body.hot.sealed))
            self._core.outbox.published_soon(made.events)
            return made
        raise StoreError(Problem.BUSY, "the guard of the account keeps changing")

    async def _seal(self, account: KnownAccount, data: bytes) -> tuple[_Body, bytes, BlobId]:
        """Seal a body; a large one is in S3 when this returns, and swept away if it is not claimed."""
        settings = self._core.settings
        key = new_key()
        blob_id = new_blob_id(account.partition, self._core.ring.slot)
        sealed = b""
        # Compression may bring a body a few times as large under the limit.
        if len(data) <= 4 * settings.inline_octets:
            sealed = await asyncio.to_thread(frames.seal, key, blob_id, data, settings.zstd_level)
        if sealed and len(sealed) <= settings.inline_octets:
            if self._core.ring.full:
                raise StoreError(Problem.BUSY)
            return _Body(HotBody(blob_id, sealed, account.account_id), None), key, blob_id
        staged = await self._core.staging.put(data)
        key = (await self._core.intake.wrapper(staged.key_id)).unwrap(staged.wrapped_key, staged.blob_id.bytes)
        return _Body(None, staged), key, staged.blob_id

    async def _commit(self, connection: Connection, filing: Filing, body: _Body, if_modseq: int) -> _Made:
        account = filing.account
        locked = await locked_row(connection, account, if_modseq)
        before = locked["modseq"]
        view = (await views.locked(connection, account)).view
        known = await connection.fetchval(_KNOWN, account.partition, account.account_id, filing.import_key)
        if known is not None:
            return _Made(known, before, before, existed=True)
        mailboxes = await message_rows.mailbox_ids(connection, account.partition, account.account_id)
        if view is not None:
            mailboxes &= view.rights.keys()
        if not filing.mailbox_ids or not set(filing.mailbox_ids) <= mailboxes:
            return _Made(0, before, before, mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX)
        if view is not None and not view.may(Right.ADD_ITEMS, filing.mailbox_ids):
            return _Made(0, before, before, mailbox_pb2.UPDATE_STATUS_FORBIDDEN)
        # Only drafts and sent copies of its own come into a guarded account without a decision (architecture, two gates).
        if locked["guarded"] and not set(filing.mailbox_ids) <= {DRAFTS, SENT}:
            return _Made(0, before, before, mailbox_pb2.UPDATE_STATUS_FORBIDDEN)
        if locked["quota_octets"] and locked["used_octets"] + filing.size > locked["quota_octets"]:
            return _Made(0, before, before, mailbox_pb2.UPDATE_STATUS_FORBIDDEN, over_quota=True)
        if body.hot is not None:
            await self._core.bodies.insert_hot(connection, [body.hot])
        elif body.staged is not None:
            await self._core.staging.claim(connection, [body.staged])
        batch = AccountBatch(account, [filing])
        await filing_commit.commit(connection, [batch])
        events = (changed_event(account, batch.modseq, filing.message_id),)
        await self._core.outbox.insert(connection, events)
        return _Made(filing.message_id, before, batch.modseq, events=events)
