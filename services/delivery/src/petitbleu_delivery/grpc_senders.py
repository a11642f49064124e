"""SenderListService of the contract: translation only."""

from __future__ import annotations

from typing import Any, Final

import grpc
import grpc.aio

from petitbleu.delivery.v1 import senders_pb2 as pb
from petitbleu.delivery.v1 import senders_pb2_grpc
from petitbleu_delivery.domain.senders import MAX_SENDERS, Listed, Listing, SenderError, TooManySendersError
from petitbleu_delivery.service.scripts.senders import SenderLists
from petitbleu_kit.identity import Principal
from petitbleu_kit.rpc import caller

ALLOWED_SENDERS: Final = {"/petitbleu.delivery.v1.SenderListService/": frozenset({"gateway"})}
PERSON_SENDERS: Final = frozenset({"/petitbleu.delivery.v1.SenderListService/"})
_Context = grpc.aio.ServicerContext[Any, Any]


async def _person(account_id: int, context: _Context) -> Principal:
    principal = caller().principal
    if principal is None or principal.account_id != account_id:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "another account")
        raise AssertionError("abort raises")
    return principal


def _told(one: Listed) -> pb.ListedSender:
    return pb.ListedSender(
        sender=one.sender, listing=pb.SenderListing.ValueType(one.listing or 0), listed_ms=int(one.listed_at * 1000)
    )


class SenderListServicer(senders_pb2_grpc.SenderListServiceServicer):
    """Answers people, by way of the gateway."""

    def __init__(self, lists: SenderLists) -> None:
        self._lists = lists

    async def ListSenders(self, request: pb.ListSendersRequest, context: _Context) -> pb.ListSendersResponse:
        """Give the whole list."""
        who = await _person(request.account_id, context)
        return pb.ListSendersResponse(senders=map(_told, await self._lists.listed(who)))

    async def SetSender(self, request: pb.SetSenderRequest, context: _Context) -> pb.SetSenderResponse:
        """List a sender, or forget it."""
        who = await _person(request.account_id, context)
        try:
            listing = Listing(request.listing) if request.listing else None
            return pb.SetSenderResponse(sender=_told(await self._lists.say(who, request.sender, listing)))
        except TooManySendersError:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {MAX_SENDERS} senders are listed")
        except SenderError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except ValueError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such listing")
        raise AssertionError("abort raises")
