"""What can go wrong, as one enum, mapped once to gRPC."""

from __future__ import annotations

import enum
from typing import Final

import asyncpg
import grpc

from petitbleu.store.v1 import mailbox_pb2


class Problem(enum.Enum):
    """Why a request was not done. The value is the code that callers see; it names no address and no content."""

    BUSY = "busy"  # a bound of promise 8 is reached: answer 452 4.3.1
    FULL = "disk-full"
    AWAY = "backend-away"
    INVALID = "invalid"
    NOT_FOUND = "not-found"
    STATE_MISMATCH = "state-mismatch"
    CANNOT_CALCULATE = "cannot-calculate"
    FORBIDDEN = "forbidden"
    UNREADABLE = "unreadable"


class StoreError(Exception):
    """A request that the store does not do; its text is a code or one clear line without content."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(detail or problem.value)
        self.problem = problem


class QueryRefusedError(Exception):
    """A right query that is not answered; the answer says why (`petitbleu.store.v1.QueryRefusal`)."""

    def __init__(self, refusal: mailbox_pb2.QueryRefusal.ValueType) -> None:
        super().__init__(mailbox_pb2.QueryRefusal.Name(refusal))
        self.refusal = refusal


_STATUS: Final = {
    Problem.BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Problem.FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Problem.AWAY: grpc.StatusCode.UNAVAILABLE,
    Problem.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Problem.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Problem.STATE_MISMATCH: grpc.StatusCode.ABORTED,
    Problem.CANNOT_CALCULATE: grpc.StatusCode.FAILED_PRECONDITION,
    Problem.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Problem.UNREADABLE: grpc.StatusCode.DATA_LOSS,
}


def problem_of(error: BaseException) -> Problem | None:
    """Return what an error means to a caller, None when it is a defect of ours."""
    if isinstance(error, StoreError):
        return error.problem
    if isinstance(error, asyncpg.DiskFullError | asyncpg.OutOfMemoryError):
        return Problem.FULL
    if isinstance(
        error,
        asyncpg.PostgresConnectionError
        | asyncpg.InterfaceError
        # what the driver says of a connection that ended between two of its steps
        | asyncpg.InternalClientError
        | asyncpg.CannotConnectNowError
        | asyncpg.AdminShutdownError
        | asyncpg.CrashShutdownError
        | asyncpg.TooManyConnectionsError
        | asyncpg.ReadOnlySQLTransactionError
        | asyncpg.PostgresIOError
        | OSError
        | TimeoutError,
    ):
        return Problem.AWAY
    return None


def status_of(problem: Problem) -> grpc.StatusCode:
    """GRPC status that answers a problem."""
    return _STATUS[problem]
