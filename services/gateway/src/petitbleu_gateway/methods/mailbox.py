"""Mailbox/get and Mailbox/changes (RFC 8621 §2)."""

from __future__ import annotations

from typing import Any

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.mailbox_view import COUNTS, PROPERTIES, MailboxView
from petitbleu_gateway.domain.shares import SHARE_WITH
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.jmap.envelope import PRINCIPALS
from petitbleu_gateway.methods.changes import ChangesArguments, changes


class MailboxGet(AccountArguments, kw_only=True):
    """Arguments of Mailbox/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


async def mailbox_get(context: Context, arguments: MailboxGet) -> dict[str, Any]:
    """RFC 8621 §2.1."""
    with_shares = PRINCIPALS in context.using
    known = (*PROPERTIES, SHARE_WITH) if with_shares else PROPERTIES
    names = dict.fromkeys(["id", *(known if arguments.properties is None else arguments.properties)])
    if any(name not in known for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.store.mailboxes(context.who)
    view = MailboxView(answer.mailboxes, shared=context.me is not None, with_shares=with_shares)
    missing: list[str] = []
    if arguments.ids is None:  # RFC 8621 §2.1: all at once; an account has at most 1,000
        wanted = list(answer.mailboxes)
    else:
        wanted = []
        # by what they stand for: an id and a creation id may be of one mailbox
        for resolved, text in {context.resolve_id(text): text for text in arguments.ids}.items():
            number = ids.mailbox_number(resolved)
            if number is None or number not in view.by_id:
                missing.append(text)
            else:
                wanted.append(view.by_id[number])
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(answer.modseq),
        "list": [view.show(found, names) for found in wanted],
        "notFound": missing,
    }


async def mailbox_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 8621 §2.2: `updatedProperties` tells when only counts changed."""
    result, only_counts = await changes(context, arguments, pb.CHANGE_KIND_MAILBOX, "F")
    result["updatedProperties"] = list(COUNTS) if only_counts else None
    return result
