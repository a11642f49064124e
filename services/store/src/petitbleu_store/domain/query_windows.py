"""Windows of lists (RFC 8620 §5.5), one message a thread where that is asked for (RFC 8621 §4.4.3)."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.domain.query_scope import Entry


def position_end(position: int, limit: int) -> int:
    """Return how many entries must be known to show a window; none when nothing is asked for."""
    return position + limit if limit else 0


def first_of_threads(entries: list[tuple[int, int]]) -> list[int]:
    """Return the first message of each thread, of (message, thread) in order."""
    heads: dict[int, int] = {}
    for message_id, thread_id in entries:
        heads.setdefault(thread_id, message_id)
    return list(heads.values())


def collapsed_window(
    request: mailbox_pb2.QueryMessagesRequest, position: int, heads: list[int], modseq: int, threads: int
) -> mailbox_pb2.QueryMessagesResponse:
    """Return a window of the heads of threads, of which those before its end are known."""
    return mailbox_pb2.QueryMessagesResponse(
        message_ids=heads[position : position + request.limit], position=position, modseq=modseq,
        total=threads if request.calculate_total else -1,
    )  # fmt: skip


def entries_of(ordered: Sequence[tuple[int, int]], *, collapsed: bool) -> list[Entry]:
    """Return the entries of (message, thread) in order."""
    met: set[int] = set()
    entries: list[Entry] = []
    index = 0
    for message_id, thread_id in ordered:
        stands = not collapsed or thread_id not in met
        met.add(thread_id)
        entries.append(Entry(message_id, thread_id, index if stands else None))
        index += stands
    return entries


def whole_window(
    entries: Sequence[Entry], request: mailbox_pb2.QueryMessagesRequest, modseq: int
) -> mailbox_pb2.QueryMessagesResponse:
    """RFC 8620 §5.5, of a list that is there as a whole."""
    ids = [entry.message_id for entry in entries if entry.index is not None]
    start = request.position if request.position >= 0 else max(0, len(ids) + request.position)
    response = mailbox_pb2.QueryMessagesResponse(modseq=modseq, total=len(ids) if request.calculate_total else -1)
    if request.anchor:
        if request.anchor not in ids:
            response.anchor_not_found = True
            return response
        start = max(0, ids.index(request.anchor) + request.anchor_offset)
    response.position = start
    response.message_ids.extend(ids[start : start + request.limit])
    return response
