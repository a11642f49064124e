"""A query's filter and order (RFC 8621 §4.4) as SQL on the table `message`, every value a parameter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeAlias

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.domain import keywords
from petitbleu_store.domain.text_filter import TextLeaf, leaf_of
from petitbleu_store.errors import Problem, QueryRefusedError, StoreError

# RFC 8620 §5.5 lets a server refuse what is too complex (unsupportedFilter).
MAX_CONDITIONS: Final = 210
MAX_DEPTH: Final = 16
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
        seen: The mailboxes of which whoever asks sees the messages, None for all: what is asked of whole threads is asked of these.
    """

    def __init__(
        self, parameters: Parameters, hash_of: Callable[[str], int], texts: TextIds | None = None, *,
        seen: Collection[int] | None = None,
    ) -> None:  # fmt: skip
        self._seen = seen
        self._parameters = parameters
        self._hash_of = hash_of
        self._texts = texts
        self._conditions = 0
        self._negated = False
        # Number of each keyword that is asked of whole threads.
        self._thread_keywords: dict[str, int] = {}

    def where(self, given: mailbox_pb2.MessageFilter, depth: int = 0) -> str:
        """Return a condition on alias `m`.

        Raises:
            StoreError: INVALID for a keyword that is none.
            QueryRefusedError: for a filter with too many conditions.
        """
        self._conditions += 1
        if depth > MAX_DEPTH or self._conditions > MAX_CONDITIONS:
            raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_FILTER)
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
        if given.HasField("has_attachment"):
            has = f"m.flags & {keywords.HAS_ATTACHMENT} <> 0"
            parts.append(f"({has})" if given.has_attachment else f"NOT ({has})")
        parts += self._of_keywords(given)
        parts += [self._text(condition) for condition in given.texts]
        return "(" + " AND ".join(parts) + ")" if parts else "true"

    def _of_keywords(self, given: mailbox_pb2.MessageFilter) -> list[str]:
        parts: list[str] = []
        if given.has_keyword:
            parts.append(self.has_keyword(given.has_keyword))
        if given.not_keyword:
            parts.append(f"NOT {self.has_keyword(given.not_keyword)}")
        if given.all_in_thread_have_keyword:
            parts.append(self._in_thread("every", given.all_in_thread_have_keyword))
        if given.some_in_thread_have_keyword:
            parts.append(self._in_thread("some", given.some_in_thread_have_keyword))
        if given.none_in_thread_have_keyword:
            parts.append(f"NOT {self._in_thread('some', given.none_in_thread_have_keyword)}")
        return parts

    def _text(self, condition: mailbox_pb2.TextCondition) -> str:
        if self._texts is None:
            raise StoreError(Problem.INVALID, "texts are not known here")
        ids = self._texts(leaf_of(condition), self._negated)
        return "true" if ids is None else self.among(ids)

    def among(self, ids: Collection[int]) -> str:
        """Return the condition that a message is one of these, however many they are."""
        # IS TRUE keeps it from being made a join: as a hashed list it costs each row next to nothing whatever the planner expects.
        return f"((m.message_id IN (SELECT unnest({self._parameters.add(list(ids), 'bigint[]')}))) IS TRUE)"

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

    def _in_thread(self, which: str, keyword: str) -> str:
        number = self._thread_keywords.setdefault(keyword.lower(), len(self._thread_keywords))
        return f"m.{which}_{number}"

    def source(self) -> str:
        """Return what stands behind FROM as `m`, once all conditions and orders are written.

        What is asked of whole threads (RFC 8621 §4.4.1) is worked out for all threads at once: their messages are read in one
        pass, where a look at each message's thread would be as many look-ups as there are messages.
        """
        if not self._thread_keywords:
            return "message m"
        columns = [
            f"{aggregate}({self.has_keyword(keyword)}) OVER t AS {which}_{number}"
            for keyword, number in self._thread_keywords.items()
            for which, aggregate in (("every", "bool_and"), ("some", "bool_or"))
        ]
        seen = ""
        if self._seen is not None:
            seen = f"AND m.mailbox_ids && {self._parameters.add(sorted(self._seen), 'bigint[]')} "
        return (
            f"(SELECT {_NARROW}, {', '.join(columns)} FROM message m WHERE m.partition = $1 AND m.account_id = $2 {seen}"
            "WINDOW t AS (PARTITION BY m.thread_id)) m"
        )

    def key(self, sort: mailbox_pb2.MessageSort) -> str | None:
        """Return what to sort by; None for names and subjects, which are sealed.

        Raises:
            StoreError: INVALID for what is no property.
        """
        if sort.property in NAMED:
            return None
        if sort.property == mailbox_pb2.SORT_PROPERTY_HAS_KEYWORD:
            return self.has_keyword(sort.keyword)
        if sort.property == mailbox_pb2.SORT_PROPERTY_ALL_IN_THREAD_HAVE_KEYWORD:
            return self._in_thread("every", sort.keyword)
        if sort.property == mailbox_pb2.SORT_PROPERTY_SOME_IN_THREAD_HAVE_KEYWORD:
            return self._in_thread("some", sort.keyword)
        if sort.property not in _COLUMNS:
            raise StoreError(Problem.INVALID, "unknown sort")
        return _COLUMNS[sort.property]

    def order(self, sorts: Sequence[mailbox_pb2.MessageSort]) -> str:
        """Return the ORDER BY list; the last keys, newest first, make it total."""
        keys = [f"{self.key(sort)} {'ASC' if sort.ascending else 'DESC'}" for sort in checked(sorts)]
        direction = "ASC" if oldest_first(sorts) else "DESC"
        return ", ".join([*keys, f"m.received_ms {direction}", f"m.message_id {direction}"])


def checked(sorts: Sequence[mailbox_pb2.MessageSort]) -> Sequence[mailbox_pb2.MessageSort]:
    """Return the sorts.

    Raises:
        QueryRefusedError: they are too many.
    """
    if len(sorts) > MAX_SORTS:
        raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_SORT)
    return sorts


def oldest_first(sorts: Sequence[mailbox_pb2.MessageSort]) -> bool:
    """Whether ties go by date from the oldest: they follow the first date's direction, so that a list turned over is the same."""
    return bool(sorts) and sorts[0].ascending and sorts[0].property == mailbox_pb2.SORT_PROPERTY_RECEIVED_AT


def is_named(sorts: Sequence[mailbox_pb2.MessageSort]) -> bool:
    """Whether an order needs what is sealed."""
    return any(sort.property in NAMED for sort in sorts)


NAMED: Final = frozenset(
    {mailbox_pb2.SORT_PROPERTY_FROM, mailbox_pb2.SORT_PROPERTY_TO, mailbox_pb2.SORT_PROPERTY_SUBJECT}
)
_NARROW: Final = "m.partition, m.account_id, m.message_id, m.thread_id, m.flags, m.keywords, m.mailbox_ids, m.received_ms, m.sent_ms, m.size, m.blob_id"
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
