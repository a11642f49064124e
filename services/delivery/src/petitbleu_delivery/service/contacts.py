"""Whom an account knows: those to whom it wrote, and those whom it lists as wanted. That is its address book until it has one (RFC 6134).

To whom mail went is remembered by keyed hashes (`correspondent`, ADR 43): what leaves is remembered where it leaves, what stays here is gathered
in memory and written about every second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final, Protocol

from petitbleu_delivery.adapters.conduct_rows import ConductRows
from petitbleu_delivery.domain.model import Outcome, Settlement
from petitbleu_delivery.errors import DATABASE_AWAY
from petitbleu_delivery.service.outbound.entering import SUBMITTED
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
MOST_ASKED: Final = 200
"""Addresses of one question: a message that names more is to nobody in particular."""
_MOST_GATHERED: Final = 200_000
_DAY: Final = 86_400


class Lists(Protocol):
    """Lists of senders."""

    async def allowed(self, account_id: int, addresses: Collection[str]) -> set[str]:
        """Return those of the addresses that an account lists as wanted."""
        ...


class Contacts:
    """Whom accounts know.

    Args:
        rows: To whom they wrote.
        lists: Whom they list.
        key: Hashes an address for an account.
    """

    def __init__(self, rows: ConductRows, lists: Lists, key: Callable[[int, str], bytes]) -> None:
        self._rows = rows
        self._lists = lists
        self._key = key
        self._gathered: set[tuple[int, bytes]] = set()

    def note(self, settlements: Iterable[Settlement]) -> None:
        """Hear of mail of somebody here that was filed for somebody here."""
        for one in settlements:
            message = one.recipient.message
            wrote = message.origin == SUBMITTED and message.submitter_id > 0 and one.outcome is Outcome.FILED
            if wrote and len(self._gathered) < _MOST_GATHERED:
                self._gathered.add((message.submitter_id, self._key(message.submitter_id, one.recipient.address)))

    async def flush(self) -> None:
        """Write what was gathered."""
        gathered, self._gathered = self._gathered, set()
        if not gathered:
            return
        try:
            await self._rows.wrote(gathered, int(time.time()) // _DAY)
        except DATABASE_AWAY as error:
            _log.warning("who wrote to whom is kept later", error_type=type(error).__qualname__)
            self._gathered |= gathered

    async def known(self, account_id: int, addresses: Collection[str]) -> set[str]:
        """Return those of the addresses, at most `MOST_ASKED`, that an account knows."""
        asked = list(dict.fromkeys(addresses))[:MOST_ASKED]
        if not asked:
            return set()
        keys = {self._key(account_id, address): address for address in asked}
        written = await self._rows.written(account_id, list(keys))
        found = {address for key, address in keys.items() if key in written}
        return found | await self._lists.allowed(account_id, [one for one in asked if one not in found])
