"""What the mailbox half does in the background: tombstones and the change log stay bounded, keys are wrapped again."""

from __future__ import annotations

from typing import Final

from petitbleu_kit.ids import AccountId
from petitbleu_store.adapters.postgres import Pool
from petitbleu_store.core import Core
from petitbleu_store.service.removal import GONE_DAYS

SECONDS: Final = 900.0
# A client that was away for longer than this many changes reads everything anew, which then is cheaper.
KEEP_CHANGES: Final = 100_000
_ROWS: Final = 2000

_FORGET_GONE: Final = f"""/* cold:store.gone_forget */ DELETE FROM origin WHERE (partition, account_id, origin_id) IN
    (SELECT partition, account_id, origin_id FROM origin WHERE gone_at < now() - interval '{GONE_DAYS} days' LIMIT $1)"""

_PRUNABLE: Final = """/* cold:store.changes_prunable */ SELECT partition, account_id, modseq - $1 AS upto FROM account
WHERE modseq - pruned_modseq > $1 + $1 / 10 LIMIT 100"""
_PRUNE_MARK: Final = """/* cold:store.changes_mark */ UPDATE account SET pruned_modseq = greatest(pruned_modseq, $3)
WHERE partition = $1 AND account_id = $2"""
_PRUNE_MOVES: Final = """/* cold:store.moves_prune */ DELETE FROM message_before WHERE partition = $1 AND account_id = $2 AND modseq IN
    (SELECT modseq FROM message_before WHERE partition = $1 AND account_id = $2 AND modseq <= $3 LIMIT $4)"""
_PRUNE_VIEWS: Final = """/* cold:store.views_prune */ DELETE FROM share_history WHERE partition = $1 AND account_id = $2
    AND (grantee_id, modseq) IN
    (SELECT grantee_id, modseq FROM share_history WHERE partition = $1 AND account_id = $2 AND modseq <= $3 LIMIT $4)"""
_PRUNE: Final = """/* cold:store.changes_prune */ DELETE FROM change_log WHERE partition = $1 AND account_id = $2 AND (kind, modseq) IN
    (SELECT kind, modseq FROM change_log WHERE partition = $1 AND account_id = $2 AND modseq <= $3 LIMIT $4)"""

_KEYS: Final = """/* cold:store.account_keys */ SELECT partition, account_id, wrapped_key FROM account
WHERE (partition, account_id) > ($1, $2) AND wrapped_key IS NOT NULL ORDER BY partition, account_id LIMIT $3"""
_WRAP: Final = """/* cold:store.account_key_wrap */ UPDATE account SET wrapped_key = $3 WHERE partition = $1 AND account_id = $2
    AND wrapped_key = $4"""


async def forget_gone(pool: Pool) -> int:
    """Delete tombstones of mail that nobody can file again; return how many."""
    total = 0
    while True:
        deleted = int((await pool.execute(_FORGET_GONE, _ROWS)).rpartition(" ")[2])
        total += deleted
        if deleted < _ROWS:
            return total


async def prune_changes(pool: Pool, keep: int = KEEP_CHANGES) -> int:
    """Delete what of the change log is older than `keep` modseqs; return how many rows.

    The account says first how far its log reaches, so that nobody is told half of it.
    """
    total = 0
    for row in await pool.fetch(_PRUNABLE, keep):
        place = (row["partition"], row["account_id"], row["upto"])
        await pool.execute(_PRUNE_MARK, *place)
        for statement in (_PRUNE, _PRUNE_MOVES, _PRUNE_VIEWS):
            while True:
                deleted = int((await pool.execute(statement, *place, _ROWS)).rpartition(" ")[2])
                total += deleted
                if deleted < _ROWS:
                    break
    return total


async def rotate_account_keys(core: Core) -> int:
    """Wrap each account key that is not under the active key-encryption key again; return how many."""
    rotated = 0
    at = (-1, 0)
    while rows := await core.cold.fetch(_KEYS, *at, _ROWS):
        for row in rows:
            at = (row["partition"], row["account_id"])
            wrapped = await core.account_keys.rotated(AccountId(row["account_id"]), row["wrapped_key"])
            if wrapped is not None:
                status = await core.cold.execute(_WRAP, *at, wrapped, row["wrapped_key"])
                rotated += status == "UPDATE 1"
    return rotated
