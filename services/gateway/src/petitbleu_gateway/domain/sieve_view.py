"""SieveScript and VacationResponse objects (RFC 9661 §2, RFC 8621 §8): shown, and read from what a client sends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from petitbleu.delivery.v1 import scripts_pb2 as pb
from petitbleu_gateway.domain.small_lists import Matcher, convert
from petitbleu_gateway.errors import SetError, SetFault, invalid

PROPERTIES: Final = ("id", "name", "blobId", "isActive")
SORTS: Final = ("name", "isActive")
VACATION_ID: Final = "singleton"
"""RFC 8621 §8: the id of the one VacationResponse."""
VACATION_PROPERTIES: Final = ("id", "isEnabled", "fromDate", "toDate", "subject", "textBody", "htmlBody")
_TEXTS: Final = {"subject": "subject", "textBody": "text_body", "htmlBody": "html_body"}
_DATES: Final = {"fromDate": "from", "toDate": "to"}
_UTC_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class _Condition(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (RFC 9661 §2.5)."""

    name: str | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


def script_id(number: int) -> str:
    """Return the id of a script."""
    return f"S{number}"


def content_blob_id(content_id: int) -> str:
    """Return the blob id of a content."""
    return f"C{content_id}"


def shown(one: pb.Script) -> dict[str, Any]:
    """Return the whole SieveScript."""
    return {
        "id": script_id(one.script_id), "name": one.name, "blobId": content_blob_id(one.content_id),
        "isActive": one.active,
    }  # fmt: skip


def condition(given: dict[str, Any]) -> Matcher:
    """Return what a FilterCondition keeps (RFC 9661 §2.5)."""
    wanted = convert(given, _Condition)

    def matches(one: dict[str, Any]) -> bool:
        by_name = wanted.name is UNSET or wanted.name.casefold() in one["name"].casefold()
        return by_name and (wanted.is_active is UNSET or wanted.is_active == one["isActive"])

    return matches


def vacation_shown(one: pb.Vacation) -> dict[str, Any]:
    """Return the whole VacationResponse."""
    found: dict[str, Any] = {"id": VACATION_ID, "isEnabled": one.enabled}
    for name, field in _DATES.items():
        found[name] = _date(getattr(one, field)) if one.HasField(field) else None  # type: ignore[arg-type]
    for name, field in _TEXTS.items():
        found[name] = getattr(one, field) if one.HasField(field) else None  # type: ignore[arg-type]
    return found


def changed_vacation(before: pb.Vacation, patch: Mapping[str, Any]) -> pb.Vacation:
    """Return what a patch (RFC 8620 §5.3) makes of a VacationResponse.

    Raises:
        SetError: `invalidPatch`, `invalidProperties` naming all that is wrong.
    """
    found = pb.Vacation()
    found.CopyFrom(before)
    wrong: list[str] = []
    for name, value in patch.items():
        if "/" in name:
            raise SetError(SetFault.INVALID_PATCH, "nothing can be patched there")
        if not _set(found, name, value):
            wrong.append(name)
    if wrong:
        raise invalid(*wrong)
    return found


def _set(found: pb.Vacation, name: str, value: Any) -> bool:
    if name == "isEnabled":
        # RFC 8620 §5.3: null sets the default; of this there is none, and off is what nobody set
        found.enabled = bool(value)
        return value is None or isinstance(value, bool)
    field = _TEXTS.get(name) or _DATES.get(name)
    if field is None:
        return name == "id" and value == VACATION_ID
    if value is None:
        found.ClearField(field)  # type: ignore[arg-type]
        return True
    if not isinstance(value, str):
        return False
    if name in _TEXTS:
        setattr(found, field, value)
        return True
    seconds = _seconds(value)
    if seconds is not None:
        setattr(found, field, seconds)
    return seconds is not None


def _seconds(text: str) -> int | None:
    """Read a UTCDate (RFC 8620 §1.4); None when it is none."""
    if not _UTC_DATE.fullmatch(text):
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return None


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")
