"""EmailSubmission objects (RFC 8621 §7): shown, filtered, and their changes read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu_gateway.domain.email_view import utc_date
from petitbleu_gateway.domain.filters import UTCDate, millis
from petitbleu_gateway.domain.small_lists import Matcher, convert
from petitbleu_gateway.errors import Invalid, SetError, SetFault, invalid

PROPERTIES: Final = (
    "id", "identityId", "emailId", "threadId", "envelope", "sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds",
    "mdnBlobIds",
)  # fmt: skip
GIVEN: Final = frozenset({"identityId", "emailId", "envelope"})
"""What a client gives of a new one (RFC 8621 §7)."""
SORTS: Final = ("emailId", "threadId", "sentAt", "sendAt")
"""RFC 8621 §7.3 says `sentAt`; the property that it means is `sendAt`, which clients send too."""
_UNDO: Final = {pb.SUBMISSION_STATE_PENDING: "pending", pb.SUBMISSION_STATE_CANCELED: "canceled"}
_DELIVERED: Final = {
    pb.DELIVERED_QUEUED: "queued", pb.DELIVERED_YES: "yes", pb.DELIVERED_NO: "no", pb.DELIVERED_UNKNOWN: "unknown",
}  # fmt: skip


class _Condition(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (RFC 8621 §7.3)."""

    identity_ids: list[str] | None = None
    email_ids: list[str] | None = None
    thread_ids: list[str] | None = None
    undo_status: str | None = None
    before: UTCDate | None = None
    after: UTCDate | None = None


def submission_id(number: int) -> str:
    """Return the id of a submission."""
    return f"E{number}"


def listed(one: pb.Submission) -> dict[str, Any]:
    """Return what filters and sorts look at."""
    sent = utc_date(one.send_at_ms // 1000 * 1000)
    return {
        "id": submission_id(one.number), "identityId": f"I{one.identity_id}", "emailId": f"M{one.message_id}",
        "threadId": f"T{one.thread_id}", "undoStatus": _UNDO.get(one.state, "final"), "sendAt": sent, "sentAt": sent,
    }  # fmt: skip


def shown(one: pb.Submission) -> dict[str, Any]:
    """Return the whole object."""
    found = listed(one)
    found["envelope"] = {
        "mailFrom": _address(one.envelope.mail_from),
        "rcptTo": [_address(recipient) for recipient in one.envelope.recipients],
    }
    found["deliveryStatus"] = _statuses(one)
    # reports come as mail: the blob is that of the Email
    found["dsnBlobIds"] = [f"B{message_id}" for message_id in one.dsn_message_ids]
    found["mdnBlobIds"] = [f"B{message_id}" for message_id in one.mdn_message_ids]
    return {name: found[name] for name in PROPERTIES}


def _address(one: pb.EnvelopeAddress) -> dict[str, Any]:
    parameters = None
    if one.has_parameters:
        parameters = {given.name: given.value if given.HasField("value") else None for given in one.parameters}
    return {"email": one.address, "parameters": parameters}


def _statuses(one: pb.Submission) -> dict[str, Any] | None:
    """Return `deliveryStatus`: null while nothing is known, and where nothing goes out."""
    if one.state in _UNDO:
        return None
    return {
        one.envelope.recipients[status.recipient_no].address: {
            "smtpReply": status.smtp_reply, "delivered": _DELIVERED.get(status.delivered, "unknown"),
            "displayed": "yes" if status.displayed else "unknown",
        }
        for status in one.recipients
        if status.recipient_no < len(one.envelope.recipients)
    }  # fmt: skip


def condition(given: dict[str, Any]) -> Matcher:
    """Return what a FilterCondition keeps (RFC 8621 §7.3)."""
    wanted = convert(given, _Condition)
    before, after = (None if date is None else millis(date) for date in (wanted.before, wanted.after))

    def matches(one: dict[str, Any]) -> bool:
        sent = millis(one["sendAt"])
        return (
            (wanted.identity_ids is None or one["identityId"] in wanted.identity_ids)
            and (wanted.email_ids is None or one["emailId"] in wanted.email_ids)
            and (wanted.thread_ids is None or one["threadId"] in wanted.thread_ids)
            and (wanted.undo_status is None or one["undoStatus"] == wanted.undo_status)
            and (before is None or sent < before)
            and (after is None or sent >= after)
        )

    return matches


def wants_cancel(patch: dict[str, Any], known: dict[str, Any] | None) -> bool:
    """Return whether a patch (RFC 8620 §5.3) cancels a submission: nothing else of it can change (RFC 8621 §7).

    `known` is None while it is only being made.

    Raises:
        SetError: `invalidPatch`, `invalidProperties`.
    """
    wrong = Invalid()
    cancel = False
    for name, value in patch.items():
        if "/" in name:
            raise SetError(SetFault.INVALID_PATCH, "nothing can be patched there")
        if name == "undoStatus" and value == "canceled":
            cancel = True
        elif known is None or name not in known or known[name] != value:
            with wrong:
                raise invalid(name)
    wrong.settle()
    return cancel
