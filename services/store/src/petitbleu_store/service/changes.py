"""GetChanges (RFC 8620 §5.2): the change log told as created, updated and destroyed."""

from __future__ import annotations

from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.core import Core
from petitbleu_store.domain.change_log import Kind, fold, fold_threads
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.seen_changes import SeenChanges

MAX_CHANGES: Final = 1000
# Rows read at once; a client that is further behind is told that there is more.
_ROWS: Final = 5000

_READ: Final = """/* hot:store.changes_read */ SELECT a.modseq AS account_modseq, a.pruned_modseq, l.modseq, l.entity_id, l.thread_id, l.op
FROM account a LEFT JOIN LATERAL (SELECT c.modseq, c.entity_id, c.thread_id, c.op FROM change_log c
    WHERE c.partition = $1 AND c.account_id = $2 AND c.kind = $3 AND c.modseq > $4 ORDER BY c.modseq LIMIT $5) l ON true
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL ORDER BY l.modseq"""

_KINDS: Final = {
    mailbox_pb2.CHANGE_KIND_MESSAGE: Kind.MESSAGE,
    mailbox_pb2.CHANGE_KIND_THREAD: Kind.MESSAGE,
    mailbox_pb2.CHANGE_KIND_MAILBOX: Kind.MAILBOX,
    mailbox_pb2.CHANGE_KIND_SHARE_NOTIFICATION: Kind.SHARE_NOTIFICATION,
}


class Changes:
    """Tells what changed."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._seen = SeenChanges(core)

    async def get(
        self, account: KnownAccount, request: mailbox_pb2.GetChangesRequest
    ) -> mailbox_pb2.GetChangesResponse:
        """Return what changed after a modseq.

        Raises:
            StoreError: CANNOT_CALCULATE when the log does not reach back that far, or the modseq was never given;
                INVALID for an unknown kind.
        """
        kind = _KINDS.get(request.kind)
        if kind is None or request.max_changes < 0 or request.since_modseq < 0:
            raise StoreError(Problem.INVALID, "no kind, or a negative number")
        most = min(request.max_changes or MAX_CHANGES, MAX_CHANGES)
        if account.view is not None:
            if kind is Kind.SHARE_NOTIFICATION:
                raise StoreError(Problem.FORBIDDEN)
            return await self._seen.get(account, account.view.grantee_id, request, most)
        rows = await self._core.reads.fetch(
            _READ, account.partition, account.account_id, kind, request.since_modseq, _ROWS
        )
        if not rows:
            raise StoreError(Problem.NOT_FOUND)
        modseq = rows[0]["account_modseq"]
        if not rows[0]["pruned_modseq"] <= request.since_modseq <= modseq:
            raise StoreError(Problem.CANNOT_CALCULATE)
        steps = [
            (row["modseq"], row["entity_id"], row["thread_id"], row["op"]) for row in rows if row["modseq"] is not None
        ]
        told = fold_threads if request.kind == mailbox_pb2.CHANGE_KIND_THREAD else fold
        window = told(steps, request.since_modseq, most)
        of_mailboxes = request.kind == mailbox_pb2.CHANGE_KIND_MAILBOX
        more = window.cut or len(steps) == _ROWS
        return mailbox_pb2.GetChangesResponse(
            created=window.created, updated=window.updated, destroyed=window.destroyed, new_modseq=window.upto if more else modseq,
            has_more=more, only_counts=window.only_counts and of_mailboxes, counted=window.counted if of_mailboxes else (),
        )  # fmt: skip
