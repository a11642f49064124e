"""What of a request to change mailboxes another than their owner may do (RFC 8621 §2.5, §2 myRights)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_store.domain.mailbox_outcome import MailboxRow
from petitbleu_store.domain.sharing import Right, View

Fault: TypeAlias = "pb.MailboxFault.ValueType"


def of_another(
    view: View, rows: Mapping[int, MailboxRow], updates: Sequence[pb.MailboxUpdate]
) -> tuple[list[pb.MailboxUpdate], dict[int, set[Fault]]]:
    """Return the updates as far as they change the mailboxes themselves, and what stands against those that may not be.

    What is not seen is not there: nothing stands against an update of it. A subscription is the grantee's own and changes no mailbox.
    """
    found: list[pb.MailboxUpdate] = []
    barred: dict[int, set[Fault]] = {}
    for index, update in enumerate(updates):
        narrowed = pb.MailboxUpdate()
        narrowed.CopyFrom(update)
        narrowed.ClearField("subscribed")
        found.append(narrowed)
        if update.shares or update.replace_shares or (update.role and not update.mailbox_id):
            barred[index] = {pb.MAILBOX_FAULT_NO_RIGHT}
        elif not update.HasField("created_by"):
            fault = _creation(view, update) if _creates(update) else _change(view, rows, narrowed)
            if fault is not None:
                barred[index] = fault
        elif update.HasField("parent_id") and not _may_hold(view, update.parent_id):
            barred[index] = {pb.MAILBOX_FAULT_NO_RIGHT}
        if _creates(update):
            narrowed.subscribed = True  # for its owner, to whom it is a new mailbox
    return found, barred


def _creates(update: pb.MailboxUpdate) -> bool:
    return update.mailbox_id == 0 and not update.destroy and not update.HasField("created_by")


def _may_hold(view: View, parent_id: int) -> bool:
    """Whether a mailbox may be put there; at the top only the owner has mailboxes."""
    return parent_id != 0 and view.may(Right.CREATE_CHILD, (parent_id,))


def _creation(view: View, update: pb.MailboxUpdate) -> set[Fault] | None:
    if update.HasField("parent_created_by") or _may_hold(view, update.parent_id):
        return None
    hidden = update.parent_id != 0 and update.parent_id not in view.rights
    return {pb.MAILBOX_FAULT_PARENT if hidden else pb.MAILBOX_FAULT_NO_RIGHT}


def _change(view: View, rows: Mapping[int, MailboxRow], update: pb.MailboxUpdate) -> set[Fault] | None:
    mailbox_id = update.mailbox_id
    if mailbox_id not in view.rights or mailbox_id not in rows:
        return set()
    row = rows[mailbox_id]
    if update.HasField("parent_id") and update.parent_id == (row.parent_id if row.parent_id in view.rights else 0):
        update.ClearField("parent_id")  # as it is seen
    if update.HasField("sort_order") and update.sort_order == row.sort_order:
        update.ClearField("sort_order")
    if update.HasField("role") and update.role == row.role:
        update.ClearField("role")
    # the order and the roles of an account's mailboxes are its owner's
    wanted: list[bool] = [not update.HasField("sort_order"), not update.HasField("role")]
    if update.destroy:
        wanted.append(view.may(Right.DELETE, (mailbox_id,)))
        if update.with_messages:
            wanted.append(view.may(Right.REMOVE_ITEMS, (mailbox_id,)))
    if update.HasField("name") or update.HasField("parent_id") or update.HasField("parent_created_by"):
        wanted.append(view.may(Right.RENAME, (mailbox_id,)))
    if update.HasField("parent_id"):
        if update.parent_id not in view.rights and update.parent_id:
            return {pb.MAILBOX_FAULT_PARENT}
        wanted.append(_may_hold(view, update.parent_id))
    return None if all(wanted) else {pb.MAILBOX_FAULT_NO_RIGHT}
