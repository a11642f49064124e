"""Who may send nothing until an operator says otherwise, as every process that sends knows it: a few names, read anew every few seconds.

A suspension stops what is on its way too: it waits, is not lost, and goes on once the suspension is lifted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from petitbleu_delivery.domain.permit_terms import Scope

SECONDS: Final = 3.0
"""How old what is known may be."""
IsSuspended: TypeAlias = Callable[[int, int], bool]
"""Says of an account and its tenant (0: not known) whether one of them is suspended."""


class SuspendedRows(Protocol):
    """Where it is kept."""

    async def suspended(self) -> frozenset[tuple[Scope, int]]:
        """Return all who are."""
        ...


class Suspensions:
    """Those who are suspended.

    Args:
        rows: Where it is kept.
    """

    def __init__(self, rows: SuspendedRows) -> None:
        self._rows = rows
        self._known: frozenset[tuple[Scope, int]] = frozenset()

    async def refresh(self) -> None:
        """Read them anew; what was known stays when they cannot be read."""
        self._known = await self._rows.suspended()

    def holds(self, account_id: int, tenant_id: int) -> bool:
        """Whether an account, or its tenant, may send nothing."""
        known = self._known
        return bool(known) and ((Scope.ACCOUNT, account_id) in known or (Scope.TENANT, tenant_id) in known)


def nobody(account_id: int, tenant_id: int) -> bool:  # noqa: ARG001
    """Say of each that it is not suspended, where nobody can be."""
    return False
