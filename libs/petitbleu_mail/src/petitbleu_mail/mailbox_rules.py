"""Names and roles that mailboxes may have (RFC 8621 §2, RFC 9051 §5.1), and how deep they may lie."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# RFC 8621 §1.3.1 demands at least 100 octets (maxSizeMailboxName).
MAX_NAME_OCTETS: Final = 255
MAX_DEPTH: Final = 20
"""Levels of the hierarchy, the top counted (maxMailboxDepth, RFC 8621 §1.3.1)."""

STANDARD_ROLES: Final = frozenset({"inbox", "drafts", "sent", "trash", "junk", "archive"})
"""Roles of the mailboxes that every account has."""
FREE_ROLES: Final = frozenset({"all", "flagged", "important", "memos", "scheduled", "snoozed", "templates"})
"""Roles that a person may give: of the IANA registry "IMAP Mailbox Name Attributes", those that tell what a mailbox is for."""
_MAILBOX_ID: Final = re.compile(r"F([1-9][0-9]{0,18})")


def mailbox_number(text: str) -> int | None:
    """Return the mailbox that an id names, the same over JMAP (RFC 8620 §1.2) and in Sieve (RFC 9042); None for what is no id of ours."""
    found = _MAILBOX_ID.fullmatch(text)
    number = 0 if found is None else int(found[1])
    return number if 0 < number < 1 << 63 else None


def normal_name(name: str) -> str | None:
    """Return a name in Net-Unicode (NFC, no control characters; RFC 5198 §2), None when it is none."""
    normal = unicodedata.normalize("NFC", name)
    if not normal.strip() or len(normal.encode("utf-8", "surrogatepass")) > MAX_NAME_OCTETS:
        return None
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in normal):
        return None
    return normal
