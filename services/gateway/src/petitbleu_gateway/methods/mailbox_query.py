"""Mailbox/query and Mailbox/queryChanges (RFC 8621 §2.3, §2.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.filters import Int, UnsignedInt
from petitbleu_gateway.domain.mailbox_lists import MailboxList, below
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.changes import read_changes

_MOST_WINDOWS: Final = 30
"""Windows of the log that are read for one answer; the log of an account holds fewer."""


class _ListArguments(AccountArguments, kw_only=True):
    filter: dict[str, Any] | None = None
    sort: list[dict[str, Any]] | None = None
    sort_as_tree: bool = False
    filter_as_tree: bool = False
    calculate_total: bool = False

    def list_of(self, context: Context) -> MailboxList:
        """Return what the list is of."""
        return MailboxList(self.filter, self.sort, self.sort_as_tree, self.filter_as_tree, context.resolve_id)


class MailboxQuery(_ListArguments, kw_only=True):
    """Arguments of Mailbox/query (RFC 8620 §5.5, RFC 8621 §2.3)."""

    position: Int = 0
    anchor: str | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None


class MailboxQueryChanges(_ListArguments, kw_only=True):
    """Arguments of Mailbox/queryChanges (RFC 8620 §5.6, RFC 8621 §2.4)."""

    since_query_state: str
    max_changes: UnsignedInt | None = None
    up_to_id: str | None = None


async def mailbox_query(context: Context, arguments: MailboxQuery) -> dict[str, Any]:
    """RFC 8621 §2.3."""
    answer = await context.store.mailboxes(context.who)
    numbers = arguments.list_of(context).of(answer.mailboxes)
    start = arguments.position
    if arguments.anchor is not None:
        # RFC 8620 §5.5: position is ignored with an anchor
        anchor = ids.mailbox_number(context.resolve_id(arguments.anchor))
        if anchor not in numbers:
            raise MethodError(Fault.ANCHOR_NOT_FOUND)
        start = max(0, numbers.index(anchor) + arguments.anchor_offset)
    elif start < 0:
        start = max(0, len(numbers) + start)
    end = len(numbers) if arguments.limit is None else start + arguments.limit
    result: dict[str, Any] = {
        "accountId": arguments.account_id,
        "queryState": ids.state_text(answer.modseq),
        "canCalculateChanges": True,
        "position": start,
        "ids": [f"F{number}" for number in numbers[start:end]],
    }
    if arguments.calculate_total:
        result["total"] = len(numbers)
    return result


@dataclass(slots=True)
class _Log:
    """What the log tells of mailboxes: ids made, changed in more than their counts, only counted, gone."""

    created: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)
    counted: set[int] = field(default_factory=set)
    destroyed: set[int] = field(default_factory=set)


async def _read_log(context: Context, since: int) -> _Log:
    log = _Log()
    for _ in range(_MOST_WINDOWS):
        answer = await read_changes(context, pb.GetChangesRequest(kind=pb.CHANGE_KIND_MAILBOX, since_modseq=since))
        log.created.update(answer.created)
        log.counted.update(answer.counted)
        log.changed.update(set(answer.updated) - set(answer.counted))
        log.destroyed.update(answer.destroyed)
        if not answer.has_more:
            return log
        since = answer.new_modseq
    raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)


async def mailbox_query_changes(context: Context, arguments: MailboxQueryChanges) -> dict[str, Any]:
    """RFC 8621 §2.4.

    The list is read first, then the log. Which of the listed mailboxes changed is known from themselves, and those that the log
    tells to be gone since the list are in it still: without them the places of the others would be wrong.
    """
    since = ids.state_number(arguments.since_query_state)
    wanted = arguments.list_of(context)
    answer = await context.store.mailboxes(context.who)
    numbers = wanted.of(answer.mailboxes)
    if since is None or since > answer.modseq:
        raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
    log = await _read_log(context, since) if since < answer.modseq else _Log()
    counted = log.counted - log.changed - log.created
    again = {one.mailbox_id for one in answer.mailboxes if one.modseq > since} - counted
    created = log.created & again
    if not wanted.mutable:
        again = created
    elif wanted.as_tree:
        again = below(answer.mailboxes, again)
    added = [{"id": f"F{number}", "index": index} for index, number in enumerate(numbers) if number in again]
    # RFC 8620 §5.6: what is in both stands at another place, as far as can be known
    gone = log.destroyed - log.created - {one.mailbox_id for one in answer.mailboxes}
    removed = sorted((again - created) | gone)
    if not wanted.mutable and arguments.up_to_id is not None:
        last = ids.mailbox_number(context.resolve_id(arguments.up_to_id))
        if last in numbers:
            added = added[: sum(number in again for number in numbers[: numbers.index(last) + 1])]
            removed = [number for number in removed if number <= last]
    if arguments.max_changes is not None and len(added) + len(removed) > arguments.max_changes:
        raise MethodError(Fault.TOO_MANY_CHANGES)
    result: dict[str, Any] = {
        "accountId": arguments.account_id,
        "oldQueryState": arguments.since_query_state,
        "newQueryState": ids.state_text(answer.modseq),
        "removed": [f"F{number}" for number in removed],
        "added": added,
    }
    if arguments.calculate_total:
        result["total"] = len(numbers)
    return result
