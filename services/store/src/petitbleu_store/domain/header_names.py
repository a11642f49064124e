"""The term of a header field's name in the search index."""

from __future__ import annotations

import hashlib
from typing import Final

_MARK: Final = b"header name\0"


def header_term(search_key: bytes, name: bytes) -> int:
    """Return the keyed hash (BLAKE2b, RFC 7693 §2.9) of a field name in lower case: signed, 64 bit."""
    digest = hashlib.blake2b(_MARK + name, key=search_key, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
