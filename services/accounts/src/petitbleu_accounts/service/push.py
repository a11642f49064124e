"""Push subscriptions as people change them, within bounds (RFC 8620 §7.2, §8.6)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from petitbleu_accounts.adapters.postgres_push import PostgresPush, Result
from petitbleu_accounts.config import Settings
from petitbleu_accounts.domain.push import Change, Maker, Outcome, Subscription, Told, bounded_end
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_accounts.ports import Windows
from petitbleu_kit.identity import Principal
from petitbleu_kit.ids import partition_of_account


class PushSubscriptions:
    """Push subscriptions of one credential at a time.

    Args:
        settings: Bounds.
        rows: Where they are.
        windows: Counts how many an account made in an hour.
    """

    def __init__(self, settings: Settings, rows: PostgresPush, windows: Windows) -> None:
        self._settings = settings
        self._rows = rows
        self._windows = windows

    @staticmethod
    def _maker(who: Principal) -> Maker:
        return Maker(who.account_id, partition_of_account(who.account_id), who.credential_id)

    async def all(self, who: Principal, server_key: bytes) -> list[Subscription]:
        """Those that the principal's credential made."""
        return await self._rows.all(self._maker(who), server_key)

    async def change(self, who: Principal, changes: Sequence[Change], told: Told, server_key: bytes) -> list[Result]:
        """Do changes in one commit, each with its own result.

        Raises:
            AccountsError: INVALID for more than a call may hold.
        """
        if len(changes) > 1_000:
            raise AccountsError(Fault.INVALID, "at most 1,000 changes a call")
        now = int(time.time())
        checked: list[tuple[Change, Outcome | None]] = []
        for change in changes:
            ends = change.expires_at
            if not change.subscription_id or ends is not None:
                ends = bounded_end(ends, now, self._settings.push_seconds)
            refused = None
            if not change.subscription_id and not change.destroy:
                # RFC 8620 §8.6: each one makes us post to a place that its maker chose
                (count,) = await self._windows.take([f"push:{who.account_id}"])
                refused = Outcome.LIMITED if count > self._settings.push_made_per_hour else None
            checked.append((dataclasses.replace(change, expires_at=ends), refused))
        return await self._rows.change(self._maker(who), checked, told, server_key)
