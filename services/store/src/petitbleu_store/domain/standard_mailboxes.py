"""The mailboxes that every account has, with ids that are the same everywhere, so that filing looks none up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

INBOX: Final = 1
DRAFTS: Final = 2
SENT: Final = 3
TRASH: Final = 4
JUNK: Final = 5
ARCHIVE: Final = 6
LAST_STANDARD_ID: Final = 6
# Ids up to here are never given to anything else, should another standard mailbox come.
FIRST_FREE_ID: Final = 64


@dataclass(frozen=True, slots=True)
class StandardMailbox:
    """A mailbox made with the account: its fixed id, role (RFC 8621 §2) and names by language."""

    mailbox_id: int
    role: str
    sort_order: int
    english: str
    french: str


STANDARD: Final = (
    StandardMailbox(INBOX, "inbox", 10, "Inbox", "Boîte de réception"),
    StandardMailbox(DRAFTS, "drafts", 20, "Drafts", "Brouillons"),
    StandardMailbox(SENT, "sent", 30, "Sent", "Envoyés"),
    StandardMailbox(ARCHIVE, "archive", 40, "Archive", "Archives"),
    StandardMailbox(JUNK, "junk", 50, "Junk", "Indésirables"),
    StandardMailbox(TRASH, "trash", 60, "Trash", "Corbeille"),
)
BY_ROLE: Final = {mailbox.role: mailbox.mailbox_id for mailbox in STANDARD}


def name_in(mailbox: StandardMailbox, language: str) -> str:
    """Return the name in a language (BCP 47): French for fr and its kinds, English otherwise."""
    return mailbox.french if language.lower().partition("-")[0] == "fr" else mailbox.english
