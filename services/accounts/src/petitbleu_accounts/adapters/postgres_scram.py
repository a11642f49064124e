"""Salts and verifiers of SCRAM: an account has one salt, each of its app passwords a verifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from petitbleu_accounts.adapters.database import Pool
from petitbleu_accounts.adapters.postgres_secrets import server_secret
from petitbleu_mail.scram import Verifier

_SALT: Final = (
    """/* hot:accounts.scram_salt */ SELECT salt, iterations FROM scram_salt WHERE partition = $1 AND account_id = $2"""
)
_NEW_SALT: Final = """/* cold:accounts.new_scram_salt */
INSERT INTO scram_salt (partition, account_id, salt, iterations) VALUES ($1, $2, $3, $4)
ON CONFLICT (partition, account_id) DO UPDATE SET salt = scram_salt.salt RETURNING salt, iterations"""
_VERIFIERS: Final = """/* hot:accounts.scram_verifiers */
SELECT app_password_id, protocols, scram_stored_key, scram_server_key,
last_used_at IS NULL OR last_used_at < now() - interval '1 hour' AS stale
FROM app_password WHERE partition = $1 AND account_id = $2 AND scram_stored_key IS NOT NULL"""


class Salt(NamedTuple):
    """What an exchange begins with."""

    salt: bytes
    iterations: int


class VerifierRow(NamedTuple):
    """An app password that can be proved; `stale` when its last use was recorded long ago."""

    app_password_id: int
    protocols: Sequence[str]
    verifier: Verifier
    stale: bool


class PostgresScram:
    """The tables."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def salt(self, partition: int, account_id: int) -> Salt | None:
        """The salt of an account, None when it has none."""
        row = await self._pool.fetchrow(_SALT, partition, account_id)
        return None if row is None else Salt(row["salt"], row["iterations"])

    async def salt_for_ever(self, partition: int, account_id: int, proposed: Salt) -> Salt:
        """The salt of an account, which is the proposed one from now on when it had none."""
        row = await self._pool.fetchrow(_NEW_SALT, partition, account_id, *proposed)
        assert row is not None  # noqa: S101 — an upsert returns its row
        return Salt(row["salt"], row["iterations"])

    async def secret(self, proposed: bytes) -> bytes:
        """The secret of salts, which is the proposed one (32 octets) from now on when there was none."""
        return await server_secret(self._pool, "scram-salts", proposed)

    async def verifiers(self, partition: int, account_id: int) -> list[VerifierRow]:
        """All that an account has."""
        return [
            VerifierRow(
                row["app_password_id"], row["protocols"], Verifier(row["scram_stored_key"], row["scram_server_key"]), row["stale"]
            )
            for row in await self._pool.fetch(_VERIFIERS, partition, account_id)
        ]  # fmt: skip
