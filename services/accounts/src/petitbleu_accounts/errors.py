"""What can go wrong, named once and mapped once to gRPC."""

from __future__ import annotations

from enum import Enum

import grpc


class Fault(Enum):
    """Kinds of refusal, each with its gRPC status."""

    NOT_FOUND = grpc.StatusCode.NOT_FOUND
    ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS
    INVALID = grpc.StatusCode.INVALID_ARGUMENT
    REFUSED = grpc.StatusCode.FAILED_PRECONDITION
    WRONG_CREDENTIAL = grpc.StatusCode.UNAUTHENTICATED
    LIMITED = grpc.StatusCode.RESOURCE_EXHAUSTED
    UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
    FORBIDDEN = grpc.StatusCode.PERMISSION_DENIED
    STATE_MISMATCH = grpc.StatusCode.ABORTED
    UNKNOWN_STATE = grpc.StatusCode.OUT_OF_RANGE


class AccountsError(Exception):
    """A refusal with a sentence for the caller; the sentence never holds an address, a name or a secret."""

    def __init__(self, fault: Fault, sentence: str) -> None:
        super().__init__(sentence)
        self.fault = fault
        self.sentence = sentence


def wrong_credential() -> AccountsError:
    """Return the one answer to every wrong credential: unknown, wrong, disabled and expired look alike."""
    return AccountsError(Fault.WRONG_CREDENTIAL, "wrong credential")


def limited() -> AccountsError:
    """Return the answer when a login has been tried too often."""
    return AccountsError(Fault.LIMITED, "too many tries, come back later")


def busy() -> AccountsError:
    """Return the answer when the queue of password checks is full."""
    return AccountsError(Fault.LIMITED, "busy, come back later")
