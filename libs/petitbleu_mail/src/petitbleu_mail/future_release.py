"""How long mail is held before it goes: the parameters of FUTURERELEASE (RFC 4865 §5), over SMTP and over JMAP."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

MAX_HOLD_SECONDS: Final = 30 * 86_400
"""Longest time that mail is held."""
_INTERVAL: Final = re.compile(r"[1-9][0-9]{0,8}")
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


def interval_of(text: str) -> int | None:
    """Return the seconds of a HOLDFOR, None where it has none (RFC 4865 §5)."""
    return int(text) if _INTERVAL.fullmatch(text) else None


def time_of(text: str) -> int | None:
    """Return the Unix milliseconds of a HOLDUNTIL, None where it has none (RFC 4865 §5, RFC 3339 §5.6)."""
    if not _DATE_TIME.fullmatch(text):
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def held_until(interval: int | None, until_ms: int | None, now_ms: int) -> int | None:
    """Return Unix milliseconds before which mail is held, 0 for at once, None where that is too far away."""
    wanted = now_ms + interval * 1000 if interval is not None else until_ms or 0
    if wanted > now_ms + MAX_HOLD_SECONDS * 1000:
        return None
    return wanted if wanted > now_ms else 0
