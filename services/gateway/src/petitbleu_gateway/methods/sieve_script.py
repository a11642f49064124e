"""SieveScript/get, /query and /validate (RFC 9661 §2): scripts are kept by delivery, so their states are of their own."""

from __future__ import annotations

from typing import Any

from petitbleu.delivery.v1 import scripts_pb2 as pb
from petitbleu_gateway.domain.sieve_view import PROPERTIES, SORTS, condition, shown
from petitbleu_gateway.domain.small_lists import ListQuery, matcher, ordered, window
from petitbleu_gateway.errors import SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.blobs import blob_content, find_blob
from petitbleu_gateway.methods.small_get import SmallGet, answer_of, names_of


class SieveScriptValidate(AccountArguments, kw_only=True):
    """Arguments of SieveScript/validate (RFC 9661 §2.6)."""

    blob_id: str


async def sieve_script_get(context: Context, arguments: SmallGet) -> dict[str, Any]:
    """RFC 9661 §2.3."""
    names = names_of(context, arguments, PROPERTIES)
    answer = await context.store.scripts.scripts(context.who)
    return answer_of(context, arguments, names, map(shown, answer.scripts), answer.modseq)


async def sieve_script_query(context: Context, arguments: ListQuery) -> dict[str, Any]:
    """RFC 9661 §2.5."""
    matches = matcher(arguments.filter, condition)
    answer = await context.store.scripts.scripts(context.who)
    found = ordered(list(map(shown, answer.scripts)), arguments.sort, SORTS)
    return window(arguments, [one["id"] for one in found if matches(one)], ids.state_text(answer.modseq), changes=False)


async def sieve_script_validate(context: Context, arguments: SieveScriptValidate) -> dict[str, Any]:
    """RFC 9661 §2.6."""
    error: dict[str, Any] | None = None
    try:
        content = await script_content(context, arguments.blob_id)
        checked = await context.store.scripts.check(context.who, content)
        if checked.status == pb.SCRIPT_STATUS_INVALID_CONTENT:
            raise SetError(SetFault.INVALID_SIEVE, checked.reason)  # noqa: TRY301 — told with the others
    except SetError as found:
        error = found.as_object()
    return {"accountId": arguments.account_id, "error": error}


async def script_content(context: Context, text: str) -> bytes:
    """Return the content of a blob that shall be a script.

    Raises:
        SetError: `blobNotFound`; `tooLarge`, when no script may be so large.
    """
    most = context.store.scripts.most_octets
    blob = await find_blob(context.store, context.who, context.resolve_id(text), context.hold)
    if blob is not None and blob.size > most:
        raise SetError(SetFault.TOO_LARGE, maxSize=most)
    content = None if blob is None else await blob_content(context.store, context.who, blob, context.hold)
    if content is None:
        raise SetError(SetFault.BLOB_NOT_FOUND, notFound=[text])
    return content
