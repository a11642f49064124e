"""What a request leaves of an account's mailboxes (RFC 8620 §5.3): all that it asks where that is valid, else what of it can be.

The whole request is tried first, so that two mailboxes may exchange their names. While what it leaves is not valid, the last changes
that make it so are left out; then each of them has its chance on what the others leave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_mail.mailbox_rules import FREE_ROLES, MAX_DEPTH, STANDARD_ROLES, normal_name
from petitbleu_store.domain.standard_mailboxes import INBOX, LAST_STANDARD_ID

Fault: TypeAlias = "pb.MailboxFault.ValueType"

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
_FORBIDDEN: Final = frozenset({pb.MAILBOX_FAULT_STANDARD, pb.MAILBOX_FAULT_TOO_MANY, pb.MAILBOX_FAULT_NO_RIGHT})
_INVALID: Final = frozenset(
    {
        pb.MAILBOX_FAULT_NAME, pb.MAILBOX_FAULT_PARENT, pb.MAILBOX_FAULT_ROLE, pb.MAILBOX_FAULT_SORT_ORDER,
        pb.MAILBOX_FAULT_SHARES,
    }
)  # fmt: skip


@dataclass(slots=True)
class MailboxRow:
    """A mailbox without its counters; `total` is that of the moment it was read."""

    mailbox_id: int
    parent_id: int
    role: str
    sort_order: int
    subscribed: bool
    name_hash: int
    name_sealed: bytes
    total: int

    def copy(self) -> MailboxRow:
        """Return another one like it."""
        return replace(self)


@dataclass(slots=True)
class Outcome:
    """What a request leaves.

    Attributes:
        tree: The mailboxes by id; what the update at an index creates has the id -1 - index.
        names: Names given anew, by id.
        targets: The id that each update is about.
        refused: What stands against each update that is not done, by its index; nothing stands against one whose mailbox is not there.
    """

    tree: dict[int, MailboxRow]
    names: dict[int, str]
    targets: list[int]
    refused: dict[int, set[Fault]]

    def status(self, index: int) -> pb.UpdateStatus.ValueType:
        """Return what became of an update."""
        found = self.refused.get(index)
        if found is None:
            return pb.UPDATE_STATUS_OK
        if not found:
            return pb.UPDATE_STATUS_NOT_FOUND
        if found & _FORBIDDEN:
            return pb.UPDATE_STATUS_FORBIDDEN
        return pb.UPDATE_STATUS_INVALID_MAILBOX if found & _INVALID else pb.UPDATE_STATUS_CONFLICT


@dataclass(slots=True)
class _Trial:
    """What some of the updates would leave; `moved` and `given_role` tell which update did that to a mailbox last."""

    tree: dict[int, MailboxRow]
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
        self._key = key
        self._barred = dict(barred or {})
        self._inbox_key = key("INBOX")
        self._targets = [self._target(index) for index in range(len(updates))]

    def outcome(self) -> Outcome:
        """Work out what is done and what is not."""
        active = [index for index in range(len(self._updates)) if index not in self._barred]
        refused: dict[int, set[Fault]] = dict(self._barred)
        while (trial := self._try(active)).faults:
            refused.update(trial.faults)
            active = [index for index in active if index not in trial.faults]
        for index in [
            one for one in sorted(refused) if one not in self._barred and self._has_chance(one, refused[one])
        ][:_MOST_CHANCES]:
            again = sorted([*active, index])
            other = self._try(again)
            if not other.faults:
                active, trial = again, other
                del refused[index]
        return Outcome(trial.tree, trial.names, self._targets, refused)

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

    def _try(self, active: Iterable[int]) -> _Trial:
        trial = _Trial(dict(self._rows))
        for index in active:
            found = self._destroy(trial, index) if self._updates[index].destroy else self._write(trial, index)
            if found is None or found:
                trial.faults[index] = found or set()
        self._check_names(trial)
        self._check_roles(trial)
        self._check_hierarchy(trial)
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
        tree = trial.tree
        taken: dict[tuple[int, int], list[int]] = {
            (tree[one].parent_id, tree[one].name_hash): [] for one in trial.moved if one in tree
        }
        if not taken:
            return
        for row in tree.values():
            siblings = taken.get((row.parent_id, row.name_hash))
            if siblings is not None:
                siblings.append(row.mailbox_id)
        for (parent_id, name_hash), siblings in taken.items():
            # RFC 9051 §5.1: INBOX is a name of its own, whatever the inbox is called here.
            reserved = not parent_id and name_hash == self._inbox_key and siblings != [INBOX]
            if len(siblings) > 1 or reserved:
                trial.blame([trial.moved[one] for one in siblings if one in trial.moved], pb.MAILBOX_FAULT_NAME_TAKEN)

    def _check_roles(self, trial: _Trial) -> None:
        """RFC 8621 §2: no two mailboxes of an account have the same role."""
        having: dict[str, list[int]] = {}
        if trial.given_role:
            for row in trial.tree.values():
                if row.role:
                    having.setdefault(row.role, []).append(row.mailbox_id)
        for some in having.values():
            if len(some) > 1:
                trial.blame(
                    [trial.given_role[one] for one in some if one in trial.given_role], pb.MAILBOX_FAULT_ROLE_TAKEN
                )

    def _check_hierarchy(self, trial: _Trial) -> None:
        """RFC 8621 §2: every parent is there, and no mailbox is above itself."""
        if not trial.moved and not trial.destroyed:
            return
        levels: dict[int, int] = {0: 0}
        for start, row in trial.tree.items():
            if row.parent_id and row.parent_id not in trial.tree:
                if row.parent_id in trial.destroyed:
                    trial.blame([trial.destroyed[row.parent_id]], pb.MAILBOX_FAULT_HAS_CHILD)
                elif start in trial.moved:
                    trial.blame([trial.moved[start]], pb.MAILBOX_FAULT_PARENT)
            chain: dict[int, None] = {}
            at = start
            while at not in levels and at in trial.tree and at not in chain:
                chain[at] = None
                at = trial.tree[at].parent_id
            level = levels.get(at, 0)
            if at in chain or level + len(chain) > MAX_DEPTH:
                above = list(chain) if at in chain else self._line(trial, start)
                trial.blame([trial.moved[one] for one in above if one in trial.moved], pb.MAILBOX_FAULT_PARENT)
            for one in reversed(chain):
                level += 1
                levels[one] = level

    @staticmethod
    def _line(trial: _Trial, start: int) -> list[int]:
        """Return a mailbox and those above it."""
        line: list[int] = []
        at = start
        while at in trial.tree and at not in line:
            line.append(at)
            at = trial.tree[at].parent_id
        return line
