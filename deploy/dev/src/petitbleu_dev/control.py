"""The supervisor's own door: JSON lines on a unix socket of mode 0600.

A request is `{"verb": …, "name": …, …}`, its answer `{"ok": true, …}` or `{"ok": false, "error": …}`.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
Verb = Callable[[Mapping[str, Any]], Awaitable[Answer]]

LINE_BYTES = 1024 * 1024


class ControlError(Exception):
    """The supervisor refused a request; the text is its reason."""


def parse_request(line: bytes) -> Mapping[str, Any]:
    """One request.

    Raises:
        ControlError: the line is not a JSON object with a verb.
    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise ControlError("a request is one line of JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        raise ControlError("a request is an object with a verb")
    return request


class ControlServer:
    """Answers requests by a table of verbs."""

    def __init__(self, path: Path, verbs: Mapping[str, Verb]) -> None:
        self._path = path
        self._verbs = verbs
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=LINE_BYTES)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # the caller left, or sent a line without an end
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = parse_request(line)
            verb = self._verbs.get(request["verb"])
            answer = await verb(request) if verb else None
        except (ControlError, KeyError, TypeError, ValueError) as error:
            return {"ok": False, "error": str(error)}
        return {"ok": False, "error": f"no verb {request['verb']}"} if answer is None else {"ok": True, **answer}


def ask(path: Path, verb: str, *, timeout: float = 60.0, **arguments: object) -> Answer:
    """Ask a running supervisor something and wait for its answer.

    Raises:
        ControlError: it refused.
        OSError: no supervisor listens there, or it did not answer within `timeout` seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        with connection.makefile("rb") as stream:
            line = stream.readline()
    if not line:
        raise ConnectionError("the supervisor closed the connection")
    answer: Answer = json.loads(line)
    if not answer.pop("ok"):
        raise ControlError(answer["error"])
    return answer
