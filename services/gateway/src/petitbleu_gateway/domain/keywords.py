"""Keywords of messages (RFC 8621 §4.1.1)."""

from __future__ import annotations

import re
from typing import Final

# %x21-7e except ( ) { ] % * " \ ; 1-255 characters
_KEYWORD: Final = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}")


def is_keyword(text: str) -> bool:
    """Whether text may be a keyword."""
    return _KEYWORD.fullmatch(text) is not None
