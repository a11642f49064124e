"""Reads of one account: its state, mailboxes, messages and threads, each with the modseq of the same instant (one statement each)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters import share_rows
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.core import Core
from petitbleu_store.domain import keywords
from petitbleu_store.domain.account_cipher import SealBrokenError
from petitbleu_store.domain.content import open_content
from petitbleu_store.domain.mailbox_names import open_name
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.keyword_names import KeywordNames

_log = get_logger(__name__)
MAX_IDS: Final = 1000

_STATE: Final = """/* hot:store.state */ SELECT modseq, used_octets, quota_octets, messages, limit_modseq,
limited_modseq FROM account WHERE partition = $1 AND account_id = $2 AND wrapped_key IS NOT NULL"""

# RFC 8621 §1.5: the account's own last_id is of mailboxes and notifications too, which are no mail; the newest message is one look at the key's end
_STATES: Final = """/* hot:store.states */ SELECT a.account_id, a.modseq, coalesce((
    SELECT m.message_id FROM message m WHERE m.partition = a.partition AND m.account_id = a.account_id
    ORDER BY m.message_id DESC LIMIT 1), 0) AS last_message_id
FROM unnest($1::smallint[], $2::bigint[]) AS want (partition, account_id) JOIN account a
ON a.partition = want.partition AND a.account_id = want.account_id AND a.partition = ANY($1::smallint[])
WHERE a.wrapped_key IS NOT NULL"""

_MAILBOXES: Final = """/* hot:store.mailboxes_list */ SELECT a.modseq AS account_modseq, a.shared, a.uid_validity, b.mailbox_id, b.parent_id, b.role,
    b.sort_order, b.subscribed, b.total, b.unread, b.threads, b.unread_threads, b.modseq, b.name_sealed
FROM account a LEFT JOIN mailbox b ON b.partition = a.partition AND b.account_id = a.account_id
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""

_COLUMNS: Final = (
    """m.message_id, m.thread_id, m.mailbox_ids, m.flags, m.keywords, m.size, m.received_ms, m.modseq, m.blob_id"""
)

_MESSAGES: Final = f"""/* hot:store.messages_get */ SELECT a.modseq AS account_modseq, {_COLUMNS}, c.sealed
FROM account a LEFT JOIN (unnest($3::bigint[]) AS v (message_id)
    JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id
    JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = v.message_id) ON true
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""

_BARE_MESSAGES: Final = f"""/* hot:store.messages_get_bare */ SELECT a.modseq AS account_modseq, {_COLUMNS}, NULL::bytea AS sealed
FROM account a LEFT JOIN (unnest($3::bigint[]) AS v (message_id)
    JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id) ON true
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""

_THREADS: Final = """/* hot:store.threads_get */ SELECT a.modseq AS account_modseq, v.thread_id,
    ARRAY(SELECT t.message_id FROM thread_message t WHERE t.partition = $1 AND t.account_id = $2 AND t.thread_id = v.thread_id
        ORDER BY t.received_ms, t.message_id) AS message_ids
FROM account a LEFT JOIN unnest($3::bigint[]) AS v (thread_id) ON true
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""

_SEEN_THREADS: Final = """/* hot:store.threads_get_seen */ SELECT a.modseq AS account_modseq, v.thread_id,
    ARRAY(SELECT t.message_id FROM thread_message t JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = t.message_id
        WHERE t.partition = $1 AND t.account_id = $2 AND t.thread_id = v.thread_id AND m.mailbox_ids && $4::bigint[]
        ORDER BY t.received_ms, t.message_id) AS message_ids
FROM account a LEFT JOIN unnest($3::bigint[]) AS v (thread_id) ON true
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""


class Reading:
    """Reads what an account has. Held mail is in none of the tables that it reads."""

    def __init__(self, core: Core, names: KeywordNames) -> None:
        self._core = core
        self._names = names

    async def state(self, account: KnownAccount) -> mailbox_pb2.GetStateResponse:
        """Return modseq, quota and use."""
        if account.view is not None:  # use and quota are the owner's business
            return mailbox_pb2.GetStateResponse(modseq=account.view.modseq)
        row = await self._core.reads.fetchrow(_STATE, account.partition, account.account_id)
        if row is None:
            raise StoreError(Problem.NOT_FOUND)
        return mailbox_pb2.GetStateResponse(
            modseq=row["modseq"],
            used_octets=row["used_octets"],
            quota_octets=row["quota_octets"],
            messages=row["messages"],
            limit_modseq=row["limit_modseq"],
            limited_modseq=row["limited_modseq"],
        )

    async def states(self, account_ids: Sequence[int]) -> mailbox_pb2.GetStatesResponse:
        """Return how far accounts are; those that do not exist are left out.

        Raises:
            StoreError: INVALID for more than `MAX_IDS`.
        """
        if len(account_ids) > MAX_IDS:
            raise StoreError(Problem.INVALID, "too many accounts")
        partitions = [partition_of_account(account_id) for account_id in account_ids]
        rows = await self._core.reads.fetch(_STATES, partitions, list(account_ids))
        return mailbox_pb2.GetStatesResponse(
            states=[
                mailbox_pb2.AccountState(
                    account_id=row["account_id"], modseq=row["modseq"], last_id=row["last_message_id"]
                )
                for row in rows
            ]
        )

    async def mailboxes(self, account: KnownAccount) -> mailbox_pb2.ListMailboxesResponse:
        """Return all mailboxes, by sort order and id; the cost does not grow with what is in them."""
        rows = await self._core.reads.fetch(_MAILBOXES, account.partition, account.account_id)
        if not rows:
            raise StoreError(Problem.NOT_FOUND)
        view = account.view
        response = mailbox_pb2.ListMailboxesResponse(modseq=_instant(account, rows[0]))
        for row in sorted(
            (
                row
                for row in rows
                if row["mailbox_id"] is not None and (view is None or row["mailbox_id"] in view.rights)
            ),
            key=lambda row: (row["sort_order"], row["mailbox_id"]),
        ):
            found = response.mailboxes.add(
                mailbox_id=row["mailbox_id"], parent_id=row["parent_id"], role=row["role"], sort_order=row["sort_order"],
                name=open_name(account.cipher, row["mailbox_id"], row["name_sealed"]), total_messages=row["total"],
                unread_messages=row["unread"], total_threads=row["threads"], unread_threads=row["unread_threads"],
                subscribed=row["subscribed"], modseq=row["modseq"],
                # RFC 9051 §2.3.1.1: 32 bits, not zero
                uid_validity=(row["uid_validity"] + row["mailbox_id"]) & 0xFFFFFFFF or 1,
            )  # fmt: skip
            if view is not None:
                found.rights = view.rights[found.mailbox_id]
                found.subscribed = found.mailbox_id in view.subscribed
                if found.parent_id not in view.rights:
                    found.parent_id = 0
        if view is None and rows[0]["shared"]:
            await self._shares(account, response)
        return response

    async def _shares(self, account: KnownAccount, response: mailbox_pb2.ListMailboxesResponse) -> None:
        """Tell an owner with whom the mailboxes are shared."""
        by_id = {found.mailbox_id: found for found in response.mailboxes}
        for row in await share_rows.of_account(self._core.pool, account.partition, account.account_id):
            if row["mailbox_id"] in by_id:
                by_id[row["mailbox_id"]].shares.add(account_id=row["grantee_id"], rights=row["rights"])

    async def messages(
        self, account: KnownAccount, message_ids: Sequence[int], *, without_meta: bool
    ) -> mailbox_pb2.GetMessagesResponse:
        """Return messages in the order of the ids; those that do not exist are left out.

        Raises:
            StoreError: INVALID for too many ids; UNREADABLE when a row does not open.
        """
        if len(message_ids) > MAX_IDS:
            raise StoreError(Problem.INVALID, "too many messages")
        statement = _BARE_MESSAGES if without_meta else _MESSAGES
        wanted = list(dict.fromkeys(message_ids))
        rows = await self._core.reads.fetch(statement, account.partition, account.account_id, wanted)
        if not rows:
            raise StoreError(Problem.NOT_FOUND)
        response = mailbox_pb2.GetMessagesResponse(modseq=_instant(account, rows[0]))
        if account.view is not None:
            rows = [row for row in rows if row["message_id"] is not None and account.view.sees(row["mailbox_ids"])]
        found = {row["message_id"]: row for row in rows}
        names = await self._names.of(
            self._core.pool, account, [number for row in rows for number in row["keywords"] or ()]
        )
        for message_id in wanted:
            row = found.get(message_id)
            if row is not None:
                response.messages.append(message_of(account, row, names))
        return response

    async def threads(self, account: KnownAccount, thread_ids: Sequence[int]) -> mailbox_pb2.GetThreadsResponse:
        """Return threads in the order of the ids, their messages oldest first."""
        if len(thread_ids) > MAX_IDS:
            raise StoreError(Problem.INVALID, "too many threads")
        wanted = list(dict.fromkeys(thread_ids))
        place = (account.partition, account.account_id)
        if account.view is None:
            rows = await self._core.reads.fetch(_THREADS, *place, wanted)
        else:
            rows = await self._core.reads.fetch(_SEEN_THREADS, *place, wanted, sorted(account.view.rights))
        if not rows:
            raise StoreError(Problem.NOT_FOUND)
        response = mailbox_pb2.GetThreadsResponse(modseq=_instant(account, rows[0]))
        found = {row["thread_id"]: row["message_ids"] for row in rows}
        for thread_id in wanted:
            if found.get(thread_id):
                response.threads.add(thread_id=thread_id, message_ids=found[thread_id])
        return response


def _instant(account: KnownAccount, row: Any) -> int:
    """Return the modseq of which an answer tells: for another than the owner the one at which the shares were read.

    Shares and mail are read one after the other. Of what happens in between, the next /changes tells.
    """
    modseq: int = row["account_modseq"]
    return modseq if account.view is None else min(modseq, account.view.modseq)


def message_of(account: KnownAccount, row: Any, names: dict[int, str]) -> mailbox_pb2.Message:
    """Return a message from its row; with its content when the row has it.

    Raises:
        StoreError: UNREADABLE.
    """
    words = keywords.names_of(row["flags"])
    if row["keywords"]:
        words = [*words, *(names[number] for number in row["keywords"] if number in names)]
    mailbox_ids = row["mailbox_ids"] if account.view is None else account.view.shown(row["mailbox_ids"])
    message = mailbox_pb2.Message(
        message_id=row["message_id"], thread_id=row["thread_id"], mailbox_ids=mailbox_ids, keywords=words,
        size=row["size"], received_at_ms=row["received_ms"], modseq=row["modseq"],
    )  # fmt: skip
    if row["sealed"] is not None:
        try:
            content = open_content(account.cipher, row["blob_id"], row["sealed"])
        except SealBrokenError:
            _log.error("message row does not open", account_id=account.account_id, message_id=row["message_id"])
            raise StoreError(Problem.UNREADABLE) from None
        message.meta = content.meta
        message.prefix_octets = len(content.prefix)
    return message


async def one_message(
    executor: Executor, account: KnownAccount, message_id: int, names: KeywordNames
) -> mailbox_pb2.Message | None:
    """Return one message, None when there is none."""
    row = await executor.fetchrow(_MESSAGES, account.partition, account.account_id, [message_id])
    if (
        row is None
        or row["message_id"] is None
        or (account.view is not None and not account.view.sees(row["mailbox_ids"]))
    ):
        return None
    return message_of(account, row, await names.of(executor, account, row["keywords"] or ()))
