"""Account keys: each account's mail opens with its own, itself wrapped by the operator's key-encryption key.

The wrapped key lies in the account's row, which the mailbox half owns; this only makes, opens and remembers keys.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from petitbleu_kit.ids import AccountId
from petitbleu_store.domain.keys import Wrapper, new_key
from petitbleu_store.ports import KeyEncryption

_REMEMBERED: Final = 20_000


def _purpose(account_id: int) -> bytes:
    return b"account:%d" % account_id


class AccountKeys:
    """Makes and opens account keys, and remembers the last opened ones (2 MiB for 20,000)."""

    def __init__(self, key_encryption: KeyEncryption, remembered: int = _REMEMBERED) -> None:
        self._key_encryption = key_encryption
        self._limit = remembered
        self._known: OrderedDict[int, tuple[bytes, bytes]] = OrderedDict()

    async def generate(self, account_id: AccountId) -> bytes:
        """Make a key for a new account; return it wrapped, for the account's row."""
        return await self._key_encryption.wrap(new_key(), _purpose(account_id))

    async def unwrap(self, account_id: AccountId, wrapped: bytes) -> bytes:
        """Return the key (32 octets) of an account from its row.

        Raises:
            WrongKeyError: the row was altered, or its key-encryption key is gone.
        """
        known = self._known.get(account_id)
        if known is not None and known[0] == wrapped:
            self._known.move_to_end(account_id)
            return known[1]
        key = await self._key_encryption.unwrap(wrapped, _purpose(account_id))
        self._known[account_id] = (wrapped, key)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
        return key

    def forget(self, account_id: AccountId) -> None:
        """Forget an account's key: it was erased."""
        self._known.pop(account_id, None)

    async def rotated(self, account_id: AccountId, wrapped: bytes) -> bytes | None:
        """Return an account's key wrapped by the active key-encryption key, None when it is already."""
        if self._key_encryption.is_current(wrapped):
            return None
        return await self._key_encryption.wrap(await self.unwrap(account_id, wrapped), _purpose(account_id))

    @staticmethod
    def wrap_blob_key(account_key: bytes, blob_key: bytes, purpose: bytes) -> bytes:
        """Wrap a blob's key under an account key, for `message.blob_key`; `purpose` is the blob's id."""
        return Wrapper(account_key).wrap(blob_key, purpose)

    @staticmethod
    def unwrap_blob_key(account_key: bytes, wrapped: bytes, purpose: bytes) -> bytes:
        """Open what `wrap_blob_key` made."""
        return Wrapper(account_key).unwrap(wrapped, purpose)
