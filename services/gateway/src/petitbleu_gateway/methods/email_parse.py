"""Email/parse (RFC 8621 §4.9): messages that lie in blobs are shown without being in the account."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.body_values import body_value, octets_to_read
from petitbleu_gateway.domain.email_view import EmailView, Reading
from petitbleu_gateway.domain.whole_email import header_of
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.methods.blobs import THREAD_OCTETS, blob_content, find_blob, parts_begin
from petitbleu_gateway.methods.email_get import Showing, value_parts, view_of
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.structure import encode_meta, parse_message

# RFC 8621 §4.9
_DEFAULT_PROPERTIES: Final = (
    "messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt",
    "hasAttachment", "preview", "bodyValues", "textBody", "htmlBody", "attachments",
)  # fmt: skip
# What only a message of the account has; null of one that is not (RFC 8621 §4.9).
_OF_THE_ACCOUNT: Final = ("id", "threadId", "mailboxIds", "keywords", "receivedAt")


class EmailParse(Showing, kw_only=True):
    """Arguments of Email/parse (RFC 8621 §4.9)."""

    blob_ids: list[str]


async def email_parse(context: Context, arguments: EmailParse) -> dict[str, Any]:
    """RFC 8621 §4.9."""
    if len(arguments.blob_ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    view = view_of(arguments, _DEFAULT_PROPERTIES)
    wanted = _DEFAULT_PROPERTIES if arguments.properties is None else arguments.properties
    parsed: dict[str, Any] = {}
    not_parsable: list[str] = []
    not_found: list[str] = []
    for text in dict.fromkeys(arguments.blob_ids):
        resolved = context.resolve_id(text)
        blob = await find_blob(context.store, context.who, resolved, context.hold)
        raw = None if blob is None else await blob_content(context.store, context.who, blob, context.hold)
        if blob is None or raw is None:
            not_found.append(text)
        elif header_of(raw) is None:
            not_parsable.append(text)
        else:
            parsed[text] = await _shown(arguments, view, raw, resolved, parts_begin(resolved, blob))
            for name in _OF_THE_ACCOUNT:
                if name in wanted:
                    parsed[text][name] = None
            if "id" not in wanted:
                del parsed[text]["id"]
            context.weigh(parsed[text])
    return {
        "accountId": arguments.account_id,
        "parsed": parsed or None,
        "notParsable": not_parsable or None,
        "notFound": not_found or None,
    }


async def _shown(arguments: EmailParse, view: EmailView, raw: bytes, blob_id: str, begins: str) -> dict[str, Any]:
    def work() -> dict[str, Any]:
        meta = parse_message(raw)
        row = pb.Message(size=len(raw), meta=encode_meta(meta))
        reading = Reading(row, begins)
        if view.needs_header:
            reading.header = scan_headers(raw[: reading.meta.root.body_start])
        if view.needs_part_headers:
            for part in view.parts_shown(reading):
                reading.part_headers[part.header_start] = scan_headers(raw[part.header_start : part.body_start])
        if view.wants_body_values:
            for part in value_parts(arguments, reading):
                end = part.body_start + octets_to_read(part, arguments.max_body_value_bytes)
                data = raw[part.body_start : end]
                reading.body_values[str(part.part_id)] = body_value(part, data, arguments.max_body_value_bytes)
        found = view.show(reading)
        if "blobId" in found:
            found["blobId"] = blob_id
        return found

    return await asyncio.to_thread(work) if len(raw) > THREAD_OCTETS else work()
