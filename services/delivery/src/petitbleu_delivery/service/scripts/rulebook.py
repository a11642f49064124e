"""The rules in force of many accounts: one look a round, compiled once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import asyncpg

from petitbleu_delivery.adapters import script_rows
from petitbleu_delivery.domain import vacation as vacations
from petitbleu_delivery.domain.seal import Seal, SealError
from petitbleu_delivery.domain.vacation import Vacation
from petitbleu_delivery.service.scripts.keeping import VACATION_PLACE, content_place, name_place
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.logs import get_logger
from petitbleu_mail.sieve.catalog import DELIVERED
from petitbleu_mail.sieve.faults import SieveSyntaxError
from petitbleu_mail.sieve.script import Script, compile_script

_log = get_logger(__name__)
_REMEMBERED: Final = 1_000


@dataclass(slots=True)
class Rules:
    """An account's rules in force: the active script (None for none), those that it may include, and the answer while away.

    `fault` says why there is no active script though there should be one.
    """

    modseq: int
    tenant_id: int
    script: Script | None = None
    sources: dict[str, bytes] | None = None
    away: Vacation | None = None
    fault: str = ""

    @property
    def reads_bodies(self) -> bool:
        """Whether more than a header may be looked at."""
        return self.script is not None and bool(self.script.requires & {"body", "include"})


class Rulebook:
    """Loads rules.

    Args:
        pool: delivery's database.
        seal: Of the purpose `scripts`.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], seal: Seal) -> None:
        self._pool = pool
        self._seal = seal
        self._known: OrderedDict[int, Rules] = OrderedDict()

    async def of(self, account_ids: Collection[int]) -> tuple[dict[int, Rules], set[int]]:
        """Return the rules of those accounts that have any in force, and the accounts that list senders.

        What is compiled is used as long as the book's number stands.
        """
        places = sorted({(partition_of_account(account_id), account_id) for account_id in account_ids})
        found: dict[int, Rules] = {}
        listing: set[int] = set()
        for row in await script_rows.states(self._pool, places):
            account_id = row["account_id"]
            if row["lists_senders"]:
                listing.add(account_id)
            if not row["ruled"]:
                continue
            known = self._known.get(account_id)
            if known is None or known.modseq != row["modseq"]:
                known = await self._load(account_id)
            if known is not None:
                self._known[account_id] = known
                self._known.move_to_end(account_id)
                found[account_id] = known
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found, listing

    async def _load(self, account_id: int) -> Rules | None:
        rows = await script_rows.rules(self._pool, partition_of_account(account_id), account_id)
        if not rows:
            return None
        first = rows[0]
        rules = Rules(first["modseq"], first["tenant_id"])
        try:
            if first["vacation_on"] and first["vacation_sealed"] is not None:
                rules.away = vacations.decode(self._seal.open(account_id, VACATION_PLACE, first["vacation_sealed"]))
            sources: dict[str, bytes] = {}
            active = b""
            for row in rows:
                if row["script_id"] is None:
                    continue
                name = self._seal.open(account_id, name_place(row["script_id"]), row["name_sealed"]).decode()
                sources[name] = self._seal.open(account_id, content_place(row["script_id"]), row["content_sealed"])
                if row["script_id"] == first["active_id"]:
                    active = sources[name]
            if first["active_id"]:
                rules.sources = sources
                rules.script = await asyncio.to_thread(compile_script, active, catalog=DELIVERED)
        except SealError:
            _log.error("rules cannot be opened: another key, or damage", account_id=account_id)
            rules.fault = "The rules cannot be read."
        except SieveSyntaxError as error:
            # it compiled when it was kept; an extension may have gone since
            rules.fault = "\n".join(map(str, error.faults))
        return rules
