"""What junior-guard refuses, each mapped once to gRPC in `grpc_api`."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """Why a request is refused; the value is shown to the caller and names no address."""

    BAD_REQUEST = "the request is malformed"
    BAD_ADDRESS = "not a mail address"
    NOT_A_CHILD = "the account is not registered as a child's"
    BAD_LEVEL = "no such level"
    NOT_YOURS = "no such child of this person's"
    NO_GROUP = "no such group"
    TOO_MANY = "no more of these are kept for one child"
    LOOKS_ALIKE = "the address looks like another one that is a correspondent"
    NO_CLASS = "no such class"
    CLASS_OVER = "the school year of the class is over"
    TEACHERS_STAY = "who teaches in a class is for an administrator to say"
    NOT_SURE = "a new password or device: it is not sure enough that it is you"
    NO_INVITATION = "no such invitation"
    LAST_GUARDIAN = "a child keeps one guardian"
    NO_LINK = "no such link, or it was used"
    NO_CHANGE = "no such change waits"
    NO_SENDER = "nothing ever waited from such a sender"
    REFUSED_BY_OTHERS = "another guardian refuses the sender"
    NOT_HELD = "no such message is held for this account"
    DECIDED_OTHERWISE = "the message was already decided on otherwise"
    DATABASE_AWAY = "the database does not answer"
    PEER_AWAY = "a service that is needed does not answer"
    STORE_REFUSES = "store refuses to carry the decision out"
    STORE_AWAY = "store does not answer; repeat the decision"


class GuardError(Exception):
    """A request is refused; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault
