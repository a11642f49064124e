"""Identities of people (RFC 8621 §6): every address of a person has one from the start, others are the person's."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from petitbleu_accounts.domain.identities import Book, Changes, Identity, Outcome, Refusal, Wish, changes
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_accounts.ports import IdentityTable
from petitbleu_kit.identity import Principal

MAX_UPDATES: Final = 1_000
MAX_ACCOUNTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Update:
    """One change: of the identity `identity_id`, or of the one that the update at index `created_by` makes; else a creation."""

    identity_id: int
    created_by: int | None
    destroy: bool
    email: str
    wish: Wish


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one change, and the identity as it is then."""

    outcome: Outcome
    identity: Identity | None = None
    properties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Updated:
    """What became of all changes of a call, and the states around it."""

    results: list[Done]
    book: Book
    before: int


class Identities:
    """What a person may do with identities, which are nobody else's."""

    def __init__(self, table: IdentityTable) -> None:
        self._table = table

    @staticmethod
    def _own(principal: Principal, account_id: int) -> int:
        # the second lock: who is asked for is who asks, whatever the caller checked
        if principal.account_id != account_id:
            raise AccountsError(Fault.FORBIDDEN, "the identities of another account")
        return account_id

    async def _settled(self, account_id: int) -> tuple[Book, int]:
        """Return a book in which each address of the person has its identity."""
        found = await self._table.book(account_id)
        if found is not None and not found[0].settled():
            await self._settle(account_id)
            found = await self._table.book(account_id)
        if found is None:
            raise AccountsError(Fault.NOT_FOUND, "no such account")
        return found

    async def _settle(self, account_id: int) -> None:
        async def work(book: Book) -> None:
            book.settle()

        await self._table.work(account_id, work)

    async def all(self, principal: Principal, account_id: int) -> Book:
        """Return the identities of an account. Raises `AccountsError` FORBIDDEN or NOT_FOUND."""
        return (await self._settled(self._own(principal, account_id)))[0]

    async def changes(self, principal: Principal, account_id: int, since: int, most: int) -> Changes:
        """Return what changed after a modseq.

        Raises:
            AccountsError: FORBIDDEN; NOT_FOUND; UNKNOWN_STATE when the log does not reach that far or never will.
        """
        book, pruned = await self._settled(self._own(principal, account_id))
        if not pruned <= since <= book.modseq or most < 0:
            raise AccountsError(Fault.UNKNOWN_STATE, "no such state")
        return changes(book.identities.values(), since, book.modseq, most)

    async def update(
        self, principal: Principal, account_id: int, updates: Sequence[Update], if_modseq: int | None
    ) -> Updated:
        """Do each change that can be done, in one commit.

        Raises:
            AccountsError: FORBIDDEN; NOT_FOUND; INVALID for too many; STATE_MISMATCH when the modseq is not `if_modseq`.
        """
        if len(updates) > MAX_UPDATES:
            raise AccountsError(Fault.INVALID, f"at most {MAX_UPDATES:,} changes a call")

        async def work(book: Book) -> Updated:
            book.settle()
            if if_modseq is not None and if_modseq != book.modseq:
                raise AccountsError(Fault.STATE_MISMATCH, "the identities changed")
            before = book.modseq
            results: list[Done] = []
            for update in updates:
                results.append(_do(book, update, results))
            return Updated(results, book, before)

        found = await self._table.work(self._own(principal, account_id), work)
        if found is None:
            raise AccountsError(Fault.NOT_FOUND, "no such account")
        return found

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        """Return how far the identities of accounts are, of those that were looked at before."""
        if len(account_ids) > MAX_ACCOUNTS:
            raise AccountsError(Fault.INVALID, f"at most {MAX_ACCOUNTS:,} accounts a call")
        return await self._table.states(account_ids)

    async def follow(self, account_ids: Collection[int]) -> None:
        """Addresses of accounts changed: let the identities that somebody looked at before follow."""
        for account_id in await self._table.states(account_ids):
            with contextlib.suppress(AccountsError):
                await self._settled(account_id)


def _do(book: Book, update: Update, results: Sequence[Done]) -> Done:
    identity_id = update.identity_id
    try:
        if update.created_by is not None:
            made = results[update.created_by].identity if 0 <= update.created_by < len(results) else None
            if made is None:
                raise Refusal(Outcome.NOT_FOUND)  # noqa: TRY301
            identity_id = made.identity_id
        elif not identity_id:
            return Done(Outcome.OK, book.create(update.email, update.wish))
        if update.destroy:
            book.destroy(identity_id)
            return Done(Outcome.OK)
        return Done(Outcome.OK, book.change(identity_id, update.wish))
    except Refusal as refusal:
        return Done(refusal.outcome, None, refusal.properties)
