"""Clients of pushed changes that show everything: event streams as they come, and WebSockets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from tests.conformance.jmap_client import CORE, MAIL, JmapClient, basic
from websockets.sync.client import ClientConnection, connect

TYPES = ("Email", "Mailbox", "Thread", "Quota", "ShareNotification")


@dataclass
class ServerEvent:
    """One event of a stream (HTML, §9.2.6)."""

    kind: str
    id: str | None
    data: Any


@dataclass
class EventStream:
    """An open stream."""

    answer: httpx.Response
    lines: Iterator[str]

    def next(self) -> ServerEvent | None:
        """Return the next event, None when the stream has ended; httpx's timeout bounds the wait."""
        kind, found, data = "message", None, ""
        for line in self.lines:
            if not line and data:
                return ServerEvent(kind, found, json.loads(data))
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                found = value
            elif name == "data":
                data += value
        return None


def event_url(jmap: JmapClient, types: str = "*", close_after: str = "no", ping: str = "0") -> str:
    url: str = jmap.session["eventSourceUrl"]
    return url.replace("{types}", types).replace("{closeafter}", close_after).replace("{ping}", ping)


@contextlib.contextmanager
def listening(
    jmap: JmapClient, types: str = "*", close_after: str = "no", ping: str = "0", **headers: str
) -> Iterator[EventStream]:
    """Open an event stream as somebody, with further headers."""
    fields = {**basic(jmap.login, jmap.password), **{name.replace("_", "-"): value for name, value in headers.items()}}
    with httpx.stream("GET", event_url(jmap, types, close_after, ping), headers=fields, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        lines = answer.iter_lines()
        assert next(lines) == ":"  # whoever sees it is being told of changes
        yield EventStream(answer, lines)


@contextlib.contextmanager
def web_socket(jmap: JmapClient, **headers: str) -> Iterator[ClientConnection]:
    """Open a WebSocket as somebody."""
    url = jmap.session["capabilities"]["urn:ietf:params:jmap:websocket"]["url"]
    fields = headers or basic(jmap.login, jmap.password)
    with connect(url, subprotocols=["jmap"], additional_headers=fields, max_size=None, compression=None) as socket:  # type: ignore[list-item]
        yield socket


def ask(socket: ClientConnection, value: Any) -> Any:
    """Send a message, octets and text as they are and anything else as JSON, and return what comes next."""
    tell(socket, value)
    return hear(socket)


def tell(socket: ClientConnection, value: Any) -> None:
    socket.send(value if isinstance(value, str | bytes) else json.dumps(value))


def hear(socket: ClientConnection, seconds: float = 20) -> Any:
    return json.loads(socket.recv(timeout=seconds))


def request(*calls: list[Any], **members: Any) -> dict[str, Any]:
    return {"@type": "Request", "using": [CORE, MAIL], "methodCalls": list(calls), **members}
