"""The port `Guardians` on PostgreSQL: who becomes a guardian by invitation, and who is one no more by agreement."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from petitbleu_junior_guard.adapters import voices
from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, locked, or_away
from petitbleu_junior_guard.adapters.correspondents import guarded_by, make_room
from petitbleu_junior_guard.domain.voices import NOBODY, Kind
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, Correspondent, Invitation
from petitbleu_kit.ids import new_row_id, partition_of_account
from petitbleu_kit.postgres import in_transaction

MAX_GUARDIANS: Final = 16
MAX_INVITATIONS: Final = 8

_COUNT: Final = """/* cold:junior-guard.invitations_count */
SELECT count(*) FROM guardian_invitation WHERE partition = $1 AND account_id = $2 AND invitee_hash <> $3"""

_INVITE: Final = """/* cold:junior-guard.invite */
INSERT INTO guardian_invitation (partition, account_id, invitation_id, tenant_id, invited_by, invitee_hash, sealed, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (partition, account_id, invitee_hash) DO UPDATE
SET invited_by = excluded.invited_by, ends_at = excluded.ends_at"""

# An invitation lies in the partition of its child, and whoever is invited does not know that child yet.
_MINE: Final = """/* cold:junior-guard.my_invitations */
SELECT account_id, invitation_id, invited_by, sealed, ends_at FROM guardian_invitation
WHERE invitee_hash = $1 AND tenant_id = $2 AND ends_at > $3 ORDER BY ends_at"""

_OF_CHILD: Final = """/* cold:junior-guard.invitations */
SELECT account_id, invitation_id, invited_by, sealed, ends_at FROM guardian_invitation
WHERE partition = $1 AND account_id = $2 AND ends_at > $3 ORDER BY ends_at"""

_TAKE: Final = """/* cold:junior-guard.invitation_take */
DELETE FROM guardian_invitation WHERE partition = $1 AND account_id = $2 AND invitation_id = $3 AND invitee_hash = $4 AND tenant_id = $5
    AND ends_at > $6 RETURNING invited_by"""

_WITHDRAW: Final = """/* cold:junior-guard.invitation_withdraw */
DELETE FROM guardian_invitation WHERE partition = $1 AND account_id = $2 AND invitation_id = $3 RETURNING true"""

_GUARDIAN: Final = """/* cold:junior-guard.guardian_by_invitation */
INSERT INTO guardian (partition, account_id, guardian_account_id, address_hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"""

_AGREE: Final = """/* cold:junior-guard.leaving_agree */
INSERT INTO guardian_leaving (partition, account_id, guardian_account_id, agreed_by, agreed_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING"""

_AGREED: Final = """/* cold:junior-guard.leaving_agreed */
SELECT guardian_account_id, agreed_by FROM guardian_leaving WHERE partition = $1 AND account_id = $2"""

_DISAGREE: Final = """/* cold:junior-guard.leaving_over */
DELETE FROM guardian_leaving WHERE partition = $1 AND account_id = $2 AND guardian_account_id = $3"""

_GONE: Final = """/* cold:junior-guard.guardian_gone */
DELETE FROM guardian WHERE partition = $1 AND account_id = $2 AND guardian_account_id = $3 RETURNING address_hash"""

_FORGET: Final = """/* cold:junior-guard.guardian_forget */
DELETE FROM guardian_leaving WHERE partition = $1 AND account_id = $2 AND (guardian_account_id = $3 OR agreed_by = $3)"""

_PRUNE: Final = "/* cold:junior-guard.invitations_gone */ DELETE FROM guardian_invitation WHERE ends_at < $1"


class PostgresGuardians:
    """Keeps invitations and agreements."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def invite(
        self, account_id: int, actor: Actor, invitee_hash: bytes, sealed: bytes, ends_at: datetime
    ) -> None:
        """Invite somebody as a guardian; a repeat is the same invitation, that ends later."""
        partition = partition_of_account(account_id)

        async def work(connection: Connection) -> None:
            await guarded_by(connection, account_id, actor)
            if await connection.fetchval(_COUNT, partition, account_id, invitee_hash) >= MAX_INVITATIONS:
                raise GuardError(Fault.TOO_MANY)
            await connection.execute(
                _INVITE, partition, account_id, new_row_id(), actor.tenant_id, actor.party, invitee_hash, sealed, ends_at
            )  # fmt: skip
            await audit(connection, account_id, actor.name, "guardian-invited", "")

        await in_transaction(self._pool, work)

    @or_away
    async def mine(self, actor: Actor, invitee_hash: bytes, now: datetime) -> list[Invitation]:
        """Give the invitations of somebody."""
        rows = await self._pool.fetch(_MINE, invitee_hash, actor.tenant_id, now)
        return [Invitation(*row.values()) for row in rows]

    @or_away
    async def of_child(
        self, account_id: int, actor: Actor, now: datetime
    ) -> tuple[list[Invitation], list[tuple[int, int]]]:
        """Give a child's open invitations, and who agrees to whose leaving (guardian, by whom), to one of its guardians."""
        partition = partition_of_account(account_id)

        async def work(connection: Connection) -> tuple[list[Invitation], list[tuple[int, int]]]:
            await guarded_by(connection, account_id, actor)
            rows = await connection.fetch(_OF_CHILD, partition, account_id, now)
            agreed = await connection.fetch(_AGREED, partition, account_id)
            return [Invitation(*row.values()) for row in rows], [(row[0], row[1]) for row in agreed]

        return await in_transaction(self._pool, work)

    @or_away
    async def accept(
        self, account_id: int, invitation_id: int, actor: Actor, invitee_hash: bytes, own: Correspondent, now: datetime
    ) -> None:
        """Become a guardian by an invitation, which is used up."""
        partition = partition_of_account(account_id)

        async def work(connection: Connection) -> None:
            try:
                await locked(connection, account_id)
            except GuardError:
                raise GuardError(Fault.NO_INVITATION) from None
            by = await connection.fetchval(
                _TAKE, partition, account_id, invitation_id, invitee_hash, actor.tenant_id, now
            )
            now_guardians = await voices.guardians(connection, account_id)
            # whoever invited and is a guardian no more invites nobody
            if by is None or by not in now_guardians:
                raise GuardError(Fault.NO_INVITATION)
            if len(now_guardians) >= MAX_GUARDIANS:
                raise GuardError(Fault.TOO_MANY)
            await make_room(connection, account_id, own.address_hash)
            await voices.know(connection, account_id, [own])
            await connection.execute(_GUARDIAN, partition, account_id, actor.party, own.address_hash)
            await audit(connection, account_id, actor.name, "guardian-added", str(actor.party))
            await voices.stand(connection, account_id, [own.address_hash])

        await in_transaction(self._pool, work)

    @or_away
    async def decline(
        self, account_id: int, invitation_id: int, actor: Actor, invitee_hash: bytes, now: datetime
    ) -> None:
        """Use an invitation up without becoming anything."""
        by = await self._pool.fetchval(
            _TAKE, partition_of_account(account_id), account_id, invitation_id, invitee_hash, actor.tenant_id, now
        )
        if by is None:
            raise GuardError(Fault.NO_INVITATION)

    @or_away
    async def withdraw(self, account_id: int, invitation_id: int, actor: Actor) -> None:
        """Take an invitation back, as any guardian."""

        async def work(connection: Connection) -> None:
            await guarded_by(connection, account_id, actor)
            if not await connection.fetchval(_WITHDRAW, partition_of_account(account_id), account_id, invitation_id):
                raise GuardError(Fault.NO_INVITATION)
            await audit(connection, account_id, actor.name, "invitation-withdrawn", "")

        await in_transaction(self._pool, work)

    @or_away
    async def leave(self, account_id: int, guardian_id: int, actor: Actor, now: datetime) -> bool:
        """Agree that a guardian is one no more; whether that is done: the guardian and one other agree."""
        partition = partition_of_account(account_id)

        async def work(connection: Connection) -> bool:
            await guarded_by(connection, account_id, actor)
            there = await voices.guardians(connection, account_id)
            if guardian_id not in there:
                raise GuardError(Fault.NOT_YOURS)
            if len(there) == 1:
                raise GuardError(Fault.LAST_GUARDIAN)
            await connection.execute(_AGREE, partition, account_id, guardian_id, actor.party, now)
            rows = await connection.fetch(_AGREED, partition, account_id)
            agreed = {row["agreed_by"] for row in rows if row["guardian_account_id"] == guardian_id} & set(there)
            if guardian_id not in agreed or len(agreed) < 2:
                await audit(connection, account_id, actor.name, "guardian-leaving", str(guardian_id))
                return False
            address_hash = await connection.fetchval(_GONE, partition, account_id, guardian_id)
            await connection.execute(_FORGET, partition, account_id, guardian_id)
            await audit(connection, account_id, actor.name, "guardian-removed", str(guardian_id))
            if address_hash is not None:
                # Whoever was a guardian stays somebody to whom the child may write, until a guardian says otherwise.
                await voices.say(connection, account_id, address_hash, NOBODY, Kind.APPROVED)
                await voices.stand(connection, account_id, [address_hash])
            return True

        return await in_transaction(self._pool, work)

    @or_away
    async def stay(self, account_id: int, guardian_id: int, actor: Actor) -> None:
        """Forget who agreed that a guardian is one no more, as any guardian."""

        async def work(connection: Connection) -> None:
            await guarded_by(connection, account_id, actor)
            await connection.execute(_DISAGREE, partition_of_account(account_id), account_id, guardian_id)
            await audit(connection, account_id, actor.name, "guardian-stays", str(guardian_id))

        await in_transaction(self._pool, work)

    @or_away
    async def prune(self, now: datetime) -> None:
        """Forget invitations that are over."""
        await self._pool.execute(_PRUNE, now)
