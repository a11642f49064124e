"""What is known of the texts of a filter: for sure, or perhaps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.domain.query_sql import FilterSql, Parameters, TextIds
from petitbleu_store.domain.text_filter import TextLeaf, leaf_of

# So many messages are looked up one by one; for more the account is read.
_NAMED: Final = 20_000


@dataclass(slots=True)
class Found:
    """What is known of one text.

    Attributes:
        sure: Messages that have it; None for all.
        maybe: Messages that may have it.
    """

    sure: set[int] | None
    maybe: set[int]

    def most(self) -> set[int] | None:
        """Return all that can have it."""
        return None if self.sure is None else self.sure | self.maybe


@dataclass(slots=True)
class Known:
    """What is known of the texts of one filter.

    Attributes:
        texts: Of each.
        dates: When the messages found came.
        modseq: The account's.
        excluded: Messages that may have some of the texts, but that the filter cannot find.
        read: Messages read for this query so far.
        until: Monotonic seconds until which there is time to read.
    """

    texts: dict[TextLeaf, Found]
    dates: dict[int, int]
    modseq: int
    until: float
    read: int = 0
    excluded: set[int] = field(default_factory=set)

    @property
    def unsure(self) -> set[int]:
        """The messages of which not all is known."""
        return set().union(*(found.maybe for found in self.texts.values()))

    def at_most(self, within: Collection[int] | None = None) -> TextIds:
        """Return for `FilterSql` what makes a filter find all that it could, of all messages or of some."""

        def ids(leaf: TextLeaf, negated: bool) -> Collection[int] | None:
            found = self.texts[leaf]
            return _within(found.sure if negated else found.most(), within)

        return ids

    def truth(self, within: Collection[int] | None = None) -> TextIds:
        """Return for `FilterSql` what is true, once nothing is unsure any more of what is asked."""

        def ids(leaf: TextLeaf, _negated: bool) -> Collection[int] | None:
            return _within(self.texts[leaf].sure, within)

        return ids

    def where(self, parameters: Parameters, sql: FilterSql, given: mailbox_pb2.MessageFilter) -> str:
        """Return the condition of a filter on alias `m`, all of it settled; `sql` was made with `truth()`."""
        parts = [sql.where(given)]
        bound = self.bound(given)
        if bound is not None and len(bound) <= _NAMED:
            parts.append(f"m.message_id = ANY({parameters.add(list(bound), 'bigint[]')})")
        if self.excluded:
            parts.append(f"NOT {sql.among(self.excluded)}")
        return " AND ".join(parts)

    def newest(self, given: mailbox_pb2.MessageFilter) -> list[int] | None:
        """Return, newest first, messages outside of which a filter finds nothing; None when that cannot be said."""
        bound = self.bound(given)
        if bound is None:
            return None
        order = sorted(bound, reverse=True)
        order.sort(key=self.dates.__getitem__, reverse=True)
        return order

    def bound(self, given: mailbox_pb2.MessageFilter) -> set[int] | None:
        """Return messages outside of which a filter finds nothing; None when that cannot be said."""
        leaf = given.operator == mailbox_pb2.FILTER_OPERATOR_UNSPECIFIED
        sets = [self.texts[leaf_of(condition)].most() for condition in given.texts] if leaf else []
        inner = [self.bound(condition) for condition in given.conditions]
        if given.operator == mailbox_pb2.FILTER_OPERATOR_OR:
            return None if not inner or None in inner else set().union(*(one for one in inner if one is not None))
        if given.operator != mailbox_pb2.FILTER_OPERATOR_NOT:
            sets += inner
        known = sorted([one for one in sets if one is not None], key=len)
        return None if not known else known[0].intersection(*known[1:])


def _within(ids: set[int] | None, within: Collection[int] | None) -> Collection[int] | None:
    return ids if ids is None or within is None else ids.intersection(within)
