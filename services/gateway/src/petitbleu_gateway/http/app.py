"""The ASGI application: finds the door of a request, and answers every error as problem details."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Histogram

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.clients import Network
from petitbleu_gateway.http.exchange import Disconnected, Exchange, Receive, Scope, Send
from petitbleu_kit.logs import get_logger
from petitbleu_kit.telemetry import parent_of, span, tracing_on

_log = get_logger(__name__)
_requests = Counter("petitbleu_http_requests_total", "HTTP requests", ["door", "status"])
_seconds = Histogram(
    "petitbleu_http_request_seconds", "Duration of HTTP requests", ["door"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60),
)  # fmt: skip


# A look-up by labels costs more than the count itself; doors and statuses are few.
@functools.cache
def _requests_of(door: str, status: int) -> Counter:
    return _requests.labels(door=door, status=str(status))


@functools.cache
def _seconds_of(door: str) -> Histogram:
    return _seconds.labels(door=door)


Handler = Callable[[Exchange], Awaitable[None]]
_NO_DOOR: Final = "none"


@dataclass(frozen=True, slots=True)
class Route:
    """A door: its name for metrics, and what serves each method. With `below`, it serves all paths under its own."""

    name: str
    path: str
    methods: Mapping[str, Handler]
    below: bool = False


class Gateway:
    """The application.

    Args:
        routes: The doors; of those that serve what is below them, the first that fits.
        proxies: Networks whose forwarding headers are believed.
    """

    def __init__(self, routes: Sequence[Route], proxies: Sequence[Network] = ()) -> None:
        self._exact = {route.path: route for route in routes if not route.below}
        self._below = [route for route in routes if route.below]
        self._proxies = proxies

    def _route(self, path: str) -> Route | None:
        route = self._exact.get(path)
        if route is not None:
            return route
        for below in self._below:
            if path.startswith(below.path):
                return below
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        exchange = Exchange(scope, receive, send, self._proxies)
        route = self._route(exchange.path)
        door = route.name if route is not None else _NO_DOOR
        if tracing_on():
            with span(f"http {door}", context=parent_of(_traceparent(exchange))):
                await self._answer(exchange, route)
        else:
            await self._answer(exchange, route)
        _requests_of(door, exchange.status).inc()
        _seconds_of(door).observe(time.perf_counter() - began)

    async def _answer(self, exchange: Exchange, route: Route | None) -> None:
        try:
            await _handler(exchange, route)(exchange)
        except Problem as problem:
            if exchange.status == 0:
                await exchange.problem(problem)
        except Disconnected:
            exchange.status = 499
        except Exception:
            _log.exception("request failed", door=route.name if route is not None else _NO_DOOR)
            if exchange.status:
                raise  # the answer has begun: only cutting it short can tell the client
            await exchange.problem(
                Problem(500, detail="The server made a mistake.", headers=((b"connection", b"close"),))
            )


def _handler(exchange: Exchange, route: Route | None) -> Handler:
    if route is None:
        raise Problem(404)
    handler = route.methods.get(exchange.method)
    if handler is None:
        allowed = ", ".join(sorted(route.methods)).encode()
        raise Problem(405, headers=((b"allow", allowed),))  # RFC 9110 §15.5.6
    return handler


def _traceparent(exchange: Exchange) -> str:
    return exchange.header(b"traceparent")[:64]
