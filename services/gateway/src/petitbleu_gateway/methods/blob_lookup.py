"""Blob/lookup (RFC 9404 §4.3): what refers to a blob."""

from __future__ import annotations

from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.jmap.envelope import MAIL
from petitbleu_gateway.jmap.session import BLOB_TYPES
from petitbleu_gateway.methods.blobs import find_blob

_MOST: Final = 1000


class BlobLookup(AccountArguments, kw_only=True):
    """Arguments of Blob/lookup (RFC 9404 §4.3)."""

    type_names: list[str]
    ids: list[str]


async def blob_lookup(context: Context, arguments: BlobLookup) -> dict[str, Any]:
    """RFC 9404 §4.3. All types that are known belong to mail, whose capability must be used."""
    types = list(dict.fromkeys(arguments.type_names))
    if any(name not in BLOB_TYPES for name in types) or (types and MAIL not in context.using):
        raise MethodError(Fault.UNKNOWN_DATA_TYPE)
    if len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    wanted = {context.resolve_id(text): text for text in arguments.ids}
    names = {text: ids.blob_name(text) for text in wanted}
    numbers = sorted({name.message_id for name in names.values() if name is not None and name.message_id})
    rows: dict[int, pb.Message] = {}
    for at in range(0, len(numbers), _MOST):
        answer = await context.store.messages(context.who, numbers[at : at + _MOST], without_meta=True)
        rows.update((row.message_id, row) for row in answer.messages)
    found: list[dict[str, Any]] = []
    not_found: list[str] = []
    for text, given in wanted.items():
        name = names[text]
        if name is None or not await _is_there(context, text, name, rows):
            not_found.append(given)
            continue
        matched = _matched(rows.get(name.message_id))
        found.append({"id": text, "matchedIds": {kind: matched[kind] for kind in types}})
    return {"accountId": arguments.account_id, "list": found, "notFound": not_found}


async def _is_there(context: Context, text: str, name: ids.BlobName, rows: dict[int, pb.Message]) -> bool:
    if name.message_id and (name.message_id not in rows or name.part is None):
        return name.message_id in rows
    return await find_blob(context.store, context.who, text, context.hold) is not None


def _matched(row: pb.Message | None) -> dict[str, list[str]]:
    """Return what refers to the blobs of a message; nothing does to an upload, for a message takes a copy of it."""
    if row is None:
        return {name: [] for name in BLOB_TYPES}
    return {
        "Mailbox": [f"F{number}" for number in row.mailbox_ids],
        "Thread": [f"T{row.thread_id}"],
        "Email": [f"M{row.message_id}"],
    }
