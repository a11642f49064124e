"""Greylisting with a real Redis: the waits, who shares them, and what happens while Redis is away."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from services.ingest.tests.judging_world import signed
from tests.integration.judging_names import Names, zone
from tests.integration.test_ingest_judging import message, send
from tests.live_stack import LiveStack
from tests.ports import offset_of

from petitbleu_dev import binaries
from petitbleu_ingest.adapters.grey_book import KEPT_SECONDS, WINDOW_SECONDS, RedisGreyBook


@pytest.fixture
def redis_alone() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    root = Path(tempfile.mkdtemp(prefix="pb-grey-"))
    argv = [
        str(binaries.redis_server()),
        "--port",
        "0",
        "--unixsocket",
        str(root / "r.sock"),
        "--dir",
        str(root),
        "--save",
        "",
    ]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not (root / "r.sock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield server, f"unix://{root}/r.sock"
    server.terminate()
    server.wait(10)
    shutil.rmtree(root, ignore_errors=True)


async def test_a_triplet_waits_once_for_all_processes(redis_alone: tuple[subprocess.Popen[bytes], str]) -> None:
    server, url = redis_alone
    one, two = RedisGreyBook(url, 60), RedisGreyBook(url, 60)
    redis: Redis = Redis.from_url(url)
    assert await one.wait(b"k") == 60
    assert 0 < (await two.wait(b"k") or 0) <= 60
    assert 0 < await redis.ttl(b"grey:k") <= WINDOW_SECONDS
    # as though it had come a minute ago
    await redis.set(b"grey:k", int(time.time()) - 61, ex=100)
    assert [await one.wait(b"k"), await two.wait(b"k")] == [0, 0]
    assert WINDOW_SECONDS < await redis.ttl(b"grey:k") <= KEPT_SECONDS
    assert await one.wait(b"other") == 60
    assert await asyncio.gather(*(one.wait(b"%d" % number) for number in range(100))) == [60] * 100
    server.kill()
    server.wait(10)
    assert await one.wait(b"new") is None
    assert await one.wait(b"k") is None
    for book in (one, two):
        await book.close()
    await redis.aclose()


async def test_whatever_is_in_redis_nobody_waits_for_ever(redis_alone: tuple[subprocess.Popen[bytes], str]) -> None:
    _, url = redis_alone
    redis: Redis = Redis.from_url(url)
    book = RedisGreyBook(url, 60)
    for value in (b"", b"x", b"nan", b"inf", b"99999999999"):
        await redis.set(b"grey:k", value)
        assert await book.wait(b"k") == 60
        assert 0 < await redis.ttl(b"grey:k") <= WINDOW_SECONDS
    await book.close()
    await redis.aclose()


def test_mail_from_nowhere_comes_again_and_is_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Names(zone()) as names:
        environment = {
            "PETITBLEU_DNS": names.address, "PETITBLEU_SMTP_HOSTNAME": "mx.live.test", "PETITBLEU_GREYLIST": "on",
            "PETITBLEU_GREYLIST_SECONDS": "1",
        }  # fmt: skip
        stack = LiveStack(tmp_path_factory.mktemp("grey") / "data", offset_of(642), environment)
        try:
            stack.begin()
            to = stack.new_account()
            known = signed(message("ann@good.example", to))
            assert send(stack, to, known) == (250, "2.6.0")
            unknown = message("x@client.example", to)
            assert send(stack, to, unknown, "x@client.example") == (450, "4.7.1")
            time.sleep(2.1)
            assert send(stack, to, unknown, "x@client.example") == (250, "2.6.0")
            assert send(stack, to, message("x@client.example", to), "x@client.example") == (250, "2.6.0")
            assert send(stack, to, unknown, "y@client.example") == (450, "4.7.1")
        finally:
            stack.stop()
