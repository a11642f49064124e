"""Identities of some people in memory, by the rules of accounts: its own, over a dictionary instead of a database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu_accounts.domain.identities import Book, Owner
from petitbleu_gateway.ports import Identity

Result = TypeVar("Result")


class MemoryIdentities:
    """What `PostgresIdentities` keeps, in memory; who has which addresses is told beforehand (`know`)."""

    def __init__(self) -> None:
        self.books: dict[int, Book] = {}

    def know(self, account_id: int, *addresses: str, name: str = "", guarded: bool = False) -> None:
        """Say who a person is, or which addresses are theirs now."""
        owner = Owner(account_id, 0, 3, name, guarded, addresses)
        known = self.books.get(account_id)
        if known is None:
            self.books[account_id] = Book(owner, 0, 0, {})
        else:
            known.owner = owner

    async def book(self, account_id: int) -> tuple[Book, int] | None:
        found = self.books.get(account_id)
        return None if found is None else (found, 0)

    async def work(self, account_id: int, work: Callable[[Book], Awaitable[Result]]) -> Result | None:
        found = self.books.get(account_id)
        return None if found is None else await work(found)

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        return {one: self.books[one].modseq for one in account_ids if one in self.books and self.books[one].modseq}


class MemoryPeople:
    """`petitbleu_gateway.ports.People` of people who have nothing."""

    async def identities(self, who: Identity) -> pb.ListIdentitiesResponse:
        return pb.ListIdentitiesResponse()

    async def identity_changes(
        self, who: Identity, request: pb.GetIdentityChangesRequest
    ) -> pb.GetIdentityChangesResponse:
        return pb.GetIdentityChangesResponse()

    async def update_identities(
        self, who: Identity, request: pb.UpdateIdentitiesRequest
    ) -> pb.UpdateIdentitiesResponse:
        return pb.UpdateIdentitiesResponse()
