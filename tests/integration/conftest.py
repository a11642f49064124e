"""What integration tests share: the embedded backends, started once, and the store opened inside the test's process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.ports import offset_of

from petitbleu_dev import services
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.layout import Ports
from petitbleu_dev.stack import Stack
from petitbleu_store.bootstrap import Store, opened
from petitbleu_store.config import StoreSettings

# Several runs on one machine at a time: the first offset of which all ports are free is taken.
OFFSETS = [offset_of(own) for own in range(360, 440, 10)]


@dataclass(frozen=True)
class Backends:
    """PostgreSQL, NATS, S3 and Redis, running."""

    stack: Stack

    @property
    def context(self) -> Context:
        return Context(self.stack.layout, self.stack.ports, None, print)  # type: ignore[arg-type]  # nothing is started with it

    def environment(self, service: str) -> dict[str, str]:
        """What the supervisor would tell a service."""
        return services.environment(self.context, service)

    def superuser_dsn(self) -> str:
        return postgres.dsn(self.context, postgres.SUPERUSER)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_offset() -> int:
    """An offset of the embedded stack's ports that nobody uses."""
    return next(offset for offset in OFFSETS if all(map(_free, Ports(offset).backends().values())))


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """The embedded backends, started once."""
    stack = Stack(tmp_path_factory.mktemp("backends") / "data", free_offset(), only="backends")
    try:
        stack.start()
        stack.wait_ready()
        yield Backends(stack)
    finally:
        stack.stop()


@pytest.fixture
async def store_schema(backends: Backends) -> None:
    """An empty schema of the store."""
    # who still holds a table of the test before is an error, not a wait without end
    connection = await asyncpg.connect(backends.superuser_dsn(), command_timeout=60)
    try:
        await connection.execute("DROP SCHEMA IF EXISTS store CASCADE; CREATE SCHEMA store AUTHORIZATION store")
    finally:
        await connection.close()


Opener = Callable[..., contextlib.AbstractAsyncContextManager[Store]]


@pytest.fixture
def open_store(backends: Backends, store_schema: None, tmp_path: Path) -> Opener:
    """Opens a store in this process, as many times as wanted; settings are those of the embedded stack and what is given."""
    told = {
        name.removeprefix("PETITBLEU_").lower(): value
        for name, value in backends.environment("store").items()
        if name.startswith("PETITBLEU_")
    }

    @contextlib.asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Store]:
        wanted = {"seal_seconds": 1e9, "spool_dir": tmp_path / "spool", "pg_pool_size": 6, **settings}
        async with opened(StoreSettings(**{**told, **wanted})) as store:
            await store.core.objects.ensure_bucket()
            yield store

    return make


@pytest.fixture
async def store(open_store: Opener) -> AsyncIterator[Store]:
    """A store of its own, opened in this process, with nothing running in the background."""
    async with open_store() as one:
        yield one
