"""Reading and touching credentials and sessions: every statement is about one account, in its partition."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from petitbleu_accounts.adapters.database import Pool
from petitbleu_mail.scram import Verifier

_LOGIN: Final = """/* reference:accounts.login */
SELECT c.account_id, c.partition, c.state, a.main FROM address a JOIN account c ON c.account_id = a.account_id
WHERE a.address = $1"""
_MAIN: Final = "/* reference:accounts.main_address */ SELECT address FROM address WHERE account_id = $1 AND main"
_CREDENTIAL: Final = """/* hot:accounts.credential */
SELECT p.password_hash, s.app_password_id, s.protocols, s.last_used_at < now() - interval '1 hour' AS stale,
s.last_used_at IS NULL AS unused, floor(extract(epoch FROM greatest(s.created_at, p.credentials_changed_at)))::bigint AS since
FROM person p LEFT JOIN app_password s ON s.partition = p.partition AND s.account_id = p.account_id AND s.digest = $3
WHERE p.partition = $1 AND p.account_id = $2"""
_STANDING: Final = """/* hot:accounts.standing */
SELECT p.password_hash,
EXISTS (SELECT FROM app_password s WHERE s.partition = $1 AND s.account_id = $2 AND s.app_password_id = $3) AS app_password,
EXISTS (SELECT FROM session t WHERE t.partition = $1 AND t.account_id = $2 AND t.session_id = $4
    AND t.ends_at > now() AND t.idle_ends_at > now()) AS session
FROM person p WHERE p.partition = $1 AND p.account_id = $2"""
_REHASH: Final = """/* cold:accounts.rehash */ UPDATE person SET password_hash = $4
WHERE partition = $1 AND account_id = $2 AND password_hash = $3"""
_TOUCH_APP: Final = """/* cold:accounts.touch_app_password */ UPDATE app_password SET last_used_at = now()
WHERE partition = $1 AND account_id = $2 AND app_password_id = $3"""
_NEW_APP: Final = """/* cold:accounts.new_app_password */
INSERT INTO app_password
(partition, account_id, app_password_id, digest, label, protocols, scram_stored_key, scram_server_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_SESSION: Final = """/* hot:accounts.session */
SELECT account_id, session_id, ends_at < now() OR idle_ends_at < now() AS over,
used_at < now() - make_interval(secs => $3) AS stale,
extract(epoch FROM least(ends_at, idle_ends_at))::bigint AS ends,
coalesce(floor(extract(epoch FROM cooling_until))::bigint, 0) AS cooling
FROM session WHERE partition = $1 AND digest = $2"""
_TOUCH_SESSION: Final = """/* cold:accounts.touch_session */
UPDATE session SET used_at = now(), idle_ends_at = least(ends_at, now() + make_interval(secs => $3))
WHERE partition = $1 AND digest = $2"""
# A device that was not seen before is written down, the account's first as its own at once. Who has nothing to be known by is written down
# only where that is the first; afterwards it is always somebody new.
_DEVICE: Final = """/* cold:accounts.device */
WITH known AS (SELECT trusted_at FROM device WHERE partition = $1 AND account_id = $2 AND digest = $3),
alone AS (SELECT NOT EXISTS (SELECT FROM device WHERE partition = $1 AND account_id = $2) AS it),
fresh AS (
    INSERT INTO device (partition, account_id, digest, trusted_at)
    SELECT $1, $2, coalesce($3, $4), CASE WHEN it THEN now() ELSE now() + make_interval(secs => $5) END FROM alone
    WHERE ($3 IS NOT NULL OR it) AND NOT EXISTS (SELECT FROM known)
    ON CONFLICT (partition, account_id, digest) DO NOTHING RETURNING trusted_at
)
SELECT CASE WHEN (SELECT trusted_at FROM known) <= now() THEN NULL ELSE greatest(
    coalesce((SELECT trusted_at FROM known), (SELECT trusted_at FROM fresh), now() + make_interval(secs => $5)),
    (SELECT credentials_changed_at FROM person WHERE partition = $1 AND account_id = $2) + make_interval(secs => $5)
) END"""
_NEW_SESSION: Final = """/* cold:accounts.new_session */
INSERT INTO session (partition, account_id, session_id, digest, label, idle_ends_at, ends_at, cooling_until)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), now() + make_interval(secs => $7), $8)
RETURNING extract(epoch FROM least(ends_at, idle_ends_at))::bigint"""
_PRUNE: Final = "/* cold:accounts.prune_sessions */ DELETE FROM session WHERE idle_ends_at < now() - interval '1 day'"


class LoginRow(NamedTuple):
    """The account of a login."""

    account_id: int
    partition: int
    state: int
    main: bool


class CredentialRow(NamedTuple):
    """What a password is compared with; the app password is there when the given one is it."""

    password_hash: str | None
    app_password_id: int | None
    protocols: list[str] | None
    stale: bool
    since: int


class SessionRow(NamedTuple):
    """A session of a token."""

    account_id: int
    session_id: int
    over: bool
    stale: bool
    ends: int
    cooling: int


class PostgresCredentials:
    """Credentials and sessions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def login(self, address: str) -> LoginRow | None:
        """The account that a login belongs to."""
        row = await self._pool.fetchrow(_LOGIN, address)
        return None if row is None else LoginRow(*row.values())

    async def credential(self, partition: int, account_id: int, app_digest: bytes) -> CredentialRow:
        """What the account's password is compared with; empty when there is no such account."""
        row = await self._pool.fetchrow(_CREDENTIAL, partition, account_id, app_digest)
        if row is None:
            return CredentialRow(None, None, None, False, 0)
        return CredentialRow(
            row["password_hash"], row["app_password_id"], row["protocols"], bool(row["stale"] or row["unused"]),
            row["since"] or 0,
        )  # fmt: skip

    async def standing(
        self, partition: int, account_id: int, app_password_id: int, session_id: int
    ) -> tuple[str | None, bool, bool]:
        """The main password's hash as it is now, and whether an app password and a session are still there."""
        row = await self._pool.fetchrow(_STANDING, partition, account_id, app_password_id, session_id)
        return (None, False, False) if row is None else (row["password_hash"], row["app_password"], row["session"])

    async def main_address(self, account_id: int) -> str:
        """Give the main address of an account, empty for none."""
        return await self._pool.fetchval(_MAIN, account_id) or ""

    async def replace_hash(self, partition: int, account_id: int, old: str, new: str) -> None:
        """Store a hash made with today's parameters, unless the password changed meanwhile."""
        await self._pool.execute(_REHASH, partition, account_id, old, new)

    async def touch_app_password(self, partition: int, account_id: int, app_password_id: int) -> None:
        """Record that an app password was used."""
        await self._pool.execute(_TOUCH_APP, partition, account_id, app_password_id)

    async def new_app_password(
        self, partition: int, account_id: int, app_password_id: int, digest: bytes, label: str, protocols: list[str],
        verifier: Verifier,
    ) -> None:  # fmt: skip
        """Keep a new app password's digest, and its verifier for SCRAM."""
        await self._pool.execute(_NEW_APP, partition, account_id, app_password_id, digest, label, protocols, *verifier)

    async def session(self, partition: int, digest: bytes, stale_seconds: float) -> SessionRow | None:
        """The session of a token; `stale` when its last use was recorded longer ago than so many seconds."""
        row = await self._pool.fetchrow(_SESSION, partition, digest, stale_seconds)
        return None if row is None else SessionRow(*row.values())

    async def touch_session(self, partition: int, digest: bytes, idle_seconds: int) -> None:
        """Move a session's sliding end on."""
        await self._pool.execute(_TOUCH_SESSION, partition, digest, idle_seconds)

    async def device(
        self, partition: int, account_id: int, digest: bytes | None, instead: bytes, seconds: int
    ) -> datetime | None:
        """Know a device again, or write it down; return until when a session from it may be somebody else's.

        Args:
            partition: Of the account.
            account_id: The account.
            digest: Of what the device keeps, None when it keeps nothing.
            instead: Takes its place where it is the account's first.
            seconds: How long a new device, or a new password, is not sure to be the person's.
        """
        until: datetime | None = await self._pool.fetchval(
            _DEVICE, partition, account_id, digest, instead, float(seconds)
        )
        return until

    async def new_session(
        self,
        partition: int,
        account_id: int,
        session_id: int,
        digest: bytes,
        label: str,
        idle_seconds: int,
        seconds: int,
        cooling_until: datetime | None,
    ) -> int:
        """Keep a new session; return the Unix second at which it ends by itself."""
        ends: int = await self._pool.fetchval(
            _NEW_SESSION, partition, account_id, session_id, digest, label, idle_seconds, seconds, cooling_until
        )
        return ends

    async def prune_sessions(self) -> None:
        """Delete sessions that ended a day ago."""
        await self._pool.execute(_PRUNE)
