"""A mailbox of the hierarchy, and what a request leaves of them all (RFC 8620 §5.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from petitbleu.store.v1 import mailbox_pb2 as pb

Fault: TypeAlias = "pb.MailboxFault.ValueType"

_FORBIDDEN: Final = frozenset(
    {
        pb.MAILBOX_FAULT_STANDARD, pb.MAILBOX_FAULT_TOO_MANY, pb.MAILBOX_FAULT_NO_RIGHT,
        pb.MAILBOX_FAULT_SHARED_WITH_TOO_MANY, pb.MAILBOX_FAULT_TOO_MANY_SHARES, pb.MAILBOX_FAULT_TOO_MANY_AT_ONCE,
    }
)  # fmt: skip
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

    @property
    def place(self) -> tuple[int, int]:
        """Where it is: no other may have its name there."""
        return self.parent_id, self.name_hash

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
