"""Changes of messages without waiting for the account's lock: read, work out, and write if nothing changed meanwhile.

Three round trips at most, where the locked way takes nine; who loses a race goes the locked way (as filing does, ADR 10).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters import update_whole
from petitbleu_store.adapters.filing_rows import CHUNK
from petitbleu_store.adapters.filing_whole import CHANGED
from petitbleu_store.core import Core
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.restating import (
    Restated,
    consequences,
    places_added,
    places_left,
    rows_of,
    threads_of,
)

Apply = Callable[[mailbox_pb2.MessageUpdate, Restated, set[int]], int]
Event = Callable[[int], OutboxRow]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a change: a status for each update, and the account's modseq before and after."""

    statuses: list[int]
    before: int
    after: int


class UpdatesAtOnce:
    """Changes messages of accounts that nobody guards.

    Args:
        core: The store's parts.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._taken = True

    async def update(
        self, account: KnownAccount, request: mailbox_pb2.UpdateMessagesRequest, apply: Apply, event: Event
    ) -> Done | None:
        """Do each change that can be done, or nothing at all.

        Args:
            account: Whose messages they are.
            request: The changes: none destroys.
            apply: Changes a message as asked and gives its status.
            event: Makes the fact that the account changed, of its modseq.

        Returns:
            None when the account is to be locked first: it is guarded or erased, it changed meanwhile, `if_modseq` is not its
            modseq, or the database does not take the change as one statement.
        """
        reads = self._core.reads
        ids = [update.message_id for update in request.updates]
        found = await update_whole.look(reads, account.partition, account.account_id, ids) if self._taken else []
        if not found or found[0]["guarded"] or (request.if_modseq and request.if_modseq != found[0]["modseq"]):
            return None
        statuses, messages = _apply_all(request.updates, found, apply)
        changed = [message for message in messages if message.changes()]
        differences, last_of, _ = consequences(await threads_of(reads, account, changed), changed)
        before, last_uid = found[0]["modseq"], found[0]["last_uid"]
        steps = max(len(changed), len(differences))
        if not steps:
            return Done(statuses, before, before)
        # where messages of a shared account were is written down too, for those who saw them there
        if len(differences) > CHUNK or last_of or (found[0]["shared"] and any(message.moves() for message in changed)):
            return None
        added = places_added(changed)
        updates, rows = rows_of(account, before, last_uid + len(added), changed, added, differences, last_of)
        events = [event(before + steps)]
        try:
            await update_whole.write(
                reads, (account.partition, account.account_id), (steps, len(added), before, last_uid), updates,
                places_left(changed), rows, events,
            )  # fmt: skip
        except (*CHANGED, asyncpg.FeatureNotSupportedError) as error:
            self._taken = not isinstance(error, asyncpg.FeatureNotSupportedError)
            return None
        self._core.outbox.published_soon(events)
        return Done(statuses, before, before + steps)


def _apply_all(
    updates: Sequence[mailbox_pb2.MessageUpdate], found: Sequence[asyncpg.Record], apply: Apply
) -> tuple[list[int], list[Restated]]:
    known = set(found[0]["known"])
    rows = {row["message_id"]: row for row in found}
    statuses: list[int] = []
    messages: list[Restated] = []
    for update in updates:
        row = rows.get(update.message_id)
        if row is None:
            statuses.append(mailbox_pb2.UPDATE_STATUS_NOT_FOUND)
            continue
        message = Restated.of(row)
        statuses.append(apply(update, message, known))
        if statuses[-1] == mailbox_pb2.UPDATE_STATUS_OK:
            messages.append(message)
    return statuses, messages
