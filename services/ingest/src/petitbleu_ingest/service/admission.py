"""Who may open a session: limits in all, a client, and a client and minute."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_WINDOW: Final = 60.0
_MAX_REMEMBERED: Final = 50_000


class Answer(Enum):
    """Whether a session may begin."""

    WELCOME = "welcome"
    TOO_MANY = "too_many"
    TOO_MANY_OF_CLIENT = "too_many_of_client"
    TOO_FAST = "too_fast"


def client_of(address: str) -> IPv4Address | IPv6Network | IPv6Address | str:
    """Whom limits count for: an IPv4 address, or the /64 of an IPv6 one, which is what one customer gets."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        if mapped is not None:
            return mapped
        return IPv6Network((int(parsed) >> 64 << 64, 64))
    return parsed


class Admission:
    """Counts the sessions of one worker.

    Args:
        total: Sessions at once.
        each: Sessions at once of one client.
        rate: New sessions of one client in a minute; 0 for no limit.
        exempt: Networks whose clients have no limit of their own.
    """

    def __init__(self, total: int, each: int, rate: int, exempt: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._total = total
        self._each = each
        self._rate = rate
        self._exempt = exempt
        self._open: dict[object, int] = {}
        self._begun: OrderedDict[object, tuple[float, int]] = OrderedDict()
        self._exempt_known: dict[str, bool] = {}
        self.open = 0

    def _is_exempt(self, address: str) -> bool:
        known = self._exempt_known.get(address)
        if known is None:
            try:
                parsed = ip_address(address.partition("%")[0])
                known = any(parsed in network for network in self._exempt)
            except ValueError:
                known = False
            if len(self._exempt_known) >= _MAX_REMEMBERED:
                self._exempt_known.clear()
            self._exempt_known[address] = known
        return known

    def enter(self, address: str, now: float) -> tuple[Answer, object]:
        """Ask for a session; the second value is given back to `leave`, None when it was refused.

        Args:
            address: The client's IP address.
            now: Seconds of a clock that never goes back.
        """
        if self.open >= self._total:
            return Answer.TOO_MANY, None
        if self._is_exempt(address):
            self.open += 1
            return Answer.WELCOME, ""
        client = client_of(address)
        if self._open.get(client, 0) >= self._each:
            return Answer.TOO_MANY_OF_CLIENT, None
        if self._rate and not self._count(client, now):
            return Answer.TOO_FAST, None
        self._open[client] = self._open.get(client, 0) + 1
        self.open += 1
        return Answer.WELCOME, client

    def _count(self, client: object, now: float) -> bool:
        begun, count = self._begun.get(client, (now, 0))
        if now - begun >= _WINDOW:
            begun, count = now, 0
        self._begun[client] = (begun, count + 1)
        self._begun.move_to_end(client)
        while len(self._begun) > _MAX_REMEMBERED:
            self._begun.popitem(last=False)
        return count < self._rate

    def leave(self, client: object) -> None:
        """Give back what `enter` gave."""
        if client is None:
            return
        self.open -= 1
        if client != "":
            left = self._open[client] - 1
            if left:
                self._open[client] = left
            else:
                del self._open[client]
