"""Where addresses lead: the cache first, one question to accounts for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from petitbleu_delivery.domain.model import Route, Status
from petitbleu_delivery.errors import PeerRefusedError
from petitbleu_delivery.ports import Directory
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.halving import by_halves

MAX_ADDRESSES: Final = 1000


class Router:
    """Resolves the addresses of a round."""

    def __init__(self, directory: Directory, cache: RouteCache) -> None:
        self._directory = directory
        self._cache = cache

    async def routes(self, addresses: Iterable[str]) -> dict[str, Route]:
        """Return where each address leads. One that accounts refuses to look up is `UNCLEAR`.

        Raises:
            PeerUnavailableError: accounts does not answer.
        """
        wanted = set(addresses)
        routes = self._cache.get_all(wanted)
        missing = sorted(wanted - routes.keys())
        if not missing:
            return routes
        flight = self._cache.begin()
        answers: list[tuple[str, Route]] = []
        try:
            results = await by_halves(missing, self._directory.resolve, MAX_ADDRESSES)
            for address, result in zip(missing, results, strict=True):
                answers.append((address, Route(Status.UNCLEAR) if isinstance(result, PeerRefusedError) else result))
        finally:
            self._cache.end(flight, answers)
        routes.update(answers)
        return routes

    def forget(self, addresses: Iterable[str]) -> None:
        """Forget addresses whose route turned out to be wrong."""
        for address in addresses:
            self._cache.forget_address(address)
