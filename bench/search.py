"""What a search costs when many others have mail: the same account in two stacks, alone in one, among a million messages in the other.

The others' rows of the index are made by SQL: their terms are random numbers, as keyed hashes are, drawn from a vocabulary of each
account of which few words are frequent. The stacks take turns, round by round; the ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg

import growth
import processes
from boxes import FIFTY, RARE, JmapClient, mail, wait_indexed
from load import send_made, wait_for
from mailpath import percentile
from ours import PASSWORD, Ours

# A word of nearly every mail, a rare one, and words in a row that the mail itself is read for.
COMMON: Final = "bababaex"
KINDS: Final = ("rare", "common")
_EACH: Final = 1000
_AT_ONCE: Final = 50
_TERMS: Final = 60
_VOCABULARY: Final = 20_000
_TIMES: Final = 40

_FILL: Final = f"""
INSERT INTO store.search_entry (partition, state, account_id, message_id, received_ms, terms)
SELECT a % 1024, 0, a, n, 1700000000000 + n,
    ARRAY(SELECT DISTINCT hashint8extended(a * {_VOCABULARY} + (random() * random() * random() * {_VOCABULARY})::bigint + 0 * n, 4711)
        FROM generate_series(1, {_TERMS}))
FROM generate_series($1::bigint, $2::bigint) AS a, generate_series(1, {_EACH}) AS n
"""


async def _fill(dsn: str, messages: int, say: Callable[[str], None]) -> dict[str, float]:
    """Write the others' rows; return the index's octets a message."""
    connection = await asyncpg.connect(dsn, command_timeout=3600)
    try:
        made = await connection.fetchval(
            "SELECT pg_get_indexdef(i.oid) FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace "
            "WHERE i.relname = 'search_entry_terms' AND n.nspname = 'store'"
        )
        started = time.monotonic()
        # Built at the end, as a restore does: in bulk it takes minutes instead of an hour.
        await connection.execute("DROP INDEX store.search_entry_terms")
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
        for first in range(1, messages // _EACH + 1, _AT_ONCE):
            await connection.execute(_FILL, first, min(first + _AT_ONCE - 1, messages // _EACH))
        await connection.execute(made)
        await connection.execute("VACUUM (ANALYZE) store.search_entry")
        await connection.execute("CHECKPOINT")
        rows = await connection.fetchval("SELECT count(*) FROM store.search_entry")
        table = await connection.fetchval("SELECT pg_table_size('store.search_entry')")
        index = await connection.fetchval("SELECT pg_relation_size('store.search_entry_terms')")
        say(f"  made {rows} rows of the index in {time.monotonic() - started:.0f} s")
        return {"rows": rows, "table_octets": table / rows, "index_octets": index / rows}
    finally:
        await connection.close()


def _search(ours: Ours, client: JmapClient, word: str, wanted: int, times: int) -> tuple[float, list[float]]:
    clocks = []
    before = processes.usage(ours.pids()).cpu
    for _ in range(times):
        began = time.perf_counter()
        found = client.search(word)
        clocks.append(time.perf_counter() - began)
        if found != wanted:
            raise RuntimeError(f"{found} found, not {wanted}")
    return (processes.usage(ours.pids()).cpu - before) * 1000 / times, clocks


def _ready(ours: Ours, size: int, say: Callable[[str], None]) -> JmapClient:
    """Make the account, send it its mail and wait until it is indexed."""
    ours.create("searcher")
    client = JmapClient(ours.http_port, "searcher@demo.test", PASSWORD)
    send_made(ours.smtp_port, "searcher@demo.test", mail, range(size))
    wait_for(client, size)
    started = time.monotonic()
    wait_indexed(client)
    say(f"  {size} mails can be searched after {time.monotonic() - started:.0f} s")
    return client


def search(
    stacks: Sequence[Ours], size: int, others: int, say: Callable[[str], None], rounds: int = 5
) -> dict[str, Any]:
    """Measure a rare and a common word in an account of `size` mails, alone and among the mail of others.

    Args:
        stacks: Two stacks: the first stays alone, the second gets the others.
        size: Mails of the account.
        others: Messages in other accounts.
        say: Tells how it goes.
        rounds: How often they take turns.
    """
    clients = [_ready(stack, size, say) for stack in stacks]
    disk = asyncio.run(_fill(stacks[1].superuser_dsn(), others, say))
    words = {"rare": (RARE, min(FIFTY, -(-size // 500))), "common": (COMMON, FIFTY)}
    for stack in stacks:
        growth.quiet(stack, say)
    result: dict[str, Any] = {"messages": size, "others": others, "disk": disk, "kinds": {}}
    for kind in KINDS:
        cpu: list[list[float]] = [[], []]
        clocks: list[list[float]] = [[], []]
        for number in range(rounds + 1):
            for side in (0, 1) if number % 2 else (1, 0):
                spent, taken = _search(stacks[side], clients[side], *words[kind], _TIMES)
                if number:  # the first is warm-up
                    cpu[side].append(spent)
                    clocks[side] += taken
        result["kinds"][kind] = {
            "cpu_ms": [statistics.median(spent) for spent in cpu],
            "ratio": statistics.median(b / a for a, b in zip(*cpu, strict=True)),
            "p50_ms": [percentile(taken, 0.5) * 1000 for taken in clocks],
            "p99_ms": [percentile(taken, 0.99) * 1000 for taken in clocks],
        }
    for client in clients:
        client.close()
    return result


def lines(found: dict[str, Any]) -> list[str]:
    """Return the table."""
    told = [
        f"\na search in {found['messages']} mails, alone and among {found['others']} of others (CPU of all processes)"
    ]
    for kind, row in found["kinds"].items():
        told.append(
            f"  {kind:7} {row['cpu_ms'][0]:7.2f} and {row['cpu_ms'][1]:7.2f} ms CPU ({row['ratio']:.2f} x), "
            f"p50 {row['p50_ms'][0]:.1f} and {row['p50_ms'][1]:.1f} ms, p99 {row['p99_ms'][0]:.1f} and {row['p99_ms'][1]:.1f} ms"
        )
    disk = found["disk"]
    told.append(f"  on disk {disk['table_octets']:.0f} octets a message, its terms' index {disk['index_octets']:.0f}")
    return told
