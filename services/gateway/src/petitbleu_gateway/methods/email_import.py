"""Email/import (RFC 8621 §4.8): messages that lie in blobs are put in the account, as they are."""

from __future__ import annotations

from typing import Any, Final

import grpc

from petitbleu_gateway.domain.patches import read_keywords, read_mailboxes
from petitbleu_gateway.domain.whole_email import arrival_ms, header_of
from petitbleu_gateway.errors import Fault, Invalid, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.blobs import Blob, blob_content, find_blob
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

_PROPERTIES: Final = frozenset({"blobId", "mailboxIds", "keywords", "receivedAt"})


class EmailImport(AccountArguments, kw_only=True):
    """Arguments of Email/import (RFC 8621 §4.8)."""

    if_in_state: str | None = None
    emails: dict[ids.IdText, dict[str, Any]]


async def email_import(context: Context, arguments: EmailImport) -> dict[str, Any]:
    """RFC 8621 §4.8; each message is a unit of its own."""
    if len(arguments.emails) > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    wanted = await wanted_state(context, arguments.if_in_state)
    run = Making({}, {})
    try:
        for creation_id, email in arguments.emails.items():
            try:
                # our own imports move the state on; until there is one, store itself checks it in the commit
                made = await _import(context, run, email, wanted if run.new is None else 0)
            except SetError as error:
                run.not_created[creation_id] = error.as_object()
            else:
                run.created[creation_id] = made
                context.created_ids[creation_id] = made["id"]
        states = await run.states(context)
    except (MethodError, grpc.aio.AioRpcError):
        if run.new is None:
            raise
        # RFC 8620 §3.6.2: some of it is done, and the client must look again
        raise MethodError(Fault.SERVER_PARTIAL_FAIL) from None
    return {
        "accountId": arguments.account_id,
        **states,
        "created": run.created or None,
        "notCreated": run.not_created or None,
    }


async def _import(context: Context, run: Making, email: dict[str, Any], if_modseq: int) -> dict[str, Any]:
    wrong = Invalid()
    blob: Blob | None = None
    mailboxes: list[int] = []
    keywords: list[str] = []
    with wrong:
        only(email, _PROPERTIES)
    with wrong:
        mailboxes = read_mailboxes(email.get("mailboxIds"), context.resolve_id)
    with wrong:
        keywords = read_keywords({} if email.get("keywords") is None else email["keywords"])
    with wrong:
        received = received_at(email.get("receivedAt"))
    with wrong:
        blob = await _blob(context, email.get("blobId"))
    wrong.settle()
    if blob is None:
        raise invalid("blobId")
    raw = await _content(context, blob)
    headers = header_of(raw)
    if headers is None:
        raise SetError(SetFault.INVALID_EMAIL, "not a message of RFC 5322")
    if blob.message_id and blob.type == "message/rfc822" and blob.start == 0:
        # the same octets are a message of this account already
        raise SetError(SetFault.ALREADY_EXISTS, existingId=f"M{blob.message_id}")
    if email.get("receivedAt") is None:
        received = arrival_ms(headers) or received
    made = await store_message(context, raw, Filed(mailboxes, keywords, received), await content_key(raw), if_modseq)
    run.moved(made.old_modseq, made.new_modseq)
    return created_object(made, len(raw))


async def _blob(context: Context, text: Any) -> Blob:
    """Find the blob; one that is not there is an invalid property here (RFC 8621 §4.8)."""
    if not isinstance(text, str):
        raise invalid("blobId")
    try:
        blob = await find_blob(context.store, context.who, context.resolve_id(text), context.hold)
    except MethodError:
        raise SetError(SetFault.RATE_LIMIT, "too much is read by one request") from None
    if blob is None:
        raise invalid("blobId", why="no such blob")
    return blob


async def _content(context: Context, blob: Blob) -> bytes:
    if blob.length > context.limits.blob_octets:
        raise SetError(SetFault.TOO_LARGE, maxSize=context.limits.blob_octets)
    try:
        raw = await blob_content(context.store, context.who, blob, context.hold)
    except MethodError:
        raise SetError(SetFault.RATE_LIMIT, "too much is read by one request") from None
    if raw is None:
        raise invalid("blobId", why="no such blob")
    return raw
