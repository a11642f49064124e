"""SieveScript/get, /query and /validate (RFC 9661 §2): scripts are kept by delivery, so their states are of their own."""

from __future__ import annotations

from typing import Any

from petitbleu.delivery.v1 import scripts_pb2 as pb
from petitbleu_gateway.domain.sieve_view import PROPERTIES, SORTS, condition, shown
from petitbleu_gateway.domain.small_lists import ListQuery, matcher, ordered, window
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.blobs import blob_content, find_blob


class SieveScriptGet(AccountArguments, kw_only=True):
    """Arguments of SieveScript/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class SieveScriptValidate(AccountArguments, kw_only=True):
    """Arguments of SieveScript/validate (RFC 9661 §2.6)."""

    blob_id: str


async def sieve_script_get(context: Context, arguments: SieveScriptGet) -> dict[str, Any]:
    """RFC 9661 §2.3."""
    names = dict.fromkeys(["id", *(PROPERTIES if arguments.properties is None else arguments.properties)])
    if any(name not in PROPERTIES for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.store.scripts.scripts(context.who)
    known = {one["id"]: one for one in map(shown, answer.scripts)}
    missing: list[str] = []
    if arguments.ids is None:  # an account has few
        wanted = list(known)
    else:
        resolved = {context.resolve_id(text): text for text in arguments.ids}
        wanted = [text for text in resolved if text in known]
        missing = [given for text, given in resolved.items() if text not in known]
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(answer.modseq),
        "list": [{name: known[text][name] for name in names} for text in wanted],
        "notFound": missing,
    }


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
