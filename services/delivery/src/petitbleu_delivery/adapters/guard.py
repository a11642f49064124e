"""junior-guard's GuardService behind the port `Guard`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu.junior_guard.v1 import junior_guard_pb2 as pb
from petitbleu.junior_guard.v1 import junior_guard_pb2_grpc
from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.calls import ask, same_length
from petitbleu_delivery.domain.model import Placement
from petitbleu_delivery.errors import Peer
from petitbleu_delivery.ports import Decided, Leaving
from petitbleu_kit.rpc import Peer as Channel

_DECISIONS: Final = frozenset({pb.VERDICT_DELIVER, pb.VERDICT_HOLD})


class JuniorGuard:
    """Calls junior-guard.

    Args:
        channel: The channel to junior-guard.
        call_seconds: Deadline of a call.
    """

    def __init__(self, channel: Channel, call_seconds: float) -> None:
        self._channel = channel
        self._stub = junior_guard_pb2_grpc.GuardServiceStub(channel.channel)
        self._call_seconds = call_seconds

    async def check(self, placements: Sequence[Placement]) -> list[Decided]:
        """Decide on messages for guarded accounts."""
        request = pb.CheckRequest()
        for placement in placements:
            message = placement.recipient.message
            request.items.add(
                account_id=placement.account_id,
                accepted_id=message.accepted_id,
                mail_from=message.mail_from,
                header_from=message.header_from,
                authenticated=message.authenticated,
                junk=placement.recipient.junk,
                dmarc_failed=message.dmarc_failed,
                size=message.size,
                local=message.origin == accept_pb2.ORIGIN_SUBMITTED,
            )
        response = await ask(self._channel, Peer.GUARD, self._stub.Check, request, self._call_seconds)
        same_length(Peer.GUARD, len(placements), len(response.decisions))
        return [
            Decided(
                found.token if found.verdict in _DECISIONS else "", found.newcomer, found.verdict == pb.VERDICT_DROP
            )
            for found in response.decisions
        ]

    async def check_outgoing(self, leaving: Sequence[Leaving]) -> list[bool]:
        """Say whether what guarded accounts send may go."""
        request = pb.CheckOutgoingRequest()
        for one in leaving:
            request.items.add(account_id=one.account_id, accepted_id=one.accepted_id, address=one.address)
        response = await ask(self._channel, Peer.GUARD, self._stub.CheckOutgoing, request, self._call_seconds)
        same_length(Peer.GUARD, len(leaving), len(response.verdicts))
        return [verdict == pb.VERDICT_DELIVER for verdict in response.verdicts]
