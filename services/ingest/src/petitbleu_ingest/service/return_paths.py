"""Rewritten senders (SRS): addresses that no directory has, and that take bounces of what was sent on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu_ingest.ports import Directory, Place
from petitbleu_kit.logs import get_logger
from petitbleu_mail.srs import is_rewritten

_log = get_logger(__name__)
Check = Callable[[Sequence[str]], Awaitable[frozenset[str]]]
"""delivery, which made them: returns those that lead back to somebody."""
_NOBODY_KNOWS: Final = accounts_pb2.ADDRESS_STATUS_UNSPECIFIED


class ReturningDirectory:
    """A directory that knows rewritten senders as well; a catch-all takes none of them.

    Args:
        directory: Where other addresses lead.
        check: delivery.
    """

    def __init__(self, directory: Directory, check: Check) -> None:
        self._directory = directory
        self._check = check

    async def resolve(self, addresses: Sequence[str]) -> list[Place]:
        """Say for each address what it is here."""
        places = list(await self._directory.resolve(addresses))
        asked = [
            address
            for address, place in zip(addresses, places, strict=True)
            if is_rewritten(address) and place.status != accounts_pb2.ADDRESS_STATUS_REMOTE
        ]
        if not asked:
            return places
        try:
            good = await self._check(asked)
        except Exception as error:  # noqa: BLE001 — whatever it is, the sender is told to come back, of these addresses alone
            _log.warning("rewritten senders cannot be looked up", error_type=type(error).__qualname__)
            good = None
        return [
            _place(address, place, good) if address in asked else place
            for address, place in zip(addresses, places, strict=True)
        ]


def _place(address: str, place: Place, good: frozenset[str] | None) -> Place:
    if good is None:
        status = _NOBODY_KNOWS
    else:
        status = accounts_pb2.ADDRESS_STATUS_LOCAL if address in good else accounts_pb2.ADDRESS_STATUS_UNKNOWN
    return Place(status, (), place.domain_id, place.tenant_id)
