"""Names of mailboxes as rows keep them: a keyed hash that tells siblings apart, and the name sealed."""

from __future__ import annotations

from petitbleu_store.domain.account_cipher import AccountCipher


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
