"""SCRAM-SHA-256 (RFC 5802, RFC 7677), for app passwords only: a verifier of a human's password is the hash that a thief cracks.

The login is an account's main address; by another one an app password is good in every other way.
"""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from petitbleu_accounts.adapters.postgres_credentials import LoginRow, PostgresCredentials
from petitbleu_accounts.adapters.postgres_scram import PostgresScram, Salt, VerifierRow
from petitbleu_accounts.domain.addresses import wanted
from petitbleu_accounts.domain.people import State
from petitbleu_accounts.errors import wrong_credential
from petitbleu_accounts.service.limits import LoginLimits
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
        limits: Of look-ups by one client.
        secret: Makes salts: the same for a login before and after it has a verifier, and whether it exists or not.
    """

    def __init__(
        self, credentials: PostgresCredentials, rows: PostgresScram, limits: LoginLimits, secret: bytes
    ) -> None:
        self._credentials = credentials
        self._rows = rows
        self._limits = limits
        self._secret = secret
        # no login is these octets: what is signed with this key is never told as a salt
        self._renewal_key = hmac.digest(secret, b"\xffrenewal", "sha256")

    def renewal(self, standing: bytes) -> bytes:
        """Return what shows later that a login by proof was right: whoever has it has had the app password."""
        return hmac.digest(self._renewal_key, standing, "sha256")

    def renews(self, standing: bytes, renewal: bytes) -> bool:
        """Whether it is what `renewal` gave."""
        return hmac.compare_digest(self.renewal(standing), renewal)

    def _made(self, login: str) -> Salt:
        address = _address(login)
        seed = address.encode() or login[:320].encode("utf-8", "replace")
        return Salt(hmac.digest(self._secret, seed, "sha256")[:SALT_OCTETS], ITERATIONS)

    async def _main(self, login: str) -> LoginRow | None:
        """Return the account of which a login is the main address: one salt for several addresses would say that they are one person's."""
        found = await self._credentials.login(_address(login))
        return found if found is not None and found.main else None

    async def salt(self, login: str, client_ip: str = "") -> Salt:
        """Return what an exchange begins with; whether a login exists or has a verifier makes no difference (RFC 5802 §9).

        Raises:
            AccountsError: LIMITED when a client asked too much.
        """
        await self._limits.look_up(client_ip)
        found = await self._main(login)
        partition, account_id = (found.partition, found.account_id) if found is not None else (0, 0)
        return await self._rows.salt(partition, account_id) or self._made(login)

    async def verifier(self, partition: int, account_id: int, address: str, password: str) -> Verifier:
        """Return what to keep of a new app password of an account with this main address."""
        salt = await self._rows.salt_for_ever(partition, account_id, self._made(address))
        return verifier_of(password, salt.salt, salt.iterations)

    async def check(self, login: str, message: bytes, proof: bytes, protocol: str) -> Proved:
        """Check a proof with every app password of the account that is for this protocol.

        Raises:
            AccountsError: WRONG_CREDENTIAL.
        """
        found = await self._main(login)
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
