"""The /get of a type of which an account has few objects: all are read, and those asked for are shown (RFC 8620 §5.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context


class SmallGet(AccountArguments, kw_only=True):
    """Arguments of /get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


def names_of(context: Context, arguments: SmallGet, properties: Collection[str]) -> Collection[str]:
    """Return the properties that are wanted, `id` first (RFC 8620 §5.1).

    Args:
        context: Of the request.
        arguments: Of the call.
        properties: Those that the type has.

    Raises:
        MethodError: `invalidArguments`, `requestTooLarge`.
    """
    names = dict.fromkeys(["id", *(properties if arguments.properties is None else arguments.properties)])
    if any(name not in properties for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    return names


def answer_of(
    context: Context, arguments: SmallGet, names: Collection[str], objects: Iterable[dict[str, Any]], modseq: int
) -> dict[str, Any]:
    """Return the answer of a call.

    Args:
        context: Of the request.
        arguments: Of the call.
        names: As `names_of` returned them.
        objects: All that the account has, whole.
        modseq: How far they are.
    """
    known = {one["id"]: one for one in objects}
    missing: list[str] = []
    if arguments.ids is None:
        wanted = list(known)
    else:
        resolved = {context.resolve_id(text): text for text in arguments.ids}
        wanted = [text for text in resolved if text in known]
        missing = [given for text, given in resolved.items() if text not in known]
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(modseq),
        "list": [{name: known[text][name] for name in names} for text in wanted],
        "notFound": missing,
    }
