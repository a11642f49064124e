"""Names of mailboxes (RFC 8621 §2): what is one, and how it is kept."""

from __future__ import annotations

import unicodedata
from typing import Final

from petitbleu_store.domain.account_cipher import AccountCipher

# RFC 8621 §2 demands at least 255 octets (maxSizeMailboxName, at least 100).
MAX_NAME_OCTETS: Final = 255
MAX_DEPTH: Final = 20


def normal_name(name: str) -> str | None:
    """Return a name in Net-Unicode (NFC, no control characters; RFC 5198 §2), None when it is none."""
    normal = unicodedata.normalize("NFC", name)
    if not normal.strip() or len(normal.encode("utf-8", "surrogatepass")) > MAX_NAME_OCTETS:
        return None
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in normal):
        return None
    return normal


def name_hash(cipher: AccountCipher, name: str) -> int:
    """Return the keyed hash by which a name is unique among siblings; INBOX is so in any case (RFC 9051 §5.1)."""
    compared = "INBOX" if name.upper() == "INBOX" else name
    return cipher.hash64(b"mailbox name", compared.encode())


def seal_name(cipher: AccountCipher, mailbox_id: int, name: str) -> bytes:
    """Seal a name for its row."""
    return cipher.seal(name.encode(), b"mailbox%d" % mailbox_id)


def open_name(cipher: AccountCipher, mailbox_id: int, sealed: bytes) -> str:
    """Open a row's name."""
    return cipher.open(sealed, b"mailbox%d" % mailbox_id).decode()
