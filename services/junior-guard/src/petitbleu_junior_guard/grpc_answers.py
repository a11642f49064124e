"""What junior-guard refuses, as gRPC says it: in one place for all its doors."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, TypeAlias, TypeVar

import grpc
import grpc.aio

from petitbleu_junior_guard.errors import Fault, GuardError

Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_CODES: Final = {
    Fault.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.BAD_ADDRESS: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.BAD_LEVEL: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.NOT_A_CHILD: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.NOT_YOURS: grpc.StatusCode.NOT_FOUND,
    Fault.NO_GROUP: grpc.StatusCode.NOT_FOUND,
    Fault.NO_CLASS: grpc.StatusCode.NOT_FOUND,
    Fault.CLASS_OVER: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.TEACHERS_STAY: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.NOT_SURE: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.NO_INVITATION: grpc.StatusCode.NOT_FOUND,
    Fault.LAST_GUARDIAN: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.NO_LINK: grpc.StatusCode.NOT_FOUND,
    Fault.NO_CHANGE: grpc.StatusCode.NOT_FOUND,
    Fault.NO_SENDER: grpc.StatusCode.NOT_FOUND,
    Fault.REFUSED_BY_OTHERS: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Fault.LOOKS_ALIKE: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.NOT_HELD: grpc.StatusCode.NOT_FOUND,
    Fault.DECIDED_OTHERWISE: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.STORE_REFUSES: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.DATABASE_AWAY: grpc.StatusCode.UNAVAILABLE,
    Fault.PEER_AWAY: grpc.StatusCode.UNAVAILABLE,
    Fault.STORE_AWAY: grpc.StatusCode.UNAVAILABLE,
}


def answered(
    method: Callable[[Servicer, Request, Context], Coroutine[Any, Any, Response]],
) -> Callable[[Servicer, Request, Context], Coroutine[Any, Any, Response]]:
    """Turn what a use case refuses into a status."""

    @wraps(method)
    async def wrapped(self: Servicer, request: Request, context: Context) -> Response:
        try:
            return await method(self, request, context)
        except GuardError as error:
            await context.abort(_CODES[error.fault], error.fault.value)

    return wrapped
