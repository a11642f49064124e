"""Quota objects (RFC 9425 §4): the octets of an account's mail, where there is a limit to them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.comparators import Comparator, FilterOperator, comparator_members
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap.envelope import MAIL
from petitbleu_mail.collations import COLLATIONS, DEFAULT

OCTETS: Final = "octets"
"""Id of the one Quota that an account has."""
PROPERTIES: Final = (
    "id", "resourceType", "used", "hardLimit", "scope", "name", "types", "warnLimit", "softLimit", "description",
)  # fmt: skip
_WARN_PERCENT: Final = 90
_MOST: Final = (1 << 53) - 1
_MAX_DEPTH: Final = 16
_MAX_CONDITIONS: Final = 200
_MAX_SORTS: Final = 8
Matcher = Callable[[dict[str, Any]], bool]
Kind = TypeVar("Kind")


def quotas(state: pb.GetStateResponse, using: AbstractSet[str]) -> list[dict[str, Any]]:
    """Return the Quotas of an account, none where nothing is limited."""
    # RFC 9425 §4.1: only types of capabilities that the client uses, and no Quota without a type
    if not state.quota_octets or MAIL not in using:
        return []
    hard = min(state.quota_octets, _MOST)
    return [
        {
            "id": OCTETS,
            "resourceType": "octets",  # RFC 9425 §3.2
            "used": min(state.used_octets, _MOST),
            "hardLimit": hard,
            "scope": "account",  # RFC 9425 §3.1
            "name": "Mail",
            "types": ["Email"],
            "warnLimit": hard * _WARN_PERCENT // 100,
            # nothing stops short of the hard limit
            "softLimit": None,
            "description": None,
        }
    ]


class _Condition(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (RFC 9425 §4.4.1)."""

    name: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    resource_type: str | UnsetType = UNSET
    type: str | UnsetType = UNSET


def _convert(given: dict[str, Any], kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, f"filter or sort: {error}") from None


def matcher(given: dict[str, Any] | None) -> Matcher:
    """Return what a filter keeps (RFC 9425 §4.4.1).

    Raises:
        MethodError: `invalidArguments`, `unsupportedFilter`.
    """
    return (lambda _quota: True) if given is None else _matcher(given, [0], 1)


def _matcher(given: dict[str, Any], count: list[int], depth: int) -> Matcher:
    count[0] += 1
    if depth > _MAX_DEPTH or count[0] > _MAX_CONDITIONS:
        raise MethodError(Fault.UNSUPPORTED_FILTER, "the filter is too large")
    if "operator" not in given:
        return _condition(_convert(given, _Condition))
    found = _convert(given, FilterOperator)
    inner = [_matcher(one, count, depth + 1) for one in found.conditions]
    if found.operator == "AND":
        return lambda quota: all(one(quota) for one in inner)
    if found.operator == "OR":
        return lambda quota: any(one(quota) for one in inner)
    return lambda quota: not any(one(quota) for one in inner)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _condition(wanted: _Condition) -> Matcher:
    def matches(quota: dict[str, Any]) -> bool:
        return (
            (wanted.name is UNSET or _folded(wanted.name) in _folded(quota["name"]))
            and (wanted.scope is UNSET or wanted.scope == quota["scope"])
            and (wanted.resource_type is UNSET or wanted.resource_type == quota["resourceType"])
            and (wanted.type is UNSET or wanted.type in quota["types"])
        )

    return matches


def sort_properties(sort: Sequence[dict[str, Any]] | None) -> list[str]:
    """Return what a list is sorted by (RFC 9425 §4.4.2); there is one Quota, so its place is always the first.

    Raises:
        MethodError: `invalidArguments`, `unsupportedSort`.
    """
    comparators = [_convert(comparator_members(one), Comparator) for one in sort or ()]
    if len(comparators) > _MAX_SORTS:
        raise MethodError(Fault.UNSUPPORTED_SORT)
    for comparator in comparators:
        collation = DEFAULT if comparator.collation is UNSET else comparator.collation
        if comparator.property not in {"name", "used"} or collation not in COLLATIONS:
            raise MethodError(Fault.UNSUPPORTED_SORT)
    return [comparator.property for comparator in comparators]
