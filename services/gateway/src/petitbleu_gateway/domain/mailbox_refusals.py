"""Why a mailbox was not made, changed or destroyed (RFC 8620 §5.3, RFC 8621 §2.5), from what store says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.mailbox_changes import Wanted
from petitbleu_gateway.errors import SetError, SetFault, invalid
from petitbleu_mail.mailbox_rules import normal_name

_TAKEN: Final = "another mailbox there has this name"
_PROPERTY_OF: Final = {
    pb.MAILBOX_FAULT_NAME: "name",
    pb.MAILBOX_FAULT_PARENT: "parentId",
    pb.MAILBOX_FAULT_ROLE: "role",
    pb.MAILBOX_FAULT_ROLE_TAKEN: "role",
    pb.MAILBOX_FAULT_SORT_ORDER: "sortOrder",
    pb.MAILBOX_FAULT_SHARES: "shareWith",
}
# RFC 8620 §5.3: what is too much is refused of that object alone
_TOO_MUCH: Final = {
    pb.MAILBOX_FAULT_TOO_MANY: (SetFault.OVER_QUOTA, "an account has no more mailboxes"),
    pb.MAILBOX_FAULT_SHARED_WITH_TOO_MANY: (SetFault.TOO_LARGE, "a mailbox is shared with no more people"),
    pb.MAILBOX_FAULT_TOO_MANY_SHARES: (SetFault.OVER_QUOTA, "an account shares no more"),
    pb.MAILBOX_FAULT_TOO_MANY_AT_ONCE: (SetFault.RATE_LIMIT, "the call shares with many already"),
}


def refusal(wanted: Wanted, result: pb.UpdateResult) -> SetError:
    """Return the SetError that an outcome of store is."""
    faults = set(result.faults)
    if result.status == pb.UPDATE_STATUS_NOT_FOUND:
        return SetError(SetFault.NOT_FOUND)
    if faults & {pb.MAILBOX_FAULT_NO_RIGHT, pb.MAILBOX_FAULT_STANDARD}:
        standard = pb.MAILBOX_FAULT_STANDARD in faults
        return SetError(SetFault.FORBIDDEN, "it is one of the mailboxes that every account has" if standard else "")
    if pb.MAILBOX_FAULT_HAS_CHILD in faults:
        return SetError(SetFault.MAILBOX_HAS_CHILD)
    if pb.MAILBOX_FAULT_HAS_MESSAGES in faults:
        return SetError(SetFault.MAILBOX_HAS_EMAIL)
    for fault, (kind, why) in _TOO_MUCH.items():
        if fault in faults:
            return SetError(kind, why)
    properties = [_PROPERTY_OF[fault] for fault in sorted(faults) if fault in _PROPERTY_OF]
    why = ""
    if pb.MAILBOX_FAULT_NAME_TAKEN in faults:
        # a mailbox that only moves has a name that another one has there
        properties.append("name" if wanted.update.HasField("name") else "parentId")
        why = _TAKEN
    return invalid(*dict.fromkeys(properties), why=why)


def namesake(
    wanted: Wanted,
    result: pb.UpdateResult,
    names: Mapping[int, str],
    parents: Mapping[int, int],
    made: Sequence[int],
    inbox: int | None,
) -> SetError | None:
    """Return the SetError of a creation that names the mailbox which has its name, if that is all that is wrong and it can be seen.

    Mailboxes have these names and parents now, and those of the call's steps these ids; `inbox` is the inbox. RFC 8621 §2 forbids two siblings of one
    name and leaves open by which error; that of RFC 8620 §5.4 tells which one is there.
    """
    if set(result.faults) != {pb.MAILBOX_FAULT_NAME_TAKEN}:
        return None
    update = wanted.update
    below = made[update.parent_created_by] if update.HasField("parent_created_by") else update.parent_id
    name = normal_name(update.name)
    sibling = next((one for one, its in names.items() if its == name and parents.get(one) == below), None)
    if sibling is None and not below and (name or "").upper() == "INBOX":
        sibling = inbox  # RFC 9051 §5.1: it has this name too, whatever it is called
    return None if sibling is None else SetError(SetFault.ALREADY_EXISTS, _TAKEN, existingId=f"F{sibling}")
