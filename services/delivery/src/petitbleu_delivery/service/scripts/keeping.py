"""Scripts and the answer while away, as their owner reads and changes them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg

from petitbleu.events.v1 import events_pb2
from petitbleu_delivery.adapters import script_rows
from petitbleu_delivery.domain import vacation as vacations
from petitbleu_delivery.domain.scripts import (
    MAX_SCRIPT_OCTETS,
    Plan,
    Script,
    ScriptResult,
    ScriptStatus,
    ScriptUpdate,
    plan,
    switch,
)
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.domain.vacation import Vacation
from petitbleu_kit.identity import Principal
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_mail.sieve.catalog import DELIVERED
from petitbleu_mail.sieve.faults import SieveSyntaxError
from petitbleu_mail.sieve.script import compile_script


class StateMismatchError(Exception):
    """The rules are not in the state that was asked for."""


class NotSoundError(ValueError):
    """What shall be kept cannot be."""


@dataclass(frozen=True, slots=True)
class Switch:
    """What shall be active once all is done: a script by its id, or by the index of the update that makes it; or none."""

    activate_id: int = 0
    created_by: int | None = None
    deactivate: bool = False


@dataclass(frozen=True, slots=True)
class Updated:
    """What became of a request: results in order, modseqs around it, and the scripts whose `active` changed (0 for none)."""

    results: Sequence[ScriptResult]
    old_modseq: int
    new_modseq: int
    activated_id: int = 0
    deactivated_id: int = 0


def name_place(script_id: int) -> bytes:
    """What a sealed name is bound to."""
    return b"name%d" % script_id


def content_place(script_id: int) -> bytes:
    """What a sealed content is bound to."""
    return b"content%d" % script_id


VACATION_PLACE = b"vacation"
MOST_STATES: Final = 1000


async def check(content: bytes) -> str:
    """Return what is wrong with a script, a line for each fault; empty when it compiles."""

    def compiled() -> str:
        try:
            compile_script(content, catalog=DELIVERED)
        except SieveSyntaxError as error:
            return "\n".join(map(str, error.faults))
        return ""

    return await asyncio.to_thread(compiled)


class ScriptKeeping:
    """Keeps rules.

    Args:
        pool: delivery's database.
        seal: Of the purpose `scripts`.
        outbox: Takes the news that an account's rules changed.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], seal: Seal, outbox: Outbox) -> None:
        self._pool = pool
        self._seal = seal
        self._outbox = outbox

    async def states(self, account_ids: Collection[int]) -> dict[int, tuple[int, int]]:
        """Return how far the scripts and the answers while away of accounts are; those that never had any are left out.

        Raises:
            NotSoundError: more accounts than one may ask about.
        """
        if len(account_ids) > MOST_STATES:
            raise NotSoundError
        rows = await script_rows.modseqs(self._pool, account_ids)
        return {row["account_id"]: (row["modseq"], row["vacation_modseq"]) for row in rows if row["modseq"]}

    async def scripts(self, who: Principal) -> tuple[list[Script], int]:
        """Return all scripts of a person, and how far they are."""
        place = place_of(who)

        async def work(connection: asyncpg.Connection[Any]) -> tuple[list[Script], int]:
            book = await script_rows.book(connection, *place)
            if book is None:
                return [], 0
            return await self._scripts(connection, place, book["active_id"]), book["modseq"]

        return await in_transaction(self._pool, work)

    async def content(self, who: Principal, content_id: int) -> bytes | None:
        """Return a content, None when no script has it."""
        place = place_of(who)
        for one in (await self.scripts(who))[0]:
            if one.content_id == content_id:
                sealed = await script_rows.content(self._pool, *place, content_id)
                return None if sealed is None else self._seal.open(place[1], content_place(one.script_id), sealed)
        return None

    async def update(
        self, who: Principal, updates: Sequence[ScriptUpdate], switched: Switch, if_modseq: int | None
    ) -> Updated:
        """Do what can be done of a list of changes, in one commit.

        Raises:
            StateMismatchError: the scripts are not in the state asked for.
        """
        checked = [await checked_update(update) for update in updates]
        place = place_of(who)

        async def work(connection: asyncpg.Connection[Any]) -> tuple[Updated, list[OutboxRow]]:
            book = await script_rows.lock(connection, *place, who.tenant_id)
            if if_modseq is not None and if_modseq != book["modseq"]:
                raise StateMismatchError
            before = await self._scripts(connection, place, book["active_id"])
            planned = plan(before, book["active_id"], book["last_id"], checked)
            switch(planned, activate_id=wanted_id(planned, switched), deactivate=switched.deactivate)
            modseq = book["modseq"]
            events: list[OutboxRow] = []
            if planned.touched or planned.active_id != book["active_id"]:
                modseq += 1
                await self._write(connection, place, planned)
                await script_rows.raise_book(connection, place, modseq, planned.last_id, planned.active_id)
                events = await self._tell(connection, place, modseq, book["vacation_modseq"])
            results = [current(result, planned) for result in planned.results]
            return Updated(results, book["modseq"], modseq, planned.activated_id, planned.deactivated_id), events

        updated, events = await in_transaction(self._pool, work)
        self._outbox.published_soon(events)
        return updated

    async def vacation(self, who: Principal) -> tuple[Vacation, int]:
        """Return the answer while a person is away, and how far it is."""
        place = place_of(who)
        book = await script_rows.book(self._pool, *place)
        if book is None or book["vacation_sealed"] is None:
            return Vacation(), 0 if book is None else book["vacation_modseq"]
        octets = self._seal.open(place[1], VACATION_PLACE, book["vacation_sealed"])
        return vacations.decode(octets), book["vacation_modseq"]

    async def set_vacation(self, who: Principal, wanted: Vacation, if_modseq: int | None) -> tuple[int, int]:
        """Replace the answer while a person is away; return the modseqs around it.

        Raises:
            NotSoundError: it is too long, or its times are none.
            StateMismatchError: it is not in the state asked for.
        """
        if not wanted.is_sound():
            raise NotSoundError
        place = place_of(who)
        sealed = self._seal.seal(place[1], VACATION_PLACE, vacations.encode(wanted))

        async def work(connection: asyncpg.Connection[Any]) -> tuple[int, int, list[OutboxRow]]:
            book = await script_rows.lock(connection, *place, who.tenant_id)
            if if_modseq is not None and if_modseq != book["vacation_modseq"]:
                raise StateMismatchError
            modseq = await script_rows.put_vacation(connection, place, sealed, on=wanted.enabled)
            # it is counted by both: scripts are told of, too
            return book["vacation_modseq"], modseq, await self._tell(connection, place, modseq, modseq)

        old, new, events = await in_transaction(self._pool, work)
        self._outbox.published_soon(events)
        return old, new

    async def _tell(
        self, connection: asyncpg.Connection[Any], place: tuple[int, int], modseq: int, vacation_modseq: int
    ) -> list[OutboxRow]:
        """Put the news of a change beside it in its commit: the gateways push it (RFC 8620 §7.1)."""
        event = events_pb2.RulesChanged(account_id=place[1], modseq=modseq, vacation_modseq=vacation_modseq)
        events = [OutboxRow.make(place[0], "delivery.rules.changed", event.SerializeToString())]
        await self._outbox.insert(connection, events)
        return events

    async def _scripts(
        self, connection: asyncpg.Connection[Any], place: tuple[int, int], active_id: int
    ) -> list[Script]:
        return [
            Script(
                row["script_id"],
                self._seal.open(place[1], name_place(row["script_id"]), row["name_sealed"]).decode(),
                row["content_id"],
                row["octets"],
                row["script_id"] == active_id,
            )
            for row in await script_rows.scripts(connection, *place)
        ]

    async def _write(self, connection: asyncpg.Connection[Any], place: tuple[int, int], planned: Plan) -> None:
        gone = planned.touched - planned.scripts.keys()
        if gone:
            await script_rows.delete(connection, place, gone)
        # a name may go from one to another within a request: rows hold no rule that the order would break
        for script_id in sorted(planned.touched & planned.scripts.keys()):
            script = planned.scripts[script_id]
            name = self._seal.seal(place[1], name_place(script_id), script.name.encode())
            content = planned.contents.get(script_id)
            if content is None:
                await script_rows.rename(connection, place, script_id, name)
                continue
            sealed = self._seal.seal(place[1], content_place(script_id), content)
            await script_rows.put(connection, (*place, script_id, script.content_id, script.octets, name, sealed))


def place_of(who: Principal) -> tuple[int, int]:
    """Return where a person's rows are: partition and account."""
    return partition_of_account(who.account_id), who.account_id


async def checked_update(update: ScriptUpdate) -> ScriptUpdate:
    """Return a change with what is wrong with its content."""
    if update.content is None or len(update.content) > MAX_SCRIPT_OCTETS:
        return update
    return replace(update, fault=await check(update.content))


def wanted_id(planned: Plan, switched: Switch) -> int:
    """Return the id of the script that shall be active: 0 for none said, -1 for one that is not there."""
    if switched.created_by is None:
        return switched.activate_id
    if not 0 <= switched.created_by < len(planned.results):
        return -1
    made = planned.results[switched.created_by].script
    return -1 if made is None else made.script_id


def current(result: ScriptResult, planned: Plan) -> ScriptResult:
    """Return a result with its script as it is once all is done."""
    if result.status is not ScriptStatus.OK or result.script is None:
        return result
    script = planned.scripts.get(result.script.script_id, result.script)
    return replace(result, script=replace(script, active=script.script_id == planned.active_id))
