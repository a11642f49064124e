"""Email/copy (RFC 8621 §4.7): messages of one account are put in another."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import grpc

from petitbleu_gateway.domain.patches import read_keywords, read_mailboxes
from petitbleu_gateway.errors import Fault, Invalid, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.blobs import Blob, blob_content
from petitbleu_gateway.methods.email_set import EmailSet, email_set
from petitbleu_gateway.methods.storing import (
    Filed,
    Making,
    content_key,
    created_object,
    only,
    received_at,
    store_message,
    wanted_state,
)

_PROPERTIES: Final = frozenset({"id", "mailboxIds", "keywords", "receivedAt"})


class EmailCopy(AccountArguments, kw_only=True):
    """Arguments of Email/copy (RFC 8620 §5.4)."""

    from_account_id: str
    if_from_in_state: str | None = None
    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]]
    on_success_destroy_original: bool = False
    destroy_from_if_in_state: str | None = None


async def email_copy(context: Context, arguments: EmailCopy) -> dict[str, Any]:
    """RFC 8621 §4.7."""
    if arguments.from_account_id == arguments.account_id:  # RFC 8620 §5.4
        raise MethodError(Fault.INVALID_ARGUMENTS, "fromAccountId and accountId must not be the same")
    source = context.account(arguments.from_account_id)
    if source is None:
        raise MethodError(Fault.FROM_ACCOUNT_NOT_FOUND)
    if len(arguments.create) > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    origin = dataclasses.replace(context, who=source)
    await wanted_state(origin, arguments.if_from_in_state)
    wanted = await wanted_state(context, arguments.if_in_state)
    run = Making({}, {})
    copied: list[str] = []
    try:
        for creation_id, email in arguments.create.items():
            try:
                made = await _copy(context, origin, run, email, wanted if run.new is None else 0)
            except SetError as error:
                run.not_created[creation_id] = error.as_object()
            else:
                run.created[creation_id] = made
                context.created_ids[creation_id] = made["id"]
                copied.append(context.resolve_id(email["id"]))
        states = await run.states(context)
    except (MethodError, grpc.aio.AioRpcError):
        if run.new is None:
            raise
        raise MethodError(Fault.SERVER_PARTIAL_FAIL) from None
    if arguments.on_success_destroy_original and copied:
        await _destroy(context, origin, arguments, list(dict.fromkeys(copied)))
    return {
        "fromAccountId": arguments.from_account_id,
        "accountId": arguments.account_id,
        **states,
        "created": run.created or None,
        "notCreated": run.not_created or None,
    }


async def _copy(
    context: Context, origin: Context, run: Making, email: dict[str, Any], if_modseq: int
) -> dict[str, Any]:
    wrong = Invalid()
    mailboxes: list[int] = []
    keywords: list[str] | None = None
    received: int | None = None
    with wrong:
        only(email, _PROPERTIES)
    with wrong:
        mailboxes = read_mailboxes(email.get("mailboxIds"), context.resolve_id)
    with wrong:
        keywords = read_keywords(email["keywords"]) if email.get("keywords") is not None else None
    with wrong:
        received = received_at(email["receivedAt"]) if email.get("receivedAt") is not None else None
    with wrong:
        if not isinstance(email.get("id"), str):
            raise invalid("id")
    wrong.settle()
    number = ids.message_number(context.resolve_id(email["id"]))
    answer = await context.store.messages(origin.who, [] if number is None else [number], without_meta=True)
    if not answer.messages:
        raise SetError(SetFault.NOT_FOUND)
    row = answer.messages[0]
    blob = Blob(row.message_id, 0, row.size, row.size, None, "message/rfc822")
    if blob.length > context.limits.blob_octets:
        raise SetError(SetFault.TOO_LARGE, maxSize=context.limits.blob_octets)
    try:
        raw = await blob_content(context.store, origin.who, blob, context.hold)
    except MethodError:
        raise SetError(SetFault.RATE_LIMIT, "too much is read by one request") from None
    if raw is None:
        raise SetError(SetFault.NOT_FOUND)
    filed = Filed(
        mailboxes,
        list(row.keywords) if keywords is None else keywords,
        row.received_at_ms if received is None else received,
    )
    made = await store_message(context, raw, filed, await content_key(raw), if_modseq)
    run.moved(made.old_modseq, made.new_modseq)
    return created_object(made, len(raw))


async def _destroy(context: Context, origin: Context, arguments: EmailCopy, copied: list[str]) -> None:
    """Destroy the originals by a call of Email/set, whose response follows ours (RFC 8620 §5.4)."""
    destroy = EmailSet(
        account_id=arguments.from_account_id, if_in_state=arguments.destroy_from_if_in_state, destroy=copied
    )
    try:
        context.implied.append(("Email/set", await email_set(origin, destroy)))
    except MethodError as error:
        context.implied.append(("error", error.arguments()))
    except grpc.aio.AioRpcError:
        context.implied.append(("error", MethodError(Fault.SERVER_UNAVAILABLE).arguments()))
