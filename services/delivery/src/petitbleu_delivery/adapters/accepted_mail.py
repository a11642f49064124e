"""Accepted mail read from store, and mail that delivery writes itself handed to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc.aio
import msgspec

from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc, outgoing_pb2, outgoing_pb2_grpc
from petitbleu_delivery.adapters.calls import ask, failure, same_length
from petitbleu_delivery.errors import Peer
from petitbleu_kit.rpc import Peer as Channel

MAX_MESSAGES: Final = 64
_TAKEN: Final = frozenset({accept_pb2.ACCEPT_STATUS_OK, accept_pb2.ACCEPT_STATUS_REPEAT})


class AcceptedLetter(msgspec.Struct, gc=False):
    """An accepted message with its envelope; `whole` is False when its body could not be read."""

    header: outgoing_pb2.AcceptedHeader
    body: bytes
    whole: bool


class AcceptedMail:
    """Calls store's OutgoingService and AcceptService.

    Args:
        channel: The channel to store.
        call_seconds: Deadline of a call that commits, and of one that reads.
    """

    def __init__(self, channel: Channel, call_seconds: float) -> None:
        self._channel = channel
        self._outgoing = outgoing_pb2_grpc.OutgoingServiceStub(channel.channel)
        self._accepts = accept_pb2_grpc.AcceptServiceStub(channel.channel)
        self._call_seconds = call_seconds

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        """Return accepted messages by id, at most 64; unknown ones are left out. `max_octets` as in ReadAccepted.

        Raises:
            PeerUnavailableError: store does not answer, or broke off.
            PeerRefusedError: it refused the question.
        """
        request = outgoing_pb2.ReadAcceptedRequest(accepted_ids=accepted_ids, max_octets=max_octets)
        found: dict[bytes, AcceptedLetter] = {}
        pieces: list[bytes] = []
        header = outgoing_pb2.AcceptedHeader()
        try:
            call = self._outgoing.ReadAccepted(request, timeout=self._call_seconds, metadata=self._channel.metadata())
            async for part in call:
                match part.WhichOneof("part"):
                    case "header":
                        header, pieces = part.header, []
                    case "data":
                        pieces.append(part.data)
                    case "end":
                        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                        whole = part.end.whole and part.end.octets == len(body)
                        found[header.accepted_id] = AcceptedLetter(header, body, whole)
        except grpc.aio.AioRpcError as error:
            raise failure(error, Peer.STORE) from None
        return found

    async def accept(self, items: Sequence[accept_pb2.AcceptItem]) -> list[bytes]:
        """Accept messages that delivery wrote; their ids, empty for one that store does not take.

        Raises:
            PeerUnavailableError: store does not answer; nothing or everything was accepted, and the keys make a repeat harmless.
            PeerRefusedError: it refused the request.
        """
        request = accept_pb2.AcceptRequest(items=items)
        response = await ask(self._channel, Peer.STORE, self._accepts.Accept, request, self._call_seconds)
        same_length(Peer.STORE, len(items), len(response.results))
        return [one.accepted_id if one.status in _TAKEN else b"" for one in response.results]
