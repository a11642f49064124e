"""A query's filter and order (RFC 8621 §4.4) as SQL on the table `message`, every value a parameter."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.domain import keywords
from petitbleu_store.domain.text_filter import TextLeaf, leaf_of
from petitbleu_store.errors import Problem, StoreError

# RFC 8620 §5.5 lets a server refuse what is too complex (unsupportedFilter).
MAX_CONDITIONS: Final = 100
MAX_DEPTH: Final = 10
MAX_SORTS: Final = 8


class Parameters:
    """The parameters of a statement: `add` gives the place-holder of a value."""

    def __init__(self, *values: Any) -> None:
        self.values: list[Any] = list(values)

    def add(self, value: Any, kind: str) -> str:
        """Add a value of a PostgreSQL type; return its place-holder."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


# The messages that have a text, None for all of them; told too whether an odd number of NOTs stands around it.
TextIds: TypeAlias = Callable[[TextLeaf, bool], "Collection[int] | None"]


class FilterSql:
    """Writes filters.

    Args:
        parameters: Where values go.
        hash_of: Keyed hash of a keyword that has no flag.
        texts: What is known of texts; without it a filter with texts is INVALID.
    """

    def __init__(self, parameters: Parameters, hash_of: Callable[[str], int], texts: TextIds | None = None) -> None:
        self._parameters = parameters
        self._hash_of = hash_of
        self._texts = texts
        self._conditions = 0
        self._negated = False

    def where(self, given: mailbox_pb2.MessageFilter, depth: int = 0) -> str:
        """Return a condition on alias `m`.

        Raises:
            StoreError: INVALID for a keyword that is none, or a filter with too many conditions.
        """
        self._conditions += 1
        if depth > MAX_DEPTH or self._conditions > MAX_CONDITIONS:
            raise StoreError(Problem.INVALID, "the filter is too complex")
        if given.operator == mailbox_pb2.FILTER_OPERATOR_UNSPECIFIED:
            return self._leaf(given)
        negates = given.operator == mailbox_pb2.FILTER_OPERATOR_NOT
        self._negated ^= negates
        parts = [self.where(condition, depth + 1) for condition in given.conditions]
        self._negated ^= negates
        if given.operator == mailbox_pb2.FILTER_OPERATOR_AND:
            return "(" + " AND ".join(parts) + ")" if parts else "true"
        joined = "(" + " OR ".join(parts) + ")" if parts else "false"
        return joined if given.operator == mailbox_pb2.FILTER_OPERATOR_OR else f"NOT {joined}"

    def _leaf(self, given: mailbox_pb2.MessageFilter) -> str:
        add = self._parameters.add
        parts: list[str] = []
        if given.in_mailbox:
            parts.append(f"{add(given.in_mailbox, 'bigint')} = ANY(m.mailbox_ids)")
        if given.in_mailbox_other_than:
            parts.append(f"NOT m.mailbox_ids <@ {add(list(given.in_mailbox_other_than), 'bigint[]')}")
        if given.HasField("in_any_mailbox"):
            parts.append(f"m.mailbox_ids && {add(list(given.in_any_mailbox.mailbox_ids), 'bigint[]')}")
        if given.before_ms:
            parts.append(f"m.received_ms < {add(given.before_ms, 'bigint')}")
        if given.after_ms:
            parts.append(f"m.received_ms >= {add(given.after_ms, 'bigint')}")
        if given.min_size:
            parts.append(f"m.size >= {add(given.min_size, 'bigint')}")
        if given.max_size:
            parts.append(f"m.size < {add(given.max_size, 'bigint')}")
        parts += self._keywords(given)
        if given.HasField("has_attachment"):
            has = f"m.flags & {keywords.HAS_ATTACHMENT} <> 0"
            parts.append(f"({has})" if given.has_attachment else f"NOT ({has})")
        parts.extend([self._text(condition) for condition in given.texts])
        return "(" + " AND ".join(parts) + ")" if parts else "true"

    def _text(self, condition: mailbox_pb2.TextCondition) -> str:
        if self._texts is None:
            raise StoreError(Problem.INVALID, "texts are not known here")
        ids = self._texts(leaf_of(condition), self._negated)
        return "true" if ids is None else self.among(ids)

    def among(self, ids: Collection[int]) -> str:
        """Return the condition that a message is one of these, however many they are."""
        # IS TRUE keeps it from being made a join: as a hashed list it costs each row next to nothing whatever the planner expects.
        return f"((m.message_id IN (SELECT unnest({self._parameters.add(list(ids), 'bigint[]')}))) IS TRUE)"

    def _keywords(self, given: mailbox_pb2.MessageFilter) -> list[str]:
        parts: list[str] = []
        if given.has_keyword:
            parts.append(self.has_keyword(given.has_keyword))
        if given.not_keyword:
            parts.append(f"NOT {self.has_keyword(given.not_keyword)}")
        return parts

    def has_keyword(self, keyword: str) -> str:
        """Return the condition that a message has a keyword."""
        try:
            flags, others = keywords.split([keyword])
        except keywords.BadKeywordError:
            raise StoreError(Problem.INVALID, "not a keyword") from None
        if flags:
            return f"(m.flags & {flags} <> 0)"
        number = self._parameters.add(self._hash_of(next(iter(others))), "bigint")
        return f"({number} = ANY(coalesce(m.keywords, '{{}}')))"

    def order(self, sorts: list[mailbox_pb2.MessageSort]) -> str:
        """Return the ORDER BY list; the last keys, newest first, make it total."""
        if len(sorts) > MAX_SORTS:
            raise StoreError(Problem.INVALID, "too many sort keys")
        keys: list[str] = []
        for sort in sorts:
            if sort.property == mailbox_pb2.SORT_PROPERTY_HAS_KEYWORD:
                key = self.has_keyword(sort.keyword)
            elif sort.property in _COLUMNS:
                key = _COLUMNS[sort.property]
            else:
                raise StoreError(Problem.INVALID, "unknown sort")
            keys.append(f"{key} {'ASC' if sort.ascending else 'DESC'}")
        # Ties follow the first date's direction, so that a list turned over is the other one backwards.
        ascending = bool(sorts) and sorts[0].ascending and sorts[0].property == mailbox_pb2.SORT_PROPERTY_RECEIVED_AT
        direction = "ASC" if ascending else "DESC"
        return ", ".join([*keys, f"m.received_ms {direction}", f"m.message_id {direction}"])


_COLUMNS: Final = {
    mailbox_pb2.SORT_PROPERTY_RECEIVED_AT: "m.received_ms",
    mailbox_pb2.SORT_PROPERTY_SIZE: "m.size",
    mailbox_pb2.SORT_PROPERTY_SENT_AT: "m.sent_ms",
}


def conjuncts(given: mailbox_pb2.MessageFilter) -> list[mailbox_pb2.MessageFilter]:
    """Return the leaves of which all must hold, when the filter is one leaf or an AND of leaves; else the filter itself."""
    if given.operator == mailbox_pb2.FILTER_OPERATOR_AND and all(
        condition.operator == mailbox_pb2.FILTER_OPERATOR_UNSPECIFIED for condition in given.conditions
    ):
        return list(given.conditions)
    return [given]
