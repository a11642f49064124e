"""ingest's resolver against a name server of sockets: what it gives, remembers, gives up, and never asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest
from tests.integration.dns_server import SERVFAIL, SILENT, NameServer, name_server

from petitbleu_ingest.adapters.dns import DnsLimits, DnsResolver
from petitbleu_mail.auth.author import Author
from petitbleu_mail.auth.dmarc import DmarcResult, check_dmarc, identifiers_of
from petitbleu_mail.auth.resolver import MailExchanger, NoSuchNameError, TemporaryDnsError
from petitbleu_mail.auth.spf import SpfResult, check_mail_from

NAMES: Mapping[str, Sequence[str]] = {
    "example.com": [
        'TXT "v=spf1 " "mx -all"', 'TXT "\\195\\188"', "MX 20 b.example.com.", "MX 10 a.example.com.", "A 192.0.2.1", "A 192.0.2.2",
    ],
    "a.example.com": ["A 192.0.2.1", "AAAA 2001:db8::1"],
    "b.example.com": ["CNAME a.example.com."],
    "loop.example.com": ["CNAME loop.example.com."],
    "null.example.com": ["MX 0 ."],
    "odd.example.com": ["MX 1 a\\.b.example.com."],
    "empty.example.com": [],
    "big.example.com": [f'TXT "{n:04} {"x" * 200}"' for n in range(50)],
    "1.2.0.192.in-addr.arpa": ["PTR a.example.com."],
    "_dmarc.example.com": ['TXT "v=DMARC1; p=reject"'],
    "broken.example.com": [SERVFAIL],
    "silent.example.com": [SILENT],
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def asking(
    limits: DnsLimits | None = None, ttl: int = 300
) -> AsyncIterator[tuple[NameServer, DnsResolver, Clock]]:
    clock = Clock()
    async with name_server(NAMES, ttl) as (server, address):
        resolver = DnsResolver(address, limits, clock)
        try:
            yield server, resolver, clock
        finally:
            await resolver.close()


async def test_rfc1035_3_3_each_kind_of_record() -> None:
    async with asking() as (server, resolver, _):
        # a name server answers in any order
        assert sorted(await resolver.txt("Example.COM")) == [b"v=spf1 mx -all", "ü".encode()]
        assert sorted(await resolver.a("example.com")) == [IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")]
        assert await resolver.aaaa("a.example.com") == (IPv6Address("2001:db8::1"),)
        assert await resolver.mx("example.com") == (
            MailExchanger(10, "a.example.com"),
            MailExchanger(20, "b.example.com"),
        )
        assert await resolver.ptr(IPv4Address("192.0.2.1")) == ("a.example.com",)
        assert await resolver.a("b.example.com") == (
            IPv4Address("192.0.2.1"),
        )  # RFC 1034 §3.6.2: the alias is followed
        assert await resolver.mx("null.example.com") == (MailExchanger(0, ""),)  # RFC 7505 §3
        assert await resolver.mx("odd.example.com") == (MailExchanger(1, ""),)
        assert await resolver.aaaa("empty.example.com") == ()
        assert server.by_tcp == 0


async def test_rfc7766_5_a_cut_answer_is_asked_for_by_tcp() -> None:
    async with asking() as (server, resolver, _):
        records = await resolver.txt("big.example.com")
        assert (len(records), server.by_tcp) == (50, 1)
        assert {record[:4] for record in records} == {f"{n:04}".encode() for n in range(50)}


async def test_rfc2308_5_what_is_not_there_and_what_fails() -> None:
    async with asking() as (server, resolver, clock):
        for name, error in (
            ("gone.example.com", NoSuchNameError),
            ("broken.example.com", TemporaryDnsError),
            ("loop.example.com", TemporaryDnsError),
        ):
            for _ in range(3):
                with pytest.raises(error):
                    await resolver.a(name)
        asked = len(server.asked)
        clock.now += 11  # failures are forgotten first
        with pytest.raises(NoSuchNameError):
            await resolver.a("gone.example.com")
        assert len(server.asked) == asked
        with pytest.raises(TemporaryDnsError):
            await resolver.a("broken.example.com")
        assert len(server.asked) > asked


async def test_rfc1035_2_3_4_what_is_no_name_is_not_asked_for() -> None:
    async with asking() as (server, resolver, _):
        for name in ("", ".", "a..b", "x" * 64 + ".example", "a." * 130 + "b", "ü.example", "a\n.example"):
            with pytest.raises(NoSuchNameError):
                await resolver.a(name)
        assert server.asked == []


@pytest.mark.parametrize(("ttl", "lives"), [(0, 5), (300, 300), (1_000_000, 3600)])
async def test_rfc1035_3_2_1_answers_are_remembered_for_their_time_within_bounds(ttl: int, lives: int) -> None:
    async with asking(ttl=ttl) as (server, resolver, clock):
        await asyncio.gather(*[resolver.a("a.example.com") for _ in range(20)])  # at the same time, one question
        clock.now += lives - 1
        await resolver.a("a.example.com")
        assert len(server.asked) == 1
        clock.now += 2
        await resolver.a("a.example.com")
        assert len(server.asked) == 2


async def test_the_memory_has_a_bound_in_octets() -> None:
    async with asking(DnsLimits(memory=20_000)) as (server, resolver, _):
        for n in range(100):
            with pytest.raises(NoSuchNameError):
                await resolver.a(f"n{n}.gone.example.com")
        await resolver.a("a.example.com")
        assert 0 < resolver.remembered <= 20_000
        await resolver.txt("big.example.com")  # 15 KB, and the oldest go
        assert 15_000 < resolver.remembered <= 20_000
        asked = len(server.asked)
        await resolver.txt("big.example.com")
        assert len(server.asked) == asked


async def test_rfc7208_4_6_4_answers_that_never_come_end_a_message_s_checks() -> None:
    async with asking(DnsLimits(question=60, server_try=60, message=0.1)) as (server, resolver, _):
        message = resolver.for_message()
        outcome = await check_mail_from(message, IPv4Address("192.0.2.9"), "x@silent.example.com", "silent.example.com")
        assert outcome.result is SpfResult.TEMPERROR
        with pytest.raises(TemporaryDnsError):  # its time is over for all that it asks now
            await message.a("silent.example.com")
        assert {name for name, _ in server.asked} <= {"silent.example.com"}
        assert await resolver.a("example.com") != ()


async def test_rfc7208_4_6_4_a_question_ends_by_itself() -> None:
    async with asking(DnsLimits(question=0.1, server_try=0.1)) as (_, resolver, _):
        with pytest.raises(TemporaryDnsError):
            await resolver.a("silent.example.com")


async def test_rfc7208_11_1_a_message_has_so_many_questions() -> None:
    async with asking(DnsLimits(questions=3)) as (_, resolver, _):
        message = resolver.for_message()
        for _ in range(3):
            await message.a("a.example.com")
        with pytest.raises(TemporaryDnsError):
            await message.a("a.example.com")
        await resolver.for_message().a("a.example.com")


async def test_rfc7208_11_1_so_many_questions_are_under_way_at_once() -> None:
    async with asking(DnsLimits(question=60, server_try=60, at_once=4)) as (server, resolver, _):
        server.names = {f"s{n}.example.com": [SILENT] for n in range(9)}
        waiting = [asyncio.create_task(resolver.a(f"s{n}.example.com")) for n in range(9)]
        for one in waiting[4:]:
            with pytest.raises(TemporaryDnsError):
                await one
        while len(server.asked) < 4:
            await asyncio.sleep(0.01)
        assert {name for name, _ in server.asked} == {f"s{n}.example.com" for n in range(4)}
        assert not any(one.done() for one in waiting[:4])
        await resolver.close()
        await asyncio.gather(*waiting[:4], return_exceptions=True)


async def test_spf_and_dmarc_by_way_of_it() -> None:
    async with asking() as (_, resolver, _):
        message = resolver.for_message()
        spf = await check_mail_from(message, IPv6Address("2001:db8::1"), "x@example.com", "a.example.com")
        assert spf.result is SpfResult.PASS
        outcome = await check_dmarc(message, Author(("example.com",)), identifiers_of(spf, []))
        assert outcome.result is DmarcResult.PASS
        assert (
            await check_mail_from(message, IPv4Address("192.0.2.9"), "x@example.com", "h.example")
        ).result is SpfResult.FAIL
        down = await check_mail_from(message, IPv4Address("192.0.2.9"), "x@broken.example.com", "h.example")
        assert down.result is SpfResult.TEMPERROR
