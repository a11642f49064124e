"""Notifications of shares (RFC 9670 §3): made when what one may do with another's mailbox changes, read and dismissed by whom it concerns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from petitbleu.store.v1 import sharing_pb2
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import filing_rows
from petitbleu_store.adapters.filing_rows import Connection, Raise, Rows
from petitbleu_store.core import Core
from petitbleu_store.domain.change_log import Kind, Op
from petitbleu_store.domain.notices import MAX_KEPT, surplus
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.updates import changed_event, locked_row

MAX_DISMISSED: Final = 1000

_INSERT: Final = """/* hot:store.notice_insert */ INSERT INTO share_notification (partition, account_id, notification_id, created_ms, owner_id,
    mailbox_id, old_rights, new_rights, name_sealed)
SELECT $1, $2, v.notification_id, $3, $4, v.mailbox_id, v.old_rights, v.new_rights, v.name_sealed
FROM unnest($5::bigint[], $6::bigint[], $7::integer[], $8::integer[], $9::bytea[])
    AS v (notification_id, mailbox_id, old_rights, new_rights, name_sealed)"""
_OLD: Final = """/* hot:store.notice_old */ SELECT notification_id, owner_id, mailbox_id FROM share_notification
WHERE partition = $1 AND account_id = $2 ORDER BY notification_id"""
_DELETE: Final = """/* hot:store.notice_delete */ DELETE FROM share_notification WHERE partition = $1 AND account_id = $2
    AND notification_id = ANY($3::bigint[]) RETURNING notification_id"""
_READ: Final = """/* hot:store.notices_read */ SELECT a.modseq, n.notification_id, n.created_ms, n.owner_id, n.mailbox_id, n.old_rights, n.new_rights,
    n.name_sealed
FROM account a LEFT JOIN share_notification n ON n.partition = a.partition AND n.account_id = a.account_id
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL ORDER BY n.notification_id LIMIT $3"""


@dataclass(frozen=True, slots=True)
class Notice:
    """A change of rights on a mailbox, with its name at the time."""

    mailbox_id: int
    name: str
    old_rights: int
    new_rights: int


async def write(connection: Connection, person: KnownAccount, owner_id: int, notices: Sequence[Notice]) -> int:
    """Notify a person in the owner's transaction; return the person's modseq after, 0 when there is nothing to tell."""
    notices = notices[-MAX_KEPT:]
    if not notices:
        return 0
    place = (person.partition, person.account_id)
    kept = [tuple(row) for row in await connection.fetch(_OLD, *place)]
    old = surplus(kept, [(owner_id, one.mailbox_id) for one in notices])
    (raised,) = await filing_rows.raise_accounts(
        connection, [Raise(*place, len(notices) + len(old), len(notices), 0, 0, 0)]
    )
    first = raised["last_id"] - len(notices) + 1
    cipher = person.cipher
    rows = [
        (first + at, one.mailbox_id, one.old_rights, one.new_rights, cipher.seal(one.name.encode(), _purpose(first + at)))
        for at, one in enumerate(notices)
    ]  # fmt: skip
    await connection.execute(_INSERT, *place, time.time_ns() // 1_000_000, owner_id, *zip(*rows, strict=True))
    if old:
        await connection.fetch(_DELETE, *place, old)
    steps = [(Op.DESTROYED, one) for one in old] + [(Op.CREATED, row[0]) for row in rows]
    await _log(connection, person, raised["modseq"] - len(steps), steps)
    return int(raised["modseq"])


async def _log(connection: Connection, person: KnownAccount, modseq: int, steps: Sequence[tuple[Op, int]]) -> None:
    rows = Rows.empty()
    for step, (op, notification_id) in enumerate(steps, 1):
        rows.changes.append(
            (person.partition, Kind.SHARE_NOTIFICATION, op, person.account_id, modseq + step, notification_id, 0)
        )
    await filing_rows.write(connection, rows)


def _purpose(notification_id: int) -> bytes:
    return b"share notification%d" % notification_id


class ShareNotices:
    """Reads and dismisses notifications."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def listed(self, account: KnownAccount) -> sharing_pb2.ListNotificationsResponse:
        """Return all of an account.

        Raises:
            StoreError: NOT_FOUND.
        """
        rows = await self._core.pool.fetch(_READ, account.partition, account.account_id, MAX_KEPT)
        if not rows:
            raise StoreError(Problem.NOT_FOUND)
        response = sharing_pb2.ListNotificationsResponse(modseq=rows[0]["modseq"])
        for row in rows:
            if row["notification_id"] is None:
                continue
            name = account.cipher.open(row["name_sealed"], _purpose(row["notification_id"])).decode()
            response.notifications.add(
                notification_id=row["notification_id"], created_at_ms=row["created_ms"], owner_account_id=row["owner_id"],
                mailbox_id=row["mailbox_id"], name=name, old_rights=row["old_rights"], new_rights=row["new_rights"],
            )  # fmt: skip
        return response

    async def dismiss(
        self, account: KnownAccount, request: sharing_pb2.DismissNotificationsRequest
    ) -> sharing_pb2.DismissNotificationsResponse:
        """Destroy some.

        Raises:
            StoreError: INVALID for too many; NOT_FOUND; STATE_MISMATCH.
        """
        if len(request.notification_ids) > MAX_DISMISSED:
            raise StoreError(Problem.INVALID, "too many notifications")
        place = (account.partition, account.account_id)

        async def work(connection: Connection) -> tuple[int, int, list[int]]:
            before: int = (await locked_row(connection, account, request.if_modseq))["modseq"]
            rows = await connection.fetch(_DELETE, *place, list(request.notification_ids))
            gone = sorted(row["notification_id"] for row in rows)
            if gone:
                await filing_rows.raise_accounts(connection, [Raise(*place, len(gone), 0, 0, 0, 0)])
                await _log(connection, account, before, [(Op.DESTROYED, one) for one in gone])
                await self._core.outbox.insert(connection, [changed_event(account, before + len(gone))])
            return before, before + len(gone), gone

        before, after, gone = await in_transaction(self._core.pool, work)
        return sharing_pb2.DismissNotificationsResponse(notification_ids=gone, old_modseq=before, new_modseq=after)
