"""Posts reports of TLS to the URLs that domains name (RFC 8460 §5.4), through the guard of URLs."""

from __future__ import annotations

from typing import Final

from petitbleu_kit.egress import Egress, EgressError
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_SECONDS: Final = 15.0
_MAX_ANSWER: Final = 64 << 10
_TYPE: Final = (b"content-type", b"application/tlsrpt+gzip")


class ReportPost:
    """Posts.

    Args:
        egress: Goes out; only to public addresses, and to those that the operator allows.
    """

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def post(self, url: str, packed: bytes) -> bool:
        """Post a report in gzip; say whether it was taken."""
        try:
            answer, _ = await self._egress.post(url, packed, [_TYPE], max_octets=_MAX_ANSWER, seconds=_SECONDS)
        except EgressError as error:
            _log.info("a report cannot be posted", reason=error.refusal.value)
            return False
        return 200 <= answer.status < 300
