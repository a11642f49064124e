"""Who submits: a credential becomes an account, which may send to so many."""

from __future__ import annotations

from typing import Protocol

from petitbleu_ingest.domain.submitter import Submitter


class WrongCredentialError(Exception):
    """Nobody has it."""


class TooManyTriesError(Exception):
    """There were too many, from there or for that account; later."""


class AccountsAwayError(Exception):
    """accounts does not answer."""


class PermitsAwayError(Exception):
    """Nobody can say how many somebody has sent to."""


class SuspendedError(Exception):
    """An account, or its tenant, may send nothing until an operator says otherwise."""


class Logins(Protocol):
    """Checks credentials. Each raises `WrongCredentialError`, `TooManyTriesError`, `AccountsAwayError`."""

    async def by_password(self, login: str, password: str, client: str) -> Submitter:
        """By a password, the account's or an app's."""
        ...

    async def by_token(self, token: str, client: str) -> Submitter:
        """By a bearer session."""
        ...

    async def scram_salt(self, login: str, client: str) -> tuple[bytes, int]:
        """Return salt and iterations that a SCRAM exchange begins with, whoever it is."""
        ...

    async def by_proof(self, login: str, message: bytes, proof: bytes, client: str) -> tuple[Submitter, bytes]:
        """By the proof of an app password (RFC 5802); the server's signature comes with it."""
        ...

    async def standing(self, submitter: Submitter) -> Submitter:
        """Return somebody who logged in a while ago as they are now."""
        ...


class Permits(Protocol):
    """Says who may send how much."""

    async def permit(self, submitter: Submitter, recipients: int) -> int:
        """Count the recipients of a message; return 0, or the seconds to wait. Raises `PermitsAwayError`, `SuspendedError`."""
        ...
