"""FilterCondition and FilterOperator of Email/query (RFC 8620 §5.5, RFC 8621 §4.4.1) as store takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.keywords import is_keyword
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids

_MAX_DEPTH: Final = 16
_MAX_CONDITIONS: Final = 200
_MAX_TEXT: Final = 4096
_FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,255}")
_NOWHERE: Final = -1
"""A mailbox that no account has, for a filter that names one which cannot be."""

UnsignedInt = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]  # RFC 8620 §1.3
Int = Annotated[int, Meta(ge=-(1 << 53) + 1, le=(1 << 53) - 1)]

_UTC_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z\Z"
UTCDate = Annotated[str, Meta(pattern=_UTC_DATE)]  # RFC 8620 §1.4


class Condition(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A FilterCondition (RFC 8621 §4.4.1)."""

    in_mailbox: str | None = None
    in_mailbox_other_than: list[str] | None = None
    before: Annotated[str, Meta(pattern=_UTC_DATE)] | None = None
    after: Annotated[str, Meta(pattern=_UTC_DATE)] | None = None
    min_size: UnsignedInt | None = None
    max_size: UnsignedInt | None = None
    all_in_thread_have_keyword: str | None = None
    some_in_thread_have_keyword: str | None = None
    none_in_thread_have_keyword: str | None = None
    has_keyword: str | None = None
    not_keyword: str | None = None
    has_attachment: bool | None = None
    text: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    cc: str | None = None
    bcc: str | None = None
    subject: str | None = None
    body: str | None = None
    header: Annotated[list[str], Meta(min_length=1, max_length=2)] | None = None


_KEYWORDS: Final = (
    "has_keyword",
    "not_keyword",
    "all_in_thread_have_keyword",
    "some_in_thread_have_keyword",
    "none_in_thread_have_keyword",
)
_TEXTS: Final = {
    "text": pb.TEXT_SCOPE_TEXT,
    "from_": pb.TEXT_SCOPE_FROM,
    "to": pb.TEXT_SCOPE_TO,
    "cc": pb.TEXT_SCOPE_CC,
    "bcc": pb.TEXT_SCOPE_BCC,
    "subject": pb.TEXT_SCOPE_SUBJECT,
    "body": pb.TEXT_SCOPE_BODY,
}


class _Operator(msgspec.Struct, forbid_unknown_fields=True):
    operator: Literal["AND", "OR", "NOT"]
    conditions: list[dict[str, Any]]


_OPERATORS: Final = {
    "AND": pb.FILTER_OPERATOR_AND,
    "OR": pb.FILTER_OPERATOR_OR,
    "NOT": pb.FILTER_OPERATOR_NOT,
}


def millis(date: str) -> int:
    """Return a UTCDate as Unix milliseconds; never 0, which store takes for "any"."""
    leap = date[17:19] == "60"  # RFC 3339 §5.6: a leap second is one second behind the one before it
    try:
        when = datetime.fromisoformat(f"{date[:17]}59" if leap else date[:19]).replace(tzinfo=UTC)
    except ValueError:
        raise MethodError(Fault.INVALID_ARGUMENTS, "not a date") from None
    whole = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) + 1000 * leap
    fraction = date[20:-1][:3].ljust(3, "0") if len(date) > 20 else "0"
    return whole + int(fraction) or 1


def store_filter(given: dict[str, Any], resolve: Callable[[str], str] = str) -> pb.MessageFilter:
    """Return a filter as store takes it; `resolve` gives the id behind a creation id.

    Raises:
        MethodError: `unsupportedFilter` for too many conditions or too long a text; `invalidArguments` for what is no filter.
    """
    return _Reader(resolve).read(given, 1)


class _Reader:
    def __init__(self, resolve: Callable[[str], str]) -> None:
        self._count = 0
        self._resolve = resolve

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
        return _condition(given, self._resolve)


def _convert(given: dict[str, Any], kind: type[Any]) -> Any:
    if (
        None in given.values()
    ):  # RFC 8620 §1.1: null is a value only where the standard says so, and here it nowhere does
        raise MethodError(Fault.INVALID_ARGUMENTS, "filter or sort: null stands where a value must")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, f"filter or sort: {error}") from None


def _condition(given: dict[str, Any], resolve: Callable[[str], str]) -> pb.MessageFilter:
    condition: Condition = _convert(given, Condition)
    found = pb.MessageFilter()
    if condition.in_mailbox is not None:
        found.in_mailbox = ids.mailbox_number(resolve(condition.in_mailbox)) or _NOWHERE
    if condition.in_mailbox_other_than is not None:
        # one that does not exist excludes nothing; the rest of the condition stands (RFC 8621 §4.4.1)
        numbers = [ids.mailbox_number(resolve(text)) or _NOWHERE for text in condition.in_mailbox_other_than]
        found.in_mailbox_other_than.extend(numbers or [_NOWHERE])
    _set_bounds(found, condition)
    for name in _KEYWORDS:
        keyword = getattr(condition, name)
        if keyword is not None:
            if not is_keyword(keyword):
                raise MethodError(Fault.INVALID_ARGUMENTS, "not a keyword")
            setattr(found, name, keyword.lower())  # RFC 8621 §4.1.1
    if condition.has_attachment is not None:
        found.has_attachment = condition.has_attachment
    _add_texts(found, condition)
    return found


def _add_texts(found: pb.MessageFilter, condition: Condition) -> None:
    for name, scope in _TEXTS.items():
        text = getattr(condition, name)
        if text is not None:
            found.texts.add(scope=scope, text=_searched(text))
    if condition.header is not None:
        name, *text = condition.header
        if not _FIELD_NAME.fullmatch(name):  # RFC 5322 §3.6.8
            raise MethodError(Fault.INVALID_ARGUMENTS, "not the name of a header field")
        found.texts.add(scope=pb.TEXT_SCOPE_HEADER, header_name=name, text=_searched(*text))


def _searched(text: str = "") -> str:
    if len(text) > _MAX_TEXT:
        raise MethodError(Fault.UNSUPPORTED_FILTER, "the text is too long")
    return text


def _set_bounds(found: pb.MessageFilter, condition: Condition) -> None:
    if condition.before is not None:
        found.before_ms = millis(condition.before)
    if condition.after is not None:
        found.after_ms = millis(condition.after)
    if condition.min_size:
        found.min_size = condition.min_size
    if condition.max_size is not None:
        found.max_size = condition.max_size or 1  # nothing is smaller than 0 octets, nor than 1
