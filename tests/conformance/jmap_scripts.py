"""Rules of some people in memory, by the rules of delivery: its own plan, over a dictionary instead of a database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from petitbleu_delivery.domain.scripts import Script, ScriptUpdate, plan, switch
from petitbleu_delivery.domain.vacation import Vacation
from petitbleu_delivery.service.scripts.keeping import (
    NotSoundError,
    ScriptKeeping,
    StateMismatchError,
    Switch,
    Updated,
    checked_update,
    current,
    wanted_id,
)
from petitbleu_kit.identity import Principal


@dataclass
class _Book:
    scripts: dict[int, Script] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    active_id: int = 0
    last_id: int = 0
    modseq: int = 0
    vacation: Vacation = field(default_factory=Vacation)
    vacation_modseq: int = 0


class MemoryScripts(ScriptKeeping):
    """What `ScriptKeeping` does, in memory."""

    def __init__(self) -> None:
        self._books: dict[int, _Book] = {}

    async def states(self, account_ids: Collection[int]) -> dict[int, tuple[int, int]]:
        found = {one: self._books[one] for one in account_ids if one in self._books}
        return {one: (book.modseq, book.vacation_modseq) for one, book in found.items() if book.modseq}

    def know(self, account_id: int, modseq: int, vacation_modseq: int) -> None:
        """Let an account's rules be that far."""
        self._books[account_id] = _Book(modseq=modseq, vacation_modseq=vacation_modseq)

    def _book(self, who: Principal) -> _Book:
        return self._books.setdefault(who.account_id, _Book())

    async def scripts(self, who: Principal) -> tuple[list[Script], int]:
        book = self._book(who)
        return [replace(one, active=one.script_id == book.active_id) for one in book.scripts.values()], book.modseq

    async def content(self, who: Principal, content_id: int) -> bytes | None:
        book = self._book(who)
        known = {one.content_id: one.script_id for one in book.scripts.values()}
        return book.contents[known[content_id]] if content_id in known else None

    async def update(
        self, who: Principal, updates: Sequence[ScriptUpdate], switched: Switch, if_modseq: int | None
    ) -> Updated:
        checked = [await checked_update(update) for update in updates]
        book = self._book(who)
        if if_modseq is not None and if_modseq != book.modseq:
            raise StateMismatchError
        old = book.modseq
        planned = plan(list(book.scripts.values()), book.active_id, book.last_id, checked)
        switch(planned, activate_id=wanted_id(planned, switched), deactivate=switched.deactivate)
        if planned.touched or planned.active_id != book.active_id:
            book.modseq += 1
        book.scripts, book.active_id, book.last_id = planned.scripts, planned.active_id, planned.last_id
        book.contents.update(planned.contents)
        results = [current(result, planned) for result in planned.results]
        return Updated(results, old, book.modseq, planned.activated_id, planned.deactivated_id)

    async def vacation(self, who: Principal) -> tuple[Vacation, int]:
        book = self._book(who)
        return book.vacation, book.vacation_modseq

    async def set_vacation(self, who: Principal, wanted: Vacation, if_modseq: int | None) -> tuple[int, int]:
        book = self._book(who)
        if not wanted.is_sound():
            raise NotSoundError
        if if_modseq is not None and if_modseq != book.vacation_modseq:
            raise StateMismatchError
        book.vacation = wanted
        old = book.vacation_modseq
        book.modseq += 1
        book.vacation_modseq = book.modseq
        return old, book.vacation_modseq
