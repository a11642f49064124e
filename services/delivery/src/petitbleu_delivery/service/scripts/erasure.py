"""Rules of accounts that were closed are erased: within the hour, whatever was missed meanwhile."""

from __future__ import annotations

import asyncpg

from petitbleu_delivery.adapters import script_rows
from petitbleu_delivery.adapters.rule_peers import RulePeers
from petitbleu_kit.ids import PARTITIONS
from petitbleu_kit.logs import get_logger
from petitbleu_kit.postgres import in_transaction

_log = get_logger(__name__)
_PARTITIONS_AT_ONCE = 64
_ACCOUNTS_AT_ONCE = 500


async def erase_closed(pool: asyncpg.Pool[asyncpg.Record], peers: RulePeers) -> int:
    """Erase the rules of accounts that accounts does not know any more, or that are being erased; return how many.

    Raises:
        PeerUnavailableError: accounts does not answer; the next look finds them.
    """
    erased = 0
    for start in range(0, PARTITIONS, _PARTITIONS_AT_ONCE):
        books = await script_rows.books(pool, range(start, start + _PARTITIONS_AT_ONCE))
        for at in range(0, len(books), _ACCOUNTS_AT_ONCE):
            places = books[at : at + _ACCOUNTS_AT_ONCE]
            living = await peers.people([account_id for _, account_id in places])
            for partition, account_id in places:
                if account_id not in living:
                    await in_transaction(
                        pool,
                        lambda connection, place=(partition, account_id): script_rows.erase(connection, *place),  # type: ignore[misc]
                    )
                    erased += 1
    if erased:
        _log.info("rules of closed accounts erased", accounts=erased)
    return erased
