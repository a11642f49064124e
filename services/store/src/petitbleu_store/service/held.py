"""DecideHeld: a guardian's decision files or destroys what was held."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from petitbleu.store.v1 import filing_pb2
from petitbleu_kit.ids import BlobId, millis_of_blob, partition_of_blob
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import message_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.domain.envelope import Envelope
from petitbleu_store.domain.outcome import Outcome, Settlement
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import held_rows
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.filing import Bodies, FilingService
from petitbleu_store.service.filing_items import Wanted
from petitbleu_store.service.intake import AcceptedMessage


class HeldService:
    """Carries decisions out; both kinds are idempotent."""

    def __init__(self, core: Core, book: AccountBook, filing: FilingService) -> None:
        self._core = core
        self._book = book
        self._filing = filing

    async def decide(self, request: filing_pb2.DecideHeldRequest) -> None:
        """File or destroy a held message, as its token says.

        Raises:
            StoreError: INVALID; FORBIDDEN without a token of junior-guard for this message that says deliver or destroy;
                NOT_FOUND when the account is unknown, or the message was never held; UNREADABLE when its body is lost.
        """
        if len(request.accepted_id) != 16:
            raise StoreError(Problem.INVALID, "an accepted id is 16 octets")
        accepted_id = BlobId(UUID(bytes=request.accepted_id))
        verdict = self._filing.verdict_of(request.decision_token, request.account_id, accepted_id)
        account = await self._book.one(self._core.pool, request.account_id)
        if verdict == "deliver":
            await self._deliver(account, accepted_id, request.decision_token)
        elif verdict == "destroy":
            await in_transaction(self._core.pool, lambda connection: self._destroy(connection, account, accepted_id))
        else:
            raise StoreError(Problem.FORBIDDEN, "a decision of junior-guard is needed")

    async def _deliver(self, account: KnownAccount, accepted_id: BlobId, token: str) -> None:
        async with self._core.pool.acquire() as connection:
            held = await held_rows.read(connection, account, accepted_id)
            if held is None:
                if await held_rows.was_decided(connection, account, accepted_id):
                    return
                raise StoreError(Problem.NOT_FOUND)
        received_at = datetime.fromtimestamp(millis_of_blob(accepted_id) / 1000, UTC)
        envelope = Envelope("", "", False, (), traceparent=held.traceparent)
        message = AcceptedMessage(accepted_id, held.blob_key, held.size, received_at, envelope)
        wanted = Wanted(
            account.account_id,
            accepted_id,
            held.recipients,
            held.mailbox_ids,
            held.flags,
            set(held.keywords),
            held.prefix,
            [token],
            sole=set(held.recipients),
        )
        bodies = Bodies({accepted_id: message})
        await self._filing.describe(bodies)
        await self._filing.place([wanted], bodies)
        if wanted.status == filing_pb2.FILE_STATUS_UNREADABLE:
            raise StoreError(Problem.UNREADABLE)
        if wanted.status not in {filing_pb2.FILE_STATUS_FILED, filing_pb2.FILE_STATUS_HELD}:
            raise StoreError(Problem.NOT_FOUND)

    async def _destroy(self, connection: Connection, account: KnownAccount, accepted_id: BlobId) -> None:
        partition, account_id = account.partition, account.account_id
        if await message_rows.lock(connection, partition, account_id) is None:
            raise StoreError(Problem.NOT_FOUND)
        held = await held_rows.read(connection, account, accepted_id)
        if held is not None and await held_rows.forget(connection, account, [accepted_id]):
            discarded = [
                Settlement(accepted_id, number, Outcome.DISCARDED, reason="guardian") for number in held.recipients
            ]
            await self._core.recipients.settle(connection, discarded)
            await message_rows.held_gone(connection, partition, account_id, accepted_id)
            await message_rows.release(connection, [(partition_of_blob(accepted_id), accepted_id)])
        elif not await held_rows.was_decided(connection, account, accepted_id):
            raise StoreError(Problem.NOT_FOUND)
