"""Properties of a PushSubscription (RFC 8620 §7.2): what a client may say, and what it is told."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from petitbleu.accounts.v1 import push_pb2 as pb
from petitbleu_gateway.domain.email_view import utc_date
from petitbleu_gateway.domain.filters import millis
from petitbleu_gateway.domain.json_pointers import unescape
from petitbleu_gateway.domain.state_changes import AccountState
from petitbleu_gateway.domain.web_push import AUTH_OCTETS, read_base64url, user_agent_key
from petitbleu_gateway.errors import Invalid, MethodError, SetError, SetFault, invalid
from petitbleu_kit.egress import EgressError, read_url

READABLE: Final = ("id", "deviceClientId", "verificationCode", "expires", "types")
SECRET: Final = frozenset({"url", "keys"})  # RFC 8620 §7.2.1
_MAX_TEXT: Final = 255
_MAX_TYPES: Final = 200
_MAX_URL: Final = 2048
_UTC_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z")  # RFC 8620 §1.4


def subscription_id(number: int) -> str:
    """Return the id of a subscription."""
    return f"P{number}"


def subscription_number(text: str) -> int | None:
    """Return the subscription that an id names."""
    body = text[1:]
    if text[:1] != "P" or not body.isascii() or not body.isdigit() or body[0] == "0" or len(body) > 19:
        return None
    number = int(body)
    return number if number < 1 << 63 else None


def told_state(told: pb.PushTold) -> AccountState:
    """Return how far an account was when a subscription was told of it."""
    return AccountState(told.modseq, told.last_id, told.identities, told.submissions, told.scripts, told.vacation)


def told_message(state: AccountState) -> pb.PushTold:
    """Return how far an account is, as accounts keeps it."""
    return pb.PushTold(
        modseq=state.modseq, last_id=state.last_id, identities=state.identities, submissions=state.submissions,
        scripts=state.scripts, vacation=state.vacation,
    )  # fmt: skip


def _expires(value: Any, now: int) -> int:
    """Return Unix seconds, 0 for the furthest."""
    if value is None:
        return 0
    if not isinstance(value, str) or not _UTC_DATE.fullmatch(value):
        raise invalid("expires", why="not a UTCDate")
    try:
        seconds = millis(value) // 1000
    except (MethodError, ValueError):
        raise invalid("expires", why="not a UTCDate") from None
    if seconds <= now:
        raise invalid("expires", why="it is over")
    return seconds


def _types(value: Any) -> pb.PushTypes | None:
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) > _MAX_TYPES
        or not all(isinstance(name, str) and 0 < len(name) <= _MAX_TEXT and "\0" not in name for name in value)
    ):
        raise invalid("types")
    return pb.PushTypes(names=value)


def _keys(value: Any) -> pb.PushKeys | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"p256dh", "auth"}:
        raise invalid("keys")
    try:
        point, auth = (read_base64url(msgspec.convert(value[name], str)) for name in ("p256dh", "auth"))
        user_agent_key(point)
    except (ValueError, msgspec.ValidationError):
        raise invalid("keys") from None
    if len(auth) != AUTH_OCTETS:  # RFC 8291 §3.2
        raise invalid("keys", why="auth has 16 octets")
    return pb.PushKeys(p256dh=point, auth=auth)


def _device(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or "\0" in value:
        raise invalid("deviceClientId")
    return value


def _url(value: Any) -> str:
    # RFC 8620 §7.2: an absolute URL that begins with https://
    if not isinstance(value, str) or len(value) > _MAX_URL:
        raise invalid("url")
    try:
        read_url(value, http=False)
    except EgressError:
        raise invalid("url", why="not an absolute https URL") from None
    return value


def read_new(given: dict[str, Any], now: int) -> pb.PushSubscriptionUpdate:
    """Return a creation as accounts takes it.

    Raises:
        SetError: `invalidProperties`, naming all that is wrong.
    """
    wrong = Invalid()
    update = pb.PushSubscriptionUpdate(set_types=True)
    with wrong:
        unknown = given.keys() - {"url", "deviceClientId", "keys", "expires", "types", "verificationCode"}
        if unknown:
            raise invalid(*sorted(unknown))
    with wrong:
        update.device_client_id = _device(given.get("deviceClientId"))
    with wrong:
        update.url = _url(given.get("url"))
    with wrong:
        keys = _keys(given.get("keys"))
        if keys is not None:
            update.keys.CopyFrom(keys)
    with wrong:
        update.expires_at = _expires(given.get("expires"), now)
    with wrong:
        types = _types(given.get("types"))
        if types is not None:
            update.types.CopyFrom(types)
    with wrong:
        if given.get("verificationCode") is not None:  # RFC 8620 §7.2: null, or omitted
            raise invalid("verificationCode")
    wrong.settle()
    return update


def read_patch(number: int, patch: dict[str, Any], current: pb.PushSubscription, now: int) -> pb.PushSubscriptionUpdate:
    """Return a change as accounts takes it (RFC 8620 §7.2.2): of the end, the types, or the code that verifies it.

    Raises:
        SetError: `invalidPatch`, or `invalidProperties` naming all that is wrong.
    """
    update = pb.PushSubscriptionUpdate(subscription_id=number)
    same = {"id": subscription_id(number), "deviceClientId": current.device_client_id}
    wrong = Invalid()
    for pointer, value in patch.items():
        tokens = unescape(pointer)
        if tokens is None or len(tokens) > 1:  # RFC 8620 §5.3: nothing of ours has parts that can be patched
            raise SetError(SetFault.INVALID_PATCH, "nothing can be patched there")
        with wrong:
            if pointer == "expires":
                update.expires_at = _expires(value, now)
            elif pointer == "types":
                types = _types(value)
                update.set_types = True
                if types is not None:
                    update.types.CopyFrom(types)
            elif pointer == "verificationCode":
                # RFC 8620 §5.3: a whole object may be passed back, so null where none was given yet
                if not isinstance(value, str) and (value is not None or current.verification_code):
                    raise invalid(pointer)
                if value is not None:
                    update.verification_code = value
            elif pointer not in same or same[pointer] != value:
                raise invalid(pointer)
    wrong.settle()
    return update


def show(one: pb.PushSubscription, names: dict[str, None]) -> dict[str, Any]:
    """Return a subscription with some of its properties."""
    whole = {
        "id": subscription_id(one.subscription_id),
        "deviceClientId": one.device_client_id,
        "verificationCode": one.verification_code or None,
        "expires": utc_date(one.expires_at * 1000),
        "types": list(one.types.names) if one.HasField("types") else None,
    }
    return {name: whole[name] for name in names}


def created(one: pb.PushSubscription, given: dict[str, Any]) -> dict[str, Any]:
    """Return what the client did not send, or not so (RFC 8620 §5.3, §7.2.3)."""
    found: dict[str, Any] = {"id": subscription_id(one.subscription_id)}
    found |= {name: None for name in ("keys", "types", "verificationCode") if name not in given}
    return found | changed(one, given, always=True)


def changed(one: pb.PushSubscription, given: dict[str, Any], *, always: bool = False) -> dict[str, Any]:
    """Return the end of a subscription if it is another than the client said."""
    if not always and "expires" not in given:
        return {}
    ends = utc_date(one.expires_at * 1000)
    return {} if given.get("expires") == ends else {"expires": ends}
