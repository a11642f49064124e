"""Counts of recipients in the database: one row an account, and a few a tenant that are added up.

Who asks while a transaction runs shares the next one: each of its statements is for all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg

from petitbleu_delivery.adapters.permit_terms_rows import terms_of_all
from petitbleu_delivery.domain.permit_terms import NO_TERMS, Scope, Terms
from petitbleu_delivery.domain.permits import DAY, HOUR, Counts
from petitbleu_delivery.service.permits import Decide, Tallied
from petitbleu_kit.batching import Batcher
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SHARES: Final = 16
"""Rows of a tenant: so many of its people are counted at once."""
_KEPT_SLOTS: Final = DAY.slots + 1
_AT_ONCE: Final = 128
_TRANSACTIONS: Final = 2
_LINGER: Final = 0.004

# A row that is there is locked as it is; the one that somebody else made meanwhile is as good. Everybody locks in the order of the keys, the
# accounts before the shares, so that nobody waits in a ring.
LOCK: Final = """/* hot:delivery.permit_lock */ INSERT INTO permit_account AS p (partition, account_id, hour_slot, hour, day_slot, day, recent)
SELECT g.partition, g.account_id, $3, '{0}', $4, '{0}', '' FROM unnest($1::smallint[], $2::bigint[]) AS g (partition, account_id)
ORDER BY 1, 2
ON CONFLICT (partition, account_id) DO UPDATE SET recent = p.recent WHERE p.partition = ANY($1::smallint[])
RETURNING partition, account_id, hour_slot, hour, day_slot, day, recent"""
LOCK_SHARES: Final = """/* hot:delivery.permit_share_lock */ INSERT INTO permit_tenant AS p (partition, tenant_id, share, hour_slot, hour,
    day_slot, day)
SELECT g.partition, g.tenant_id, g.share, $4, '{0}', $5, '{0}'
FROM unnest($1::smallint[], $2::bigint[], $3::smallint[]) AS g (partition, tenant_id, share) ORDER BY 1, 2, 3
ON CONFLICT (partition, tenant_id, share) DO UPDATE SET share = p.share WHERE p.partition = ANY($1::smallint[])
RETURNING partition, tenant_id, share, hour_slot, hour, day_slot, day"""
SHARES_OF: Final = """/* hot:delivery.permit_shares */ SELECT p.partition, p.tenant_id, p.share, p.hour_slot, p.hour, p.day_slot, p.day
FROM permit_tenant p JOIN unnest($1::smallint[], $2::bigint[]) AS g (partition, tenant_id)
    ON p.partition = g.partition AND p.tenant_id = g.tenant_id
WHERE p.partition = ANY($1::smallint[])"""
WRITE: Final = """/* hot:delivery.permit_write */ UPDATE permit_account p SET hour_slot = g.hour_slot, hour = g.hour::integer[],
    day_slot = g.day_slot, day = g.day::integer[], recent = g.recent
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::bytea[])
    AS g (partition, account_id, hour_slot, hour, day_slot, day, recent)
WHERE p.partition = g.partition AND p.account_id = g.account_id AND p.partition = ANY($1::smallint[])"""
WRITE_SHARES: Final = """/* hot:delivery.permit_share_write */ UPDATE permit_tenant p SET hour_slot = g.hour_slot, hour = g.hour::integer[],
    day_slot = g.day_slot, day = g.day::integer[]
FROM unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[])
    AS g (partition, tenant_id, share, hour_slot, hour, day_slot, day)
WHERE p.partition = g.partition AND p.tenant_id = g.tenant_id AND p.share = g.share AND p.partition = ANY($1::smallint[])"""
# What is that old counts for nothing, whoever it was of: so do the counts of closed accounts go.
PRUNE: Final = tuple(
    f"/* cold:delivery.{table}_prune */ DELETE FROM {table} WHERE day_slot < $1"
    for table in ("permit_account", "permit_tenant")
)


class _Ask(NamedTuple):
    """One who asks."""

    account_id: int
    tenant_id: int
    at_ms: int
    decide: Decide

    @property
    def person(self) -> tuple[int, int]:
        """The key of the account's row."""
        return partition_of_account(self.account_id), self.account_id

    @property
    def share(self) -> tuple[int, int, int]:
        """The key of the row of the tenant in which the account counts."""
        return partition_of_account(self.tenant_id), self.tenant_id, partition_of_account(self.account_id) % SHARES


@dataclass(slots=True)
class _Account:
    """An account's row."""

    tallied: Tallied
    recent: bytes
    changed: bool = False


@dataclass(slots=True)
class _Book:
    """A book as it stands in the rows."""

    account: Tallied
    share: Tallied
    others: list[Tallied]
    recent: bytes
    account_terms: Terms
    tenant_terms: Terms


class PostgresPermits:
    """Counts by account and tenant."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asking: Batcher[_Ask, int] = Batcher(
            self._work, max_items=_AT_ONCE, concurrency=_TRANSACTIONS, linger=_LINGER
        )

    async def work(self, account_id: int, tenant_id: int, at_ms: int, decide: Decide) -> int:
        """Let `decide` look at the book and keep what it changed when it returns 0; return what it returned.

        Raises:
            QueueFullError: too many ask; and what `decide` raises, which changes nothing.
        """
        return await self._asking.submit(_Ask(account_id, tenant_id, at_ms, decide))

    async def _work(self, asks: Sequence[_Ask]) -> Sequence[int | BaseException]:
        async def whole(connection: Connection) -> list[int | BaseException]:
            people = sorted({ask.person for ask in asks})
            mine = sorted({ask.share for ask in asks})
            first = min(ask.at_ms for ask in asks)
            slots = (HOUR.slot(first), DAY.slot(first))
            accounts = {
                (row["partition"], row["account_id"]): _Account(_tallied(row), row["recent"])
                for row in await connection.fetch(LOCK, *_columns(people), *slots)
            }
            await connection.execute(LOCK_SHARES, *_columns(mine), *slots)
            tenants = sorted({(partition, tenant_id) for partition, tenant_id, _ in mine})
            shares = {
                (row["partition"], row["tenant_id"], row["share"]): _tallied(row)
                for row in await connection.fetch(SHARES_OF, *_columns(tenants))
            }
            subjects = [(Scope.ACCOUNT, account_id) for _, account_id in people]
            terms = await terms_of_all(
                connection, [*subjects, *((Scope.TENANT, tenant_id) for _, tenant_id in tenants)]
            )
            before = dict(shares)
            waits = _decided(asks, accounts, shares, terms)
            written = sorted(key for key, one in accounts.items() if one.changed)
            if written:
                await connection.execute(
                    WRITE, *_columns(written), *_counts(accounts[key].tallied for key in written),
                    [accounts[key].recent for key in written],
                )  # fmt: skip
                grown = [key for key in mine if shares[key] is not before[key]]
                await connection.execute(WRITE_SHARES, *_columns(grown), *_counts(shares[key] for key in grown))
            return waits

        return await in_transaction(self._pool, whole)

    async def prune(self, at_ms: int) -> None:
        """Forget counts of more than a day ago."""
        for statement in PRUNE:
            await self._pool.execute(statement, DAY.slot(at_ms) - _KEPT_SLOTS)


def _decided(
    asks: Sequence[_Ask],
    accounts: Mapping[tuple[int, int], _Account],
    shares: dict[tuple[int, int, int], Tallied],
    terms: Mapping[tuple[Scope, int], Terms],
) -> list[int | BaseException]:
    """Let each decide, the later ones on what the earlier ones left; what one raises is its own."""
    of_tenant: defaultdict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for key in shares:
        of_tenant[key[:2]].append(key)
    waits: list[int | BaseException] = []
    for ask in asks:
        account, share = accounts[ask.person], ask.share
        others = [shares[key].at(ask.at_ms) for key in of_tenant[share[:2]] if key != share]
        book = _Book(
            account.tallied.at(ask.at_ms),
            shares[share].at(ask.at_ms),
            others,
            account.recent,
            terms.get((Scope.ACCOUNT, ask.account_id), NO_TERMS),
            terms.get((Scope.TENANT, ask.tenant_id), NO_TERMS),
        )
        before = book.account
        try:
            waited = ask.decide(book)
        except Exception as error:  # noqa: BLE001 — nobody else's wish is refused for it
            waits.append(error)
            continue
        waits.append(waited)
        if not waited and book.account is not before:
            account.tallied, account.recent, account.changed = book.account, book.recent, True
            shares[share] = book.share
    return waits


def _tallied(row: asyncpg.Record) -> Tallied:
    return Tallied(Counts(row["hour_slot"], tuple(row["hour"])), Counts(row["day_slot"], tuple(row["day"])))


def _columns(rows: Sequence[tuple[int, ...]]) -> list[list[int]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _counts(rows: Iterable[Tallied]) -> list[list[Any]]:
    known = list(rows)
    return [
        [one.hour.slot for one in known], [_array(one.hour) for one in known],
        [one.day.slot for one in known], [_array(one.day) for one in known],
    ]  # fmt: skip


def _array(counts: Counts) -> str:
    return "{" + ",".join(map(str, counts.by_slot)) + "}"
