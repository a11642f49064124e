"""Where the mail of a domain goes (RFC 5321 §5): its mail exchangers, their addresses, and what the DNS proves about both."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import dns.rdatatype

from petitbleu_delivery.adapters.records_dns import RecordLookups, name_text
from petitbleu_delivery.domain.outbound import Reply
from petitbleu_delivery.domain.records_transport import Association
from petitbleu_kit.egress_addresses import EgressError, EgressRules, public_addresses
from petitbleu_mail.auth.resolver import NoSuchNameError, TemporaryDnsError

Value = TypeVar("Value")
# What is known serves so long, whatever its TTL; what failed for a moment.
_SECONDS: Final = 300.0
_FAILED_SECONDS: Final = 15.0
_MOST: Final = 20_000
_MOST_EXCHANGERS: Final = 20
_MOST_ADDRESSES: Final = 8


class NoExchangerError(Exception):
    """There is nobody to give the mail to; `reply` says why, `lasting` whether that will stay so."""

    def __init__(self, reply: Reply, *, lasting: bool) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.lasting = lasting


class Exchanger(NamedTuple):
    """A mail exchanger: its name, and whether DNSSEC proves that it is one of the domain's."""

    host: str
    proven: bool


class _Memory(Generic[Value]):
    """Remembers answers for a while, and asks for one thing once at a time."""

    def __init__(self, ask: Callable[[str], Awaitable[Value]]) -> None:
        self._ask = ask
        self._known: OrderedDict[str, tuple[float, Value | Exception]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Value | Exception]] = {}

    async def of(self, name: str) -> Value:
        until, value = self._known.get(name, (0.0, None))
        if until <= time.monotonic():
            task = self._asked.get(name)
            if task is None:
                task = self._asked[name] = asyncio.create_task(self._look(name))
                task.add_done_callback(lambda _: self._asked.pop(name, None))
            value = await asyncio.shield(task)
        if isinstance(value, Exception):
            raise value
        return value  # type: ignore[return-value]  # only the default above is None, and it is asked for then

    async def _look(self, name: str) -> Value | Exception:
        value: Value | Exception
        seconds = _SECONDS
        try:
            value = await self._ask(name)
        except (NoExchangerError, NoSuchNameError, TemporaryDnsError) as error:
            value = error
            if isinstance(error, TemporaryDnsError) or (isinstance(error, NoExchangerError) and not error.lasting):
                seconds = _FAILED_SECONDS
        self._known[name] = (time.monotonic() + seconds, value)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return value


class Exchangers:
    """Looks exchangers up.

    Args:
        names: The DNS.
        rules: To which addresses it may be gone; an outsider's MX record must not lead behind our walls.
        port: The port of mail.
        validates: Whether the resolver validates, over a way that nobody can change, so that its word on DNSSEC counts (RFC 7672 §2.1.1).
        own: Names of our own exchangers: mail for elsewhere that comes back to us is a loop (RFC 5321 §5.1).
    """

    def __init__(
        self, names: RecordLookups, rules: EgressRules, port: int, *, validates: bool, own: Sequence[str] = ()
    ) -> None:
        self._names = names
        self._rules = rules
        self._port = port
        self._validates = validates
        self._own = frozenset(name.lower() for name in own if name)
        self._exchangers: _Memory[tuple[tuple[int, Exchanger], ...]] = _Memory(self._look)
        self._addresses: _Memory[tuple[tuple[str, ...], bool]] = _Memory(self._look_addresses)
        self._tlsa: _Memory[tuple[Association, ...] | None] = _Memory(self._look_tlsa)

    async def of(self, domain: str) -> list[Exchanger]:
        """Return the exchangers of a domain (A-labels), the most preferred first, those of one preference in any order.

        Raises:
            NoExchangerError: it has none, or wants none, or the DNS does not answer.
        """
        if domain.startswith("["):  # RFC 5321 §4.1.3
            return [Exchanger(domain.strip("[]").removeprefix("IPv6:"), proven=False)]
        try:
            found = await self._exchangers.of(domain)
        except TemporaryDnsError:
            raise NoExchangerError(Reply(0, "4.4.3", "the name service does not answer", ""), lasting=False) from None
        shuffled = sorted(found, key=lambda one: (one[0], random.random()))  # noqa: S311 — RFC 5321 §5.1: spread the load
        ours = next((at for at, one in enumerate(shuffled) if one[1].host in self._own), None)
        if ours is not None:
            lower = [one for one in shuffled[:ours] if one[0] < shuffled[ours][0]]
            if not lower:
                raise NoExchangerError(
                    Reply(0, "5.4.6", "the domain's mail comes here, and is not hosted here", ""), lasting=True
                )
            shuffled = lower
        return [one for _, one in shuffled[:_MOST_EXCHANGERS]]

    async def _look(self, domain: str) -> tuple[tuple[int, Exchanger], ...]:
        try:
            records, proven = await self._names.ask(domain, dns.rdatatype.MX)
        except NoSuchNameError:
            raise NoExchangerError(Reply(0, "5.1.2", "the domain does not exist", ""), lasting=True) from None
        proven = proven and self._validates
        if not records:  # RFC 5321 §5.1: the domain itself, where it has an address
            return ((0, Exchanger(domain, proven)),)
        found = [(record.preference, name_text(record.exchange)) for record in records]
        if all(not host for _, host in found):  # RFC 7505 §3
            raise NoExchangerError(Reply(0, "5.1.10", "the domain takes no mail", ""), lasting=True)
        return tuple((preference, Exchanger(host, proven)) for preference, host in found if host)

    async def addresses(self, host: str) -> tuple[list[str], bool]:
        """Return the addresses of an exchanger that may be gone to, and whether DNSSEC proves them.

        Raises:
            NoExchangerError: it has none.
        """
        try:
            found, proven = await self._addresses.of(host)
        except TemporaryDnsError:
            raise NoExchangerError(Reply(0, "4.4.3", "the name service does not answer", host), lasting=False) from None
        try:
            allowed = [str(one) for one in public_addresses(found, self._rules, self._port)]
        except EgressError:  # none passes
            allowed = []
        if not allowed:
            why = "its address is none of a public network" if found else "it has no address"
            raise NoExchangerError(Reply(0, "4.4.4" if found else "5.4.4", why, host), lasting=not found)
        return allowed[:_MOST_ADDRESSES], proven

    async def _look_addresses(self, host: str) -> tuple[tuple[str, ...], bool]:
        if not any(char.isalpha() for char in host.rpartition(".")[2]) or ":" in host:
            return (host,), False
        results: Sequence[tuple[list[Any], bool] | BaseException] = await asyncio.gather(
            self._names.ask(host, dns.rdatatype.AAAA), self._names.ask(host, dns.rdatatype.A), return_exceptions=True
        )
        families: list[list[str]] = []
        proven = self._validates
        away = False
        for result in results:
            if isinstance(result, BaseException):
                if isinstance(result, TemporaryDnsError):
                    away = True
                elif not isinstance(result, NoSuchNameError):
                    raise result
                continue
            records, authentic = result
            families.append([record.address for record in records])
            proven = proven and authentic
        # both families among the first, so that a machine without one of them gets through (RFC 5321 §5.2)
        found = [one for pair in itertools.zip_longest(*families) for one in pair if one is not None]
        if not found and away:
            raise TemporaryDnsError
        return tuple(found), proven

    async def tlsa(self, host: str) -> tuple[Association, ...] | None:
        """Return the proven TLSA records of an exchanger, None when there is nothing that DNSSEC proves (RFC 7672 §2.2).

        Raises:
            TemporaryDnsError: it cannot be said: nothing may be sent now (§2.1.2).
        """
        return await self._tlsa.of(host) if self._validates else None

    async def _look_tlsa(self, host: str) -> tuple[Association, ...] | None:
        try:
            records, proven = await self._names.tlsa(f"_{self._port}._tcp.{host}")
        except NoSuchNameError:
            return None
        return records if proven and records else None
