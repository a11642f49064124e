"""What a request is about to ask for: a list that is shown is an `Email/query` and an `Email/get` of what it found (RFC 8620 §3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb

Call = tuple[str, dict[str, Any], str]

MAX_AHEAD: Final = 100
# RFC 8621 §4.1.1: what a row tells without its record; whoever wants no more is served by ids alone
_BARE: Final = frozenset({"id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt"})


def wants_rows(calls: Sequence[Call], index: int) -> bool:
    """Whether the call after a query gets the very messages that the query finds, and more of each than a bare row."""
    name, arguments, call_id = calls[index]
    if name != "Email/query" or index + 1 >= len(calls):
        return False
    limit = arguments.get("limit")
    then, its_arguments, _ = calls[index + 1]
    if then != "Email/get" or not isinstance(limit, int) or not 0 < limit <= MAX_AHEAD:
        return False
    if its_arguments.get("accountId") != arguments.get("accountId"):
        return False
    if its_arguments.get("#ids") != {"resultOf": call_id, "name": name, "path": "/ids"}:
        return False
    wanted = its_arguments.get("properties")
    return not isinstance(wanted, list) or not all(isinstance(key, str) and key in _BARE for key in wanted)


def rows_of(ahead: pb.QueryMessagesResponse | None, message_ids: Sequence[int]) -> pb.GetMessagesResponse | None:
    """Return the rows that came with a query, when they are those of these messages."""
    if ahead is None or not ahead.HasField("rows") or list(ahead.message_ids) != list(message_ids):
        return None
    return ahead.rows
