"""Counting failed logins in a real Redis, and without it."""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from petitbleu_accounts.adapters.windows import RedisWindows
from petitbleu_dev import binaries


@pytest.fixture
def redis_server() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    root = Path(tempfile.mkdtemp(prefix="pb-redis-"))
    server = subprocess.Popen(
        [str(binaries.redis_server()), "--port", "0", "--unixsocket", str(root / "r.sock"), "--dir", str(root), "--save", ""],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 10
    while not (root / "r.sock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield server, f"unix://{root}/r.sock"
    server.terminate()
    server.wait(10)
    shutil.rmtree(root, ignore_errors=True)


async def test_processes_count_together_and_alone_when_redis_dies(
    redis_server: tuple[subprocess.Popen[bytes], str],
) -> None:
    server, url = redis_server
    one, two = RedisWindows(url, 60), RedisWindows(url, 60)
    assert await one.take(["k", "other"]) == [1, 1]
    assert await two.take(["k"]) == [2]
    assert await one.take(["k"]) == [3]
    await two.give_back(["k", "never"])
    assert await two.take(["k"]) == [3]
    server.kill()
    server.wait(10)
    assert await one.take(["k"]) == [3]  # its own two, and this one
    assert await one.take(["k"]) == [4]
    for windows in (one, two):
        await windows.close()


async def test_a_window_ends_in_redis(redis_server: tuple[subprocess.Popen[bytes], str]) -> None:
    _, url = redis_server
    windows = RedisWindows(url, 1)
    assert await windows.take(["k"]) == [1]
    assert await windows.take(["k"]) == [2]
    time.sleep(1.2)
    assert await windows.take(["k"]) == [1]
    await windows.close()


async def test_tries_at_once_are_counted_together(redis_server: tuple[subprocess.Popen[bytes], str]) -> None:
    _, url = redis_server
    one, two = RedisWindows(url, 60), RedisWindows(url, 60)
    await asyncio.gather(*(one.take(["k"]) for _ in range(200)))
    assert await two.take(["k"]) == [201]
    for windows in (one, two):
        await windows.close()
