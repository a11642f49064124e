"""What guardians do for their children, and what a child may do itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from petitbleu_junior_guard.domain.correspondents import Action, Correspondent, Known, Spoken, State, knowledge, state
from petitbleu_junior_guard.domain.rules import Level
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.domain.voices import Circle, Kind, approval, holds
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, ChildRow, Correspondents, Entry, GroupRow, Groups
from petitbleu_junior_guard.ports import Guardianship as Rows
from petitbleu_junior_guard.service.class_copies import SealedCopies
from petitbleu_junior_guard.service.families import correspondent, level_of
from petitbleu_junior_guard.service.guard import Clock, utc_now

MAX_MEMBERS: Final = 200
MAX_NAME: Final = 100
MAX_ENTRIES: Final = 500
DEFAULT_ENTRIES: Final = 100
LAST: Final = datetime(9998, 1, 1, tzinfo=UTC)


class Group(msgspec.Struct, frozen=True):
    """A group for its guardians; `is_approved` when it lets its members in, at a level that lets groups in."""

    group_id: int
    kind: Circle
    name: str
    addresses: Sequence[str]
    spoken: Sequence[Spoken]
    is_approved: bool


class AuditEntry(msgspec.Struct, frozen=True):
    """An entry of the audit; `address` is empty when it is about none."""

    done_at: datetime
    actor: str
    action: str
    address: str
    subject: str


class Guardianship:
    """The use cases of persons. Each raises `GuardError`: DATABASE_AWAY, and NOT_YOURS for whoever guards no such child.

    Args:
        rows: Children.
        correspondents: What is said of addresses.
        groups: Groups.
        seal: Hashes and seals addresses.
        clock: The time by which approvals end.
    """

    def __init__(
        self, rows: Rows, correspondents: Correspondents, groups: Groups, seal: Seal, clock: Clock = utc_now
    ) -> None:
        self._rows = rows
        self._correspondents = correspondents
        self._groups = groups
        self._seal = seal
        self._clock = clock

    async def children(self, actor: Actor) -> list[ChildRow]:
        """Give a guardian's children."""
        return await self._rows.children(actor)

    async def move_level(self, account_id: int, level: int, actor: Actor) -> None:
        """Move a child's level; also BAD_LEVEL."""
        await self._rows.move_level(account_id, level_of(level), actor)

    async def audit(self, account_id: int, actor: Actor, limit: int, before: datetime | None) -> list[AuditEntry]:
        """Give the latest entries of the audit."""
        if not 0 <= limit <= MAX_ENTRIES:
            raise GuardError(Fault.BAD_REQUEST)
        found = await self._rows.audit_of(account_id, actor, limit or DEFAULT_ENTRIES, before)
        return [self._entry(account_id, entry) for entry in found]

    def _entry(self, account_id: int, entry: Entry) -> AuditEntry:
        about = entry.sealed is not None
        address = self._seal.open(account_id, entry.sealed) if entry.sealed is not None else ""
        return AuditEntry(entry.done_at, entry.actor, entry.action, address, "" if about else entry.subject)

    def _shown(self, account_id: int, level: Level, known: Known) -> Correspondent:
        now = self._clock()
        return Correspondent(
            self._seal.open(account_id, known.sealed), state(known, now),
            knowledge(level, known.standing, now).is_let_in(), known.spoken,
        )  # fmt: skip

    def _end(self, ends_at: datetime | None) -> datetime | None:
        if ends_at is not None and not self._clock() < ends_at < LAST:
            raise GuardError(Fault.BAD_REQUEST)
        return ends_at

    async def correspondents(self, account_id: int, actor: Actor) -> list[Correspondent]:
        """Give a child's correspondents to a guardian."""
        level, found = await self._correspondents.list_for(account_id, actor)
        return [self._shown(account_id, level, one) for one in found]

    async def set_voice(
        self, account_id: int, address: str, actor: Actor, action: Action, ends_at: datetime | None = None,
        *, although_alike: bool = False,
    ) -> Correspondent:  # fmt: skip
        """Say something of a correspondent; also BAD_REQUEST, BAD_ADDRESS, TOO_MANY, LOOKS_ALIKE."""
        if account_id <= 0 or (ends_at is not None and action is not Action.APPROVE):
            raise GuardError(Fault.BAD_REQUEST)
        one = correspondent(self._seal, account_id, address)
        level, known = await self._correspondents.set_voice(
            account_id, one, actor, action, self._end(ends_at), self._clock(), although_alike=although_alike
        )
        return self._shown(account_id, level, known)

    async def groups(self, account_id: int, actor: Actor) -> list[Group]:
        """Give a child's groups."""
        now = self._clock()
        found = []
        for one in await self._groups.list_for(account_id, actor):
            if one.school_ends_at is not None and one.school_ends_at <= now:
                continue
            found.append(
                Group(
                    one.group_id, one.kind, self._seal.open(account_id, one.sealed_name),
                    [self._seal.open(account_id, sealed) for sealed in one.members], one.spoken,
                    holds(approval(spoken.voice for spoken in one.spoken), now),
                )
            )  # fmt: skip
        return found

    async def put_group(
        self, account_id: int, group_id: int, kind: Circle, name: str, addresses: Sequence[str], actor: Actor,
        ends_at: datetime | None = None,
    ) -> int:  # fmt: skip
        """Make a group and approve it, or replace name and members of one; also BAD_REQUEST, BAD_ADDRESS, NO_GROUP, TOO_MANY."""
        if account_id <= 0 or group_id < 0 or len(addresses) > MAX_MEMBERS or not 0 < len(name) <= MAX_NAME:
            raise GuardError(Fault.BAD_REQUEST)
        members = {
            one.address_hash: one for one in (correspondent(self._seal, account_id, address) for address in addresses)
        }
        row = GroupRow(group_id, kind, self._seal.seal(account_id, name), list(members.values()))
        return await self._groups.put(account_id, row, actor, self._end(ends_at))

    async def set_group_voice(
        self, account_id: int, group_id: int, actor: Actor, action: Action, ends_at: datetime | None = None
    ) -> None:
        """Say something of a group; also BAD_REQUEST, NO_GROUP."""
        if action is Action.UNDO or (ends_at is not None and action is not Action.APPROVE):
            raise GuardError(Fault.BAD_REQUEST)
        await self._groups.set_voice(
            account_id, group_id, actor, action, self._end(ends_at), SealedCopies(self._seal), self._clock()
        )

    async def ask(self, child: Actor, address: str) -> Correspondent:
        """Ask for a correspondent as the child, or add it; NOT_A_CHILD, BAD_ADDRESS, TOO_MANY."""
        one = correspondent(self._seal, child.party, address)
        level, known = await self._correspondents.ask(child, one, self._clock())
        return self._for_child(child, level, known)

    async def own(self, child: Actor) -> tuple[Level, list[Correspondent]]:
        """Give a child its level and correspondents; of those that are refused the ones that it asked for. NOT_A_CHILD."""
        level, found = await self._correspondents.own(child)
        shown = [self._for_child(child, level, one) for one in found if _concerns(child, one)]
        return level, [one for one in shown if one.state is not State.NONE]

    def _for_child(self, child: Actor, level: Level, known: Known) -> Correspondent:
        shown = self._shown(child.party, level, known)
        # Who of its parents said what is between them.
        kind = State.REFUSED if shown.state is State.BLOCKED else shown.state
        return msgspec.structs.replace(shown, state=kind, spoken=[])


def _concerns(child: Actor, known: Known) -> bool:
    """Whether a child sees a correspondent: not those that others refused without its having asked."""
    return not known.standing.is_refused or any(
        one.voice.party == child.party and one.voice.kind in {Kind.ASKED, Kind.ADDED} for one in known.spoken
    )
