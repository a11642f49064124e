"""What a Mailbox looks like (RFC 8621 §2), and what its owner may do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.shares import SHARE_WITH, rights_object, share_with
from petitbleu_mail.mailbox_rules import MAX_DEPTH, STANDARD_ROLES

COUNTS: Final = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")


def rights(role: str, level: int) -> dict[str, bool]:
    """Return the myRights of a mailbox by its role and its level in the hierarchy (RFC 8621 §2).

    The standard mailboxes stay; the inbox keeps its name and its place too. Mail is submitted to none directly.
    """
    return {
        "mayReadItems": True, "mayAddItems": True, "mayRemoveItems": True, "maySetSeen": True, "maySetKeywords": True,
        "mayCreateChild": level < MAX_DEPTH, "mayRename": role != "inbox", "mayDelete": role not in STANDARD_ROLES,
        "maySubmit": False,
    }  # fmt: skip


def levels(parents: Mapping[int, int]) -> dict[int, int]:
    """Return the level of each mailbox, 1 at the top, from its parent's id, 0 at the top."""
    found = {0: 0}
    for start in parents:
        chain: list[int] = []
        at = start
        while at not in found and at in parents and len(chain) < MAX_DEPTH:
            chain.append(at)
            at = parents[at]
        level = found.get(at, 0)
        for one in reversed(chain):
            level += 1
            found[one] = level
    return found


_SIMPLE: Final[dict[str, Callable[[pb.Mailbox], Any]]] = {
    "id": lambda found: f"F{found.mailbox_id}",
    "name": lambda found: found.name,
    "parentId": lambda found: f"F{found.parent_id}" if found.parent_id else None,
    "role": lambda found: found.role or None,
    "sortOrder": lambda found: found.sort_order,
    "totalEmails": lambda found: found.total_messages,
    "unreadEmails": lambda found: found.unread_messages,
    "totalThreads": lambda found: found.total_threads,
    "unreadThreads": lambda found: found.unread_threads,
    "isSubscribed": lambda found: found.subscribed,
}
PROPERTIES: Final = (*_SIMPLE, "myRights")
SERVER_SET: Final = frozenset({"id", "myRights", *COUNTS})
"""Properties that no client sets (RFC 8621 §2)."""


class MailboxView:
    """Shows mailboxes of an account, of which it is told all.

    Args:
        mailboxes: They.
        shared: They are another's, who shares them.
        with_shares: The client knows of shares (RFC 9670 §4).
    """

    def __init__(self, mailboxes: Iterable[pb.Mailbox], *, shared: bool = False, with_shares: bool = False) -> None:
        self.shared = shared
        self.with_shares = with_shares
        self.by_id = {found.mailbox_id: found for found in mailboxes}
        self.parents = {number: found.parent_id for number, found in self.by_id.items()}
        self._levels: dict[int, int] = {}

    def value(self, found: pb.Mailbox, name: str) -> Any:
        """Return a property."""
        if name == SHARE_WITH:
            return share_with(found.shares)
        if name != "myRights":
            return _SIMPLE[name](found)
        if not self._levels:
            self._levels = levels(self.parents)
        return self.rights(found.role, self._levels[found.mailbox_id], found.rights)

    def rights(self, role: str, level: int, given: int) -> dict[str, bool]:
        """Return the myRights of a mailbox: those that it is shared with, as far as anybody may (RFC 8621 §2)."""
        most = rights(role, level)
        if self.shared:
            allowed = rights_object(given)
            most = {name: value and allowed[name] for name, value in most.items()}
        return most | {"mayShare": not self.shared} if self.with_shares else most

    def show(self, found: pb.Mailbox, names: Iterable[str]) -> dict[str, Any]:
        """Return a mailbox with these properties."""
        return {name: self.value(found, name) for name in names}
