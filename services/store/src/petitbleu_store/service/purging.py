"""What is kept of deleted mail goes for good: when its person says so, and when its time is over."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import message_rows, removed_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import removal
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.removal import Keeping, now_ms

MAX_IDS: Final = 1000
_ROWS: Final = 2000

_EXPIRED: Final = """/* cold:store.removed_expired */ SELECT partition, account_id, message_id FROM removed_message WHERE removed_ms < $1
ORDER BY partition, account_id LIMIT $2"""
_EXPIRED_MAILBOXES: Final = """/* cold:store.removed_mailbox_expired */ SELECT partition, account_id, mailbox_id FROM removed_mailbox
WHERE removed_ms < $1 ORDER BY partition, account_id LIMIT $2"""


class Purging:
    """Deletes kept mail for good."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._keeping = Keeping.of(core.settings)

    async def purge(self, account: KnownAccount, request: pb.PurgeRemovedRequest) -> pb.PurgeRemovedResponse:
        """Delete what a person names, now; what is not kept is no error.

        Raises:
            StoreError: INVALID for too many; NOT_FOUND; STATE_MISMATCH.
        """
        if max(len(request.message_ids), len(request.mailbox_ids)) > MAX_IDS:
            raise StoreError(Problem.INVALID, "too many at once")
        place = (account.partition, account.account_id)

        async def work(connection: Connection) -> pb.PurgeRemovedResponse:
            if await message_rows.lock(connection, *place) is None:
                raise StoreError(Problem.NOT_FOUND)
            state = await removed_rows.state(connection, place) or 0
            if request.HasField("if_state") and request.if_state != state:
                raise StoreError(Problem.STATE_MISMATCH)
            response = pb.PurgeRemovedResponse(old_state=state, new_state=state)
            rows = await removed_rows.some(connection, place, request.message_ids)
            if rows:
                response.new_state = (await removal.purge(connection, place, rows)).state
                response.message_ids.extend([row["message_id"] for row in rows])
            gone = await removed_rows.delete_mailboxes(connection, place, request.mailbox_ids)
            if gone:
                response.new_state = (await removed_rows.count(connection, place, 0, 0)).state
                response.mailbox_ids.extend(gone)
            return response

        return await in_transaction(self._core.pool, work)

    async def expire(self, now: int = 0) -> int:
        """Delete what was kept long enough by `now` (Unix milliseconds; 0 is the present); return how many messages and mailboxes."""
        until = (now or now_ms()) - self._keeping.milliseconds
        total = 0
        for statement, delete in ((_EXPIRED, self._messages), (_EXPIRED_MAILBOXES, self._mailboxes)):
            while rows := await self._core.cold.fetch(statement, until, _ROWS):
                ids: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
                for partition, account_id, one in rows:
                    ids[partition, account_id].append(one)
                for place, some in ids.items():
                    total += await delete(place, some)
        return total

    async def _messages(self, place: tuple[int, int], message_ids: list[int]) -> int:
        async def work(connection: Connection) -> int:
            # Without the account's lock somebody might bring them back meanwhile; an account that is being erased has none.
            if await message_rows.lock(connection, *place) is None:
                return await _without_account(connection, place, message_ids)
            rows = await removed_rows.some(connection, place, message_ids)
            if rows:
                await removal.purge(connection, place, rows)
            return len(rows)

        return await in_transaction(self._core.cold, work)

    async def _mailboxes(self, place: tuple[int, int], mailbox_ids: list[int]) -> int:
        async def work(connection: Connection) -> int:
            locked = await message_rows.lock(connection, *place)
            gone = await removed_rows.delete_mailboxes(connection, place, mailbox_ids)
            if locked is not None:
                await removed_rows.count(connection, place, 0, 0)
            return len(gone)

        return await in_transaction(self._core.cold, work)


async def _without_account(connection: Connection, place: tuple[int, int], message_ids: list[int]) -> int:
    """Delete what is kept of an account that is being erased."""
    rows = await removed_rows.some(connection, place, message_ids)
    await removed_rows.delete(connection, place, message_ids)
    await message_rows.delete_contents(connection, *place, message_ids)
    await removal.let_go(connection, place, rows, ())
    return len(rows)
