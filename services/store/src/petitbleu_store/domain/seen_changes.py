"""What came, changed and went for one who sees some mailboxes of an account only (RFC 8620 §5.2).

What was seen at a modseq follows from two histories: which mailboxes were seen, and in which mailboxes each message was. Something came
when it was not seen at the beginning and is at the end, whatever the account's own log calls it; and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from petitbleu_store.domain.change_log import Op, Row, Window

_MOST_LOOKED_AT: Final = 200_000
"""Messages, each at every change of what is shared, that one answer looks at."""


class TooMuchError(Exception):
    """What changed at once is more than may be told at once: no state lies in between."""


@dataclass(frozen=True, slots=True)
class History:
    """What a thing was before modseqs, which rise, and what it is now."""

    now: frozenset[int]
    before: Sequence[tuple[int, frozenset[int]]] = ()

    def at(self, modseq: int) -> frozenset[int]:
        """Return what it was at a modseq."""
        return next((was for changed, was in self.before if changed > modseq), self.now)

    def ever(self) -> frozenset[int]:
        """Return all that it ever was."""
        return self.now.union(*(was for _, was in self.before))

    def steps(self) -> list[tuple[int, frozenset[int]]]:
        """Return each modseq at which it changed, with what came or went then."""
        after = [was for _, was in self.before[1:]] + [self.now]
        return [(modseq, was ^ new) for (modseq, was), new in zip(self.before, after, strict=False)]


@dataclass(slots=True)
class Seen:
    """All that is known of the time from `since` to `now`.

    Attributes:
        since: Where it begins.
        now: Where it ends.
        view: The mailboxes that were seen.
        rows: The account's log of messages or mailboxes.
        messages: The mailboxes of messages, by message: of all in the log, and of all in mailboxes that were not always seen.
        threads: The threads of these messages and of all others of the same threads.
    """

    since: int
    now: int
    view: History
    rows: Sequence[Row]
    messages: Mapping[int, History] = field(default_factory=dict)
    threads: Mapping[int, int] = field(default_factory=dict)

    def of_messages(self, most: int) -> Window:
        """Tell of messages."""
        events = [(modseq, entity) for modseq, entity, _, _ in self.rows] + self._by_view()
        shown = self._ever_seen()
        events = [(modseq, entity) for modseq, entity in events if entity in shown]
        return self._window(events, most, self._sees, {})

    def of_threads(self, most: int) -> Window:
        """Tell of threads: they change when a message comes or goes, not when one is marked."""
        members: dict[int, list[int]] = {}
        for message_id, thread_id in self.threads.items():
            members.setdefault(thread_id, []).append(message_id)
        events = [
            (modseq, entity)
            for modseq, entity, _, op in self.rows
            if op not in (Op.UPDATED, Op.MARKED) or self._moved(modseq, entity)
        ]
        events += self._by_view()
        shown = self._ever_seen()
        found = [(modseq, self.threads[entity]) for modseq, entity in events if entity in shown]

        def content(thread_id: int, modseq: int) -> frozenset[int]:
            return frozenset(one for one in members[thread_id] if self._sees(one, modseq))

        return self._window(found, most, content, {})

    def of_mailboxes(self, most: int) -> Window:
        """Tell of mailboxes."""
        ever = self.view.ever()
        events = [(modseq, entity) for modseq, entity, _, _ in self.rows if entity in ever]
        counted: dict[int, bool] = {}
        for _, entity, _, op in self.rows:
            counted[entity] = counted.get(entity, True) and op == Op.COUNTED
        for modseq, boxes in self.view.steps():
            events += [(modseq, entity) for entity in boxes]
            counted.update(dict.fromkeys(boxes, False))
        return self._window(events, most, lambda entity, modseq: frozenset(self.view.at(modseq) & {entity}), counted)

    def _moved(self, modseq: int, entity: int) -> bool:
        return any(changed == modseq for changed, _ in self.messages[entity].before)

    def _ever_seen(self) -> set[int]:
        """Return the messages that were ever in a mailbox that was ever seen."""
        ever = self.view.ever()
        return {one for one, history in self.messages.items() if history.ever() & ever}

    def _sees(self, message_id: int, modseq: int) -> frozenset[int]:
        return self.messages[message_id].at(modseq) & self.view.at(modseq)

    def _by_view(self) -> list[tuple[int, int]]:
        """Return what may have changed with the mailboxes that are seen.

        Raises:
            TooMuchError: mailboxes were shared and taken back so often, with so many messages in them, that all of it is too much.
        """
        steps = self.view.steps()
        if len(steps) * len(self.messages) > _MOST_LOOKED_AT:
            raise TooMuchError
        ever = [(message_id, history.ever()) for message_id, history in self.messages.items()]
        return [(modseq, message_id) for modseq, boxes in steps for message_id, were in ever if were & boxes]

    def _window(
        self, events: Iterable[tuple[int, int]], most: int, content: Callable[[int, int], Collection[int]], counted: Mapping[int, bool]
    ) -> Window:  # fmt: skip
        """Tell of as many entities as may be told of.

        Args:
            events: When which entity may have changed.
            most: How many may be told of.
            content: What is seen of an entity at a modseq; none when it is not there.
            counted: Whether only counts changed of an entity.

        Raises:
            TooMuchError: not even what happened first can be told.
        """
        named: dict[int, None] = {}
        upto, cut = self.now, False
        at: dict[int, list[int]] = {}
        for modseq, entity in events:
            at.setdefault(modseq, []).append(entity)
        last = self.since
        for modseq in sorted(at):
            more = dict.fromkeys([entity for entity in at[modseq] if entity not in named])
            if len(named) + len(more) > most:
                upto, cut = last, True
                break
            named.update(more)
            last = modseq
        if cut and upto == self.since:
            raise TooMuchError
        window = Window(upto=upto, cut=cut)
        for entity in named:
            was, is_now = content(entity, self.since), content(entity, upto)
            if not was and not is_now:
                continue
            if not is_now:
                window.destroyed.append(entity)
            elif not was:
                window.created.append(entity)
            else:
                window.updated.append(entity)
                if counted.get(entity):
                    window.counted.append(entity)
        window.only_counts = bool(window.updated) and len(window.counted) == len(window.updated)
        return window
