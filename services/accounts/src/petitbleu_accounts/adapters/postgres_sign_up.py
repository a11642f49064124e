"""What sign-up asks of the directory, and the challenges that were answered."""

from __future__ import annotations

from typing import Final

from petitbleu_accounts.adapters.database import Pool
from petitbleu_accounts.domain.chosen_names import alike_digest
from petitbleu_accounts.domain.resolution import HostedDomain

_OPEN: Final = "/* reference:accounts.open_domains */ SELECT name FROM domain WHERE sign_up ORDER BY name"
_DOMAIN: Final = """/* reference:accounts.domain_for_people */
SELECT domain_id, tenant_id, name, catch_all_account_id, sign_up FROM domain WHERE name = $1"""
# One look that lasts no longer for a name that somebody has than for one that is free. A person's own that a crash left half made is
# free: whoever asks for it first has it.
_TAKEN: Final = """/* reference:accounts.name_taken */
SELECT EXISTS (SELECT FROM address a WHERE a.address = $1
    AND NOT (a.chosen AND EXISTS (SELECT FROM account c WHERE c.account_id = a.account_id AND c.state = 0)))
OR EXISTS (SELECT FROM address WHERE alike = $2 AND address <> $1)
OR EXISTS (SELECT FROM retired_address WHERE digest = sha256(convert_to($1, 'UTF8')))
OR EXISTS (SELECT FROM retired_address WHERE alike = $2)"""
_SPEND: Final = """/* cold:accounts.spend_challenge */
INSERT INTO spent_challenge (partition, nonce, ends_at) VALUES ($1, $2, to_timestamp($3))
ON CONFLICT (partition, nonce) DO NOTHING RETURNING true"""
_PRUNE: Final = (
    "/* cold:accounts.prune_challenges */ DELETE FROM spent_challenge WHERE ends_at < now() - interval '1 minute'"
)
_UNSEEN: Final = "/* reference:accounts.unseen_addresses */ SELECT address FROM address WHERE alike IS NULL ORDER BY address LIMIT 1000"
_SEEN: Final = """/* reference:accounts.see_addresses */ UPDATE address a SET alike = n.alike
FROM unnest($1::text[], $2::bytea[]) AS n (address, alike) WHERE a.address = n.address AND a.alike IS NULL"""
_RECOVERY: Final = """/* cold:accounts.recovery */
SELECT p.recovery_digest FROM person p WHERE p.partition = $1 AND p.account_id = $2"""
_PARTITIONS: Final = 1024


class PostgresSignUp:
    """The tables."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open_domains(self) -> list[str]:
        """Domains where people may open accounts, by name."""
        return [row["name"] for row in await self._pool.fetch(_OPEN)]

    async def domain(self, name: str) -> HostedDomain | None:
        """A hosted domain, with whether it is open to people."""
        row = await self._pool.fetchrow(_DOMAIN, name)
        return None if row is None else HostedDomain(*row.values())

    async def taken(self, address: str) -> bool:
        """Whether somebody has or had an address, or one that looks like it."""
        return bool(await self._pool.fetchval(_TAKEN, address, alike_digest(address)))

    async def spend(self, nonce: bytes, ends: int) -> bool:
        """Record that a challenge is answered; False when it was before."""
        partition = int.from_bytes(nonce[:2], "big") % _PARTITIONS
        return bool(await self._pool.fetchval(_SPEND, partition, nonce, ends))

    async def recovery_digest(self, partition: int, account_id: int) -> bytes | None:
        """The digest of an account's recovery code, None without one."""
        digest: bytes | None = await self._pool.fetchval(_RECOVERY, partition, account_id)
        return digest

    async def prune(self) -> None:
        """Forget challenges that are over anyway."""
        await self._pool.execute(_PRUNE)

    async def see(self) -> bool:
        """Work out what the addresses look like of which it is not known, a thousand at most; return whether all are known."""
        addresses = [row["address"] for row in await self._pool.fetch(_UNSEEN)]
        if addresses:
            await self._pool.execute(_SEEN, addresses, [alike_digest(address) for address in addresses])
        return len(addresses) < 1000
