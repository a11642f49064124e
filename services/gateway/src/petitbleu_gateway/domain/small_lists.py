"""Lists that are short enough to be held whole: filters over objects, and the window of a /query (RFC 8620 §5.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET

from petitbleu_gateway.domain.comparators import Comparator, FilterOperator, comparator_members
from petitbleu_gateway.domain.filters import Int, UnsignedInt
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap.calls import AccountArguments
from petitbleu_mail.collations import COLLATIONS, DEFAULT

_MAX_DEPTH: Final = 10
_MAX_CONDITIONS: Final = 100
_MAX_SORTS: Final = 8
Kind = TypeVar("Kind")
Matcher = Callable[[dict[str, Any]], bool]


class ListArguments(AccountArguments, kw_only=True):
    """What /query and /queryChanges have in common."""

    filter: dict[str, Any] | None = None
    sort: list[dict[str, Any]] | None = None
    calculate_total: bool = False


class ListQuery(ListArguments, kw_only=True):
    """Arguments of /query (RFC 8620 §5.5)."""

    position: Int = 0
    anchor: str | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None


class ListQueryChanges(ListArguments, kw_only=True):
    """Arguments of /queryChanges (RFC 8620 §5.6)."""

    since_query_state: str
    max_changes: UnsignedInt | None = None
    up_to_id: str | None = None


def convert(given: dict[str, Any], kind: type[Kind]) -> Kind:
    """Read a part of a filter or a sort.

    Raises:
        MethodError: `invalidArguments`.
    """
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, f"filter or sort: {error}") from None


def matcher(given: dict[str, Any] | None, condition: Callable[[dict[str, Any]], Matcher]) -> Matcher:
    """Return what a filter keeps; `condition` reads a FilterCondition.

    Raises:
        MethodError: `invalidArguments`, `unsupportedFilter`.
    """
    count = 0

    def read(one: dict[str, Any], depth: int) -> Matcher:
        nonlocal count
        count += 1
        if depth > _MAX_DEPTH or count > _MAX_CONDITIONS:
            raise MethodError(Fault.UNSUPPORTED_FILTER, "the filter is too large")
        if "operator" not in one:
            return condition(one)
        found = convert(one, FilterOperator)
        inner = [read(other, depth + 1) for other in found.conditions]
        if found.operator == "AND":
            return lambda shown: all(matches(shown) for matches in inner)
        if found.operator == "OR":
            return lambda shown: any(matches(shown) for matches in inner)
        return lambda shown: not any(matches(shown) for matches in inner)

    return (lambda _shown: True) if given is None else read(given, 1)


def ordered(
    objects: Sequence[dict[str, Any]], sort: Sequence[dict[str, Any]] | None, allowed: Sequence[str]
) -> list[dict[str, Any]]:
    """Return objects in the order that a client wants.

    Raises:
        MethodError: `invalidArguments`, `unsupportedSort`.
    """
    comparators = [convert(comparator_members(one), Comparator) for one in sort or ()]
    if len(comparators) > _MAX_SORTS or any(
        one.property not in allowed or one.collation not in {UNSET, *COLLATIONS} for one in comparators
    ):
        raise MethodError(Fault.UNSUPPORTED_SORT)
    found = list(objects)
    for comparator in reversed(comparators):
        found.sort(key=_key(comparator), reverse=not comparator.is_ascending)
    return found


def _key(comparator: Comparator) -> Callable[[dict[str, Any]], Any]:
    collate = COLLATIONS[DEFAULT if comparator.collation is UNSET else comparator.collation]  # RFC 8620 §5.5
    return lambda one: collate(str(one[comparator.property] or ""))


def window(arguments: ListQuery, found: Sequence[str], state: str, *, changes: bool) -> dict[str, Any]:
    """Return the answer of a /query over these ids, in their order.

    Raises:
        MethodError: `anchorNotFound`.
    """
    start = arguments.position
    if arguments.anchor is not None:
        if arguments.anchor not in found:
            raise MethodError(Fault.ANCHOR_NOT_FOUND)
        start = max(0, found.index(arguments.anchor) + arguments.anchor_offset)  # position is ignored
    elif start < 0:
        start = max(0, len(found) + start)
    end = len(found) if arguments.limit is None else start + arguments.limit
    result: dict[str, Any] = {
        "accountId": arguments.account_id, "queryState": state, "canCalculateChanges": changes, "position": start,
        "ids": list(found[start:end]),
    }  # fmt: skip
    if arguments.calculate_total:
        result["total"] = len(found)
    return result
