"""Where commands find the services and put their answers."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from petitbleu_cli.failure import Failure
from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.rpc import Peer

Response = TypeVar("Response")


class Office:
    """The operator's side of every call, and of the output.

    Args:
        settings: Where the platform is.
        as_json: Whether answers are JSON.
    """

    def __init__(self, settings: ServiceSettings, *, as_json: bool) -> None:
        self.settings = settings
        self.as_json = as_json
        self.last_service = "petitbleu"
        self._peers: dict[str, Peer] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: ServiceSettings, *, as_json: bool) -> AsyncIterator[Office]:
        """Give an office for one command and close its channels after."""
        office = cls(settings, as_json=as_json)
        try:
            yield office
        finally:
            for peer in office._peers.values():
                await peer.close()

    def token(self) -> str:
        """The operator's token. Raises `Failure` when there is none."""
        given = os.environ.get("PETITBLEU_OPERATOR_TOKEN", "").strip()
        if given:
            return given
        path = self.settings.operator_token_file or self.settings.data / "operator.token"
        try:
            return path.read_text().strip()
        except OSError:
            raise Failure(
                f"no operator's token: set PETITBLEU_OPERATOR_TOKEN, or PETITBLEU_DATA to the platform's data ({path})"
            ) from None

    def peer(self, service: str) -> Peer:
        """The channel to a service."""
        self.last_service = service
        if service not in self._peers:
            self._peers[service] = Peer(self.settings.target(service), service, None, self.token())
        return self._peers[service]

    async def call(
        self, service: str, method: Callable[..., Awaitable[Response]], request: Any, *, seconds: float = 30
    ) -> Response:
        """Call a unary method of a stub made on the service's channel."""
        return await self.peer(service).call(method, request, timeout=seconds)

    def answer(self, data: Any, lines: Iterable[str]) -> None:
        """Print the answer: `data` as JSON, or the lines for people."""
        if self.as_json:
            print(json.dumps(data, ensure_ascii=False))
        else:
            for line in lines:
                print(line)

    def table(self, data: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
        """Print rows: as a JSON list, or in columns."""
        rows = [[_cell(row.get(column)) for column in columns] for row in data]
        widths = [max([len(column), *(len(row[at]) for row in rows)]) for at, column in enumerate(columns)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [list(columns), *rows]
        ]
        self.answer(list(data), lines if data else [])
        if not data and not self.as_json:
            self.progress("nothing found")

    def progress(self, line: str) -> None:
        """Say on standard error how far it is."""
        print(line, file=sys.stderr, flush=True)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def fail(line: str, *, as_json: bool) -> None:
    """Say on standard error why a command failed, and as JSON where the answer would be."""
    if as_json:
        print(json.dumps({"error": line}, ensure_ascii=False))
    print(f"petitbleu: {line}", file=sys.stderr)
