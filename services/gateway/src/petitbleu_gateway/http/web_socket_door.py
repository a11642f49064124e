"""JMAP over WebSocket (RFC 8887): the requests of the API endpoint and pushed changes on one connection."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, Literal

import grpc
import msgspec

from petitbleu_gateway.domain.state_changes import TYPES, wanted_types
from petitbleu_gateway.errors import Problem, RequestError
from petitbleu_gateway.http.credentials import identify
from petitbleu_gateway.http.exchange import Disconnected, Exchange, OctetBudget, encode_json
from petitbleu_gateway.http.jmap_doors import JmapDoors
from petitbleu_gateway.http.push_opening import PushOpening
from petitbleu_gateway.http.web_socket import GOING_AWAY, POLICY, WebSocket, handshake
from petitbleu_gateway.jmap import ijson
from petitbleu_gateway.jmap.envelope import request_of
from petitbleu_gateway.ports import AwayError, LimitedError, RefusedError
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.push import Stream
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_SUBPROTOCOL: Final = "jmap"  # RFC 8887 §4.2
_MAX_TYPES: Final = 200


class _PushEnable(msgspec.Struct, rename="camel"):
    """WebSocketPushEnable (RFC 8887 §4.3.5.2)."""

    type_: Literal["WebSocketPushEnable"] = msgspec.field(name="@type")
    data_types: list[str] | None = None
    push_state: str | None = None


class WebSocketDoor:
    """WebSockets of the subprotocol jmap.

    Args:
        authentication: Who checks credentials.
        opening: Opens streams.
        jmap: Answers requests, within the limits of the API endpoint.
        max_request: maxSizeRequest, octets.
        max_calls: maxCallsInRequest.
        body_seconds: Time for a message.
        public_url: Origin that clients use; their Host header when empty.
        budget: Octets in flight.
    """

    def __init__(
        self, authentication: Authentication, opening: PushOpening, jmap: JmapDoors, max_request: int, max_calls: int,
        body_seconds: float, public_url: str, budget: OctetBudget,
    ) -> None:  # fmt: skip
        self._authentication = authentication
        self._opening = opening
        self._jmap = jmap
        self._max_request = max_request
        self._max_calls = max_calls
        self._seconds = body_seconds
        self._public_url = public_url
        self._budget = budget

    async def open(self, exchange: Exchange) -> None:
        """Upgrade for whoever is identified (RFC 8887 §4.1, §4.2), then answer and push until either side ends."""
        who = await identify(exchange, self._authentication)
        answer = handshake(exchange, _SUBPROTOCOL, exchange.origin(self._public_url))
        stream = await self._opening.open("websocket", exchange, who)
        hub = self._opening.hub
        connection = exchange.connection
        share = self._budget.of(who.account_id)  # as a body over HTTP: no account fills the process
        socket = WebSocket(connection, stream.wake, self._max_request, self._seconds, share)
        stream.on_tick = socket.tick
        try:
            if connection.closing:
                raise Disconnected
            exchange.status = HTTPStatus.SWITCHING_PROTOCOLS
            connection.switch(socket, answer)
            await self._serve(socket, stream)
            socket.close(GOING_AWAY if stream.over == "shutdown" else POLICY)
        finally:
            hub.close(stream)
            socket.release()

    async def _serve(self, socket: WebSocket, stream: Stream) -> None:
        while not stream.over:
            if socket.waiting:
                text, octets = socket.take()
                try:
                    await self._answer(text, socket, stream)
                finally:
                    socket.settle(octets)
            change = self._opening.hub.take(stream) if stream.types and not stream.over else None
            if change is not None:
                change["pushState"] = self._opening.hub.seen_text(stream)  # RFC 8887 §4.3.5.1
                await socket.send(encode_json(change))
            if not socket.waiting:
                await stream.wake.wait()
                stream.wake.clear()

    async def _answer(self, text: bytes, socket: WebSocket, stream: Stream) -> None:
        """Do what a message says, and send what answers it; what it is not is told (RFC 8887 §4.3.1)."""
        value: object = None
        try:
            value = ijson.decode(text)
            await self._do(value, socket, stream)
        except ijson.NotIJsonError as error:
            problem = Problem(400, RequestError.NOT_JSON, f"The message is no I-JSON: {error}.")
        except Problem as raised:
            problem = raised
        except Exception:  # noqa: BLE001 — whatever it is, the connection's other requests go on
            _log.exception("message failed")
            problem = Problem(500, detail="The server made a mistake.")
        else:
            return
        await socket.send(_error(problem, _id_of(value)))

    async def _do(self, value: object, socket: WebSocket, stream: Stream) -> None:
        kind = value.get("@type") if isinstance(value, dict) else None
        if not isinstance(value, dict) or kind not in {"Request", "WebSocketPushEnable", "WebSocketPushDisable"}:
            raise Problem(400, RequestError.NOT_REQUEST, "The message has no @type that is known here.")
        if kind == "Request":
            await self._respond(value, socket, stream)
        elif kind == "WebSocketPushEnable":
            await self._enable(value, stream)
        else:
            stream.types = frozenset()  # RFC 8887 §4.3.5.3

    async def _respond(self, value: dict[str, Any], socket: WebSocket, stream: Stream) -> None:
        """Answer a Request (RFC 8887 §4.3.2) with its Response (§4.3.3)."""
        request_id = _id_of(value)
        if "id" in value and request_id is None:
            raise Problem(400, RequestError.NOT_REQUEST, "The id is no string.")
        request = request_of(value, self._max_calls, self._jmap.capabilities)
        try:
            # as for every HTTP request: whoever may no longer come in gets no answer
            who = await self._authentication.authenticate(stream.credential, stream.client_ip)
        except RefusedError:
            self._opening.hub.refused(stream)
            raise Problem(401, detail="The credential is wrong.") from None
        except LimitedError:
            raise Problem(429, detail="Too many tries.") from None
        except AwayError:
            raise Problem(503, detail="The directory does not answer.") from None
        with self._jmap.place(who.account_id):
            found: dict[str, Any] = {"@type": "Response"}
            if request_id is not None:
                found["requestId"] = request_id
            response, octets = await self._jmap.respond(who, request)
            try:
                found.update(response)
                data = ijson.without_noncharacters(encode_json(found))
                del found, response
                # in the account's place and share: an answer is held until its client has read it
                await socket.send(data)
            finally:
                self._budget.of(who.account_id).give_back(octets)

    async def _enable(self, value: dict[str, Any], stream: Stream) -> None:
        """Push from now on, or from what the client has seen (RFC 8887 §4.3.5.2)."""
        try:
            asked = msgspec.convert(value, _PushEnable)
        except msgspec.ValidationError:
            raise Problem(
                400, RequestError.NOT_REQUEST, "It does not have the form of a WebSocketPushEnable."
            ) from None
        names = asked.data_types
        if names is not None and len(names) > _MAX_TYPES:
            raise Problem(400, RequestError.NOT_REQUEST, "More dataTypes than there can be.")
        hub = self._opening.hub
        try:
            if asked.push_state is not None:
                await hub.saw(stream, asked.push_state)
            elif not stream.types:
                hub.from_now(stream)
        except grpc.aio.AioRpcError:
            raise Problem(503, detail="The mail store does not answer.") from None
        stream.types = TYPES if names is None else wanted_types(set(names))


def _id_of(value: object) -> str | None:
    """Return the id of a Request, None where it has none that can be read."""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _error(problem: Problem, request_id: str | None) -> bytes:
    """Return a RequestError (RFC 8887 §4.3.4): problem details with the id of the request, where it could be read."""
    found: dict[str, Any] = {
        "@type": "RequestError", "requestId": request_id, "type": problem.type, "status": problem.status,
        **problem.members,
    }  # fmt: skip
    if problem.detail:
        found["detail"] = problem.detail
    return encode_json(found)
