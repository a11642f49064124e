"""gRPC between services: deadlines, identity, retries with a budget, and one place that refuses strangers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from prometheus_client import Counter

from petitbleu_kit.identity import IdentityError, OperatorToken, Principal, PrincipalVerifier, Signer, Verifier
from petitbleu_kit.logs import get_logger
from petitbleu_kit.telemetry import current_traceparent

Request = TypeVar("Request")
Response = TypeVar("Response")

MAX_MESSAGE_OCTETS: Final = 80 << 20
OPERATOR: Final = "operator"

_refused = Counter("petitbleu_grpc_refused_total", "Calls refused for their identity", ["method", "why"])
_log = get_logger(__name__)

# Methods that take a stream: gRPC must not try them again by itself. Its core ends the process ("ILLEGAL STATE: FORWARDED_BATCH",
# grpc/grpc#40283) when a try that came after UNAVAILABLE fails while it is written to, and it would keep 256 KiB of each stream for
# such tries. Who writes the stream decides (`lane`, or the sender of a large mail). A test holds the list against the contracts.
REQUEST_STREAMS: Final = (
    ("petitbleu.accounts.v1.DirectoryService", "ResolveMany"),
    ("petitbleu.store.v1.AcceptService", "AcceptMany"),
    ("petitbleu.store.v1.AcceptService", "CheckQuotaMany"),
    ("petitbleu.store.v1.AcceptService", "Stage"),
    ("petitbleu.store.v1.FilingService", "FileMany"),
    ("petitbleu.store.v1.FilingService", "ListOpenMany"),
    ("petitbleu.store.v1.ReadingService", "ReadMany"),
    ("petitbleu.store.v1.UploadService", "Upload"),
)

# Retries: at most 4 tries, and no more than one retry in ten calls once the budget of ten is spent (gRFC A6).
_SERVICE_CONFIG: Final = json.dumps(
    {
        "methodConfig": [
            {"name": [{"service": service, "method": method} for service, method in REQUEST_STREAMS]},
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            },
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
)

_LIMITS: Final = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_OCTETS),
    ("grpc.max_send_message_length", MAX_MESSAGE_OCTETS),
]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes the call being served.

    Attributes:
        service: The calling service.
        principal: The person on whose behalf it is made.
        traceparent: The caller's span.
        expires_at: The end of the service's token (Unix seconds).
        principals: Verifies the principals of a conversation's requests.
    """

    service: str
    principal: Principal | None
    traceparent: str
    expires_at: float = math.inf
    principals: PrincipalVerifier | None = None

    def principal_of(self, token: str) -> Principal:
        """Return the person that a principal in a request speaks of.

        Raises:
            IdentityError: when it is not valid now.
        """
        if self.principals is None:
            raise IdentityError("no principals are known here")
        return self.principals.principal(token)


_caller: ContextVar[Caller] = ContextVar("petitbleu_caller")


def caller() -> Caller:
    """Who makes the call being served (inside a handler)."""
    return _caller.get()


async def while_allowed(requests: AsyncIterator[Request]) -> AsyncIterator[Request]:
    """Give the requests of a conversation (inside its handler) for as long as the caller's token holds.

    A token is looked at when a call begins, and a stream lives as long as its caller likes: without this, one token that leaks
    once would be good for ever. The end is an orderly one, at which the caller opens a fresh stream (ADR 9).
    """
    until = caller().expires_at
    async for request in requests:
        if time.time() > until:
            return
        yield request


async def speak_for(token: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Serve the request of a conversation that was read last in the name of one person: they are `caller().principal` from here on.

    The principal is verified for each request, as for each unary call, so that one that ran out opens nothing (ADR 9).

    Args:
        token: The signed principal that the request carries.
        context: Of the conversation, which ends as UNAUTHENTICATED when the principal is not valid.
    """
    now = caller()
    try:
        principal = now.principal_of(token)
    except IdentityError as error:
        _caller.set(replace(now, principal=None))
        _refused.labels(method="conversation", why=str(error)).inc()
        _log.warning("request of a conversation refused", why=str(error))
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
    _caller.set(replace(now, principal=principal))


class Peer:
    """A channel to one service, with this service's identity on every call.

    Every method of our contracts is idempotent by a key or by its nature, so a call whose connection broke is tried again
    by gRPC itself, within the budget above and the call's deadline; a call that sends a stream is not.

    `own_connection` keeps gRPC from sharing the connection with other peers of the same target, so that the flow control of
    long streams never holds up short calls. `window_octets` bounds what a stream whose reader is slow may pile up here; gRPC would
    let it grow to several MiB.
    """

    def __init__(
        self,
        target: str,
        service: str,
        signer: Signer | None = None,
        operator_token: str = "",
        *,
        own_connection: bool = False,
        window_octets: int = 0,
    ) -> None:
        window: list[tuple[str, int]] = (
            [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", window_octets)] if window_octets else []
        )
        self.target = target
        self.service = service
        self._signer = signer
        self._operator_token = operator_token
        self.channel = grpc.aio.insecure_channel(
            target,
            options=[
                *_LIMITS,
                ("grpc.service_config", _SERVICE_CONFIG),
                ("grpc.enable_retries", 1),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 2000),
                ("grpc.default_authority", "petitbleu"),
                ("grpc.use_local_subchannel_pool", int(own_connection)),
                *window,
            ],
        )

    def metadata(self, principal: str = "") -> list[tuple[str, str]]:
        """Return the metadata of a call: identity, the person's principal, the trace."""
        if self._signer is not None:
            pairs = [("authorization", f"Bearer {self._signer.service_token(self.service)}")]
        else:
            pairs = [("authorization", f"Operator {self._operator_token}")]
        if principal:
            pairs.append(("x-principal", principal))
        traceparent = current_traceparent()
        if traceparent:
            pairs.append(("traceparent", traceparent))
        return pairs

    async def call(
        self,
        method: Callable[..., Awaitable[Response]],
        request: Any,
        *,
        timeout: float,  # noqa: ASYNC109 — the deadline travels with the call
        principal: str = "",
    ) -> Response:
        """Call a unary method of a stub made on `channel`.

        Args:
            method: `stub.Method`.
            request: Its request.
            timeout: Seconds until the deadline; it is sent to the peer.
            principal: Signed principal when the call is for a person.

        Raises:
            grpc.aio.AioRpcError: as the peer answered, or UNAVAILABLE, or DEADLINE_EXCEEDED.
        """
        return await method(request, timeout=timeout, metadata=self.metadata(principal))

    async def close(self) -> None:
        """Close the channel."""
        await self.channel.close(None)


class IdentityInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Lets a call in only when its caller is on the method's list.

    Args:
        service: This service's name, the audience of tokens.
        verifier: Verifies service tokens.
        principals: Verifies principals.
        operator: The operator's token.
        allowed: Method (`/package.Service/Method`) or whole service (`/package.Service/`) → callers allowed; `operator` is
            the command line. What is not listed is refused.
        person_methods: Methods or whole services that need a principal.
    """

    def __init__(
        self,
        service: str,
        verifier: Verifier,
        principals: PrincipalVerifier,
        operator: OperatorToken,
        allowed: Mapping[str, frozenset[str]],
        person_methods: frozenset[str] = frozenset(),
    ) -> None:
        self._service = service
        self._verifier = verifier
        self._principals = principals
        self._operator = operator
        self._allowed = allowed
        self._person_methods = person_methods

    def _identify(self, method: str, metadata: Mapping[str, str]) -> Caller:
        expires_at = math.inf
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme == "Bearer":
            claims = self._verifier.verify(token, use="service")
            name, expires_at = str(claims["iss"]), float(claims["exp"])
        elif scheme == "Operator" and self._operator.matches(token):
            name = OPERATOR
        else:
            raise IdentityError("no identity")
        group = method[: method.rindex("/") + 1]
        callers = self._allowed.get(method, self._allowed.get(group, frozenset()))
        if name not in callers:
            raise IdentityError("caller not allowed")
        principal = None
        if method in self._person_methods or group in self._person_methods:
            principal = self._principals.principal(metadata.get("x-principal", ""))
        elif metadata.get("x-principal"):
            principal = self._principals.principal(metadata["x-principal"])
        return Caller(name, principal, metadata.get("traceparent", ""), expires_at, self._principals)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Identify the caller, or answer UNAUTHENTICATED or PERMISSION_DENIED."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        metadata = {key: value for key, value in handler_call_details.invocation_metadata if isinstance(value, str)}
        try:
            _caller.set(self._identify(method, metadata))
        except IdentityError as error:
            _refused.labels(method=method if handler is not None else "unknown", why=str(error)).inc()
            _log.warning("call refused", method=method if handler is not None else "unknown", why=str(error))
            return _refusal(handler, str(error))  # type: ignore[no-any-return]
        return handler


def _refusal(handler: Any, why: str) -> Any:
    code = grpc.StatusCode.PERMISSION_DENIED if "allowed" in why else grpc.StatusCode.UNAUTHENTICATED

    async def unary(_request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        await context.abort(code, why)

    async def stream(_request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        await context.abort(code, why)
        yield  # type: ignore[unreachable]  # makes it a generator, as a streaming answer must be

    if handler is None:
        return grpc.unary_unary_rpc_method_handler(unary)
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(stream)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(unary)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(stream)
    return grpc.unary_unary_rpc_method_handler(unary)


def make_server(interceptor: IdentityInterceptor) -> grpc.aio.Server:
    """Return a gRPC server that lets in whom the interceptor lets in. The caller adds servicers, binds and starts it."""
    return grpc.aio.server(
        interceptors=[interceptor],
        options=[*_LIMITS, ("grpc.so_reuseport", 0), ("grpc.max_concurrent_streams", 2000)],
    )


def retryable(error: BaseException) -> bool:
    """Whether a call may succeed when repeated later."""
    return isinstance(error, grpc.aio.AioRpcError) and error.code() in {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
