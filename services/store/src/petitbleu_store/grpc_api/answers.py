"""From errors to gRPC answers, once for all servicers."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc.aio

from petitbleu_kit.logs import get_logger
from petitbleu_store.errors import StoreError, problem_of, status_of

Request = TypeVar("Request")
Response = TypeVar("Response")
Servicer = TypeVar("Servicer")
Context = grpc.aio.ServicerContext[Any, Any]
_log = get_logger(__name__)


async def _abort(context: Context, error: Exception) -> None:
    problem = problem_of(error)
    if problem is None:
        _log.error("call failed", exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, "internal")
    elif not isinstance(error, StoreError):
        _log.warning("call not possible now", problem=problem.value, error_type=type(error).__qualname__)
        # Its text might quote what must not be told.
        await context.abort(status_of(problem), problem.value)
    else:
        await context.abort(status_of(problem), str(error))


def answered(
    method: Callable[[Servicer, Request, Context], Awaitable[Response]],
) -> Callable[[Servicer, Request, Context], Awaitable[Response]]:
    """Answer errors of a unary method by their status."""

    @functools.wraps(method)
    async def wrapped(self: Servicer, request: Request, context: Context) -> Response:
        try:
            return await method(self, request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 — every error has one answer
            await _abort(context, error)
            raise AssertionError("unreachable") from None

    return wrapped


def streamed(
    method: Callable[[Servicer, Request, Context], AsyncIterator[Response]],
) -> Callable[[Servicer, Request, Context], AsyncIterator[Response]]:
    """Answer errors of a method that streams its answer by their status."""

    @functools.wraps(method)
    async def wrapped(self: Servicer, request: Request, context: Context) -> AsyncIterator[Response]:
        try:
            async for response in method(self, request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 — every error has one answer
            await _abort(context, error)

    return wrapped
