"""What clients put in a Comparator (RFC 8620 §5.5) though it belongs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_OF_THE_CALL: Final = frozenset({"anchor", "anchorOffset", "limit", "calculateTotal", "position"})
"""Arguments of /query. jmapc sends their defaults in each Comparator as well, where other servers overlook them."""


def comparator_members(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Comparator without what belongs to the call."""
    return {name: value for name, value in given.items() if name not in _OF_THE_CALL}
