"""IdentityService of the contract."""

from __future__ import annotations

from typing import Any

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu.accounts.v1 import accounts_pb2_grpc
from petitbleu_accounts.domain.identities import Address, Identity, Owner, Wish
from petitbleu_accounts.grpc_api.answer import answered
from petitbleu_accounts.grpc_api.authentication import person
from petitbleu_accounts.service.identities import Identities, Update


def _addresses(given: pb.EmailAddresses) -> tuple[Address, ...]:
    return tuple(Address(one.name if one.HasField("name") else None, one.email) for one in given.addresses)


def _wish(update: pb.IdentityUpdate) -> Wish:
    return Wish(
        update.name if update.HasField("name") else None,
        _addresses(update.reply_to) if update.HasField("reply_to") else None,
        _addresses(update.bcc) if update.HasField("bcc") else None,
        update.text_signature if update.HasField("text_signature") else None,
        update.html_signature if update.HasField("html_signature") else None,
    )


def _shown(addresses: tuple[Address, ...] | None) -> pb.EmailAddresses | None:
    if addresses is None:
        return None
    return pb.EmailAddresses(addresses=[pb.EmailAddress(name=one.name, email=one.email) for one in addresses])


def _message(owner: Owner, one: Identity) -> pb.Identity:
    return pb.Identity(
        identity_id=one.identity_id, name=one.name, email=one.email, reply_to=_shown(one.reply_to), bcc=_shown(one.bcc),
        text_signature=one.text_signature, html_signature=one.html_signature, may_delete=owner.may_destroy(one),
    )  # fmt: skip


class IdentityApi(accounts_pb2_grpc.IdentityServiceServicer):
    """Whom a person writes as."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    @answered
    async def ListIdentities(self, request: pb.ListIdentitiesRequest, _context: Any) -> pb.ListIdentitiesResponse:
        """Give all identities of the principal."""
        book = await self._identities.all(person(), request.account_id)
        return pb.ListIdentitiesResponse(
            identities=[_message(book.owner, one) for one in book.living()], modseq=book.modseq
        )

    @answered
    async def GetIdentityChanges(
        self, request: pb.GetIdentityChangesRequest, _context: Any
    ) -> pb.GetIdentityChangesResponse:
        """Say what changed of the principal's identities."""
        found = await self._identities.changes(person(), request.account_id, request.since_modseq, request.max_changes)
        return pb.GetIdentityChangesResponse(
            created=found.created, updated=found.updated, destroyed=found.destroyed, new_modseq=found.upto,
            has_more=found.more,
        )  # fmt: skip

    @answered
    async def UpdateIdentities(self, request: pb.UpdateIdentitiesRequest, _context: Any) -> pb.UpdateIdentitiesResponse:
        """Change the principal's identities."""
        updates = [
            Update(
                update.identity_id, update.created_by if update.HasField("created_by") else None, update.destroy,
                update.email, _wish(update),
            )
            for update in request.updates
        ]  # fmt: skip
        expected = request.if_modseq if request.HasField("if_modseq") else None
        done = await self._identities.update(person(), request.account_id, updates, expected)
        answer = pb.UpdateIdentitiesResponse(old_modseq=done.before, new_modseq=done.book.modseq)
        for one in done.results:
            answer.results.add(
                status=pb.IdentityStatus.ValueType(one.outcome.value), properties=one.properties,
                identity=None if one.identity is None else _message(done.book.owner, one.identity),
            )  # fmt: skip
        return answer

    @answered
    async def GetIdentityStates(
        self, request: pb.GetIdentityStatesRequest, _context: Any
    ) -> pb.GetIdentityStatesResponse:
        """Say how far accounts are."""
        found = await self._identities.states(request.account_ids)
        return pb.GetIdentityStatesResponse(
            states=[pb.IdentityState(account_id=account_id, modseq=modseq) for account_id, modseq in found.items()]
        )
