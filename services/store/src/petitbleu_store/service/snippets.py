"""GetSnippets (RFC 8621 §5): what a filter finds, marked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters import search_rows
from petitbleu_store.adapters.mail_reader.process import MailReader, ReaderError
from petitbleu_store.adapters.mail_reader.requests import Show
from petitbleu_store.core import Core
from petitbleu_store.domain.text_filter import shown_texts
from petitbleu_store.errors import Problem, QueryRefusedError, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.mail_loading import Loaded, MailLoader, groups
from petitbleu_store.service.turns import Turns

_log = get_logger(__name__)
MAX_SNIPPETS: Final = 500
# Octets of messages that are opened for one answer (a first one of any size is), and how long it may take.
MAX_OCTETS: Final = 64 << 20
SECONDS: Final = 8.0


class Snippets:
    """Shows what is found.

    Args:
        core: The shared parts.
        loader: Opens messages.
        reader: Looks for what is shown.
        turns: Shared with searches, which the same process serves.
    """

    def __init__(self, core: Core, loader: MailLoader, reader: MailReader, turns: Turns) -> None:
        self._core = core
        self._loader = loader
        self._reader = reader
        self._turns = turns

    async def get(
        self, account: KnownAccount, request: mailbox_pb2.GetSnippetsRequest
    ) -> mailbox_pb2.GetSnippetsResponse:
        """Return the snippets of messages, in the order of their ids; those for which there is no time and room say nothing.

        Raises:
            StoreError: INVALID for too many messages, or a text that is too long; BUSY when too many of the account wait.
        """
        wanted = list(dict.fromkeys(request.message_ids))
        if len(wanted) > MAX_SNIPPETS:
            raise StoreError(Problem.INVALID, "too many messages")
        try:
            subjects, bodies = shown_texts(request.filter)
        except QueryRefusedError:
            raise StoreError(Problem.INVALID, "a text that is too long") from None
        async with self._turns.turn(account.account_id):
            rows = await search_rows.some(self._core.pool, account.partition, account.account_id, wanted)
            if account.view is not None:
                rows = [row for row in rows if account.view.sees(row["mailbox_ids"])]
            # RFC 8621 §5.1: null where no snippet can be made
            found: dict[int, tuple[str | None, str | None]] = {row["message_id"]: (None, None) for row in rows}
            if subjects or bodies:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SECONDS):
                        for group in groups(affordable(rows, wanted)):
                            await self._show(await self._loader.load(account, group), subjects, bodies, found)
        response = mailbox_pb2.GetSnippetsResponse()
        for message_id in wanted:
            if message_id in found:
                subject, preview = found[message_id]
                response.snippets.add(message_id=message_id, subject=subject, preview=preview)
        return response

    async def _show(
        self,
        loaded: list[Loaded],
        subjects: list[str],
        bodies: list[str],
        found: dict[int, tuple[str | None, str | None]],
    ) -> None:
        readable = [one for one in loaded if one.mail is not None]
        mails = [one.mail for one in readable if one.mail is not None]
        try:
            answer = await self._reader.ask(Show(subjects, bodies, mails))
            found.update({one.message_id: shown for one, shown in zip(readable, answer.shown, strict=True)})
        except ReaderError:
            if len(readable) > 1:
                for one in readable:
                    await self._show([one], subjects, bodies, found)
            elif readable:
                _log.warning("message not shown", message_id=readable[0].message_id)


def affordable(rows: Sequence[Any], wanted: Sequence[int]) -> list[Any]:
    """Return the rows of messages, in the order in which they are wanted, that there is room to open; always the first."""
    by_id = {row["message_id"]: row for row in rows}
    taken: list[Any] = []
    left = MAX_OCTETS
    for row in [by_id[message_id] for message_id in wanted if message_id in by_id]:
        if not taken or row["size"] <= left:
            taken.append(row)
            left -= row["size"]
    return taken
