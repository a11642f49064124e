"""What an operator says of how much somebody may send, instead of what their plan says: pure."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Scope(Enum):
    """Of whom terms are; the values are the contract's and the rows'."""

    ACCOUNT = 1
    TENANT = 2


class Limits(NamedTuple):
    """The most recipients; 0 is without limit."""

    account_hour: int
    account_day: int
    tenant_hour: int
    tenant_day: int


class Terms(NamedTuple):
    """Terms of an account or of a tenant.

    Attributes:
        hour: The most recipients in an hour, 0 without limit; None: what the plan says.
        day: The same in a day.
        suspended: Nothing may be sent.
        slowed: Few recipients an hour (ADR 43).
    """

    hour: int | None = None
    day: int | None = None
    suspended: bool = False
    slowed: bool = False


NO_TERMS: Final = Terms()


def under(plan: Limits, account: Terms, tenant: Terms, slow_hour: int = 0) -> Limits:
    """Return the limits that hold: an operator's word goes before the plan's, each by itself.

    `slow_hour` is the most in an hour of an account that is slowed, whatever else is said of it; 0: it is not.
    """
    hour = plan.account_hour if account.hour is None else account.hour
    if account.slowed and slow_hour:
        hour = min(hour or slow_hour, slow_hour)
    return Limits(
        hour,
        plan.account_day if account.day is None else account.day,
        plan.tenant_hour if tenant.hour is None else tenant.hour,
        plan.tenant_day if tenant.day is None else tenant.day,
    )
