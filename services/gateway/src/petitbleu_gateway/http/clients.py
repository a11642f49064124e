"""How many connections each client has, so that one cannot take the places of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Client = IPv4Address | IPv6Network | str


@lru_cache(maxsize=4096)
def client_of(address: str) -> Client:
    """Whom the limit counts for: an IPv4 address, or the /64 of an IPv6 one, which is what one customer gets."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return parsed.ipv4_mapped or IPv6Network((int(parsed) >> 64 << 64, 64))
    return parsed


class ClientBook:
    """Counts the open connections of clients.

    Args:
        limit: Connections of one client at once.
        exempt: Networks without a limit: this machine, and proxies, behind which everybody comes from one address.
    """

    def __init__(self, limit: int, exempt: Sequence[Network] = ()) -> None:
        self._limit = limit
        self._exempt = tuple(exempt)
        self._open: Counter[Client] = Counter()

    def enter(self, address: str) -> Client | None:
        """Count a connection; return what `leave` takes, None when the client has too many already."""
        client = client_of(address)
        if self._open[client] >= self._limit and not self._is_exempt(client):
            return None
        self._open[client] += 1
        return client

    def leave(self, client: Client | None) -> None:
        """Give a connection back."""
        if client is None:
            return
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]

    def _is_exempt(self, client: Client) -> bool:
        if isinstance(client, str):
            return False
        if isinstance(client, IPv6Network):
            return any(isinstance(network, IPv6Network) and network.overlaps(client) for network in self._exempt)
        return any(client in network for network in self._exempt)
