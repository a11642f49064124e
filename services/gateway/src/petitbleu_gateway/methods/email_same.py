"""Whether an update of an Email repeats what cannot change, as one that sends the whole object does (RFC 8620 §5.3)."""

from __future__ import annotations

from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.email_view import EmailView, Reading, is_known_part_property, is_known_property
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.methods.email_get import EmailGet, email_get

_PARTS: Final = frozenset({"bodyStructure", "textBody", "htmlBody", "attachments"})
_VALUE: Final = frozenset({"value", "isTruncated", "isEncodingProblem"})
# What must be read for it: the properties and those of body parts, and whether the values of parts are wanted
_Wanted = tuple[frozenset[str], frozenset[str], bool]


async def changed_properties(
    context: Context, account_id: str, others: dict[str, dict[str, Any]]
) -> dict[str, SetError]:
    """Return, by Email id, why updates of properties that cannot change are refused; the same values again are allowed.

    Args:
        context: That of the request.
        account_id: The account, as the client names it.
        others: By Email id, the properties of an update but keywords and mailboxes.
    """
    numbers = [number for text in others if (number := ids.message_number(text)) is not None]
    answer = await context.store.messages(context.who, numbers)
    rows = {f"M{row.message_id}": row for row in answer.messages}
    refused: dict[str, SetError] = {}
    shown = await _read(context, account_id, {text: others[text] for text in rows}, refused)
    for text, given in others.items():
        row = rows.get(text)
        if row is None:
            refused[text] = SetError(SetFault.NOT_FOUND)
        elif text not in refused:
            wrong = [key for key, value in given.items() if not _is_same(row, shown.get(text, {}), key, value)]
            if wrong:
                refused[text] = invalid(*wrong, why="cannot change")
    return refused


async def _read(
    context: Context, account_id: str, others: dict[str, dict[str, Any]], refused: dict[str, SetError]
) -> dict[str, dict[str, Any]]:
    """Return what of messages is not in their rows alone, as Email/get shows it: alike ones together."""
    alike: dict[_Wanted, list[str]] = {}
    for text, given in others.items():
        wanted = _wanted(given)
        if wanted[0]:
            alike.setdefault(wanted, []).append(text)
    shown: dict[str, dict[str, Any]] = {}
    for (properties, of_parts, values), texts in alike.items():
        arguments = EmailGet(
            account_id=account_id, ids=texts, properties=sorted(properties), body_properties=sorted(of_parts),
            fetch_all_body_values=values,
        )  # fmt: skip
        try:
            found = await email_get(context, arguments)
        except MethodError as error:
            if error.fault is not Fault.REQUEST_TOO_LARGE:
                raise
            refused.update({text: SetError(SetFault.RATE_LIMIT, "too much is read by one request") for text in texts})
        else:
            shown.update({email["id"]: email for email in found["list"]})
    return shown


def _wanted(given: dict[str, Any]) -> _Wanted:
    properties = frozenset(key for key in given if is_known_property(key) and _is_read(key))
    of_parts: set[str] = set()
    for key in properties & _PARTS:
        _add_names(given[key], of_parts)
    return properties, frozenset(of_parts), bool(given.get("bodyValues"))


def _is_read(key: str) -> bool:
    return key in _PARTS or key.startswith(("header", "body"))


def _add_names(given: Any, names: set[str]) -> None:
    """Add the names of the properties of body parts, which a client may have asked for in any choice."""
    waiting = [given]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            names.update([key for key in one if is_known_part_property(key)])
            waiting.append(one.get("subParts"))


def _is_same(row: pb.Message, shown: dict[str, Any], key: str, value: Any) -> bool:
    """Whether a property has this value already."""
    if not is_known_property(key):
        return False
    if not _is_read(key):
        return bool(EmailView([key], ()).show(Reading(row)).get(key) == value)
    if key not in shown:
        return False
    if key in _PARTS:
        return _is_same_part(shown[key], value)
    return _are_same_values(shown[key], value) if key == "bodyValues" else bool(shown[key] == value)


def _is_same_part(shown: Any, given: Any) -> bool:
    """Whether parts are the same in all that is given of them."""
    if isinstance(shown, list) and isinstance(given, list):
        return len(shown) == len(given) and all(_is_same_part(*pair) for pair in zip(shown, given, strict=True))
    if not isinstance(shown, dict) or not isinstance(given, dict):
        return bool(shown == given)
    return all(
        key in shown and (_is_same_part(shown[key], value) if key == "subParts" else shown[key] == value)
        for key, value in given.items()
    )


def _are_same_values(shown: dict[str, Any], given: Any) -> bool:
    """Whether values of parts are theirs; which ones a client has, and how much of them, is what it asked for."""
    return isinstance(given, dict) and all(
        part_id in shown and _is_same_value(shown[part_id], value) for part_id, value in given.items()
    )


def _is_same_value(shown: dict[str, Any], given: Any) -> bool:
    if not isinstance(given, dict) or not set(given) <= _VALUE or not isinstance(given.get("value"), str):
        return False
    text: str = given["value"]
    same = str(shown["value"]).startswith(text) if given.get("isTruncated") is True else shown["value"] == text
    return same and given.get("isEncodingProblem", shown["isEncodingProblem"]) == shown["isEncodingProblem"]
