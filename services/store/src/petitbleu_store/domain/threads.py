"""Which thread a message joins (RFC 8621 §3), and what each thread of a transaction adds to counters before and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from petitbleu_store.domain import counts
from petitbleu_store.domain.counts import Counts

# A thread takes no more messages than this; the next one begins another (Gmail does the same at 100). It bounds the work of each
# change of a message, for a thread's counts are worked out from its messages.
MAX_THREAD: Final = 100


@dataclass(slots=True)
class ThreadState:
    """A thread during a transaction: its messages (mailboxes, unread), and what it added to counters when it began."""

    messages: list[tuple[Sequence[int], bool]] = field(default_factory=list)
    before: dict[int, Counts] = field(default_factory=dict)


class AccountThreads:
    """The threads that one account's part of a batch touches.

    Args:
        known: Thread of each known reference.
        states: Messages of the threads that references lead to.
    """

    def __init__(self, known: Mapping[int, int], states: Mapping[int, Sequence[tuple[Sequence[int], bool]]]) -> None:
        self._known = dict(known)
        self._threads = {
            thread_id: ThreadState(list(messages), counts.of_thread(messages)) for thread_id, messages in states.items()
        }
        # References to write: those that were unknown, or belonged to a thread that is full.
        self.refs: dict[int, int] = {}

    def join(self, message_id: int, refs: Sequence[int], mailbox_ids: Sequence[int], *, unread: bool) -> int:
        """Put a new message in the thread of its lowest known reference, or in its own; return the thread's id."""
        found = [self._known[ref] for ref in refs if ref in self._known]
        thread_id = min(found) if found else message_id
        state = self._threads.get(thread_id)
        if state is None or len(state.messages) >= MAX_THREAD:
            thread_id = message_id
            state = self._threads[thread_id] = ThreadState()
            taken = refs
        else:
            taken = [ref for ref in refs if ref not in self._known]
        for ref in taken:
            self._known[ref] = self.refs[ref] = thread_id
        state.messages.append((mailbox_ids, unread))
        return thread_id

    def differences(self) -> dict[int, Counts]:
        """Return what the counters of each mailbox gain."""
        total: dict[int, Counts] = {}
        for state in self._threads.values():
            messages = state.messages
            if len(messages) == 1 and not state.before:
                counts.add(total, counts.of_single(messages[0][0], unread=messages[0][1]))
            else:
                counts.add(total, counts.of_thread(messages))
                counts.add(total, state.before, -1)
        return {mailbox_id: change for mailbox_id, change in total.items() if any(change)}
