"""A person's list of senders over JMAP: an extension of ours (ADR 38), by what delivery keeps."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Protocol

import grpc
import grpc.aio
import msgspec

from petitbleu.delivery.v1 import senders_pb2 as pb
from petitbleu_gateway.domain.email_view import date_or_none
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.ports import Identity

_LISTINGS: Final = {
    "allow": pb.SENDER_LISTING_ALLOW, "block": pb.SENDER_LISTING_BLOCK, "forget": pb.SENDER_LISTING_UNSPECIFIED,
}  # fmt: skip
_ACTIONS: Final = {number: word for word, number in _LISTINGS.items()}
# What delivery says is a fixed sentence of ours, and names no address.
_FAULTS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: Fault.INVALID_ARGUMENTS,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Fault.FORBIDDEN,
}


class SenderSay(AccountArguments, kw_only=True):
    """Arguments of ListedSender/say."""

    sender: Annotated[str, msgspec.Meta(max_length=512)]
    action: Literal["allow", "block", "forget"]


class Senders(Protocol):
    """delivery, for a person's list."""

    async def listed(self, who: Identity) -> pb.ListSendersResponse:
        """Give a person's list."""
        ...

    async def say(self, who: Identity, sender: str, listing: pb.SenderListing.ValueType) -> pb.SetSenderResponse:
        """List a sender, or forget it."""
        ...


class ListedSenderMethods:
    """The methods.

    Args:
        senders: delivery.
    """

    def __init__(self, senders: Senders) -> None:
        self._senders = senders

    async def get(self, context: Context, arguments: AccountArguments) -> dict[str, Any]:
        """ListedSender/get: the whole list."""
        found = await self._senders.listed(context.person)
        return {"accountId": arguments.account_id, "list": [_shown(one) for one in found.senders]}

    async def say(self, context: Context, arguments: SenderSay) -> dict[str, Any]:
        """ListedSender/say: what is wanted of a sender."""
        try:
            done = await self._senders.say(context.person, arguments.sender, _LISTINGS[arguments.action])
        except grpc.aio.AioRpcError as error:
            fault = _FAULTS.get(error.code())
            if fault is None:
                raise
            raise MethodError(fault, error.details() or "") from None
        return {"accountId": arguments.account_id, **_shown(done.sender)}


def _shown(one: pb.ListedSender) -> dict[str, Any]:
    return {
        "sender": one.sender,
        "action": _ACTIONS.get(one.listing),
        "listedAt": date_or_none(one.listed_ms),
    }
