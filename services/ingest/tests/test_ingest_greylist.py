"""Greylisting at the final dot: who waits, who does not, and what stands for whom."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.ingest.tests.judging_world import HELLO, JudgingBench, signed

from petitbleu_ingest.config import IngestSettings, networks
from petitbleu_ingest.judging.greylist import Greylist, network_of

MESSAGE = b"From: Ann <ann@none.example>\r\nTo: alice@demo.test\r\nSubject: x\r\n\r\nbody\r\n"
FORGED = MESSAGE.replace(b"none", b"good")
ELSEWHERE = "198.51.100.7"
STRANGE = "x@other.example"
SECRET = b"s" * 32


class Book:
    """Lets a triplet pass the second time; `away` knows nothing."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.away = False
        self.closed = False

    async def wait(self, key: bytes) -> int | None:
        if self.away:
            return None
        self.seen.append(key)
        return 0 if self.seen.count(key) > 1 else 60

    async def close(self) -> None:
        self.closed = True


def greylisting(exempt: str = "", **settings: Any) -> tuple[JudgingBench, Book]:
    bench = JudgingBench(None, **settings)
    book = Book()
    assert bench.door.judge is not None
    bench.door.judge.greylist = Greylist(book, SECRET, networks(exempt))
    return bench, book


async def test_rfc6647_5_what_is_not_authenticated_comes_again() -> None:
    bench, book = greylisting()
    assert await bench.send(MESSAGE, STRANGE, ELSEWHERE) == "450 4.7.1"
    assert bench.store.messages == []
    assert await bench.send(MESSAGE, STRANGE, ELSEWHERE.replace(".7", ".200")) == "250 2.6.0", "the same /24"
    assert await bench.send(MESSAGE, "y@other.example", ELSEWHERE) == "450 4.7.1"
    assert await bench.send(MESSAGE, STRANGE, "203.0.113.7") == "450 4.7.1"
    assert len(set(book.seen)) == 3
    assert all(len(key) == 32 and b"other" not in key for key in book.seen)


@pytest.mark.parametrize(
    ("message", "sender", "address"),
    [
        (MESSAGE, "x@none.example", "192.0.2.9"),  # SPF passes
        (signed(MESSAGE, "other.example"), STRANGE, ELSEWHERE),  # somebody signs for it
        (signed(FORGED), STRANGE, ELSEWHERE),
    ],
)
async def test_what_is_authenticated_does_not_wait(message: bytes, sender: str, address: str) -> None:
    bench, book = greylisting()
    assert await bench.send(message, sender, address) == "250 2.6.0"
    assert book.seen == []


async def test_what_is_refused_anyhow_is_refused_at_once() -> None:
    bench, book = greylisting()
    assert await bench.send(FORGED, STRANGE, ELSEWHERE) == "550 5.7.1"
    assert book.seen == []


async def test_who_is_exempt_and_everybody_while_nothing_is_known_passes() -> None:
    bench, book = greylisting("198.51.100.0/24")
    assert await bench.send(MESSAGE, STRANGE, ELSEWHERE) == "250 2.6.0"
    assert await bench.send(MESSAGE, STRANGE, "203.0.113.7") == "450 4.7.1"
    book.away = True
    assert await bench.send(MESSAGE, STRANGE, "203.0.113.7") == "250 2.6.0"
    assert bench.door.judge is not None
    await bench.door.judge.close()
    assert book.closed


async def test_the_null_path_and_several_recipients_wait_as_one() -> None:
    bench, book = greylisting()
    for reply in ("450 4.7.1", "250 2.6.0"):
        talk = bench.session(ELSEWHERE)
        await talk.say(
            HELLO
            + b"MAIL FROM:<>\r\nRCPT TO:<Alice@demo.test>\r\nRCPT TO:<bob@demo.test>\r\nDATA\r\n"
            + MESSAGE
            + b".\r\n"
        )
        await bench.until_answered(talk)
        assert talk.replies()[-1] == reply
    assert len(book.seen) == 2


@given(st.ip_addresses(), st.text(max_size=30), st.text(max_size=30))
def test_any_triplet_has_a_key_of_its_own(
    client: IPv4Address | IPv6Address, sender: str, recipient: str
) -> None:  # fmt: skip
    made = Greylist(Book(), SECRET)
    key = made._hash(client, sender, recipient)
    assert len(key) == 32
    assert key == made._hash(client, sender.upper().lower(), recipient) or sender.upper().lower() != sender.lower()
    assert key != made._hash(client, sender + "x", recipient)
    assert key != made._hash(client, sender, "x" + recipient)
    assert key != Greylist(Book(), b"t" * 32)._hash(client, sender, recipient)


def test_rfc6647_5_a_network_stands_for_its_clients() -> None:
    assert network_of(ip_address("192.0.2.77")) == network_of(ip_address("::ffff:192.0.2.1")) == "192.0.2.0/24"
    assert network_of(ip_address("2001:db8:1:2::9")) == "2001:db8:1:2::/64"


def test_greylisting_needs_judging_and_redis() -> None:
    good: dict[str, Any] = {"greylist": "on", "redis_url": "redis://localhost", "dns": "127.0.0.1:53"}
    assert IngestSettings(**good).greylist == "on"
    for name in ("redis_url", "dns"):
        with pytest.raises(ValueError, match="greylist"):
            IngestSettings(**{**good, name: ""})
    with pytest.raises(ValueError, match="nowhere"):
        IngestSettings(greylist_exempt="nowhere")
