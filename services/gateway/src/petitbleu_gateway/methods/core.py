"""Core/echo (RFC 8620 §4)."""

from __future__ import annotations

from typing import Any

from petitbleu_gateway.jmap.calls import Context


async def echo(_context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments."""
    return arguments
