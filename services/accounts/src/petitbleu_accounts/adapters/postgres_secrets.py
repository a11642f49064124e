"""Secrets of the service that are made once and are the same for all its processes."""

from __future__ import annotations

from typing import Final

from petitbleu_accounts.adapters.database import Pool

_MAKE: Final = """/* reference:accounts.server_secret */ INSERT INTO server_secret (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = server_secret.value RETURNING value"""


async def server_secret(pool: Pool, name: str, proposed: bytes) -> bytes:
    """Return the secret of a name, which is the proposed one (32 octets) from now on when there was none."""
    return bytes(await pool.fetchval(_MAKE, name, proposed))
