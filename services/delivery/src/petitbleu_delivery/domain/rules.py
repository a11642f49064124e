"""What a mailbox's rules make of a message: where it is filed, and what goes out for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from petitbleu_mail.mailbox_rules import mailbox_number
from petitbleu_mail.sieve.actions import (
    Action,
    Discard,
    Edits,
    FileInto,
    Keep,
    Notify,
    Redirect,
    Reject,
    Remember,
    Vacation,
)

_SYSTEM_KEYWORDS: Final = {
    "\\answered": "$answered", "\\flagged": "$flagged", "\\seen": "$seen", "\\draft": "$draft", "\\deleted": "$deleted",
}  # fmt: skip
INBOX: Final = "inbox"
JUNK: Final = "junk"
MOST_SENT_ON: Final = 32 << 20
"""Octets of a message that is sent on for a rule, or of a bounce of it; a larger one is not."""
MOST_HOPS: Final = 50
"""RFC 5321 §6.3: a message with so many Received fields goes in circles."""


class Folder(NamedTuple):
    """A mailbox as a rule names it: its path, the role or the number that goes before it (none: empty, 0), and whether to make it."""

    path: str
    role: str = ""
    create: bool = False
    mailbox_id: int = 0


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is to be done with one message in one account.

    Attributes:
        roles: Roles of mailboxes to file it in.
        folders: More mailboxes, by the names that the script gives.
        keywords: Keywords to set (RFC 5232).
        redirects: Addresses to send it on to, each with the changes of the header that were made by then.
        edits: Changes of its header (RFC 5293): those made when the last action that files it was asked for.
        reject: The text with which it is refused; None when it is not.
        answers: What the sender is answered; one of a script comes before the one that its owner set aside of it.
        remember: Ids that the script saw, to be kept once all is done (RFC 7352).
        notices: Whom to tell of the message (RFC 5435).
        fault: Why the script could not be carried on with; empty when it could.
    """

    roles: tuple[str, ...] = ()
    folders: tuple[Folder, ...] = ()
    keywords: tuple[str, ...] = ()
    redirects: tuple[tuple[str, Edits], ...] = ()
    reject: str | None = None
    answers: tuple[Vacation, ...] = ()
    remember: tuple[Remember, ...] = ()
    notices: tuple[Notify, ...] = ()
    fault: str = ""
    edits: Edits = ()

    @property
    def files(self) -> bool:
        """Whether the message is filed at all."""
        return bool(self.roles or self.folders)

    @property
    def is_irrevocable(self) -> bool:
        """Whether something goes out, or the message is thrown away."""
        return bool(self.redirects or self.answers or self.notices or self.reject is not None or not self.files)


def keyword_of(flag: str) -> str:
    """Return the keyword that an IMAP flag is (RFC 8621 §4.1.1)."""
    return _SYSTEM_KEYWORDS.get(flag.lower(), flag.lower())


def role_of(attribute: str | None) -> str:
    """Return the role that a special-use attribute stands for (RFC 6154, RFC 8621 §2)."""
    return "" if attribute is None else attribute.removeprefix("\\").lower()


def ruling_of(
    actions: Sequence[Action], remember: Sequence[Remember] = (), fault: str = "", *, junk: bool = False
) -> Ruling:
    """Return what a script's actions are.

    Args:
        actions: What the script wants.
        remember: Ids that it saw.
        fault: Why the implicit keep took the place of all else.
        junk: The message was found to be Junk: what is only kept goes there, what the script files by name goes where it says.
    """
    roles: dict[str, None] = {}
    folders: dict[Folder, None] = {}
    keywords: dict[str, None] = {}
    redirects: dict[str, Edits] = {}
    edits: Edits = ()
    answers: list[Vacation] = []
    notices: list[Notify] = []
    reject: str | None = None
    for action in actions:
        if isinstance(action, Keep | FileInto):
            keywords.update(dict.fromkeys(map(keyword_of, action.flags or ())))
            edits = action.edits
        if isinstance(action, Keep):
            roles[JUNK if junk else INBOX] = None
        elif isinstance(action, FileInto):
            number = mailbox_number(action.mailbox_id or "") or 0
            folders[Folder(action.mailbox, role_of(action.special_use), action.create, number)] = None
        elif isinstance(action, Redirect):
            redirects.setdefault(action.address, action.edits)
        elif isinstance(action, Reject):
            reject = action.reason
        elif isinstance(action, Vacation):
            answers.append(action)
        elif isinstance(action, Notify):
            notices.append(action)
        else:
            assert isinstance(action, Discard)  # noqa: S101 — there is nothing else
    return Ruling(
        tuple(roles), tuple(folders), tuple(keywords), tuple(redirects.items()), reject, tuple(answers), tuple(remember),
        tuple(notices), fault, edits,
    )  # fmt: skip
