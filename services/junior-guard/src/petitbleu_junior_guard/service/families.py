"""Children, their guardians and levels, and what the operator may say of correspondents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from petitbleu_junior_guard.domain.rules import DEFAULT_LEVEL, Level, canonical
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.domain.voices import NOBODY
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, Correspondent, Registration
from petitbleu_junior_guard.ports import Families as Rows

MAX_GUARDIANS: Final = 16
OPERATOR: Final = Actor(NOBODY)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_YEARS: Final = range(1900, 2200)


def correspondent(seal: Seal, account_id: int, address: str) -> Correspondent:
    """Return an address as one child's records have it.

    Raises:
        GuardError: BAD_ADDRESS.
    """
    known = canonical(address)
    if known is None:
        raise GuardError(Fault.BAD_ADDRESS)
    return Correspondent(
        seal.hash(account_id, known), seal.skeleton_hash(account_id, known), seal.seal(account_id, known)
    )


def level_of(number: int) -> Level:
    """Return the level of a number.

    Raises:
        GuardError: BAD_LEVEL.
    """
    try:
        return Level(number)
    except ValueError:
        raise GuardError(Fault.BAD_LEVEL) from None


class Families:
    """The use cases.

    Args:
        rows: What is kept.
        seal: Hashes and seals addresses.
    """

    def __init__(self, rows: Rows, seal: Seal) -> None:
        self._rows = rows
        self._seal = seal

    async def register_child(
        self, account_id: int, tenant_id: int, guardians: Mapping[int, str], *, level: int = 0, language: str = "",
        birth: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        """Say that an account is a child's and who all its guardians are; their addresses are family.

        Args:
            account_id: The child's account.
            tenant_id: Its tenant.
            guardians: Account → address, which may be empty.
            level: 1 to 4, 0 for the default; only the first registration's counts, guardians move it afterwards.
            language: BCP 47, or empty.
            birth: Year and month, each 0 where not known.

        Raises:
            GuardError: BAD_REQUEST, BAD_LEVEL, BAD_ADDRESS or DATABASE_AWAY.
        """
        year, month = birth
        if account_id <= 0 or len(guardians) > MAX_GUARDIANS or (language and not _LANGUAGE.fullmatch(language)):
            raise GuardError(Fault.BAD_REQUEST)
        if any(guardian <= 0 or guardian == account_id for guardian in guardians):
            raise GuardError(Fault.BAD_REQUEST)
        if (year and year not in _YEARS) or not 0 <= month <= 12:
            raise GuardError(Fault.BAD_REQUEST)
        known = {
            guardian: correspondent(self._seal, account_id, address) if address else None
            for guardian, address in guardians.items()
        }
        wanted = level_of(level) if level else DEFAULT_LEVEL
        await self._rows.register(Registration(account_id, tenant_id, known, wanted, language, year, month))

    async def set_level(self, account_id: int, level: int, actor: Actor = OPERATOR) -> None:
        """Move a child's level.

        Raises:
            GuardError: BAD_LEVEL, NOT_A_CHILD or DATABASE_AWAY.
        """
        await self._rows.set_level(account_id, level_of(level), actor)

    async def approve(self, account_id: int, address: str, actor: Actor = OPERATOR) -> None:
        """Let a correspondent write to a child. What is already held stays held until it is decided on.

        Raises:
            GuardError: BAD_REQUEST, BAD_ADDRESS, NOT_A_CHILD or DATABASE_AWAY.
        """
        if account_id <= 0:
            raise GuardError(Fault.BAD_REQUEST)
        await self._rows.approve(account_id, correspondent(self._seal, account_id, address), actor)
