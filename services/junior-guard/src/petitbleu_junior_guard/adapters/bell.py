"""Tells pages that are open that a family's affairs changed. It is no fact and is kept nowhere: a page that does not hear it looks by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from petitbleu.events.v1 import events_pb2
from petitbleu_junior_guard.adapters.connection import Pool, or_away
from petitbleu_junior_guard.errors import GuardError
from petitbleu_kit import bus
from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_MOST: Final = 10_000
_AT_ONCE: Final = 1_000
# what happens within so many seconds is one change
_FOLD_SECONDS: Final = 0.05

_GUARDIANS: Final = """/* cold:junior-guard.whom_to_tell */
SELECT account_id, array_agg(guardian_account_id) AS guardians FROM guardian
WHERE partition = ANY($1::smallint[]) AND account_id = ANY($2::bigint[]) GROUP BY account_id"""


class Bell:
    """Rings for families.

    Args:
        settings: Where the bus is.
        pool: Knows the guardians.
    """

    def __init__(self, settings: ServiceSettings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        # child → whether it is to be told as well
        self._due: dict[int, bool] = {}
        self._rung = asyncio.Event()

    def ring(self, account_ids: Sequence[int], *, child: bool) -> None:
        """Say that the affairs of children changed, as guardians see them; with `child`, as they see them themselves as well."""
        for account_id in account_ids:
            if len(self._due) < _MOST:
                self._due[account_id] = child or self._due.get(account_id, False)
        if self._due:
            self._rung.set()

    async def run(self) -> None:
        """Ring until cancelled; the bus may come late."""
        client: Client | None = None
        try:
            while client is None:
                try:
                    client = await bus.connect(self._settings, "junior-guard")
                except (NatsError, OSError, TimeoutError):
                    await asyncio.sleep(1.0)
            while True:
                await self._rung.wait()
                self._rung.clear()
                due = dict(list(self._due.items())[:_AT_ONCE])
                for account_id in due:
                    del self._due[account_id]
                if self._due:
                    self._rung.set()
                await self._tell(client, due)
                await asyncio.sleep(_FOLD_SECONDS)
        finally:
            if client is not None:
                await client.close()

    async def _tell(self, client: Client, due: Mapping[int, bool]) -> None:
        try:
            guardians = await self._guardians(list(due))
            for account_id, child in due.items():
                told = [*guardians.get(account_id, ()), *([account_id] if child else ())]
                event = events_pb2.FamilyChanged(account_ids=told, at_us=time.time_ns() // 1_000)
                subject = f"junior.family.changed.v1.{partition_of_account(account_id)}"
                await client.publish(subject, event.SerializeToString())
        except (GuardError, NatsError, OSError, TimeoutError) as error:
            _log.info("nobody was told of a change", children=len(due), error_type=type(error).__qualname__)

    @or_away
    async def _guardians(self, account_ids: Sequence[int]) -> dict[int, list[int]]:
        partitions = sorted({partition_of_account(account_id) for account_id in account_ids})
        rows = await self._pool.fetch(_GUARDIANS, partitions, account_ids)
        return {row["account_id"]: row["guardians"] for row in rows}
