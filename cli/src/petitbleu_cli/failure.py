"""What the operator reads when a command fails: one line."""

from __future__ import annotations

from typing import Final

import grpc
import grpc.aio


class Failure(Exception):  # noqa: N818 — it is the outcome of a command, not a mistake of the program
    """The command failed; its text is the one line for the operator."""


_NO_ANSWER: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


def explain(error: grpc.aio.AioRpcError, service: str) -> str:
    """Return the one line for a call that a service refused or never answered."""
    code = error.code()
    details = (error.details() or "").splitlines()[0] if error.details() else ""
    if code is grpc.StatusCode.UNAVAILABLE and "try again" in details:
        return f"{service}: {details}"
    if code in _NO_ANSWER:
        return f"{service} does not answer: is the platform running, and PETITBLEU_DATA the right one?"
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return f"{service} refuses the operator's token"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"{service} does not know this command: is it of another version?"
    return details or f"{service} answered {code.name.lower().replace('_', ' ')}"
