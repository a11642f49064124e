"""What a list of messages depends on, and which messages of it a window of the log may have touched (RFC 8620 §5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.domain.change_log import Op, Row
from petitbleu_store.domain.query_sql import NAMED

_FIXED: Final = (
    "before_ms", "after_ms", "min_size", "max_size", "has_attachment", "texts",
)  # fmt: skip
_OF_KEYWORDS: Final = ("has_keyword", "not_keyword")
_OF_THREADS: Final = ("all_in_thread_have_keyword", "some_in_thread_have_keyword", "none_in_thread_have_keyword")
_FIXED_SORTS: Final = NAMED | {
    mailbox_pb2.SORT_PROPERTY_RECEIVED_AT,
    mailbox_pb2.SORT_PROPERTY_SIZE,
    mailbox_pb2.SORT_PROPERTY_SENT_AT,
}
_DESTROYED: Final = (Op.DESTROYED, Op.DESTROYED_WITH_THREAD)
_CHANGED: Final = (Op.UPDATED, Op.MARKED)


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a message decides on its place in a list, beside what never changes.

    Attributes:
        mailboxes: The mailboxes that it is in.
        keywords: Its keywords.
        threads: The keywords of its whole thread.
    """

    mailboxes: bool
    keywords: bool
    threads: bool

    @property
    def mutable(self) -> bool:
        """Whether a message's place may change as long as it is there."""
        return self.mailboxes or self.keywords or self.threads

    def touches(self, op: int) -> bool:
        """Whether a step of the log may put a message in the list, take it out or move it."""
        if op == Op.MARKED:
            return self.keywords or self.threads
        return self.mutable if op == Op.UPDATED else True


def scope_of(given: mailbox_pb2.MessageFilter, sorts: Iterable[mailbox_pb2.MessageSort]) -> Scope:
    """Return what a list depends on. Whatever is not known here counts as something that changes."""
    seen: set[str] = set()
    _gather(given, seen)
    for sort in sorts:
        if sort.property == mailbox_pb2.SORT_PROPERTY_HAS_KEYWORD:
            seen.add("has_keyword")
        elif sort.property not in _FIXED_SORTS:
            seen.add(_OF_THREADS[0])
    threads = not seen.isdisjoint(_OF_THREADS)
    keywords = not seen.isdisjoint(_OF_KEYWORDS)
    return Scope(bool(seen.difference(_FIXED, _OF_KEYWORDS, _OF_THREADS)), keywords, threads)


def _gather(given: mailbox_pb2.MessageFilter, seen: set[str]) -> None:
    for condition in given.conditions:
        _gather(condition, seen)
    seen.update([name.name for name, _ in given.ListFields() if name.name not in {"operator", "conditions"}])


@dataclass(slots=True)
class Touched:
    """What a window of the log touched of a list.

    Attributes:
        before: Messages whose place may have changed and that were there before, each with its thread.
        made: Those that were not there before.
        threads: The threads of all of them.
    """

    before: dict[int, int] = field(default_factory=dict)
    made: set[int] = field(default_factory=set)
    threads: set[int] = field(default_factory=set)

    def __contains__(self, message_id: int) -> bool:
        return message_id in self.before or message_id in self.made

    def add_members(self, members: Iterable[tuple[int, int]]) -> None:
        """Add the (message, thread) of threads in which one message decides on the places of all."""
        self.before.update([member for member in members if member[0] not in self.made])


def touched_by(rows: Iterable[Row], scope: Scope) -> Touched:
    """Read a window of the log, by modseq."""
    found = Touched()
    was_there: dict[int, bool] = {}
    for _, message_id, thread_id, op in rows:
        # The first step says whether it was there before: what was made or brought back was not.
        there = was_there.setdefault(message_id, op in _DESTROYED or op in _CHANGED)
        if not scope.touches(op):
            continue
        found.threads.add(thread_id)
        if there:
            found.before[message_id] = thread_id
        else:
            found.made.add(message_id)
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that a filter finds. `index` is its place in the list, None when another of its thread stands for it."""

    message_id: int
    thread_id: int
    index: int | None


@dataclass(slots=True)
class Difference:
    """What became of a list: removed (message, its index now if it is in the list), added (message, index) by index."""

    removed: list[tuple[int, int | None]] = field(default_factory=list)
    added: list[tuple[int, int]] = field(default_factory=list)

    def until(self, index: int) -> Difference:
        """Return it without what comes behind an index; only right when nothing in the list can have moved (RFC 8620 §5.6)."""
        return Difference(
            [one for one in self.removed if one[1] is None or one[1] <= index],
            [one for one in self.added if one[1] <= index],
        )

    def __len__(self) -> int:
        return len(self.removed) + len(self.added)


def difference(touched: Touched, entries: Sequence[Entry], *, collapsed: bool) -> Difference:
    """Return what became of a list (RFC 8620 §5.6).

    Args:
        touched: What the log touched.
        entries: What the filter finds now, in order: the touched messages; when collapsed, all of their threads.
        collapsed: Whether one message stands for its thread (RFC 8621 §4.4.3).
    """
    found = Difference()
    index_of = {entry.message_id: entry.index for entry in entries}
    found.removed = [(message_id, index_of.get(message_id)) for message_id in touched.before]
    if not collapsed:
        found.added = [(entry.message_id, entry.index) for entry in entries if entry.index is not None]
        return found
    threads: dict[int, list[Entry]] = {}
    for entry in entries:
        threads.setdefault(entry.thread_id, []).append(entry)
    had_before = set(touched.before.values())
    for thread_id, members in threads.items():
        head = members[0]
        # Those that were not touched match now if they did before, in the same order: of them only the first can have stood for
        # the thread, and it did when no other was there.
        rest = next((entry for entry in members if entry.message_id not in touched), None)
        if rest is head and thread_id not in had_before:
            continue
        if rest is not None:
            found.removed.append((rest.message_id, rest.index))
        if head.index is not None:
            found.added.append((head.message_id, head.index))
    found.added.sort(key=lambda one: one[1])
    return found
