"""`/livez` and `/readyz`: whether this process lives, and whether the whole stack answers."""

from __future__ import annotations

from petitbleu_gateway.http.exchange import NO_STORE, Exchange, encode_json
from petitbleu_gateway.service.readiness import Readiness


class ProbeDoors:
    """The probes."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def live(self, exchange: Exchange) -> None:
        """Say that this process answers."""
        await exchange.answer(200, b'{"status":"alive"}', headers=(NO_STORE,))

    async def ready(self, exchange: Exchange) -> None:
        """Answer 200 once every service and backend answers, else 503 with the names of those that do not."""
        failing = await self._readiness.failing()
        body = encode_json({"status": "not ready" if failing else "ready", "failing": failing})
        await exchange.answer(503 if failing else 200, body, headers=(NO_STORE,))
