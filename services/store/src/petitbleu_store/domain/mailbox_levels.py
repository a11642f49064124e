"""What stands against the hierarchy that a request would leave (RFC 8621 §2): parents that are not there, loops, depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_mail.mailbox_rules import MAX_DEPTH

Fault: TypeAlias = "pb.MailboxFault.ValueType"


def broken(
    parents: Mapping[int, int], moved: Mapping[int, int], destroyed: Mapping[int, int]
) -> Iterator[tuple[list[int], Fault]]:
    """Give changes of which the last has a fault, and the fault.

    Args:
        parents: The parent of each mailbox, 0 at the top; what the request creates has an id below 0.
        moved: The change that gave a mailbox its place, for those that have a new one.
        destroyed: The change that destroyed a mailbox.
    """
    if not moved and not destroyed:
        return
    lost: list[int] = []
    levels: dict[int, int] = {0: 0}
    for start, parent_id in parents.items():
        if parent_id and parent_id not in parents:
            if parent_id in destroyed:
                yield [destroyed[parent_id]], pb.MAILBOX_FAULT_HAS_CHILD
            elif start in moved:
                yield [moved[start]], pb.MAILBOX_FAULT_PARENT
                lost.append(start)
        chain: dict[int, None] = {}
        at = start
        while at not in levels and at in parents and at not in chain:
            chain[at] = None
            at = parents[at]
        level = levels.get(at, 0)
        if at in chain or level + len(chain) > MAX_DEPTH:
            above = chain if at in chain else _line(parents, start)
            yield [moved[one] for one in above if one in moved], pb.MAILBOX_FAULT_PARENT
        for one in reversed(chain):
            level += 1
            levels[one] = level
    if lost:
        yield from _below(parents, moved, lost)


def _below(parents: Mapping[int, int], moved: Mapping[int, int], lost: list[int]) -> Iterator[tuple[list[int], Fault]]:
    """Give what would be below creations that are not done."""
    children: dict[int, list[int]] = {}
    for one, parent_id in parents.items():
        if parent_id < 0 and one in moved:
            children.setdefault(parent_id, []).append(one)
    while lost:
        for one in children.pop(lost.pop(), ()):
            yield [moved[one]], pb.MAILBOX_FAULT_PARENT
            lost.append(one)


def _line(parents: Mapping[int, int], start: int) -> dict[int, None]:
    """Return a mailbox and those above it."""
    line: dict[int, None] = {}
    at = start
    while at in parents and at not in line:
        line[at] = None
        at = parents[at]
    return line
