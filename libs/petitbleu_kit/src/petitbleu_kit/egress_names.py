"""The addresses of names that strangers chose, asked of the DNS in a way that can be given up (RFC 1034 §5.3.1).

Who gives us a name decides how long its name servers take. So a look-up holds no thread and ends by itself, all that ask for one name
share one, the names of one domain wait for each other before they stand in the line of all, and what was found, or was not, is remembered
for a while. What comes out is no more trusted than what goes in: the guard checks each address, remembered ones too.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

from petitbleu_kit.egress_addresses import literal

_HOSTS: Final = Path("/etc/hosts")
_HOSTS_OCTETS: Final = 1 << 20
SECONDS: Final = 5.0
"""Longest time for one name, all its questions together."""
_AT_ONCE: Final = 64
_OF_DOMAIN: Final = 4
_MOST_OF_DOMAIN: Final = 64
_MOST: Final = 1024
_REMEMBERED: Final = 4096
_ADDRESSES: Final = 16
# Seconds for which addresses are remembered, whatever their own time to live; that there are none; that nobody said.
_LEAST_SECONDS: Final = 5.0
_MOST_SECONDS: Final = 300.0
_NONE_SECONDS: Final = 30.0
_FAILED_SECONDS: Final = 10.0
# Longest second-level label under which a country's registry has others register: co.uk, com.au
_REGISTRY: Final = 3

Outcome = tuple[str, ...] | type[OSError]
Said = tuple[list[str], float]


@dataclass(slots=True)
class _Domain:
    """The look-ups of one domain."""

    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_OF_DOMAIN))
    inside: int = 0


@dataclass(slots=True)
class _Asked:
    """A name that is being looked up, and for how many."""

    task: asyncio.Task[Outcome]
    waiting: int = 0


class NameResolver:
    """Looks up names; made and closed in the loop that uses it.

    Args:
        server: The resolver to ask (address, port); the machine's when None.
        hosts: Names that are known without asking; those of the machine when None.
        clock: Gives seconds that only rise.
    """

    def __init__(
        self,
        server: tuple[str, int] | None = None,
        hosts: Mapping[str, Sequence[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = _resolver(server)
        self._hosts = machine_hosts() if hosts is None else hosts
        self._clock = clock
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._known: OrderedDict[str, tuple[float, Outcome]] = OrderedDict()
        self._asked: dict[str, _Asked] = {}
        self._all = asyncio.Semaphore(_AT_ONCE)
        self._domains: dict[str, _Domain] = {}

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        """Return the addresses of a name, as text.

        Raises:
            socket.gaierror: there are none, or too many names, or names of that domain, are being asked for.
            TimeoutError: nobody says so in time.
        """
        name = host.lower().removesuffix(".")
        if name in self._hosts:
            return self._hosts[name]
        if name.rpartition(".")[2] == "localhost":  # RFC 6761 §6.3
            return ("127.0.0.1", "::1")
        until, outcome = self._known.get(name, (0.0, socket.gaierror))
        if until <= self._clock():
            outcome = await self._shared(name)
        if isinstance(outcome, type):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Give up what is asked."""
        tasks = [one.task for one in self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _shared(self, name: str) -> Outcome:
        """Look a name up for all that ask for it now; when the last of them gives up, so does this."""
        asked = self._asked.get(name)
        if asked is None:
            domain = domain_of(name)
            line = self._domains.get(domain) or _Domain()
            if len(self._asked) >= _MOST or line.inside >= _MOST_OF_DOMAIN:
                return socket.gaierror
            self._domains[domain] = line
            line.inside += 1
            asked = self._asked[name] = _Asked(asyncio.create_task(self._in_turn(name, line)))
            asked.task.add_done_callback(lambda _: self._left(domain, line))
        asked.waiting += 1
        try:
            return await asyncio.shield(asked.task)
        finally:
            asked.waiting -= 1
            if not asked.waiting:
                asked.task.cancel()
                del self._asked[name]

    def _left(self, domain: str, line: _Domain) -> None:
        line.inside -= 1
        if not line.inside:
            del self._domains[domain]

    async def _in_turn(self, name: str, line: _Domain) -> Outcome:
        async with line.turn, self._all:
            outcome, seconds = await self._look_up(name)
        self._known[name] = (self._clock() + seconds, outcome)
        self._known.move_to_end(name)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return outcome

    async def _look_up(self, name: str) -> tuple[Outcome, float]:
        """Return what is known of a name now, and for how many seconds that may be remembered."""
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        said = await asyncio.gather(*[self._ask(name, kind) for kind in kinds], return_exceptions=True)
        answers = [one for one in said if not isinstance(one, BaseException)]
        # In turns, so that a machine with one family only gets to its own among the first few
        found = [text for text in chain(*zip_longest(*[texts for texts, _ in answers])) if text is not None]
        if found:
            seconds = min([seconds for texts, seconds in answers if texts])
            return tuple(found[:_ADDRESSES]), min(max(seconds, _LEAST_SECONDS), _MOST_SECONDS)
        for one in said:
            if isinstance(one, OSError):
                return type(one), _FAILED_SECONDS
            if isinstance(one, BaseException):
                raise one
        return socket.gaierror, _NONE_SECONDS

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> Said:
        """Return the addresses of one kind, and their time to live.

        Raises:
            socket.gaierror: no name server answers well.
            TimeoutError: none answers.
        """
        try:
            # no search list: a stranger's name is absolute
            answer = await self._resolver.resolve(
                f"{name}.", kind, raise_on_no_answer=False, search=False, backend=self._backend
            )
        except dns.resolver.NXDOMAIN:
            return [], 0.0
        except dns.resolver.LifetimeTimeout:
            raise TimeoutError from None
        except (dns.exception.DNSException, OSError, ValueError):
            raise socket.gaierror from None
        return [rdata.address for rdata in answer.rrset or ()], answer.expiration - time.time()


def domain_of(name: str) -> str:
    """Return what somebody registered so as to have a name, as far as labels tell: the last two, or three of co.uk and its like."""
    labels = name.split(".")
    registry = len(labels) > _REGISTRY - 1 and len(labels[-1]) < _REGISTRY and len(labels[-2]) <= _REGISTRY
    return ".".join(labels[-3:] if registry else labels[-2:])


def server_of(text: str) -> tuple[str, int] | None:
    """Read `host:port` of a resolver, the host an address; None for nothing.

    Raises:
        ValueError: it is none.
    """
    if not text:
        return None
    host, _, port = text.rpartition(":")
    address = literal(host.removeprefix("[").removesuffix("]"))
    if address is None or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError("a resolver is address:port")
    return str(address), int(port)


def machine_hosts(path: Path = _HOSTS) -> dict[str, list[str]]:
    """Return the names that the machine's own file gives addresses to (hosts(5)); what cannot be read gives none."""
    try:
        with path.open("rb") as file:
            lines = file.read(_HOSTS_OCTETS).decode("ascii", "replace").splitlines()
    except OSError:
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        if literal(address) is not None:
            for name in names:
                found.setdefault(name.lower().removesuffix("."), []).append(address)
    return found


def _resolver(server: tuple[str, int] | None) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    if server is not None:
        resolver.nameservers, resolver.port = [server[0]], server[1]
    else:
        with contextlib.suppress(dns.resolver.NoResolverConfiguration):  # then no name has addresses
            resolver = dns.asyncresolver.Resolver()
    resolver.lifetime = SECONDS
    return resolver
