"""The DNS as the judgement of mail asks it (`petitbleu_mail.auth.resolver`), with an end to everything: time, questions, memory.

Whoever sends mail chooses which names are asked for and how long their name servers take (RFC 7208 §11.1). So a question ends by itself,
those for the same thing at the same time are one, what was answered is remembered within a bound of octets, and each message has a time
and a number of questions for all its checks together. Nothing is believed beyond what the configured resolver says.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import msgspec
from dns.rdata import Rdata
from dns.rdatatype import RdataType

from petitbleu_mail.auth.resolver import MailExchanger, NoSuchNameError, TemporaryDnsError, askable

# RFC 9715 §3.1: largest answer by UDP; a longer one comes by TCP
_UDP_OCTETS = 1232
# What an entry of the memory takes beside its text, and each record, about.
_ENTRY_OCTETS = 400
_RECORD_OCTETS = 100


class DnsLimits(msgspec.Struct, frozen=True):
    """Bounds; times in seconds, sizes in octets.

    `question` is for one question with all its tries, `message` for all of one message, `questions` their number: SPF of MAIL FROM and
    HELO takes 246 at the very most, DMARC a dozen. RFC 7208 §4.6.4 asks for 20 seconds at least.
    """

    question: float = 5.0
    server_try: float = 2.0
    message: float = 20.0
    questions: int = 300
    at_once: int = 512
    memory: int = 16 << 20
    least_ttl: float = 5.0
    most_ttl: float = 3600.0
    negative_ttl: float = 60.0
    failure_ttl: float = 10.0


Records = tuple[Any, ...]
# Records, or which of the two errors it is
_Outcome = Records | type[Exception]
# Of a name that nothing is remembered of
_NOTHING: tuple[float, int, _Outcome] = (0.0, 0, TemporaryDnsError)


class _Asking:
    """The kinds of questions, by way of `ask`."""

    async def ask(self, name: str, kind: RdataType) -> Records:
        """Return the records of a name. Raises `NoSuchNameError`, `TemporaryDnsError`."""
        raise NotImplementedError

    async def txt(self, name: str) -> tuple[bytes, ...]:
        """The TXT records."""
        return await self.ask(name, dns.rdatatype.TXT)

    async def a(self, name: str) -> tuple[IPv4Address, ...]:
        """The A records."""
        return await self.ask(name, dns.rdatatype.A)

    async def aaaa(self, name: str) -> tuple[IPv6Address, ...]:
        """The AAAA records."""
        return await self.ask(name, dns.rdatatype.AAAA)

    async def mx(self, name: str) -> tuple[MailExchanger, ...]:
        """The MX records, the most preferred first."""
        return await self.ask(name, dns.rdatatype.MX)

    async def ptr(self, address: IPv4Address | IPv6Address) -> tuple[str, ...]:
        """The names of an address."""
        return await self.ask(address.reverse_pointer, dns.rdatatype.PTR)


class DnsResolver(_Asking):
    """Asks a resolver and remembers; made and closed in the loop that uses it.

    `server` is the resolver's address and port, the machine's own when None. `clock` gives seconds that only rise.
    """

    def __init__(
        self,
        server: tuple[str, int] | None = None,
        limits: DnsLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or DnsLimits()
        self._clock = clock
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._resolver = _made(server, self.limits)
        self._known: OrderedDict[tuple[str, int], tuple[float, int, _Outcome]] = OrderedDict()
        self._octets = 0
        self._asked: dict[tuple[str, int], asyncio.Task[_Outcome]] = {}

    def for_message(self) -> MessageResolver:
        """Return a resolver for the checks of one message, whose time begins now."""
        return MessageResolver(self)

    @property
    def remembered(self) -> int:
        """Octets that the memory takes, about."""
        return self._octets

    async def ask(self, name: str, kind: RdataType) -> Records:
        """Return the records of a name, from memory or from the resolver. Raises `NoSuchNameError`, `TemporaryDnsError`."""
        name = name.lower()
        if not askable(name):
            raise NoSuchNameError
        key = (name, int(kind))
        until, _, outcome = self._known.get(key, _NOTHING)
        if until <= self._clock():
            task = self._asked.get(key)
            if task is None:
                if len(self._asked) >= self.limits.at_once:
                    raise TemporaryDnsError
                task = self._asked[key] = asyncio.create_task(self._answer(name, kind))
            # one message's end is not the others'; the question ends by its own time
            outcome = await asyncio.shield(task)
        if isinstance(outcome, type):
            raise outcome
        return outcome

    def known(self, name: str, kind: RdataType) -> Records | None:
        """Return the records of a name that are remembered, None when it must be asked for. Raises as `ask` does."""
        until, _, outcome = self._known.get((name, int(kind)), _NOTHING)
        if until <= self._clock():
            return None
        if isinstance(outcome, type):
            raise outcome
        return outcome

    def prefetch(self, name: str, kind: RdataType) -> None:
        """Begin to ask for a name, unless it is remembered, asked for already, or too much is."""
        name = name.lower()
        key = (name, int(kind))
        if key in self._asked or len(self._asked) >= self.limits.at_once or not askable(name):
            return
        if self._known.get(key, _NOTHING)[0] <= self._clock():
            task = self._asked[key] = asyncio.create_task(self._answer(name, kind))
            # whoever needs the answer awaits it as well
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, name: str, kind: RdataType) -> _Outcome:
        key = (name, int(kind))
        try:
            outcome, seconds = await self._look_up(name, kind)
            self._remember(key, outcome, seconds)
            return outcome
        finally:
            del self._asked[key]

    async def _look_up(self, name: str, kind: RdataType) -> tuple[_Outcome, float]:
        """Ask; return what came, and for how many seconds it may be remembered (RFC 2308 §5 for what is not there)."""
        limits = self.limits
        absolute = dns.name.Name([*[label.encode("ascii") for label in name.split(".")], b""])
        try:
            async with asyncio.timeout(limits.question):
                answer = await self._resolver.resolve(
                    absolute, kind, raise_on_no_answer=False, search=False, backend=self._backend
                )
        except dns.resolver.NXDOMAIN:
            return NoSuchNameError, limits.negative_ttl
        except (dns.exception.DNSException, OSError, ValueError, TimeoutError):
            return TemporaryDnsError, limits.failure_ttl
        if not answer.rrset:
            return (), limits.negative_ttl
        seconds = min(max(float(answer.chaining_result.minimum_ttl), limits.least_ttl), limits.most_ttl)
        return _records(list(answer.rrset), kind), seconds

    def _remember(self, key: tuple[str, int], outcome: _Outcome, seconds: float) -> None:
        octets = _ENTRY_OCTETS + len(key[0])
        if not isinstance(outcome, type):
            octets += sum([_RECORD_OCTETS + (len(one) if isinstance(one, bytes | str) else 0) for one in outcome])
        self._forget(key)
        self._known[key] = (self._clock() + seconds, octets, outcome)
        self._octets += octets
        while self._octets > self.limits.memory:  # the oldest go first
            self._forget(next(iter(self._known)))

    def _forget(self, key: tuple[str, int]) -> None:
        _, octets, _ = self._known.pop(key, (0.0, 0, ()))
        self._octets -= octets


class MessageResolver(_Asking):
    """What one message's checks ask by; when its time or its questions are used up, there is no answer any more."""

    def __init__(self, resolver: DnsResolver) -> None:
        self._resolver = resolver
        self._left = resolver.limits.questions
        self._until = asyncio.get_running_loop().time() + resolver.limits.message

    async def ask(self, name: str, kind: RdataType) -> Records:
        """Return the records of a name. Raises `NoSuchNameError`, `TemporaryDnsError`."""
        self._left -= 1
        if self._left < 0:
            raise TemporaryDnsError
        try:
            known = self._resolver.known(name, kind)
            if known is not None:
                return known
            async with asyncio.timeout_at(self._until):
                return await self._resolver.ask(name, kind)
        except TimeoutError:  # RFC 7208 §4.6.4: what takes too long is a temporary error
            raise TemporaryDnsError from None

    def prefetch(self, names: Iterable[str]) -> None:
        """Begin to ask for TXT records that will be wanted; each counts as a question."""
        for name in names:
            if self._left > 0:
                self._left -= 1
                self._resolver.prefetch(name, dns.rdatatype.TXT)

    def renew(self) -> None:
        """Begin the time anew: what is asked at the end of a message must not lack what its transfer took."""
        self._until = asyncio.get_running_loop().time() + self._resolver.limits.message


def _made(server: tuple[str, int] | None, limits: DnsLimits) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    if server is not None:
        resolver.nameservers, resolver.port = [server[0]], server[1]
    else:
        with contextlib.suppress(dns.resolver.NoResolverConfiguration):  # then there is no answer to anything
            resolver = dns.asyncresolver.Resolver()
    resolver.timeout, resolver.lifetime = limits.server_try, limits.question
    resolver.use_edns(0, 0, _UDP_OCTETS)
    return resolver


def _records(rdatas: list[Rdata], kind: RdataType) -> Records:
    found: list[Any] = [_READ[kind](rdata) for rdata in rdatas]
    return tuple(sorted(found) if kind == dns.rdatatype.MX else found)


_READ: dict[RdataType, Callable[[Any], Any]] = {
    dns.rdatatype.TXT: lambda rdata: b"".join(rdata.strings),
    dns.rdatatype.A: lambda rdata: IPv4Address(rdata.address),
    dns.rdatatype.AAAA: lambda rdata: IPv6Address(rdata.address),
    dns.rdatatype.MX: lambda rdata: MailExchanger(rdata.preference, _text(rdata.exchange)),
    dns.rdatatype.PTR: lambda rdata: _text(rdata.target),
}


def _text(name: dns.name.Name) -> str:
    """Return a name as text; "" for the root (RFC 7505 §3), and for one that text with dots between cannot stand for."""
    labels = [label for label in name.labels if label]
    if any(b"." in label or not label.isascii() for label in labels):
        return ""
    return b".".join(labels).decode("ascii")
