"""`/.well-known/mta-sts.txt` (RFC 8461 §3.3): the policies of hosted domains, each under `mta-sts.` and its name."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.exchange import Exchange
from petitbleu_gateway.ports import AwayError, Policies

STS_PATH: Final = "/.well-known/mta-sts.txt"
# RFC 8461 §3.3: the Policy Domain with the prefix "mta-sts"; a port and a final dot say nothing of the domain
_HOST: Final = re.compile(
    r"mta-sts\.((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.?(?::[0-9]{1,5})?"
)
_MAX_DOMAIN: Final = 253
# How long an answer is believed, and how long it still serves while delivery does not answer, seconds.
_FRESH: Final = 60.0
_STALE: Final = 86_400.0
# Names remembered, those of strangers' imagination among them.
_MAX_NAMES: Final = 10_000


class PolicyDoor:
    """Serves policies to anybody: senders' servers have no credential.

    Args:
        policies: Has them.
        clock: Seconds that only grow.
    """

    def __init__(self, policies: Policies, clock: Callable[[], float] = time.monotonic) -> None:
        self._policies = policies
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, str | None]] = OrderedDict()

    async def policy(self, exchange: Exchange) -> None:
        """Answer with the policy of the domain in Host; 404 when it has none."""
        found = _HOST.fullmatch(exchange.header(b"host").lower())
        text = await self._text(found[1]) if found is not None and len(found[1]) <= _MAX_DOMAIN else None
        if text is None:
            raise Problem(404)
        # RFC 8461 §3.3: its media type is text/plain; HTTP caching must not be used by senders, and we give no reason to
        await exchange.answer(
            200, text.encode(), b"text/plain; charset=utf-8", headers=((b"cache-control", b"no-cache"),)
        )

    async def _text(self, domain: str) -> str | None:
        now = self._clock()
        at, text = self._known.get(domain, (-_STALE, None))
        if now - at < _FRESH:
            return text
        try:
            text = await self._policies.sts_policy(domain)
        except AwayError:
            if now - at < _STALE:
                return text
            # RFC 8461 §3.3: a sender that gets nothing goes on with the policy that it has
            raise Problem(503, headers=((b"retry-after", b"30"),)) from None
        self._known.pop(domain, None)
        self._known[domain] = (now, text)
        while len(self._known) > _MAX_NAMES:
            self._known.popitem(last=False)
        return text
