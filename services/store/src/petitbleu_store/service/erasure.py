"""EraseAccount: the key goes first, so nothing can be read from that commit on; then the rows, a bounded number at a time."""

from __future__ import annotations

from typing import Final

from petitbleu_kit.ids import AccountId, partition_of_account, partition_of_blob
from petitbleu_kit.logs import get_logger
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import message_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.service.account_book import AccountBook
from petitbleu_store.service.keyword_names import KeywordNames
from petitbleu_store.service.share_ends import ShareEnds
from petitbleu_store.service.uploads import Uploads

_log = get_logger(__name__)
_ROWS: Final = 1000

_DESTROY_KEY: Final = """/* cold:store.erase_key */ UPDATE account SET wrapped_key = NULL WHERE partition = $1 AND account_id = $2
RETURNING tenant_id"""
_LEDGER: Final = """/* cold:store.erase_ledger */ INSERT INTO erasure (partition, account_id, tenant_id) VALUES ($1, $2, $3)
ON CONFLICT (partition, account_id) DO NOTHING"""
_SOME: Final = """/* cold:store.erase_some */ SELECT message_id, thread_id, received_ms, blob_id FROM message WHERE partition = $1 AND account_id = $2 LIMIT $3"""
_SOME_REMOVED: Final = """/* cold:store.erase_removed */ DELETE FROM removed_message WHERE partition = $1 AND account_id = $2 AND message_id IN
    (SELECT message_id FROM removed_message WHERE partition = $1 AND account_id = $2 LIMIT $3) RETURNING message_id, blob_id"""
_SOME_HELD: Final = """/* cold:store.erase_held */ DELETE FROM held WHERE partition = $1 AND account_id = $2 AND accepted_id IN
    (SELECT accepted_id FROM held WHERE partition = $1 AND account_id = $2 LIMIT $3) RETURNING accepted_id AS blob_id"""
# Held for nobody else: its outcome is that it was destroyed.
_DISCARD: Final = """/* cold:store.erase_discard */ UPDATE recipient r SET outcome = 5, settled_at = now(), reason = 'erased'
FROM unnest($1::smallint[], $2::uuid[]) AS v (partition, accepted_id)
WHERE r.partition = v.partition AND r.accepted_id = v.accepted_id AND r.outcome = 3 AND r.account_ids <@ ARRAY[$3::bigint]"""
# Tables whose rows tell nothing of blobs, with the rest of their keys.
_OTHERS: Final = {
    "mailbox_message": "mailbox_id, received_ms, message_id",
    "thread_ref": "ref_hash",
    "change_log": "kind, modseq",
    "keyword": "keyword_hash",
    "origin": "origin_id",
    "removed_mailbox": "mailbox_id",
    "search_again": "message_id",
    "search_account": "account_id",
    "word_lesson": "message_id",
    "word_model": "account_id",
    "mailbox": "mailbox_id",
    "share": "grantee_id, mailbox_id",
    "share_history": "grantee_id, modseq",
    "message_before": "modseq",
    "share_notification": "notification_id",
}
_FINISH: Final = """/* cold:store.erase_finish */ DELETE FROM account WHERE partition = $1 AND account_id = $2"""
_FINISHED: Final = """/* cold:store.erase_finished */ UPDATE erasure SET finished_at = now() WHERE partition = $1 AND account_id = $2
    AND finished_at IS NULL"""
_UNFINISHED: Final = """/* cold:store.erase_unfinished */ SELECT e.account_id FROM erasure e WHERE e.finished_at IS NULL
    OR EXISTS (SELECT 1 FROM account a WHERE a.partition = e.partition AND a.account_id = e.account_id) LIMIT 100"""
_REPLAY: Final = """/* cold:store.erase_replay */ UPDATE account a SET wrapped_key = NULL FROM erasure e
WHERE e.partition = a.partition AND e.account_id = a.account_id AND a.wrapped_key IS NOT NULL"""


class Erasure:
    """Erases accounts. A crash in the midst leaves a ledger row from which `resume` goes on."""

    def __init__(
        self, core: Core, book: AccountBook, names: KeywordNames, uploads: Uploads, ends: ShareEnds
    ) -> None:  # fmt: skip
        self._core = core
        self._uploads = uploads
        self._ends = ends
        self._book = book
        self._names = names

    async def erase(self, account_id: int) -> None:
        """Erase an account; one that is unknown or erased already is no error."""
        partition = partition_of_account(account_id)
        await self._ends.end(account_id)

        async def destroy_key(connection: Connection) -> None:
            tenant_id = await connection.fetchval(_DESTROY_KEY, partition, account_id)
            if tenant_id is not None:
                await connection.execute(_LEDGER, partition, account_id, tenant_id)

        await in_transaction(self._core.cold, destroy_key)
        self._book.forget(account_id)
        self._core.account_keys.forget(AccountId(account_id))
        self._core.intake.forget_account(account_id)
        self._names.forget(account_id)
        await self._rows(partition, account_id)

    async def replay(self) -> None:
        """Destroy the keys of accounts that a restored back-up brought back; before any door opens (architecture, promise 6)."""
        await self._core.cold.execute(_REPLAY)
        self._book.forget_all()

    async def resume(self) -> int:
        """Finish erasures that a crash, or a restore of a back-up, left unfinished; return how many."""
        rows = await self._core.cold.fetch(_UNFINISHED)
        for row in rows:
            await self.erase(row["account_id"])
        return len(rows)

    async def _rows(self, partition: int, account_id: int) -> None:
        cold = self._core.cold

        async def some(connection: Connection) -> int:
            rows = await connection.fetch(_SOME, partition, account_id, _ROWS)
            if rows:
                members = [(row["thread_id"], row["received_ms"], row["message_id"]) for row in rows]
                await message_rows.delete(connection, partition, account_id, members, ())
            else:
                rows = await connection.fetch(_SOME_REMOVED, partition, account_id, _ROWS)
            await message_rows.delete_contents(connection, partition, account_id, [row["message_id"] for row in rows])
            if not rows:
                rows = await connection.fetch(_SOME_HELD, partition, account_id, _ROWS)
                held = sorted((partition_of_blob(row["blob_id"]), row["blob_id"]) for row in rows)
                if held:
                    await connection.execute(_DISCARD, *map(list, zip(*held, strict=True)), account_id)
            await message_rows.release(
                connection, [(partition_of_blob(row["blob_id"]), row["blob_id"]) for row in rows]
            )
            return len(rows)

        while await in_transaction(cold, some):
            pass
        await self._uploads.erase(partition, account_id)
        for table, key in _OTHERS.items():
            statement = (
                f"/* cold:store.erase_rows */ DELETE FROM {table} WHERE partition = $1 AND account_id = $2 AND ({key}) IN "
                f"(SELECT {key} FROM {table} WHERE partition = $1 AND account_id = $2 LIMIT $3)"
            )
            while await cold.execute(statement, partition, account_id, _ROWS) != "DELETE 0":
                pass
        await cold.execute(_FINISH, partition, account_id)
        await cold.execute(_FINISHED, partition, account_id)
        _log.info("account erased", account_id=account_id)
