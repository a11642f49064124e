"""Mailbox/get and Mailbox/changes (RFC 8621 §2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.changes import ChangesArguments, changes

# RFC 8621 §2: what the person may do through this server. Mailboxes themselves are not changed by JMAP yet.
_RIGHTS: Final = {
    "mayReadItems": True, "mayAddItems": True, "mayRemoveItems": True, "maySetSeen": True, "maySetKeywords": True,
    "mayCreateChild": False, "mayRename": False, "mayDelete": False, "maySubmit": False,
}  # fmt: skip

_PROPERTIES: Final[dict[str, Callable[[pb.Mailbox], Any]]] = {
    "id": lambda found: f"F{found.mailbox_id}",
    "name": lambda found: found.name,
    "parentId": lambda found: f"F{found.parent_id}" if found.parent_id else None,
    "role": lambda found: found.role or None,
    "sortOrder": lambda found: found.sort_order,
    "totalEmails": lambda found: found.total_messages,
    "unreadEmails": lambda found: found.unread_messages,
    "totalThreads": lambda found: found.total_threads,
    "unreadThreads": lambda found: found.unread_threads,
    "myRights": lambda _found: _RIGHTS,
    "isSubscribed": lambda found: found.subscribed,
}
_COUNTS: Final = ["totalEmails", "unreadEmails", "totalThreads", "unreadThreads"]


class MailboxGet(AccountArguments, kw_only=True):
    """Arguments of Mailbox/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


async def mailbox_get(context: Context, arguments: MailboxGet) -> dict[str, Any]:
    """RFC 8621 §2.1."""
    chosen = {"id": _PROPERTIES["id"]}
    for name in arguments.properties if arguments.properties is not None else _PROPERTIES:
        if name not in _PROPERTIES:
            raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
        chosen[name] = _PROPERTIES[name]
    if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.store.mailboxes(context.who)
    missing: list[str] = []
    if arguments.ids is None:
        wanted = list(answer.mailboxes)
    else:
        by_id = {f"F{found.mailbox_id}": found for found in answer.mailboxes}
        wanted = []
        for text in dict.fromkeys(arguments.ids):
            mailbox = by_id.get(context.resolve_id(text))
            if mailbox is None:
                missing.append(text)
            else:
                wanted.append(mailbox)
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(answer.modseq),
        "list": [{name: read(found) for name, read in chosen.items()} for found in wanted],
        "notFound": missing,
    }


async def mailbox_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 8621 §2.2: `updatedProperties` tells when only counts changed."""
    result, only_counts = await changes(context, arguments, pb.CHANGE_KIND_MAILBOX, "F")
    result["updatedProperties"] = _COUNTS if only_counts else None
    return result
