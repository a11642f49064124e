"""Filter rules as a form has them: kept beside the script that they make, and set together with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from petitbleu_delivery.adapters import script_rows
from petitbleu_delivery.domain.scripts import Script, ScriptResult, ScriptStatus, ScriptUpdate, plan, switch
from petitbleu_delivery.service.scripts.keeping import (
    NotSoundError,
    ScriptKeeping,
    StateMismatchError,
    check,
    place_of,
)
from petitbleu_kit.identity import Principal
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_mail.sieve.filter_form import FormError, compile_form, read_form, write_form

SCRIPT_NAME: Final = "Filter rules"
_FORM_PLACE: Final = b"form"


class ChangedByHandError(Exception):
    """The script that the form made is not as it was made."""


class TooManyScriptsError(Exception):
    """The account has as many scripts as it may."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form: its rules in JSON (empty for none), its script (0 for none), whether that is another by now, and the active script (0 for none)."""

    rules: bytes = b""
    script_id: int = 0
    changed_by_hand: bool = False
    active_id: int = 0
    modseq: int = 0


class FilterForms(ScriptKeeping):
    """Keeps forms; built as `ScriptKeeping`, with which it shares the rows."""

    async def form(self, who: Principal) -> Form:
        """Return a person's form."""
        place = place_of(who)

        async def work(connection: asyncpg.Connection[Any]) -> Form:
            row = await script_rows.form(connection, *place)
            if row is None:
                return Form()
            return self._form(place, row, await self._scripts(connection, place, row["active_id"]))

        return await in_transaction(self._pool, work)

    async def set_form(
        self, who: Principal, octets: bytes, if_modseq: int | None, *, replace: bool
    ) -> tuple[Form, int]:
        """Replace a person's form and its script, in one commit; return it with the modseq before.

        The script becomes the active one where none is; a script of the person's own stays it.

        Raises:
            NotSoundError: these are no rules; its text says where.
            StateMismatchError: the scripts are not in the state asked for.
            ChangedByHandError: the script was changed by hand, and is not to be replaced.
            TooManyScriptsError: there is no room for a script.
        """
        try:
            rules = read_form(octets)
        except FormError as error:
            raise NotSoundError(str(error)) from None
        content = compile_form(rules).encode()
        if await check(content):
            raise NotSoundError("the rules are too long")
        place = place_of(who)
        sealed = self._seal.seal(place[1], _FORM_PLACE, write_form(rules))

        async def work(connection: asyncpg.Connection[Any]) -> tuple[Form, int, list[OutboxRow]]:
            book = await script_rows.lock(connection, *place, who.tenant_id)
            row = await script_rows.form(connection, *place)
            assert row is not None  # noqa: S101 — it is locked
            if if_modseq is not None and if_modseq != book["modseq"]:
                raise StateMismatchError
            before = await self._scripts(connection, place, book["active_id"])
            known = self._form(place, row, before)
            if known.changed_by_hand and not replace:
                raise ChangedByHandError
            update = ScriptUpdate(known.script_id, content=content)
            if not known.script_id:
                update = ScriptUpdate(name=_free_name({one.name for one in before}), content=content)
            planned = plan(before, book["active_id"], book["last_id"], [update])
            script = _made(planned.results[0])
            switch(planned, activate_id=script.script_id if not book["active_id"] else 0, deactivate=False)
            modseq = book["modseq"] + 1
            await self._write(connection, place, planned)
            await script_rows.raise_book(connection, place, modseq, planned.last_id, planned.active_id)
            await script_rows.put_form(connection, place, sealed, script.script_id, script.content_id)
            events = await self._tell(connection, place, modseq, book["vacation_modseq"])
            form = Form(write_form(rules), script.script_id, False, planned.active_id, modseq)
            return form, book["modseq"], events

        form, old, events = await in_transaction(self._pool, work)
        self._outbox.published_soon(events)
        return form, old

    def _form(self, place: tuple[int, int], row: asyncpg.Record, scripts: Sequence[Script]) -> Form:
        script = next((one for one in scripts if one.script_id == row["form_script_id"]), None)
        if script is None or row["form_sealed"] is None:  # who deletes the script deletes the rules
            return Form(active_id=row["active_id"], modseq=row["modseq"])
        rules = self._seal.open(place[1], _FORM_PLACE, row["form_sealed"])
        by_hand = script.content_id != row["form_content_id"]
        return Form(rules, script.script_id, by_hand, row["active_id"], row["modseq"])


def _free_name(taken: Collection[str]) -> str:
    number = 1
    while (name := SCRIPT_NAME if number == 1 else f"{SCRIPT_NAME} {number}") in taken:
        number += 1
    return name


def _made(result: ScriptResult) -> Script:
    if result.status is ScriptStatus.TOO_MANY:
        raise TooManyScriptsError
    if result.status is not ScriptStatus.OK or result.script is None:
        raise NotSoundError("the rules are too long")
    return result.script
