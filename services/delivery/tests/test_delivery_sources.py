"""Addresses from which mail leaves: pools, who uses which, whose an exchanger is, what answers say of an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.domain.outbound import Letter, LetterRecipient, Priority, Reply
from petitbleu_delivery.domain.sources import complaint, parse_pools, provider_of
from petitbleu_delivery.service.outbound.sources import Sources

POOLS = "main=127.0.0.2 out2.us.test, 127.0.0.3 out3.us.test, ::1 out6.us.test; bulk=127.0.0.4 out4.us.test"
RULES = "tenant 12=bulk; bulk=bulk; *=main"


class Rows:
    """What `adapters.source_rows` promises, with one allowance for all."""

    def __init__(self, *warm: str, allowance: int = 3) -> None:
        self.old = set(warm)
        self.allowance = allowance
        self.used: Counter[tuple[str, str]] = Counter()
        self.learnt: dict[tuple[str, str], tuple[int, int]] = {}
        self.away = False

    async def named(self, addresses: Sequence[str]) -> None:
        assert len(addresses) == 4

    async def warm(self, addresses: Sequence[str]) -> set[str]:
        return self.old & set(addresses)

    async def take(self, address: str, provider: str, day: date) -> bool | None:
        del day
        if self.away:
            raise ConnectionRefusedError
        if self.used[address, provider] >= self.allowance:
            return None
        self.used[address, provider] += 1
        return False

    async def learn(self, address: str, provider: str, good: int, bad: int) -> None:
        self.learnt[address, provider] = (good, bad)


async def sources(rows: Rows) -> Sources:
    pools = parse_pools(POOLS, RULES)
    assert pools is not None
    made = Sources(pools, rows)
    await made.look()
    return made


def letter(tenant_id: int = 1, priority: Priority = Priority.PERSON) -> Letter:
    one = LetterRecipient(0, "a@else.test")
    return Letter(b"x" * 16, "b@us.test", (one,), b"\r\n", tenant_id=tenant_id, priority=priority.value)


async def chosen(made: Sources, times: int, host: str = "mx.else.test", pool: str = "main") -> list[str]:
    found = [await made.choose(pool, host, 4) for _ in range(times)]
    return [one.address for one in found if one is not None]


async def test_who_uses_which_pool() -> None:
    made = await sources(Rows())
    assert made.pool_of(letter()) == "main"
    assert made.pool_of(letter(tenant_id=12)) == "bulk"
    assert made.pool_of(letter(priority=Priority.BULK)) == "bulk"
    assert (made.families("main"), made.families("bulk")) == ({4, 6}, {4})
    assert await made.choose("bulk", "mx.else.test", 6) is None


async def test_a_new_address_sends_its_allowance_and_what_does_not_fit_goes_by_an_old_one() -> None:
    rows = Rows("127.0.0.2", allowance=3)
    made = await sources(rows)
    found = await chosen(made, 20)
    assert found.count("127.0.0.3") == 3
    assert found[:4] == ["127.0.0.3", "127.0.0.2"] * 2, "one of two, so that old ones are not left alone"
    assert set(found[6:]) == {"127.0.0.2"}
    assert "127.0.0.3" in await chosen(made, 2, "mx.another.test"), "each provider has its own count"
    assert "127.0.0.3" not in await chosen(made, 4, "mx9.else.test"), "all exchangers of a provider have one"


async def test_with_no_old_address_mail_goes_all_the_same() -> None:
    made = await sources(Rows(allowance=3))
    assert len(await chosen(made, 20)) == 20
    assert len(await chosen(made, 20, pool="bulk")) == 20


async def test_without_a_database_new_addresses_send_nothing_where_there_are_old_ones() -> None:
    rows = Rows("127.0.0.2")
    made = await sources(rows)
    rows.away = True
    assert set(await chosen(made, 6)) == {"127.0.0.2"}


async def test_answers_are_told_of_new_addresses_by_provider() -> None:
    rows = Rows("127.0.0.2")
    made = await sources(rows)
    pools = parse_pools(POOLS, RULES)
    assert pools is not None
    old, new, _ = pools.pools["main"]
    made.learn(new, "mx1.else.test", [Reply(250, "2.0.0", "", "")])
    made.learn(new, "mx2.else.test", [Reply(421, "4.7.28", "", ""), Reply(250, "2.0.0", "", "")])
    made.learn(old, "mx2.else.test", [Reply(421, "4.7.28", "", "")])
    await made.flush()
    assert rows.learnt == {("127.0.0.3", "else.test"): (2, 3)}


@pytest.mark.parametrize(
    ("reply", "weight"),
    [
        (Reply(421, "4.7.0", "", ""), 3),
        (Reply(554, "5.7.1", "", ""), 3),
        (Reply(450, "4.7.1", "", ""), 1),
        (Reply(550, "5.7.1", "", ""), 1),
        (Reply(0, "4.7.4", "our own word", ""), 0),
        (Reply(421, "4.3.2", "busy", ""), 0),
        (Reply(550, "5.1.1", "", ""), 0),
        (Reply(250, "2.0.0", "", ""), 0),
    ],
)
def test_rfc3463_3_8_what_speaks_against_an_address(reply: Reply, weight: int) -> None:
    assert complaint(reply) == weight


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("gmail-smtp-in.l.google.com", "google.com"),
        ("MX1.mail.example.co.uk.", "example.co.uk"),
        ("mx.example.fr", "example.fr"),
        ("mx.free.fr", "free.fr"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_whose_an_exchanger_is(host: str, provider: str) -> None:
    assert provider_of(host) == provider


@pytest.mark.parametrize(
    ("named", "rules"),
    [
        ("main", ""),
        ("main=", ""),
        ("main=192.0.2.1", ""),
        ("main=192.0.2.999 a.test", ""),
        ("main=192.0.2.1 a.test\r\nQUIT", ""),
        ("main=192.0.2.1 a.test; main=192.0.2.2 a.test", ""),
        ("main=192.0.2.1 a.test; bulk=192.0.2.1 a.test", ""),
        ("main=192.0.2.1 a.test", "*=other"),
        ("main=192.0.2.1 a.test", "tenant x=main"),
        ("main=192.0.2.1 a.test", "=main"),
    ],
)
def test_settings_that_say_something_else_are_refused(named: str, rules: str) -> None:
    with pytest.raises(ValueError, match=r"pool|address|rule|appear"):
        parse_pools(named, rules)


def test_no_address_is_no_choice() -> None:
    assert parse_pools("", "") is None


@given(st.text("abz=; ,.0123:-\n", max_size=60), st.text("tenant 1=*;bulk\n", max_size=30))
def test_whatever_is_set_is_read_or_refused(named: str, rules: str) -> None:
    try:
        pools = parse_pools(named, rules)
    except ValueError:
        return
    if pools is not None:
        assert all(source.name.isprintable() and " " not in source.name for source in pools.sources)
        assert pools.of(1, 1) in pools.pools
