"""A resolver that answers from a table: what evaluation is tried with, and counted by."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from petitbleu_mail.auth.resolver import MailExchanger, NoSuchNameError, TemporaryDnsError

TIMEOUT = "TIMEOUT"


class Zone:
    """Names (lower case) and what is there: pairs of a type and its value; a type `TIMEOUT` answers whatever is not before it."""

    def __init__(self, names: dict[str, list[tuple[str, Any]]]) -> None:
        self.names = {name.lower().removesuffix("."): records for name, records in names.items()}
        self.asked: list[tuple[str, str]] = []

    def _find(self, kind: str, name: str) -> list[Any]:
        self.asked.append((kind, name))
        for _ in range(8):
            records = self.names.get(name.lower().removesuffix("."))
            if records is None:
                raise NoSuchNameError
            found = [value for one, value in records if one == kind]
            if found:
                return found
            if any(one == TIMEOUT for one, _ in records):
                raise TemporaryDnsError
            alias = [value for one, value in records if one == "CNAME"]
            if not alias:
                return []
            name = alias[0]
        raise TemporaryDnsError

    async def txt(self, name: str) -> tuple[bytes, ...]:
        return tuple([value if isinstance(value, bytes) else value.encode() for value in self._find("TXT", name)])

    async def a(self, name: str) -> tuple[IPv4Address, ...]:
        return tuple(map(IPv4Address, self._find("A", name)))

    async def aaaa(self, name: str) -> tuple[IPv6Address, ...]:
        return tuple(map(IPv6Address, self._find("AAAA", name)))

    async def mx(self, name: str) -> tuple[MailExchanger, ...]:
        return tuple([MailExchanger(number, host.removesuffix(".")) for number, host in self._find("MX", name)])

    async def ptr(self, address: IPv4Address | IPv6Address) -> tuple[str, ...]:
        return tuple([name.removesuffix(".") for name in self._find("PTR", ip_address(address).reverse_pointer)])
