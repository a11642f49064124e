"""What can go wrong between delivery and its peers."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import asyncpg

DATABASE_AWAY: Final = (
    OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)  # fmt: skip
"""Not the statement's fault: the database is away, or busy ending."""


class Peer(StrEnum):
    """Whom delivery asks."""

    STORE = "store"
    ACCOUNTS = "accounts"
    GUARD = "junior-guard"
    DATABASE = "postgresql"
    SCANNER = "scanner"


class PeerUnavailableError(Exception):
    """A peer did not answer, or not for reasons that lie in the request: the same call may succeed later."""

    def __init__(self, peer: Peer, code: str) -> None:
        super().__init__(f"{peer} {code}")
        self.peer = peer
        self.code = code


class PeerRefusedError(Exception):
    """A peer refused this very request.

    Args:
        peer: Who.
        code: Name of the gRPC status.
        lasting: Whether asking again is pointless; otherwise the peer stumbled (INTERNAL, UNKNOWN).
    """

    def __init__(self, peer: Peer, code: str, *, lasting: bool) -> None:
        super().__init__(f"{peer} {code}")
        self.peer = peer
        self.code = code
        self.lasting = lasting


class KeysUnavailableError(Exception):
    """Whether and by which keys a message is to be signed is not known now: it must wait, not leave unsigned."""
