"""How somebody becomes a guardian, and is one no more.

A guardian invites an address; whoever has it, in the same tenant, accepts in a session of their own. Nobody learns from an invitation
whether an address exists. A guardian leaves when they and one other agree; a child keeps one. Without agreement only the operator
registers other guardians.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from petitbleu_junior_guard.domain.rules import canonical
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, Guardians, Invitation, Post
from petitbleu_junior_guard.service.families import correspondent
from petitbleu_junior_guard.service.guard import Clock, utc_now

LIFE: Final = timedelta(days=7)
# Invitees are hashed under no child: whoever is invited does not know the child yet.
_NO_CHILD: Final = 0


class Invited(msgspec.Struct, frozen=True):
    """An invitation with the address that it is for."""

    invitation: Invitation
    address: str


class Guardianships:
    """The use cases.

    Args:
        rows: What is kept.
        post: Knows people's addresses.
        seal: Hashes and seals addresses.
        clock: The time.
    """

    def __init__(self, rows: Guardians, post: Post, seal: Seal, clock: Clock = utc_now) -> None:
        self._rows = rows
        self._post = post
        self._seal = seal
        self._clock = clock

    async def invite(self, account_id: int, address: str, actor: Actor) -> None:
        """Invite whoever has an address, for a week; also BAD_ADDRESS, TOO_MANY."""
        known = canonical(address)
        if known is None:
            raise GuardError(Fault.BAD_ADDRESS)
        await self._rows.invite(
            account_id,
            actor,
            self._seal.hash(_NO_CHILD, known),
            self._seal.seal(account_id, known),
            self._clock() + LIFE,
        )

    async def mine(self, actor: Actor) -> list[Invitation]:
        """Give the invitations of a person."""
        _, digest = await self._own(actor)
        return await self._rows.mine(actor, digest, self._clock())

    async def _own(self, actor: Actor) -> tuple[str, bytes]:
        people = await self._post.people([actor.party])
        person = people.get(actor.party)
        known = canonical(person.address) if person is not None and person.tenant_id == actor.tenant_id else None
        if known is None:
            raise GuardError(Fault.NO_INVITATION)
        return known, self._seal.hash(_NO_CHILD, known)

    async def answer(self, account_id: int, invitation_id: int, actor: Actor, *, accept: bool) -> None:
        """Accept or decline an invitation; NO_INVITATION for one that is another's, used, over or made up."""
        address, digest = await self._own(actor)
        if not accept:
            await self._rows.decline(account_id, invitation_id, actor, digest, self._clock())
            return
        own = correspondent(self._seal, account_id, address)
        await self._rows.accept(account_id, invitation_id, actor, digest, own, self._clock())

    async def of_child(self, account_id: int, actor: Actor) -> tuple[list[Invited], list[tuple[int, int]]]:
        """Give a child's open invitations and who agrees to whose leaving; NOT_YOURS."""
        found, agreed = await self._rows.of_child(account_id, actor, self._clock())
        return [Invited(one, self._seal.open(account_id, one.sealed)) for one in found], agreed

    async def withdraw(self, account_id: int, invitation_id: int, actor: Actor) -> None:
        """Take an invitation back; NOT_YOURS, NO_INVITATION."""
        await self._rows.withdraw(account_id, invitation_id, actor)

    async def leave(self, account_id: int, guardian_id: int, actor: Actor) -> bool:
        """Agree that a guardian is one no more; whether it is done. NOT_YOURS, LAST_GUARDIAN."""
        return await self._rows.leave(account_id, guardian_id, actor, self._clock())

    async def stay(self, account_id: int, guardian_id: int, actor: Actor) -> None:
        """Forget who agreed to it; NOT_YOURS."""
        await self._rows.stay(account_id, guardian_id, actor)

    async def prune(self) -> None:
        """Forget invitations that are over."""
        await self._rows.prune(self._clock())
