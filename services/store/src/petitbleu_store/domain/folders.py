"""Mailboxes by what an owner's rule calls them: a path of names, a role (RFC 5228 §4.1, RFC 5490, RFC 8579)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from petitbleu_mail.mailbox_rules import FREE_ROLES, MAX_DEPTH, STANDARD_ROLES, normal_name
from petitbleu_store.domain.account_cipher import AccountCipher
from petitbleu_store.domain.mailbox_names import name_hash, open_name
from petitbleu_store.domain.mailbox_outcome import MailboxRow
from petitbleu_store.domain.standard_mailboxes import BY_ROLE, INBOX

MAX_FOLDERS: Final = 32


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox that a rule names; `path` are its levels from the top, `role` or `mailbox_id` is looked for first where it is one."""

    path: tuple[str, ...]
    role: str = ""
    create: bool = False
    mailbox_id: int = 0


def read_folder(path: str, role: str, *, create: bool, mailbox_id: int = 0) -> Folder | None:
    """Return a folder as a rule names it, None when no mailbox can have this name."""
    levels = [normal_name(level) for level in path.split("/")] if path else []
    if len(levels) > MAX_DEPTH or any(level is None for level in levels) or not (levels or role):
        return None
    known = role if role in STANDARD_ROLES | FREE_ROLES else ""
    return Folder(tuple(level for level in levels if level is not None), known, create, mailbox_id)


class FolderTree:
    """An account's mailboxes, found by what rules call them."""

    def __init__(self, rows: Mapping[int, MailboxRow], cipher: AccountCipher) -> None:
        self._rows = rows
        self._cipher = cipher
        self._by_place = {row.place: row.mailbox_id for row in rows.values()}
        self._by_role = {row.role: row.mailbox_id for row in rows.values() if row.role}

    def find(self, folder: Folder) -> int | None:
        """Return the mailbox that a rule means, None when there is none.

        A name alone at the top that is that of a role stands for the mailbox with this role, whatever its owner's language calls it,
        unless there is one of this very name.
        """
        if folder.mailbox_id in self._rows:  # RFC 9042 §4
            return folder.mailbox_id
        if folder.role and folder.role in self._by_role:  # RFC 8579 §4
            return self._by_role[folder.role]
        known, missing = self.reach(folder.path)
        if folder.path and not missing:
            return known
        if len(folder.path) == 1:
            name = folder.path[0].lower()
            return self._by_role.get(name) if name in BY_ROLE else None
        return None

    def reach(self, path: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        """Return the last mailbox of a path that is there (0 for the top), and the names below it that are not."""
        at = 0
        for index, name in enumerate(path):
            if not index and name.upper() == "INBOX":  # RFC 9051 §5.1, whatever its owner's language calls it
                at = INBOX
                continue
            below = self._by_place.get((at, name_hash(self._cipher, name)))
            if below is None:
                return at, path[index:]
            at = below
        return at, ()

    def found(self, folders: Iterable[Folder]) -> list[int]:
        """Return the mailboxes of folders that are there, in order, each once."""
        return sorted({found for folder in folders if (found := self.find(folder)) is not None})

    def paths(self) -> list[tuple[str, str, int]]:
        """Return path, role and number of every mailbox."""
        names: dict[int, str] = {}

        def path(mailbox_id: int) -> str:
            known = names.get(mailbox_id)
            if known is None:
                row = self._rows[mailbox_id]
                name = open_name(self._cipher, mailbox_id, row.name_sealed)
                known = names[mailbox_id] = name if row.parent_id not in self._rows else f"{path(row.parent_id)}/{name}"
            return known

        return [(path(mailbox_id), row.role, mailbox_id) for mailbox_id, row in self._rows.items()]
