"""Comparators of Email/query (RFC 8621 §4.4.2) as store takes them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.comparators import comparator_members
from petitbleu_gateway.domain.keywords import is_keyword
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_mail.collations import COLLATIONS

_MAX_SORTS: Final = 8
# RFC 8621 §4.4.2; the session object tells of all of them (RFC 8621 §1.3.1).
SORTS: Final = {
    "receivedAt": pb.SORT_PROPERTY_RECEIVED_AT,
    "size": pb.SORT_PROPERTY_SIZE,
    "from": pb.SORT_PROPERTY_FROM,
    "to": pb.SORT_PROPERTY_TO,
    "subject": pb.SORT_PROPERTY_SUBJECT,
    "sentAt": pb.SORT_PROPERTY_SENT_AT,
    "hasKeyword": pb.SORT_PROPERTY_HAS_KEYWORD,
    "allInThreadHaveKeyword": pb.SORT_PROPERTY_ALL_IN_THREAD_HAVE_KEYWORD,
    "someInThreadHaveKeyword": pb.SORT_PROPERTY_SOME_IN_THREAD_HAVE_KEYWORD,
}
_WITH_KEYWORD: Final = frozenset({"hasKeyword", "allInThreadHaveKeyword", "someInThreadHaveKeyword"})
_STRINGS: Final = frozenset({"from", "to", "subject"})
_COLLATIONS: Final = {
    "i;unicode-casemap": pb.COLLATION_UNICODE_CASEMAP,
    "i;ascii-casemap": pb.COLLATION_ASCII_CASEMAP,
    "i;octet": pb.COLLATION_OCTET,
}


class Comparator(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A Comparator (RFC 8620 §5.5, RFC 8621 §4.4.2)."""

    property: str
    is_ascending: bool = True
    collation: str | None = None
    keyword: str | None = None


def store_sort(given: list[dict[str, Any]] | None) -> list[pb.MessageSort]:
    """Return a sort as store takes it; nothing when none is wanted.

    Raises:
        MethodError: `unsupportedSort`, or `invalidArguments` for what is no Comparator.
    """
    found = [_sort(entry) for entry in given or ()]
    if len(found) > _MAX_SORTS:
        raise MethodError(Fault.UNSUPPORTED_SORT, "too many comparators")
    return found


def _sort(given: dict[str, Any]) -> pb.MessageSort:
    entry = comparator_members(given)
    if (
        None in entry.values()
    ):  # RFC 8620 §1.1: null is a value only where the standard says so, and here it nowhere does
        raise MethodError(Fault.INVALID_ARGUMENTS, "sort: null stands where a value must")
    try:
        comparator = msgspec.convert(entry, Comparator)
    except msgspec.ValidationError as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, f"sort: {error}") from None
    name = comparator.property
    # RFC 8620 §5.5: a property or a collation that is not there
    if name not in SORTS:
        raise MethodError(Fault.UNSUPPORTED_SORT, "nothing is sorted by that property")
    if comparator.collation is not None and comparator.collation not in COLLATIONS:
        raise MethodError(Fault.UNSUPPORTED_SORT, "no such collation")
    found = pb.MessageSort(property=SORTS[name], ascending=comparator.is_ascending)
    if name in _WITH_KEYWORD:
        # RFC 8621 §4.4.2: these need a keyword
        if comparator.keyword is None or not is_keyword(comparator.keyword):
            raise MethodError(Fault.INVALID_ARGUMENTS, f"{name} needs a keyword")
        found.keyword = comparator.keyword.lower()
    if name in _STRINGS:  # RFC 8620 §5.5: a collation is for strings; of anything else it does not matter
        found.collation = _COLLATIONS[comparator.collation or "i;unicode-casemap"]
    return found
