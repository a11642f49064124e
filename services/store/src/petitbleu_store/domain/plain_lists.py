"""Lists of one mailbox by date: what is shown all day, and is read from the mailbox's index alone."""

from __future__ import annotations

from dataclasses import dataclass

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.domain.query_sql import conjuncts


@dataclass(frozen=True, slots=True)
class Plain:
    """A query of one mailbox by date and nothing else."""

    mailbox_id: int
    ascending: bool


def plain_of(request: mailbox_pb2.QueryMessagesRequest | mailbox_pb2.QueryMessageChangesRequest) -> Plain | None:
    """Return what a list is of, when it is of one mailbox by date."""
    if len(request.sort) > 1 or (request.sort and request.sort[0].property != mailbox_pb2.SORT_PROPERTY_RECEIVED_AT):
        return None
    leaves = conjuncts(request.filter)
    if len(leaves) != 1:
        return None
    rest = mailbox_pb2.MessageFilter()
    rest.CopyFrom(leaves[0])
    mailbox_id = rest.in_mailbox
    rest.ClearField("in_mailbox")
    if not mailbox_id or rest.ByteSize():
        return None
    return Plain(mailbox_id, bool(request.sort) and request.sort[0].ascending)
