"""What is served as a domain's MTA-STS policy, fetched as senders do (RFC 8461 §3.3), through the guard of URLs."""

from __future__ import annotations

from typing import Final

from petitbleu_delivery.domain.records_transport import Fetched
from petitbleu_kit.egress import Egress, EgressError
from petitbleu_mail.mta_sts import MAX_POLICY

_SECONDS: Final = 10.0
_OK: Final = 200


class PolicyFetch:
    """Fetches policies.

    Args:
        egress: Goes out; only to public addresses, and to those that the operator allows.
    """

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def fetch(self, url: str) -> Fetched:
        """Return what is served, or why nothing came. Redirects are not followed (RFC 8461 §3.3)."""
        try:
            async with self._egress.get(url, max_octets=MAX_POLICY, seconds=_SECONDS, redirects=0) as answer:
                if answer.status != _OK:
                    return Fetched(problem=f"HTTP {answer.status}")
                if answer.content_type != "text/plain":
                    return Fetched(problem="it is no text/plain")
                return Fetched(await answer.read())
        except EgressError as error:
            return Fetched(problem=error.refusal.value)
