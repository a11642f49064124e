"""The MTA-STS policies of hosted domains in PostgreSQL."""

from __future__ import annotations

from typing import Final

import asyncpg

from petitbleu_mail.mta_sts import StsMode, StsPolicy

_MODES: Final = {StsMode.NONE: 1, StsMode.TESTING: 2, StsMode.ENFORCE: 3}
_BY_NUMBER: Final = {number: mode for mode, number in _MODES.items()}
_GET: Final = """/* reference:delivery.sts_get */
SELECT mode, mx, max_age FROM sts_policy WHERE domain = $1"""
_PUT: Final = """/* reference:delivery.sts_put */
INSERT INTO sts_policy (domain, mode, mx, max_age) VALUES ($1, $2, $3, $4)
ON CONFLICT (domain) DO UPDATE SET mode = excluded.mode, mx = excluded.mx, max_age = excluded.max_age, changed_at = now()"""
_DROP: Final = "/* reference:delivery.sts_drop */ DELETE FROM sts_policy WHERE domain = $1"


class StsRows:
    """The table of policies; domains in lower case and A-labels."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def get(self, domain: str) -> StsPolicy | None:
        """The policy of a domain, None when it has none."""
        row = await self._pool.fetchrow(_GET, domain)
        return None if row is None else StsPolicy(_BY_NUMBER[row["mode"]], tuple(row["mx"]), row["max_age"])

    async def put(self, domain: str, policy: StsPolicy | None) -> None:
        """Set the policy of a domain, or remove it."""
        if policy is None:
            await self._pool.execute(_DROP, domain)
        else:
            await self._pool.execute(_PUT, domain, _MODES[policy.mode], list(policy.mx), policy.max_age)
