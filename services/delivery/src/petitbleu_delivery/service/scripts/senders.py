"""Whom people list as senders: kept for them, and heeded when mail is filed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import asyncpg
from prometheus_client import Counter

from petitbleu_delivery.adapters import script_rows, sender_rows
from petitbleu_delivery.domain.model import Message, Placement
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.domain.senders import (
    MAX_SENDERS,
    Listed,
    Listing,
    TooManySendersError,
    listing_of,
    names_of,
    sender_of,
)
from petitbleu_kit.identity import Principal
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

_HEEDED: Final = Counter(
    "petitbleu_delivery_listed_senders_total", "Messages filed as a list of senders says", ["listing"]
)
_PLACE: Final = b"sender"
_NOTICE: Final = 3
"""petitbleu.store.v1.ORIGIN_NOTICE: what delivery itself writes is nobody's to block."""


class SenderLists:
    """The lists.

    Args:
        pool: delivery's database.
        seal: Of the purpose `senders`.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], seal: Seal) -> None:
        self._pool = pool
        self._seal = seal

    async def heed(self, placements: Sequence[Placement]) -> None:
        """Say of each placement whether it is Junk, by the list of its account. One question for all.

        To allow counts for nobody who is guarded: what a child lists opens no gate.
        """
        wanted: dict[tuple[int, int, bytes], str] = {}
        for placement in placements:
            account_id = placement.account_id
            for name in _names(placement.recipient.message):
                wanted[partition_of_account(account_id), account_id, self._hash(account_id, name)] = name
        found: dict[int, dict[str, Listing]] = {}
        for row in await sender_rows.find(self._pool, list(wanted)):
            account_id = row["account_id"]
            name = wanted[partition_of_account(account_id), account_id, row["sender_hash"]]
            found.setdefault(account_id, {})[name] = Listing(row["listing"])
        for placement in placements:
            listed = found.get(placement.account_id)
            message = placement.recipient.message
            if not listed or message.origin == _NOTICE or message.submitter_id == placement.account_id:
                continue
            listing = listing_of(
                listed,
                message.header_from,
                message.mail_from,
                authenticated=message.authenticated and not placement.guarded,
            )
            if listing is not None:
                placement.junk = listing is Listing.BLOCK
                placement.weigh = False  # whoever is listed is judged by nothing else
                _HEEDED.labels(listing=listing.name.lower()).inc()

    async def allowed(self, account_id: int, addresses: Collection[str]) -> set[str]:
        """Return those of the addresses that an account lists as wanted, themselves or their very domain."""
        partition = partition_of_account(account_id)
        wanted: dict[tuple[int, int, bytes], str] = {}
        names = {address: names_of(address)[:2] for address in addresses}
        for listed in names.values():
            for name in listed:
                wanted[partition, account_id, self._hash(account_id, name)] = name
        found: dict[str, Listing] = {}
        for row in await sender_rows.find(self._pool, list(wanted)):
            found[wanted[partition, account_id, row["sender_hash"]]] = Listing(row["listing"])
        nearest = {
            address: next((found[name] for name in listed if name in found), None) for address, listed in names.items()
        }
        return {address for address, listing in nearest.items() if listing is Listing.ALLOW}

    async def listed(self, who: Principal) -> list[Listed]:
        """Return a person's list, by name."""
        place = _place(who)
        rows = await sender_rows.listed(self._pool, place)
        return sorted(
            Listed(
                self._seal.open(place[1], _PLACE + row["sender_hash"], row["sender_sealed"]).decode(),
                Listing(row["listing"]), row["listed_at"].timestamp(),
            )
            for row in rows
        )  # fmt: skip

    async def say(self, who: Principal, text: str, listing: Listing | None) -> Listed:
        """List a sender, list it otherwise, or forget it (None).

        Raises:
            SenderError: neither an address nor a domain.
            TooManySendersError: the list is full.
        """
        sender = sender_of(text)
        place = _place(who)
        key = self._hash(place[1], sender)
        sealed = self._seal.seal(place[1], _PLACE + key, sender.encode())

        async def work(connection: asyncpg.Connection[Any]) -> Listed:
            await script_rows.lock(connection, *place, who.tenant_id)
            since = 0.0
            if listing is None:
                await sender_rows.forget(connection, place, key)
            else:
                since = await sender_rows.put(connection, place, key, int(listing), sealed)
            count = await sender_rows.count(connection, place)
            if listing is not None and count > MAX_SENDERS:
                raise TooManySendersError
            await sender_rows.mark(connection, place, lists=count > 0)
            return Listed(sender, listing, since)

        return await in_transaction(self._pool, work)

    def _hash(self, account_id: int, name: str) -> bytes:
        return self._seal.hash(account_id, _PLACE, name.encode())


def _names(message: Message) -> set[str]:
    return {*names_of(message.header_from), *names_of(message.mail_from)}


def _place(who: Principal) -> tuple[int, int]:
    return partition_of_account(who.account_id), who.account_id
