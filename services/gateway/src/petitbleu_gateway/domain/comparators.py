"""The forms that filters and sorts of every type share: FilterOperator and Comparator (RFC 8620 §5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

_OF_THE_CALL: Final = frozenset({"anchor", "anchorOffset", "limit", "calculateTotal", "position"})
"""Arguments of /query. jmapc sends their defaults in each Comparator as well, where other servers overlook them."""


class FilterOperator(msgspec.Struct, forbid_unknown_fields=True):
    """Several conditions in one."""

    operator: Literal["AND", "OR", "NOT"]
    conditions: list[dict[str, Any]]


class Comparator(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What to sort by; none of its members may be null."""

    property: str
    is_ascending: bool = True
    collation: str | UnsetType = UNSET


def comparator_members(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Comparator without what belongs to the call."""
    return {name: value for name, value in given.items() if name not in _OF_THE_CALL}
