"""The present as text, worked out once a second: each message says it in its Received field and in the log."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from petitbleu_mail.received import rfc5322_date


class Instant:
    """The wall clock in the forms that a message needs."""

    __slots__ = ("_iso", "_second", "rfc5322")

    def __init__(self) -> None:
        self._second = 0
        self._iso = ""
        self.rfc5322 = ""

    def now(self) -> float:
        """Seconds since 1970; `rfc5322` is the date in the form of RFC 5322 §3.3 from now on."""
        now = time.time()
        second = int(now)
        if second != self._second:
            when = datetime.fromtimestamp(second, UTC)
            self._second = second
            self._iso = when.isoformat()[:19]
            self.rfc5322 = rfc5322_date(when)
        return now

    def iso(self) -> str:
        """The present as ISO 8601 in UTC, to the millisecond."""
        now = self.now()
        return f"{self._iso}.{int((now - self._second) * 1000):03d}Z"
