"""Every change that a guardian makes goes through here: what opens a door waits while it is not sure that it is the guardian who asks.

A password that was just set anew, or a device that was never seen, may be a thief's. What closes a door is done at once, whoever asks;
what opens one is kept until accounts is sure, told to all guardians, and cancelled by any of them. It is judged again when it is done: what
anybody refused meanwhile stays refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from prometheus_client import Counter

from petitbleu_junior_guard.domain.changes import (
    Change,
    DecideSender,
    Invite,
    Leave,
    MoveLevel,
    PutGroup,
    SetGroupVoice,
    SetVoice,
    decode,
    encode,
    opens,
)
from petitbleu_junior_guard.domain.rules import Level, canonical
from petitbleu_junior_guard.domain.seal import Seal, SealError
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, PendingChanges, PendingRow
from petitbleu_junior_guard.service.families import level_of
from petitbleu_junior_guard.service.guard import Clock, utc_now
from petitbleu_junior_guard.service.guardians import Guardianships
from petitbleu_junior_guard.service.guardianship import Guardianship
from petitbleu_junior_guard.service.waiting import WaitingRoom
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_kept = Counter("petitbleu_junior_guard_changes_kept_total", "Changes that waited", ["kind", "outcome"])
_MOST: Final = 100
_TRY_AGAIN: Final = frozenset({Fault.DATABASE_AWAY, Fault.STORE_AWAY, Fault.PEER_AWAY})


class Made(msgspec.Struct, frozen=True):
    """What became of a change: what the use case answered, or when it will be done."""

    result: Any = None
    waits_until: datetime | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A change that waits, for guardians' eyes; `about` is an address, the name of a group or a level's number."""

    change_id: int
    guardian_id: int
    kind: str
    about: str
    asked_at: datetime
    due_at: datetime


class Changes:
    """The use cases.

    Args:
        guardianship: Does what concerns correspondents, groups and levels.
        room: Does what concerns mail that waits.
        guardians: Does what concerns who guards.
        rows: Keeps what waits.
        seal: Seals it.
        clock: The time.
    """

    def __init__(
        self, guardianship: Guardianship, room: WaitingRoom, guardians: Guardianships, rows: PendingChanges, seal: Seal,
        clock: Clock = utc_now,
    ) -> None:  # fmt: skip
        self._guardians = guardians
        self._guardianship = guardianship
        self._room = room
        self._rows = rows
        self._seal = seal
        self._clock = clock

    async def make(self, account_id: int, actor: Actor, change: Change) -> Made:
        """Do a change, or keep it; raises what the use cases raise."""
        now = self._clock()
        due = datetime.fromtimestamp(actor.cooling_until, UTC)
        subject = self._subject(account_id, change)
        level = await self._level(account_id, actor)
        opening = opens(change, level)
        if due > now and opening:
            text = encode(change)
            about = await self._about(account_id, actor, change)
            row = PendingRow(
                0, actor.party, actor.tenant_id, _kind(change), subject, self._seal.hash(account_id, f"change:{text}"),
                self._seal.seal(account_id, text), self._seal.seal(account_id, about), now, due,
            )  # fmt: skip
            kept = await self._rows.keep(account_id, actor, row)
            _kept.labels(kind=row.kind, outcome="kept").inc()
            return Made(waits_until=kept)
        # What closes a door ends what would open it again, whoever asked for that; what opens it, what one asked for oneself. It comes
        # first: whatever happens between, a door stays closed.
        await self._rows.settle(account_id, subject, actor.party if opening else None)
        return Made(await self._do(account_id, actor, change))

    async def _level(self, account_id: int, actor: Actor) -> Level:
        for child in await self._guardianship.children(actor):
            if child.account_id == account_id:
                return child.level
        raise GuardError(Fault.NOT_YOURS)

    def _subject(self, account_id: int, change: Change) -> bytes:
        match change:
            case SetVoice(address=address) | Invite(address=address):
                known = canonical(address)
                if known is None:
                    raise GuardError(Fault.BAD_ADDRESS)
                return self._seal.hash(account_id, known if isinstance(change, SetVoice) else f"invitation:{known}")
            case Leave(guardian_id=guardian_id):
                return b"leaving" + guardian_id.to_bytes(8, "big", signed=True)
            case DecideSender(sender_id=sender_id):
                return sender_id
            case MoveLevel(level=level):
                level_of(level)
                return b"level"
            case PutGroup(group_id=group_id) | SetGroupVoice(group_id=group_id):
                return group_id.to_bytes(8, "big", signed=True)

    async def _about(self, account_id: int, actor: Actor, change: Change) -> str:
        match change:
            case SetVoice(address=address) | Invite(address=address):
                return canonical(address) or ""
            case MoveLevel(level=number) | Leave(guardian_id=number):
                return str(number)
            case PutGroup(name=name):
                return name[:100]
            case SetGroupVoice(group_id=group_id):
                groups = await self._guardianship.groups(account_id, actor)
                return _first((group.name for group in groups if group.group_id == group_id), Fault.NO_GROUP)
            case DecideSender(sender_id=sender_id):
                senders = (await self._room.waiting(account_id, actor)).senders
                return _first(
                    (one.address for one in senders if one.row.sender_hash == sender_id), Fault.NO_SENDER
                )  # fmt: skip

    async def _do(self, account_id: int, actor: Actor, change: Change) -> Any:
        match change:
            case SetVoice() | MoveLevel() | DecideSender():
                return await self._do_of_sender(account_id, actor, change)
            case PutGroup():
                return await self._guardianship.put_group(
                    account_id, change.group_id, change.kind, change.name, change.addresses, actor, change.ends_at
                )
            case SetGroupVoice():
                return await self._guardianship.set_group_voice(
                    account_id, change.group_id, actor, change.action, change.ends_at
                )
            case Invite(address=address):
                return await self._guardians.invite(account_id, address, actor)
            case Leave(guardian_id=guardian_id):
                return await self._guardians.leave(account_id, guardian_id, actor)

    async def _do_of_sender(self, account_id: int, actor: Actor, change: SetVoice | MoveLevel | DecideSender) -> Any:
        match change:
            case SetVoice():
                return await self._guardianship.set_voice(
                    account_id, change.address, actor, change.action, change.ends_at, although_alike=change.although_alike
                )  # fmt: skip
            case MoveLevel(level=level):
                return await self._guardianship.move_level(account_id, level, actor)
            case DecideSender():
                return await self._room.decide(
                    account_id, change.sender_id, actor, change.action, authenticated=change.authenticated,
                    ends_at=change.ends_at, although_alike=change.although_alike,
                )  # fmt: skip

    async def waiting(self, account_id: int, actor: Actor) -> list[Waiting]:
        """Give the changes that wait for a child, the next first; NOT_YOURS."""
        return [
            Waiting(
                row.change_id, row.guardian_id, row.kind, self._seal.open(account_id, row.sealed_about), row.asked_at,
                row.due_at,
            )
            for row in await self._rows.list_for(account_id, actor)
        ]  # fmt: skip

    async def cancel(self, account_id: int, actor: Actor, change_id: int) -> None:
        """Cancel a change that waits, as any guardian; NOT_YOURS, NO_CHANGE."""
        await self._rows.cancel(account_id, actor, change_id)
        _kept.labels(kind="any", outcome="cancelled").inc()

    async def run(self) -> int:
        """Do what has waited long enough; how many changes that were."""
        rows = await self._rows.due(self._clock(), _MOST)
        for account_id, row in rows:
            outcome = "done"
            try:
                change = decode(self._seal.open(account_id, row.sealed))
                await self._do(account_id, Actor(row.guardian_id, row.tenant_id), change)
            except GuardError as error:
                if error.fault in _TRY_AGAIN:
                    continue
                # its guardian is one no more, or somebody refuses what it was about
                outcome = "void"
                _log.info("a change that waited is void", account_id=account_id, why=error.fault.name)
            except (SealError, msgspec.MsgspecError) as error:  # damage: those behind it must not wait for it
                outcome = "void"
                _log.error(
                    "a change that waited cannot be read", account_id=account_id, error_type=type(error).__qualname__
                )
            await self._rows.done(account_id, row.change_id, void=outcome == "void")
            _kept.labels(kind=row.kind, outcome=outcome).inc()
        return len(rows)


def _first(found: Iterable[str], fault: Fault) -> str:
    """Return the first; raises `GuardError` when there is none."""
    for one in found:
        return one
    raise GuardError(fault)


def _kind(change: Change) -> str:
    return str(type(change).__struct_config__.tag)
