"""What a request leaves of an account's mailboxes (RFC 8620 §5.3): all that it asks where that is valid, else what of it can be.

The whole request is tried first, so that two mailboxes may exchange their names. While what it leaves is not valid, the last changes
that make it so are left out; then each of them has its chance on what the others leave.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_mail.mailbox_rules import FREE_ROLES, STANDARD_ROLES, normal_name
from petitbleu_store.domain.mailbox_levels import broken
from petitbleu_store.domain.mailbox_outcome import Fault, MailboxRow, Outcome
from petitbleu_store.domain.mailbox_rivals import losers
from petitbleu_store.domain.standard_mailboxes import INBOX, LAST_STANDARD_ID

MAX_MAILBOXES: Final = 1000
"""Mailboxes of an account: a list of them is always given whole."""
_NOWHERE: Final = -(1 << 62)
_MOST_CHANCES: Final = 100
"""Changes left out that are tried once more; what a person does at once is fewer."""
# What other changes of the same request cannot mend.
_LASTING: Final = frozenset(
    {
        pb.MAILBOX_FAULT_NAME, pb.MAILBOX_FAULT_ROLE, pb.MAILBOX_FAULT_SORT_ORDER, pb.MAILBOX_FAULT_STANDARD,
        pb.MAILBOX_FAULT_HAS_MESSAGES, pb.MAILBOX_FAULT_NO_RIGHT, pb.MAILBOX_FAULT_SHARES,
    }
)  # fmt: skip


@dataclass(slots=True)
class _Trial:
    """What some of the updates would leave.

    `moved` and `given_role` tell which update did that to a mailbox last, `changes` how many updates are about it.
    """

    tree: dict[int, MailboxRow]
    changes: Counter[int] = field(default_factory=Counter)
    names: dict[int, str] = field(default_factory=dict)
    moved: dict[int, int] = field(default_factory=dict)
    given_role: dict[int, int] = field(default_factory=dict)
    created: dict[int, int] = field(default_factory=dict)
    destroyed: dict[int, int] = field(default_factory=dict)
    faults: dict[int, set[Fault]] = field(default_factory=dict)

    def blame(self, indices: Iterable[int], fault: Fault) -> None:
        """Note a fault of the last of some updates, if there is one."""
        last = max(indices, default=None)
        if last is not None:
            self.faults.setdefault(last, set()).add(fault)


@dataclass(frozen=True, slots=True)
class _There:
    """What a trial leaves, by what only one mailbox may have; `parents` are those in which there are others."""

    trial: _Trial
    places: dict[tuple[int, int], int]
    roles: dict[str, int]
    parents: set[int]

    @classmethod
    def of(cls, trial: _Trial) -> _There:
        rows = trial.tree.values()
        return cls(
            trial,
            {row.place: row.mailbox_id for row in rows},
            {row.role: row.mailbox_id for row in rows if row.role},
            {row.parent_id for row in rows},
        )


class Change:
    """A request to change mailboxes.

    Args:
        rows: The account's mailboxes by id.
        updates: The request's updates.
        occupied: Mailboxes in which there are messages.
        key: Gives the number by which a name is told from its siblings'.
        barred: What stands against updates before they are looked at, by index; they are not done.
    """

    def __init__(
        self,
        rows: Mapping[int, MailboxRow],
        updates: Sequence[pb.MailboxUpdate],
        occupied: Collection[int],
        key: Callable[[str], int],
        barred: Mapping[int, set[Fault]] | None = None,
    ) -> None:
        self._rows = rows
        self._updates = updates
        self._occupied = occupied
        self._key = functools.cache(key)
        self._barred = dict(barred or {})
        self._inbox_key = self._key("INBOX")
        self._targets = [self._target(index) for index in range(len(updates))]

    def outcome(self) -> Outcome:
        """Work out what is done and what is not."""
        active = [index for index in range(len(self._updates)) if index not in self._barred]
        refused: dict[int, set[Fault]] = dict(self._barred)
        while (trial := self._try(active)).faults:
            refused.update(trial.faults)
            active = [index for index in active if index not in trial.faults]
        trial = self._give_chances(active, refused, trial)
        return Outcome(trial.tree, trial.names, self._targets, refused)

    def _give_chances(self, active: list[int], refused: dict[int, set[Fault]], trial: _Trial) -> _Trial:
        """Do what may be done now that others are left out; return what all leaves."""
        there = _There.of(trial)
        chances = _MOST_CHANCES
        for index in sorted(refused.keys() - self._barred.keys()):
            if not self._has_chance(index, refused[index]) or self._in_the_way(there, index):
                continue
            again = sorted([*active, index])
            other = self._try(again)
            if not other.faults:
                active, trial, there = again, other, _There.of(other)
                del refused[index]
            chances -= 1
            if not chances:
                break
        return trial

    def _in_the_way(self, there: _There, index: int) -> bool:
        """Whether something that this one change does not move stands in its way still: so that it need not be tried."""
        update, target = self._updates[index], self._targets[index]
        row = there.trial.tree.get(target)
        if row is None and target != -1 - index:
            return True
        if there.trial.changes[target]:
            return False  # others are about the same mailbox
        if update.destroy:
            return target in there.parents
        parent_id = row.parent_id if row else 0
        if update.HasField("parent_created_by"):
            parent_id = self._made(update.parent_created_by)
        elif update.HasField("parent_id"):
            parent_id = update.parent_id
        name = normal_name(update.name) if update.HasField("name") else None
        name_hash = self._key(name) if name is not None else row.name_hash if row else 0
        return (
            (row is None and len(there.trial.tree) >= MAX_MAILBOXES)
            or (parent_id != 0 and parent_id not in there.trial.tree)
            or there.places.get((parent_id, name_hash), target) != target
            or there.roles.get(update.role, target) != target
        )

    def _has_chance(self, index: int, faults: set[Fault]) -> bool:
        """Whether a change that was left out may be right once others are left out too."""
        return not faults & _LASTING and (bool(faults) or self._targets[index] != _NOWHERE)

    def _target(self, index: int) -> int:
        update = self._updates[index]
        if update.HasField("created_by"):
            return self._made(update.created_by)
        if update.mailbox_id == 0 and not update.destroy:
            return -1 - index
        return update.mailbox_id if update.mailbox_id in self._rows else _NOWHERE

    def _made(self, index: int) -> int:
        """Return the id of what the update at an index creates."""
        if not 0 <= index < len(self._updates):
            return _NOWHERE
        update = self._updates[index]
        creates = update.mailbox_id == 0 and not update.destroy and not update.HasField("created_by")
        return -1 - index if creates else _NOWHERE

    def _try(self, active: Sequence[int]) -> _Trial:
        trial = _Trial(dict(self._rows), Counter(self._targets[index] for index in active))
        for index in active:
            found = self._destroy(trial, index) if self._updates[index].destroy else self._write(trial, index)
            if found is None or found:
                trial.faults[index] = found or set()
        self._check_names(trial)
        self._check_roles(trial)
        for some, fault in broken(
            {one: row.parent_id for one, row in trial.tree.items()}, trial.moved, trial.destroyed
        ):
            trial.blame(some, fault)
        excess = len(trial.tree) - MAX_MAILBOXES
        if excess > 0:
            for index in sorted(trial.created.values())[-excess:]:
                trial.blame([index], pb.MAILBOX_FAULT_TOO_MANY)
        return trial

    def _destroy(self, trial: _Trial, index: int) -> set[Fault] | None:
        target = self._targets[index]
        if target not in trial.tree:
            return None
        if 0 < target <= LAST_STANDARD_ID:
            return {pb.MAILBOX_FAULT_STANDARD}
        if target in self._occupied and not self._updates[index].with_messages:
            return {pb.MAILBOX_FAULT_HAS_MESSAGES}
        del trial.tree[target]
        trial.created.pop(target, None)
        trial.destroyed[target] = index
        return set()

    def _write(self, trial: _Trial, index: int) -> set[Fault] | None:
        """Put a creation or a change in the tree, as far as it is right in itself; return what is not, None if there is no mailbox."""
        update, target = self._updates[index], self._targets[index]
        faults: set[Fault] = set()
        if target == -1 - index:
            row = MailboxRow(target, 0, "", 0, False, 0, b"", 0)
            trial.moved[target] = trial.created[target] = index
            if not update.HasField("name"):
                faults.add(pb.MAILBOX_FAULT_NAME)
        elif target in trial.tree:
            row = trial.tree[target].copy()
        else:
            return None
        self._place(trial, index, row, faults)
        if update.HasField("role") and update.role != row.role:
            if 0 < target <= LAST_STANDARD_ID:
                faults.add(pb.MAILBOX_FAULT_STANDARD)
            elif update.role and update.role not in FREE_ROLES | STANDARD_ROLES:
                faults.add(pb.MAILBOX_FAULT_ROLE)
            else:
                row.role = update.role
                trial.given_role[target] = index
        if update.HasField("sort_order"):
            if update.sort_order < 0:  # RFC 8621 §2: 0 <= sortOrder < 2^31
                faults.add(pb.MAILBOX_FAULT_SORT_ORDER)
            row.sort_order = update.sort_order
        if update.HasField("subscribed"):
            row.subscribed = update.subscribed
        trial.tree[target] = row
        return faults

    def _place(self, trial: _Trial, index: int, row: MailboxRow, faults: set[Fault]) -> None:
        """Give a mailbox the name and the parent that an update has for it."""
        update = self._updates[index]
        name_hash, parent_id = row.name_hash, row.parent_id
        if update.HasField("name"):
            name = normal_name(update.name)
            if name is None:
                faults.add(pb.MAILBOX_FAULT_NAME)
            else:
                name_hash = self._key(name)
                if row.mailbox_id != INBOX:
                    trial.names[row.mailbox_id] = name
        if update.HasField("parent_created_by"):
            parent_id = self._made(update.parent_created_by)
        elif update.HasField("parent_id"):
            parent_id = update.parent_id if update.parent_id >= 0 else _NOWHERE
        if (name_hash, parent_id) != (row.name_hash, row.parent_id):
            if row.mailbox_id == INBOX:
                faults.add(pb.MAILBOX_FAULT_STANDARD)
                return
            row.name_hash, row.parent_id = name_hash, parent_id
            trial.moved[row.mailbox_id] = index

    def _check_names(self, trial: _Trial) -> None:
        """RFC 8621 §2: no two siblings have the same name."""
        if not trial.moved:
            return
        # RFC 9051 §5.1: INBOX is a name of its own, whatever the inbox is called here.
        lost = losers(
            {one: row.place for one, row in trial.tree.items()},
            trial.moved,
            lambda one: None if (row := self._left(trial, one)) is None else row.place,
            [(0, self._inbox_key)],
            trial.faults,
        )
        for one in lost:
            trial.blame([trial.moved[one]], pb.MAILBOX_FAULT_NAME_TAKEN)

    def _check_roles(self, trial: _Trial) -> None:
        """RFC 8621 §2: no two mailboxes of an account have the same role."""
        if not trial.given_role:
            return
        lost = losers(
            {one: row.role for one, row in trial.tree.items() if row.role},
            trial.given_role,
            lambda one: None if (row := self._left(trial, one)) is None else row.role or None,
            doubtful=trial.faults,
        )
        for one in lost:
            trial.blame([trial.given_role[one]], pb.MAILBOX_FAULT_ROLE_TAKEN)

    def _left(self, trial: _Trial, mailbox_id: int) -> MailboxRow | None:
        """Return what is left of a mailbox when the one change of it is left out; None when there are several."""
        return self._rows.get(mailbox_id) if trial.changes[mailbox_id] == 1 else None
