"""The Request object of an API call (RFC 8620 §3.3) and its request-level errors (RFC 8620 §3.6.1)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from petitbleu_gateway.errors import Problem, RequestError, limit_problem
from petitbleu_gateway.jmap import ids, ijson

CORE = "urn:ietf:params:jmap:core"
MAIL = "urn:ietf:params:jmap:mail"
BLOB = "urn:ietf:params:jmap:blob"
WEBSOCKET = "urn:ietf:params:jmap:websocket"
QUOTA = "urn:ietf:params:jmap:quota"
SUBMISSION = "urn:ietf:params:jmap:submission"
WEBPUSH = "urn:ietf:params:jmap:webpush-vapid"
MDN = "urn:ietf:params:jmap:mdn"
UNDO = "urn:uuid:f1894e8f-9abe-4383-9899-282ca330f7e4"
"""Deleted mail, and its return (docs/undo.md). RFC 8620 §1.8 has vendors name extensions by a URL of a domain of theirs; a UUID is as
much nobody else's, and needs none (RFC 9562 §4, ADR 20)."""
FAMILY = "urn:uuid:e91ff085-bb45-4d10-a459-fa4eed8e0217"
"""Guardians and children (ADR 34), named as `UNDO` is."""
SENDERS = "urn:uuid:40b14be7-eaa3-4813-8ad7-74ee893dabc5"
"""Whom a person lists as senders (ADR 38), named as `UNDO` is."""
FILTERS = "urn:uuid:7c0b6a54-31d5-4e0e-9f7c-6a1f4f3b9d1c"
"""Filter rules as a form has them (ADR 46), named as `UNDO` is."""
PRINCIPALS = "urn:ietf:params:jmap:principals"
SIEVE = "urn:ietf:params:jmap:sieve"
VACATION = "urn:ietf:params:jmap:vacationresponse"
OWNER = "urn:ietf:params:jmap:principals:owner"
"""Only a key of an account's capabilities (RFC 9670 §1.5.2)."""
CAPABILITIES = frozenset(
    {
        CORE,
        MAIL,
        BLOB,
        WEBSOCKET,
        QUOTA,
        SUBMISSION,
        MDN,
        UNDO,
        WEBPUSH,
        PRINCIPALS,
        SIEVE,
        VACATION,
        FAMILY,
        SENDERS,
        FILTERS,
    }
)

Invocation = tuple[str, dict[str, Any], str]


class Request(msgspec.Struct, rename="camel"):
    """A Request (RFC 8620 §3.3)."""

    using: list[str]
    method_calls: list[Invocation]
    created_ids: dict[ids.IdText, ids.IdText] | msgspec.UnsetType = msgspec.UNSET


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is the one of API requests (RFC 8620 §3.3)."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def read_request(content_type: str, data: bytes | bytearray, max_calls: int, capabilities: AbstractSet[str]) -> Request:
    """Return the request in the octets of a body.

    Raises:
        Problem: notJSON, notRequest, unknownCapability, or limit with maxCallsInRequest.
    """
    if not is_json(content_type):
        raise Problem(400, RequestError.NOT_JSON, "The content type is not application/json.")
    try:
        value = ijson.decode(data)
    except ijson.NotIJsonError as error:
        raise Problem(400, RequestError.NOT_JSON, f"The body is no I-JSON: {error}.") from None
    return request_of(value, max_calls, capabilities)


def request_of(value: object, max_calls: int, capabilities: AbstractSet[str]) -> Request:
    """Return the request that a JSON value is, of a server that has these capabilities.

    Raises:
        Problem: notRequest, unknownCapability, or limit with maxCallsInRequest.
    """
    try:
        request = msgspec.convert(value, Request)
    except msgspec.ValidationError:
        raise Problem(400, RequestError.NOT_REQUEST, "It does not have the form of a Request.") from None
    for capability in request.using:
        if capability not in capabilities:  # RFC 8620 §3.6.1
            raise Problem(
                400, RequestError.UNKNOWN_CAPABILITY, "The request uses a capability that this server has not."
            )
    if len(request.method_calls) > max_calls:
        raise limit_problem("maxCallsInRequest", f"At most {max_calls} calls are taken in a request.")
    return request
