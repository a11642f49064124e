"""FilterCondition, FilterOperator and Comparator of Email/query (RFC 8621 §4.4) as store takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.comparators import comparator_members
from petitbleu_gateway.domain.keywords import is_keyword
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_mail.collations import COLLATIONS

_MAX_DEPTH: Final = 16
_MAX_CONDITIONS: Final = 200
_NOWHERE: Final = -1
"""A mailbox that no account has, for a filter that names one which cannot be."""

UnsignedInt = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]  # RFC 8620 §1.3
Int = Annotated[int, Meta(ge=-(1 << 53) + 1, le=(1 << 53) - 1)]

# RFC 8621 §4.4.1: conditions that store cannot answer
_UNSUPPORTED: Final = frozenset(
    {
        "allInThreadHaveKeyword", "someInThreadHaveKeyword", "noneInThreadHaveKeyword", "text", "from", "to", "cc", "bcc",
        "subject", "body", "header",
    }
)  # fmt: skip
_UTC_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z\Z"
UTCDate = Annotated[str, Meta(pattern=_UTC_DATE)]  # RFC 8620 §1.4


class Condition(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A FilterCondition, as far as it is supported (RFC 8621 §4.4.1)."""

    in_mailbox: str | None = None
    in_mailbox_other_than: list[str] | None = None
    before: Annotated[str, Meta(pattern=_UTC_DATE)] | None = None
    after: Annotated[str, Meta(pattern=_UTC_DATE)] | None = None
    min_size: UnsignedInt | None = None
    max_size: UnsignedInt | None = None
    has_keyword: str | None = None
    not_keyword: str | None = None
    has_attachment: bool | None = None


class Comparator(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A Comparator (RFC 8620 §5.5, RFC 8621 §4.4.2)."""

    property: str
    is_ascending: bool = True
    collation: str | None = None
    keyword: str | None = None


class _Operator(msgspec.Struct, forbid_unknown_fields=True):
    operator: Literal["AND", "OR", "NOT"]
    conditions: list[dict[str, Any]]


_OPERATORS: Final = {
    "AND": pb.FILTER_OPERATOR_AND,
    "OR": pb.FILTER_OPERATOR_OR,
    "NOT": pb.FILTER_OPERATOR_NOT,
}
_SORTS: Final = {
    "receivedAt": pb.SORT_PROPERTY_RECEIVED_AT,
    "size": pb.SORT_PROPERTY_SIZE,
    "sentAt": pb.SORT_PROPERTY_SENT_AT,
    "hasKeyword": pb.SORT_PROPERTY_HAS_KEYWORD,
}


def millis(date: str) -> int:
    """Return a UTCDate as Unix milliseconds; never 0, which store takes for "any"."""
    try:
        when = datetime.fromisoformat(date[:19]).replace(tzinfo=UTC)
    except ValueError:
        raise MethodError(Fault.INVALID_ARGUMENTS, "not a date") from None
    whole = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    fraction = date[20:-1][:3].ljust(3, "0") if len(date) > 20 else "0"
    return whole + int(fraction) or 1


def store_filter(given: dict[str, Any]) -> pb.MessageFilter:
    """Return a filter as store takes it.

    Raises:
        MethodError: `unsupportedFilter` for conditions that are known but not supported, or too many of them;
            `invalidArguments` for what is no filter.
    """
    return _Reader().read(given, 1)


class _Reader:
    def __init__(self) -> None:
        self._count = 0

    def read(self, given: dict[str, Any], depth: int) -> pb.MessageFilter:
        self._count += 1
        if depth > _MAX_DEPTH or self._count > _MAX_CONDITIONS:
            raise MethodError(Fault.UNSUPPORTED_FILTER, "the filter is too large")
        if "operator" in given:
            operator = _convert(given, _Operator)
            return pb.MessageFilter(
                operator=_OPERATORS[operator.operator],
                conditions=[self.read(condition, depth + 1) for condition in operator.conditions],
            )
        return _condition(given)


def _convert(given: dict[str, Any], kind: type[Any]) -> Any:
    if (
        None in given.values()
    ):  # RFC 8620 §1.1: null is a value only where the standard says so, and here it nowhere does
        raise MethodError(Fault.INVALID_ARGUMENTS, "filter or sort: null stands where a value must")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, f"filter or sort: {error}") from None


def _condition(given: dict[str, Any]) -> pb.MessageFilter:
    unsupported = _UNSUPPORTED.intersection(given)
    if unsupported:
        raise MethodError(Fault.UNSUPPORTED_FILTER, f"not supported: {', '.join(sorted(unsupported))}")
    condition: Condition = _convert(given, Condition)
    found = pb.MessageFilter()
    if condition.in_mailbox is not None:
        found.in_mailbox = ids.mailbox_number(condition.in_mailbox) or _NOWHERE
    if condition.in_mailbox_other_than is not None:
        # one that does not exist excludes nothing; the rest of the condition stands (RFC 8621 §4.4.1)
        numbers = [ids.mailbox_number(text) or _NOWHERE for text in condition.in_mailbox_other_than]
        found.in_mailbox_other_than.extend(numbers or [_NOWHERE])
    _set_bounds(found, condition)
    for name, keyword in (("has_keyword", condition.has_keyword), ("not_keyword", condition.not_keyword)):
        if keyword is not None:
            if not is_keyword(keyword):
                raise MethodError(Fault.INVALID_ARGUMENTS, "not a keyword")
            setattr(found, name, keyword.lower())  # RFC 8621 §4.1.1
    if condition.has_attachment is not None:
        found.has_attachment = condition.has_attachment
    return found


def _set_bounds(found: pb.MessageFilter, condition: Condition) -> None:
    if condition.before is not None:
        found.before_ms = millis(condition.before)
    if condition.after is not None:
        found.after_ms = millis(condition.after)
    if condition.min_size:
        found.min_size = condition.min_size
    if condition.max_size is not None:
        found.max_size = condition.max_size or 1  # nothing is smaller than 0 octets, nor than 1


def store_sort(given: list[dict[str, Any]] | None) -> list[pb.MessageSort]:
    """Return a sort as store takes it; nothing when none is wanted.

    Raises:
        MethodError: `unsupportedSort`, or `invalidArguments` for what is no Comparator.
    """
    found = []
    for entry in given or ():
        comparator: Comparator = _convert(comparator_members(entry), Comparator)
        # RFC 8620 §5.5: none of these is a string, so a collation that we know is of no matter
        if comparator.property not in _SORTS or comparator.collation not in {None, *COLLATIONS}:
            raise MethodError(Fault.UNSUPPORTED_SORT)
        keyword = ""
        if comparator.property == "hasKeyword":
            if comparator.keyword is None or not is_keyword(comparator.keyword):
                raise MethodError(Fault.INVALID_ARGUMENTS, "hasKeyword needs a keyword")
            keyword = comparator.keyword.lower()
        found.append(
            pb.MessageSort(property=_SORTS[comparator.property], ascending=comparator.is_ascending, keyword=keyword)
        )
    if len(found) > 8:
        raise MethodError(Fault.UNSUPPORTED_SORT)
    return found
