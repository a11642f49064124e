"""TXT records at hand: the port that signature checks ask, answered from a table, and the samples of the shared data with theirs."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from petitbleu_mail.auth.resolver import MailExchanger, NoSuchNameError, TemporaryDnsError

DATA = Path(os.environ.get("PETITBLEU_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


class Texts:
    """A resolver with TXT records only. A name whose value is None does not answer; `asked` is what was asked for."""

    def __init__(self, records: dict[str, tuple[bytes, ...] | None]) -> None:
        self.records = records
        self.asked: list[str] = []

    async def txt(self, name: str) -> tuple[bytes, ...]:
        self.asked.append(name)
        if name not in self.records:
            raise NoSuchNameError
        found = self.records[name]
        if found is None:
            raise TemporaryDnsError
        return found

    async def a(self, name: str) -> tuple[IPv4Address, ...]:
        raise NoSuchNameError

    async def aaaa(self, name: str) -> tuple[IPv6Address, ...]:
        raise NoSuchNameError

    async def mx(self, name: str) -> tuple[MailExchanger, ...]:
        raise NoSuchNameError

    async def ptr(self, address: IPv4Address | IPv6Address) -> tuple[str, ...]:
        raise NoSuchNameError


def as_sent(message: bytes) -> bytes:
    """Give a sample, stored with any line ends, those that it had on the wire."""
    return re.sub(rb"\r*\n", b"\r\n", message)


def sample(path: Path) -> tuple[bytes, Texts]:
    """Return the message and the key records of a sample that has them on top, a record a line."""
    head, _, message = path.read_bytes().partition(b"\n\n")
    records = dict(line.split(b" ", 1) for line in head.splitlines())
    return as_sent(message), Texts({name.decode(): (text,) for name, text in records.items()})
