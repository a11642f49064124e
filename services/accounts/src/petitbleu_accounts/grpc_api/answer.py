"""What every method has in common: its duration is measured and what goes wrong becomes a status."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

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
    OSError,
    TimeoutError,
)

Service = TypeVar("Service")
Request = TypeVar("Request")
Response = TypeVar("Response")
Method = Callable[[Service, Request, Any], Awaitable[Response]]


def answered(method: Method[Service, Request, Response]) -> Method[Service, Request, Response]:
    """Translate a method's errors to statuses (never with an exception's own text), measure it and trace it."""
    traced = tracing_on()

    async def wrapper(self: Service, request: Request, context: Any) -> Response:
        start = time.perf_counter()
        try:
            if traced:
                with span(f"accounts.{method.__name__}", parent_of(caller().traceparent)):
                    return await method(self, request, context)
            return await method(self, request, context)
        except AccountsError as error:
            await context.abort(error.fault.value, error.sentence)
        except _AWAY as error:
            _log.warning("database away", method=method.__name__, error_type=type(error).__qualname__)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the database does not answer, try again")
        except asyncpg.DataError:  # such as a NUL, which no text of the database may hold
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a value cannot be stored")
        except asyncpg.PostgresError:
            _log.exception("database refused", method=method.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        finally:
            _seconds.labels(method=method.__name__).observe(time.perf_counter() - start)
        raise AssertionError("abort raises")

    return wrapper
