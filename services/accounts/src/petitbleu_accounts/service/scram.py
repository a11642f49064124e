"""SCRAM-SHA-256 (RFC 5802, RFC 7677), for app passwords only: a verifier of a human's password is the hash that a thief cracks."""

from __future__ import annotations

import hmac
import secrets
from typing import Final, NamedTuple

from petitbleu_accounts.adapters.postgres_credentials import PostgresCredentials
from petitbleu_accounts.adapters.postgres_scram import PostgresScram, Salt, VerifierRow
from petitbleu_accounts.domain.addresses import wanted
from petitbleu_accounts.domain.people import State
from petitbleu_accounts.errors import wrong_credential
from petitbleu_mail.scram import ITERATIONS, SALT_OCTETS, Verifier, proves, server_signature, verifier_of

# Checked where there is nothing to check, so that it costs the same
_NOBODY: Final = VerifierRow(0, (), Verifier(bytes(32), bytes(32)), False)


class Proved(NamedTuple):
    """An app password that was proved."""

    account_id: int
    app_password_id: int
    server_signature: bytes


class Scram:
    """Salts, verifiers and proofs.

    Args:
        credentials: Logins.
        rows: What is kept.
        secret: Makes the salts of those who have none.
    """

    def __init__(self, credentials: PostgresCredentials, rows: PostgresScram, secret: bytes) -> None:
        self._credentials = credentials
        self._rows = rows
        self._secret = secret

    async def salt(self, login: str) -> Salt:
        """Return what an exchange begins with; for whoever has no verifier, what is always the same for that login (RFC 5802 §9)."""
        address = _address(login)
        found = await self._credentials.login(address)
        partition, account_id = (found.partition, found.account_id) if found is not None else (0, 0)
        made = hmac.digest(self._secret, address.encode() or login[:320].encode("utf-8", "replace"), "sha256")
        return await self._rows.salt(partition, account_id) or Salt(made[:SALT_OCTETS], ITERATIONS)

    async def verifier(self, partition: int, account_id: int, password: str) -> Verifier:
        """Return what to keep of a new app password."""
        proposed = Salt(secrets.token_bytes(SALT_OCTETS), ITERATIONS)
        salt = await self._rows.salt_for_ever(partition, account_id, proposed)
        return verifier_of(password, salt.salt, salt.iterations)

    async def check(self, login: str, message: bytes, proof: bytes, protocol: str) -> Proved:
        """Check a proof with every app password of the account that is for this protocol.

        Raises:
            AccountsError: WRONG_CREDENTIAL.
        """
        found = await self._credentials.login(_address(login))
        partition, account_id = (found.partition, found.account_id) if found is not None else (0, 0)
        proved: VerifierRow | None = None
        for row in [_NOBODY, *await self._rows.verifiers(partition, account_id)]:
            may = not row.protocols or protocol in row.protocols
            if proves(row.verifier, message, proof) and may and row is not _NOBODY:
                proved = row
        if proved is None or found is None or found.state != State.ACTIVE:
            raise wrong_credential()
        if proved.stale:
            await self._credentials.touch_app_password(partition, account_id, proved.app_password_id)
        return Proved(account_id, proved.app_password_id, server_signature(proved.verifier, message))


def _address(login: str) -> str:
    want = wanted(login)
    return want.address if want is not None and want.domain else ""
