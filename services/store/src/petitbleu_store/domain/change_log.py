"""The change log: what its rows mean, and how a window of it is told to a client (RFC 8620 §5.2)."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final


class Kind(enum.IntEnum):
    """What changed. A message's row tells of its thread too, so threads have none of their own."""

    MESSAGE = 1
    MAILBOX = 2
    SHARE_NOTIFICATION = 3


class Op(enum.IntEnum):
    """How it changed."""

    CREATED = 1
    UPDATED = 2
    DESTROYED = 3
    # A mailbox of which only the counters changed.
    COUNTED = 4
    # A message, and the thread that it was the last of.
    DESTROYED_WITH_THREAD = 5
    # A message that was destroyed is there again (ADR 20), and so is the thread that it was the last of.
    RESTORED = 6
    RESTORED_WITH_THREAD = 7
    # A message of which only keywords changed: lists that do not look at keywords are as they were.
    MARKED = 8


CREATING: Final = (Op.CREATED, Op.RESTORED, Op.RESTORED_WITH_THREAD)
_DESTROYED: Final = (Op.DESTROYED, Op.DESTROYED_WITH_THREAD)
# (modseq, entity id, thread id, op), by modseq
Row = tuple[int, int, int, int]


@dataclass(slots=True)
class Window:
    """What became of each entity between two modseqs."""

    created: list[int] = field(default_factory=list)
    updated: list[int] = field(default_factory=list)
    destroyed: list[int] = field(default_factory=list)
    only_counts: bool = False
    # Those of `updated` of which only counters changed.
    counted: list[int] = field(default_factory=list)
    # Modseq to which this leads, and whether rows were left behind it.
    upto: int = 0
    cut: bool = False


def fold(rows: Iterable[Row], since: int, most: int) -> Window:
    """Tell a window of the log of messages or mailboxes; it is cut before the row that would name more than `most` ids."""
    return _window(((modseq, entity, op) for modseq, entity, _, op in rows), since, most)


def fold_threads(rows: Iterable[Row], since: int, most: int) -> Window:
    """Tell the same of threads, from the log of messages.

    A thread's id is that of the message it began with; it changes when a message comes or goes, not when one is marked.
    """
    return _window(_thread_steps(rows), since, most)


def _thread_steps(rows: Iterable[Row]) -> Iterable[tuple[int, int, int]]:
    for modseq, message_id, thread_id, op in rows:
        if op == Op.CREATED:
            yield modseq, thread_id, Op.CREATED if message_id == thread_id else Op.UPDATED
        elif op == Op.RESTORED_WITH_THREAD:
            yield modseq, thread_id, Op.CREATED
        elif op in (Op.DESTROYED, Op.RESTORED):
            yield modseq, thread_id, Op.UPDATED
        elif op == Op.DESTROYED_WITH_THREAD:
            yield modseq, thread_id, Op.DESTROYED
        else:
            yield modseq, 0, Op.COUNTED


def _window(steps: Iterable[tuple[int, int, int]], since: int, most: int) -> Window:
    window = Window(upto=since)
    # First and last op of each id, and whether each step only counted.
    seen: dict[int, tuple[int, int, bool]] = {}
    for modseq, entity, op in steps:
        if entity:
            had = seen.get(entity)
            if had is None:
                if len(seen) >= most:
                    window.cut = True
                    break
                seen[entity] = (op, op, op == Op.COUNTED)
            else:
                seen[entity] = (had[0], op, had[2] and op == Op.COUNTED)
        window.upto = modseq
    for entity, (first, last, only_counted) in seen.items():
        created, gone = first in CREATING, last in _DESTROYED
        if created and gone:
            continue  # RFC 8620 §5.2: it need not be told of at all
        if gone:
            window.destroyed.append(entity)
        elif created:
            window.created.append(entity)
        else:
            window.updated.append(entity)
            if only_counted:
                window.counted.append(entity)
    window.only_counts = bool(window.updated) and len(window.counted) == len(window.updated)
    return window
