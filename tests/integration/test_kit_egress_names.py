"""Names that strangers chose, asked of a name server on a real socket: one that is silent for some, and one that is wrong for others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from petitbleu_kit import egress_names
from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.egress import Egress, EgressError, Refusal
from petitbleu_kit.egress_names import NameResolver


class Server(asyncio.DatagramProtocol):
    """A name server: `zone` gives (name, kind) its addresses; names below `dead.example` are never answered."""

    def __init__(self, zone: dict[tuple[str, str], list[str]], ttl: int = 60) -> None:
        self.zone = zone
        self.ttl = ttl
        self.asked: Counter[str] = Counter()
        self.heard = asyncio.Event()
        self.held: list[tuple[bytes, tuple[str, int]]] | None = None
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Keep what answers go through."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question, or keep it."""
        question = dns.message.from_wire(data).question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked[name] += 1
        self.heard.set()
        if name.endswith("dead.example"):
            return
        if self.held is not None:
            self.held.append((data, addr))
            return
        answer = dns.message.make_response(dns.message.from_wire(data))
        answer.flags |= dns.flags.RA
        if name == "broken.example":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif addresses := self.zone.get((name, kind)):
            answer.answer.append(dns.rrset.from_text_list(f"{name}.", self.ttl, "IN", kind, addresses))
        self.transport.sendto(answer.to_wire(), addr)

    def release(self) -> None:
        """Answer what was kept."""
        held, self.held = self.held or [], None
        for data, addr in held:
            self.asked[dns.message.from_wire(data).question[0].name.to_text(omit_final_dot=True)] -= 1
            self.datagram_received(data, addr)

    @property
    def place(self) -> tuple[str, int]:
        """Where it listens."""
        name: tuple[str, int] = self.transport.get_extra_info("sockname")
        return name


ZONE = {
    ("push.example", "A"): ["192.0.2.1", "192.0.2.2"],
    ("push.example", "AAAA"): ["2001:db8::1"],
    ("inside.example", "A"): ["127.0.0.1"],
}
Clock = list[float]


@contextlib.asynccontextmanager
async def resolving(ttl: int = 60) -> AsyncIterator[tuple[Server, NameResolver, Clock]]:
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(lambda: Server(ZONE, ttl), local_addr=("127.0.0.1", 0))
    clock = [1000.0]
    resolver = NameResolver(server.place, {"own.example": ["192.0.2.9"]}, lambda: clock[0])
    # nothing is asked twice because the machine is busy, and nothing ends because time has passed
    resolver._resolver.timeout = resolver._resolver.lifetime = 600.0
    try:
        yield server, resolver, clock
    finally:
        await resolver.close()
        server.transport.close()


async def test_names_that_never_resolve_keep_no_other_waiting_and_end_with_who_asked() -> None:
    async with resolving() as (server, resolver, _):
        dead = [asyncio.ensure_future(resolver(f"n{number}.dead.example", 443)) for number in range(60)]
        await server.heard.wait()
        found = await resolver("push.example", 443)
        assert set(found) == {"192.0.2.1", "2001:db8::1", "192.0.2.2"}
        assert found[1] == "2001:db8::1", "the families take turns"
        assert 0 < len([name for name in server.asked if name.endswith("dead.example")]) <= egress_names._OF_DOMAIN
        more = [asyncio.ensure_future(resolver(f"m{number}.dead.example", 443)) for number in range(10)]
        done, waiting = await asyncio.wait(more, return_when=asyncio.FIRST_COMPLETED)
        assert waiting, "some found room"
        assert all(isinstance(one.exception(), socket.gaierror) for one in done), "a domain's line is bounded"
        for one in [*dead, *waiting]:
            one.cancel()
        await asyncio.gather(*dead, *waiting, return_exceptions=True)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not resolver._asked
        assert not resolver._domains


async def test_answers_are_remembered_for_their_time_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    async with resolving(ttl=86_400) as (server, resolver, clock):
        for _ in range(3):
            assert len(await resolver("Push.Example.", 443)) == 3
        assert server.asked["push.example"] == 2
        clock[0] += egress_names._MOST_SECONDS + 1
        await resolver("push.example", 443)
        assert server.asked["push.example"] == 4
        monkeypatch.setattr(egress_names, "_REMEMBERED", 1)
        await resolver("inside.example", 443)
        assert list(resolver._known) == ["inside.example"]
    async with resolving(ttl=0) as (server, resolver, clock):
        await resolver("push.example", 443)
        await resolver("push.example", 443)
        assert server.asked["push.example"] == 2, "a name that changes with each look is looked at once in a while"
        clock[0] += egress_names._LEAST_SECONDS
        await resolver("push.example", 443)
        assert server.asked["push.example"] == 4


async def test_a_name_without_addresses_is_not_asked_for_over_and_over() -> None:
    async with resolving() as (server, resolver, _):
        for name in ("none.example", "broken.example"):
            for _ in range(3):
                with pytest.raises(socket.gaierror):
                    await resolver(name, 443)
        assert server.asked["none.example"] == 2
        asked = server.asked["broken.example"]
        with pytest.raises(socket.gaierror):
            await resolver("broken.example", 443)
        assert server.asked["broken.example"] == asked
        assert await resolver("own.example", 443) == ["192.0.2.9"]
        assert "127.0.0.1" in await resolver("x.localhost", 443)  # RFC 6761 §6.3
        assert not server.asked["own.example"] + server.asked["x.localhost"]


async def test_who_gives_up_takes_the_answer_from_nobody_else() -> None:
    async with resolving() as (server, resolver, _):
        server.held = []
        first, second = (asyncio.ensure_future(resolver("push.example", 443)) for _ in range(2))
        await server.heard.wait()
        first.cancel()
        await asyncio.wait([first])
        assert not second.done()
        while len(server.held) < 2:
            server.heard.clear()
            await server.heard.wait()
        server.release()
        assert len(await second) == 3
        assert server.asked["push.example"] == 2


async def test_what_the_named_resolver_answers_is_checked_as_everything_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with resolving() as (server, _, _):
        monkeypatch.setenv("PETITBLEU_DNS", "{}:{}".format(*server.place))
        guard = Egress.of(ServiceSettings.read())
        asked = []
        for _ in range(2):
            with pytest.raises(EgressError) as refused:
                async with guard.get("https://inside.example/", max_octets=1, seconds=30):
                    pass
            assert refused.value.refusal is Refusal.ADDRESS
            asked.append(server.asked["inside.example"])
        assert asked[0] == asked[1] > 0, "what is remembered is checked as what is new"
        await guard.close()
