"""Limits on guessing: failed logins are counted for the login, for the client address, and for both together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final

from prometheus_client import Counter

from petitbleu_accounts.config import Settings
from petitbleu_accounts.errors import limited
from petitbleu_accounts.ports import Windows

_limited = Counter("petitbleu_accounts_logins_limited_total", "Logins refused because of earlier failures", ["by"])


_LOOK_UPS: Final = 10


def network_of(client_ip: str) -> str:
    """Return the address that is counted, empty for none: of IPv6 the /64, which is one customer (RFC 6177)."""
    try:
        address = ip_address(client_ip)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def logged_ip(settings: Settings, client_ip: str) -> dict[str, str]:
    """Return a client's address as the security log has it: nothing where the operator wants none there."""
    return {"client_ip": client_ip} if client_ip and settings.security_log_ips else {}


class LoginLimits:
    """Counts tries before they are checked, so that many at once do not slip through; a right one is uncounted."""

    def __init__(self, settings: Settings, windows: Windows) -> None:
        self._windows = windows
        self._per_account = settings.login_failures_per_account
        self._per_ip = settings.login_failures_per_ip
        self._per_pair = settings.login_failures_per_pair

    def _keys(self, login: str, client_ip: str) -> list[tuple[str, str, int]]:
        """(what, key, bound) of each counter; keys are digests, so the cache names nobody."""
        keys = []
        network = network_of(client_ip)
        account = hashlib.sha256(login.encode("utf-8", "surrogatepass")).hexdigest()[:32] if login else ""
        if account:
            keys.append(("account", f"petitbleu:login:a:{account}", self._per_account))
        if network:
            network = hashlib.sha256(network.encode()).hexdigest()[:32]
            keys.append(("address", f"petitbleu:login:i:{network}", self._per_ip))
        if account and network:
            keys.append(("pair", f"petitbleu:login:p:{account}:{network}", self._per_pair))
        return keys

    async def take(self, login: str, client_ip: str) -> Sequence[str]:
        """Count a try; return what to give back when it turns out right.

        Raises:
            AccountsError: LIMITED when there were too many.
        """
        keys = self._keys(login, client_ip)
        if not keys:
            return ()
        names = [key for _, key, _ in keys]
        counts = await self._windows.take(names)
        for (what, _, bound), count in zip(keys, counts, strict=True):
            if count > bound:
                _limited.labels(by=what).inc()
                raise limited()
        return names

    async def look_up(self, client_ip: str) -> None:
        """Count a question that any stranger may ask: ten for each try that may fail, by client address.

        Raises:
            AccountsError: LIMITED when there were too many.
        """
        network = network_of(client_ip)
        if not network:
            return
        key = f"petitbleu:lookup:i:{hashlib.sha256(network.encode()).hexdigest()[:32]}"
        (count,) = await self._windows.take([key])
        if count > self._per_ip * _LOOK_UPS:
            _limited.labels(by="look-up").inc()
            raise limited()

    async def give_back(self, taken: Sequence[str]) -> None:
        """Uncount a try that was right, or that was not checked."""
        if taken:
            await self._windows.give_back(taken)
