"""What can go wrong, by the names that the standards give it: HTTP problems and JMAP method errors."""

from __future__ import annotations

from enum import StrEnum
from types import TracebackType
from typing import Any, Final

import grpc

LIMIT_TYPE: Final = "urn:ietf:params:jmap:error:limit"


class Problem(Exception):  # noqa: N818 — the name that RFC 7807 gives it
    """An answer for a whole HTTP request, as problem details (RFC 7807).

    Args:
        status: HTTP status.
        type_: URI of the kind of problem; `about:blank` says no more than the status.
        detail: A sentence for people; it names nothing that the client did not send.
        headers: Further header fields, lower case.
        members: Further members of the object, such as `limit`.
    """

    def __init__(
        self,
        status: int,
        type_: str = "about:blank",
        detail: str = "",
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        **members: Any,
    ) -> None:
        super().__init__(type_)
        self.status = status
        self.type = type_
        self.detail = detail
        self.headers = headers
        self.members = members


class UnreadableError(Exception):
    """A message that cannot be rendered: it needs more time or memory than allowed, or ends the reader."""


class BusyError(Exception):
    """Too many wait already."""


class RequestError(StrEnum):
    """Request-level errors (RFC 8620 §3.6.1)."""

    UNKNOWN_CAPABILITY = "urn:ietf:params:jmap:error:unknownCapability"
    NOT_JSON = "urn:ietf:params:jmap:error:notJSON"
    NOT_REQUEST = "urn:ietf:params:jmap:error:notRequest"


def limit_problem(limit: str, detail: str, status: int = 400, *, seconds: int = 0) -> Problem:
    """Return the request-level `limit` error (RFC 8620 §3.6.1) that names a limit; `seconds` says when to come again."""
    headers = ((b"retry-after", str(seconds).encode()),) if seconds else ()
    return Problem(status, LIMIT_TYPE, detail, headers=headers, limit=limit)


class Fault(StrEnum):
    """Method-level errors (RFC 8620 §3.6.2, §5; RFC 8621 §4.4; RFC 9404 §4.3)."""

    SERVER_UNAVAILABLE = "serverUnavailable"
    SERVER_FAIL = "serverFail"
    SERVER_PARTIAL_FAIL = "serverPartialFail"
    UNKNOWN_METHOD = "unknownMethod"
    INVALID_ARGUMENTS = "invalidArguments"
    INVALID_RESULT_REFERENCE = "invalidResultReference"
    FORBIDDEN = "forbidden"
    ACCOUNT_NOT_FOUND = "accountNotFound"
    ACCOUNT_NOT_SUPPORTED_BY_METHOD = "accountNotSupportedByMethod"
    ACCOUNT_READ_ONLY = "accountReadOnly"
    REQUEST_TOO_LARGE = "requestTooLarge"
    STATE_MISMATCH = "stateMismatch"
    CANNOT_CALCULATE_CHANGES = "cannotCalculateChanges"
    TOO_MANY_CHANGES = "tooManyChanges"
    ANCHOR_NOT_FOUND = "anchorNotFound"
    UNSUPPORTED_FILTER = "unsupportedFilter"
    UNSUPPORTED_SORT = "unsupportedSort"
    FROM_ACCOUNT_NOT_FOUND = "fromAccountNotFound"
    UNKNOWN_DATA_TYPE = "unknownDataType"


class MethodError(Exception):
    """A method call that failed as a whole (RFC 8620 §3.6.2).

    Args:
        fault: Its type.
        description: A sentence for developers.
        members: Further members of the error object.
    """

    def __init__(self, fault: Fault, description: str = "", **members: Any) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.description = description
        self.members = members

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the `error` response."""
        found: dict[str, Any] = {"type": self.fault.value, **self.members}
        if self.description:
            found["description"] = self.description
        return found


class SetFault(StrEnum):
    """Why one object of a /set was not made, changed or destroyed (RFC 8620 §5.3, RFC 8621 §2.5, §4.6, §6.3, §7.5, RFC 9661 §2.4)."""

    FORBIDDEN = "forbidden"
    OVER_QUOTA = "overQuota"
    TOO_LARGE = "tooLarge"
    NOT_FOUND = "notFound"
    INVALID_PATCH = "invalidPatch"
    WILL_DESTROY = "willDestroy"
    INVALID_PROPERTIES = "invalidProperties"
    BLOB_NOT_FOUND = "blobNotFound"
    TOO_MANY_KEYWORDS = "tooManyKeywords"
    TOO_MANY_MAILBOXES = "tooManyMailboxes"
    RATE_LIMIT = "rateLimit"
    ALREADY_EXISTS = "alreadyExists"
    INVALID_EMAIL = "invalidEmail"
    MAILBOX_HAS_CHILD = "mailboxHasChild"
    MAILBOX_HAS_EMAIL = "mailboxHasEmail"
    FORBIDDEN_FROM = "forbiddenFrom"
    TOO_MANY_RECIPIENTS = "tooManyRecipients"
    NO_RECIPIENTS = "noRecipients"
    INVALID_RECIPIENTS = "invalidRecipients"
    FORBIDDEN_MAIL_FROM = "forbiddenMailFrom"
    FORBIDDEN_TO_SEND = "forbiddenToSend"
    CANNOT_UNSEND = "cannotUnsend"
    SINGLETON = "singleton"
    INVALID_SIEVE = "invalidSieve"
    SIEVE_IS_ACTIVE = "sieveIsActive"


class SetError(Exception):
    """The SetError of one object (RFC 8620 §5.3)."""

    def __init__(self, fault: SetFault, description: str = "", **members: Any) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.description = description
        self.members = members

    def as_object(self) -> dict[str, Any]:
        """Return it as it stands in `notCreated`, `notUpdated` or `notDestroyed`."""
        found: dict[str, Any] = {"type": self.fault.value, **self.members}
        if self.description:
            found["description"] = self.description
        return found


def invalid(*properties: str, why: str = "") -> SetError:
    """Return `invalidProperties` naming the properties (RFC 8620 §5.3)."""
    return SetError(SetFault.INVALID_PROPERTIES, why, properties=list(properties))


class Invalid:
    """Gathers what is invalid, so that one answer names it all (RFC 8620 §5.3): each `with` block may add to it."""

    def __init__(self) -> None:
        self._found: list[SetError] = []

    def __enter__(self) -> None:
        """Begin one check."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """Keep `invalidProperties`; any other error goes on."""
        if not isinstance(error, SetError) or error.fault is not SetFault.INVALID_PROPERTIES:
            return False
        self._found.append(error)
        return True

    def settle(self) -> None:
        """Raise one error for all that was found, if anything was."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise invalid(*dict.fromkeys(name for error in self._found for name in error.members["properties"]))


_RPC_FAULTS: Final = {
    grpc.StatusCode.UNAVAILABLE: Fault.SERVER_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Fault.SERVER_UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Fault.SERVER_UNAVAILABLE,
    grpc.StatusCode.CANCELLED: Fault.SERVER_UNAVAILABLE,
    grpc.StatusCode.ABORTED: Fault.SERVER_UNAVAILABLE,
    grpc.StatusCode.NOT_FOUND: Fault.ACCOUNT_NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED: Fault.FORBIDDEN,
    # the principal ran out between its check here and there: the client may simply come again
    grpc.StatusCode.UNAUTHENTICATED: Fault.SERVER_UNAVAILABLE,
}


def fault_of(error: grpc.aio.AioRpcError) -> Fault:
    """Map an answer of another service to the method error that says it."""
    return _RPC_FAULTS.get(error.code(), Fault.SERVER_FAIL)
