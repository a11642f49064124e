"""Somebody who is logged in, and the addresses that they may write under."""

from __future__ import annotations

import msgspec

from petitbleu_mail.addresses import MAX_REVERSE_LOCAL, AddressError, parse_mailbox


class Submitter(msgspec.Struct, frozen=True):
    """Somebody who is logged in. `addresses` are theirs, in lower case."""

    account_id: int
    tenant_id: int
    addresses: frozenset[str]
    standing: bytes = b""
    """By what they logged in, as accounts says it: to be asked whether it still stands."""

    def owns(self, address: str) -> bool:
        """Whether an address is theirs, or one of theirs with a detail behind a plus (RFC 5233 §4)."""
        try:
            known = parse_mailbox(address, max_local=MAX_REVERSE_LOCAL).address.lower()
        except AddressError:
            return False
        local, at, domain = known.rpartition("@")
        return known in self.addresses or f"{local.partition('+')[0]}{at}{domain}" in self.addresses
