"""Mailboxes of a person in memory: they keep the rules of store's own domain, and a log as store's contract tells of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_store.domain.change_log import Op, fold
from petitbleu_store.domain.mailbox_outcome import MailboxRow
from petitbleu_store.domain.mailbox_tree import Change
from petitbleu_store.domain.standard_mailboxes import STANDARD

Counts = tuple[int, int, int, int]


class HasRow(Protocol):
    """A message in memory."""

    row: pb.Message


def key(name: str) -> int:
    folded = "INBOX" if name.upper() == "INBOX" else name
    return int.from_bytes(hashlib.sha256(folded.encode()).digest()[:8], "big")


@dataclass
class Boxes:
    """One account's mailboxes; a message's counts are noted by `count`, behind the account's modseq of that moment."""

    rows: dict[int, MailboxRow] = field(
        default_factory=lambda: {
            one.mailbox_id: MailboxRow(
                one.mailbox_id, 0, one.role, one.sort_order, True, key(one.english), one.english.encode(), 0
            )
            for one in STANDARD
        }
    )
    modseqs: dict[int, int] = field(default_factory=dict)
    counts: dict[int, Counts] = field(default_factory=dict)
    log: list[tuple[int, int, int, int]] = field(default_factory=list)
    last_id: int = 63

    def note(self, modseq: int, mailbox_id: int, op: Op) -> None:
        self.modseqs[mailbox_id] = modseq
        self.log.append((modseq, mailbox_id, 0, op))

    def count(self, modseq: int, messages: Mapping[int, HasRow]) -> int:
        """Note which counts have changed; return the modseq of the last such change."""
        for number in self.rows:
            inside = [kept.row for kept in messages.values() if number in kept.row.mailbox_ids]
            unread = [row for row in inside if not {"$seen", "$draft"} & set(row.keywords)]
            threads = {row.thread_id for row in inside}, {row.thread_id for row in unread}
            counts = len(inside), len(unread), len(threads[0]), len(threads[1])
            if counts != self.counts.get(number, (0, 0, 0, 0)):
                self.counts[number] = counts
                modseq += 1
                self.note(modseq, number, Op.COUNTED)
        return modseq

    def listed(self, modseq: int) -> pb.ListMailboxesResponse:
        answer = pb.ListMailboxesResponse(modseq=modseq)
        for row in sorted(self.rows.values(), key=lambda one: (one.sort_order, one.mailbox_id)):
            total, unread, threads, unread_threads = self.counts.get(row.mailbox_id, (0, 0, 0, 0))
            answer.mailboxes.add(
                mailbox_id=row.mailbox_id, parent_id=row.parent_id, name=row.name_sealed.decode(), role=row.role,
                sort_order=row.sort_order, total_messages=total, unread_messages=unread, total_threads=threads,
                unread_threads=unread_threads, subscribed=row.subscribed, modseq=self.modseqs.get(row.mailbox_id, 1),
            )  # fmt: skip
        return answer

    def changed(self, since: int, modseq: int, most: int) -> pb.GetChangesResponse:
        window = fold([row for row in self.log if row[0] > since], since, most or 1000)
        return pb.GetChangesResponse(
            created=window.created, updated=window.updated, destroyed=window.destroyed, counted=window.counted,
            new_modseq=window.upto if window.cut else modseq, has_more=window.cut, only_counts=window.only_counts,
        )  # fmt: skip

    def update(self, modseq: int, updates: Sequence[pb.MailboxUpdate]) -> tuple[pb.UpdateMailboxesResponse, set[int]]:
        """Change mailboxes; also return those that are gone. Their messages have left them before."""
        occupied = {number for number, counts in self.counts.items() if counts[0]}
        outcome = Change(self.rows, updates, occupied, key).outcome()
        answer = pb.UpdateMailboxesResponse(old_modseq=modseq)
        numbers: dict[int, int] = {}
        for index, target in enumerate(outcome.targets):
            if target == -1 - index and index not in outcome.refused:
                self.last_id += 1
                numbers[target] = self.last_id
        before, self.rows = self.rows, {}
        for target, row in outcome.tree.items():
            was = before.get(target)
            row.mailbox_id = numbers.get(target, target)
            row.parent_id = numbers.get(row.parent_id, row.parent_id)
            row.name_sealed = outcome.names.get(target, row.name_sealed.decode()).encode()
            self.rows[row.mailbox_id] = row
            if row != was:
                modseq += 1
                self.note(modseq, row.mailbox_id, Op.UPDATED if was else Op.CREATED)
        gone = set(before) - set(self.rows)
        for number in sorted(gone):
            modseq += 1
            self.note(modseq, number, Op.DESTROYED)
            self.counts.pop(number, None)
        for index, target in enumerate(outcome.targets):
            answer.results.add(status=outcome.status(index), faults=sorted(outcome.refused.get(index, ())))
            answer.mailbox_ids.append(numbers.get(target, max(target, 0)))
        answer.new_modseq = modseq
        return answer, gone
