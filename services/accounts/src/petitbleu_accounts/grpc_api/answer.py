"""What every method has in common: its duration is measured and what goes wrong becomes a status."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

import asyncpg
import grpc
import grpc.aio
from prometheus_client import Histogram

from petitbleu_accounts.errors import AccountsError
from petitbleu_kit.logs import get_logger
from petitbleu_kit.rpc import caller
from petitbleu_kit.telemetry import parent_of, span, tracing_on

_log = get_logger(__name__)
_seconds = Histogram(
    "petitbleu_accounts_call_seconds", "Duration of calls", ["method"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip

# A database that starts, stops, is full or gone: the caller may try again.
_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says of a connection that ended between two of its steps
    OSError,
    TimeoutError,
)

Service = TypeVar("Service")
Request = TypeVar("Request")
Response = TypeVar("Response")
Method = Callable[[Service, Request, Any], Awaitable[Response]]
Conversation = Callable[[Service, AsyncIterator[Request], Any], AsyncIterator[Response]]
_TOLD: Final = (AccountsError, asyncpg.PostgresError, *_AWAY)


@contextmanager
def measured(method: str) -> Iterator[None]:
    """Measure how long a method, or one question of its conversation, takes."""
    start = time.perf_counter()
    try:
        yield
    finally:
        _seconds.labels(method=method).observe(time.perf_counter() - start)


def answered(method: Method[Service, Request, Response]) -> Method[Service, Request, Response]:
    """Translate a method's errors to statuses (never with an exception's own text), measure it and trace it."""
    traced = tracing_on()

    async def wrapper(self: Service, request: Request, context: Any) -> Response:
        try:
            with measured(method.__name__):
                if traced:
                    with span(f"accounts.{method.__name__}", parent_of(caller().traceparent)):
                        return await method(self, request, context)
                return await method(self, request, context)
        except _TOLD as error:
            await _abort(context, error, method.__name__)

    return wrapper


def conversing(method: Conversation[Service, Request, Response]) -> Conversation[Service, Request, Response]:
    """Translate the errors of a conversation as those of the method that it repeats; an error ends it."""

    async def wrapper(self: Service, request: AsyncIterator[Request], context: Any) -> AsyncIterator[Response]:
        try:
            async for response in method(self, request, context):
                yield response
        except _TOLD as error:
            await _abort(context, error, method.__name__)

    return wrapper


async def _abort(context: Any, error: Exception, method: str) -> NoReturn:
    if isinstance(error, AccountsError):
        await context.abort(error.fault.value, error.sentence)
    elif isinstance(error, _AWAY):
        _log.warning("database away", method=method, error_type=type(error).__qualname__)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the database does not answer, try again")
    elif isinstance(error, asyncpg.DataError):  # such as a NUL, which no text of the database may hold
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a value cannot be stored")
    else:
        _log.error("database refused", method=method, exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, "internal error")
    raise AssertionError("abort raises")
