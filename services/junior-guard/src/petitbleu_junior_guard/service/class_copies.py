"""What a class keeps, sealed anew for one of its children: no two children's records can be compared."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.ports_schools import ClassRow, Copy, MemberRow
from petitbleu_junior_guard.service.families import correspondent


class SealedCopies:
    """The port `Copier`.

    Args:
        seal: Hashes and seals.
    """

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def name(self, account_id: int, row: ClassRow) -> bytes:
        """Seal a class's name for a child."""
        return self._seal.seal(account_id, self._seal.open(row.class_id, row.sealed_name))

    def members(self, account_id: int, class_id: int, rows: Sequence[MemberRow]) -> list[Copy]:
        """Seal a class's other members for a child."""
        return [
            Copy(correspondent(self._seal, account_id, self._seal.open(class_id, row.sealed)), row.is_teacher)
            for row in rows
            if row.account_id != account_id
        ]
