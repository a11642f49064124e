"""PostgreSQL: the pool, migrations, and the refusal to run on a database that may lose what it acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg

from petitbleu_kit.lifecycle import StartupError
from petitbleu_kit.logs import get_logger

Result = TypeVar("Result")
_log = get_logger(__name__)

_MIGRATION_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK_CLASS: Final = 0x7062  # "pb": the advisory lock under which a schema migrates
# Who waits for a lock holds up all who ask for the table after it, mail that is filed too: a migration behind a long
# transaction waits in short turns, and lets the others through between them.
_LOCK_TURN: Final = "2s"
_LOCK_PAUSE_SECONDS: Final = 2.0
_LOCK_SECONDS: Final = 60.0
_RETRIED: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
# What must be on for "250 means durable" (architecture, promise 1).
_DURABLE: Final = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "local", "remote_write", "remote_apply"},
}


# Sessions of statements that are few, prepared once and find their rows by index. By itself PostgreSQL makes most plans anew,
# since a list of ten is assumed and another length looks cheaper or dearer: that costs more than running them. A plan made while
# a table was empty (a scan) would be kept when it is large.
HOT_SETTINGS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
}

# Names a file to which each new statement text (never its parameters) is appended, for the test of promise 5.
STATEMENT_LOG: Final = "PETITBLEU_STATEMENT_LOG"
_recorded: set[str] = set()


def _recorder(path: Path) -> Callable[[Any], Awaitable[None]]:
    async def record(query: Any) -> None:
        if query.query not in _recorded:
            _recorded.add(query.query)
            with path.open("a") as log:
                log.write(json.dumps(query.query) + "\n")

    return record


class _Connection(asyncpg.Connection):  # not generic at run time
    """A connection that goes back to its pool without the query that resets a session.

    Our code changes no session state, and an open transaction is rolled back all the same; the query would cost as much as
    a small statement each time.
    """

    def get_reset_query(self) -> str:
        return ""


async def open_pool(
    dsn: str, schema: str, size: int, *, min_size: int = 1, settings: Mapping[str, str] | None = None
) -> asyncpg.Pool[asyncpg.Record]:
    """Open a pool whose connections see only `schema`; `settings` are PostgreSQL parameters of its sessions.

    Raises:
        StartupError: when the database does not let us in.
    """

    async def prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        for kind in ("json", "jsonb"):
            await connection.set_type_codec(kind, encoder=str, decoder=str, schema="pg_catalog")
        record_to = os.environ.get(STATEMENT_LOG)
        if record_to:
            connection.add_query_logger(_recorder(Path(record_to)))

    try:
        return await asyncpg.create_pool(
            dsn, min_size=min_size, max_size=size, init=prepare, command_timeout=60, statement_cache_size=512,
            max_inactive_connection_lifetime=300, connection_class=_Connection,
            server_settings={"search_path": schema, "application_name": f"petitbleu-{schema}", "jit": "off",
                             "timezone": "UTC", "idle_in_transaction_session_timeout": "60s", **(settings or {})},
        )  # fmt: skip
    except (OSError, asyncpg.PostgresError, ValueError) as error:
        raise StartupError(f"PostgreSQL does not answer for role {schema} ({type(error).__name__})") from None


async def wait_for_pool(
    dsn: str, schema: str, size: int, seconds: float = 60, *, settings: Mapping[str, str] | None = None
) -> asyncpg.Pool[asyncpg.Record]:
    """Open a pool, waiting for a database that is still starting."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await open_pool(dsn, schema, size, settings=settings)
        except StartupError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.3)


async def refuse_unsafe(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Refuse a database that acknowledges a commit before it is on stable storage.

    Raises:
        StartupError: naming the setting.
    """
    for name, safe in _DURABLE.items():
        value = await pool.fetchval("/* cold:kit.durability */ SELECT current_setting($1)", name)
        if value not in safe:
            raise StartupError(f"PostgreSQL runs with {name}={value}: acknowledged mail could be lost; set it to on")


async def migrate(
    pool: asyncpg.Pool[asyncpg.Record], schema: str, folder: Path, *, lock_seconds: float = _LOCK_SECONDS
) -> list[str]:
    """Apply the migrations `NNNN_title.sql` of a folder that are not recorded yet, each in a transaction of its own.

    Each is tried for `lock_seconds`, in short turns, where other transactions hold what it changes.

    Returns:
        The names applied now.

    Raises:
        StartupError: when a migration's name is wrong, or it did not get its locks; those before it are applied.
    """
    applied: list[str] = []
    files = [(path, path.read_text()) for path in sorted(folder.glob("*.sql"))]  # noqa: ASYNC240 — once, at start
    async with pool.acquire() as connection:
        lock = hash_schema(schema)
        # another process of the service may be migrating, and waiting for its locks
        await connection.execute("SELECT pg_advisory_lock($1, $2)", _LOCK_CLASS, lock, timeout=_LOCK_SECONDS * 5)
        try:
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {schema}.migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            known = {row["name"] for row in await connection.fetch(f"SELECT name FROM {schema}.migration")}
            for path, text in files:
                if not _MIGRATION_NAME.fullmatch(path.name):
                    raise StartupError(f"migration {path.name} is not named NNNN_title.sql")
                if path.name in known:
                    continue
                await _apply(connection, schema, path.name, text, lock_seconds)
                applied.append(path.name)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1, $2)", _LOCK_CLASS, lock)
    if applied:
        _log.info("migrations applied", schema=schema, names=applied)
    return applied


async def _apply(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], schema: str, name: str, text: str, seconds: float
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TURN}'")
                await connection.execute(text)
                await connection.execute(f"INSERT INTO {schema}.migration (name) VALUES ($1)", name)
        except asyncpg.LockNotAvailableError:
            if loop.time() >= deadline:
                raise StartupError(
                    f"migration {name} of {schema} waited {seconds:.0f} s for locks that other transactions hold"
                ) from None
            _log.warning("a migration waits for a lock", schema=schema, name=name)
            await asyncio.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return


def hash_schema(schema: str) -> int:
    """Return a stable 31-bit number for a schema's name, for its advisory lock."""
    value = 0
    for byte in schema.encode():
        value = (value * 131 + byte) & 0x7FFFFFFF
    return value


async def in_transaction(
    pool: asyncpg.Pool[asyncpg.Record],
    work: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[Result]],
    *,
    tries: int = 5,
) -> Result:
    """Run `work` in one transaction; a deadlock or serialization failure runs it again from the start."""
    for attempt in range(1, tries + 1):
        try:
            async with pool.acquire() as connection, connection.transaction():
                return await work(connection)  # type: ignore[arg-type]
        except _RETRIED:
            if attempt == tries:
                raise
            await asyncio.sleep(0.005 * 2**attempt)
    raise AssertionError("unreachable")


async def answers(pool: asyncpg.Pool[Any]) -> bool:
    """Whether the database answers, for a readiness check."""
    return bool(await pool.fetchval("/* cold:kit.ready */ SELECT true", timeout=2))
