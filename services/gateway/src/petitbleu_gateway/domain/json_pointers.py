"""JSON pointers (RFC 6901), of result references (RFC 8620 §3.7) and of patches (RFC 8620 §5.3)."""

from __future__ import annotations

import re
from typing import Final

_BAD_ESCAPE: Final = re.compile(r"~(?![01])")


def unescape(pointer: str) -> list[str] | None:
    """Return the tokens of a JSON pointer without its leading slash; None when a "~" escapes nothing (RFC 6901 §3, §4)."""
    if "~" not in pointer:
        return pointer.split("/")
    if _BAD_ESCAPE.search(pointer):
        return None
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")]
