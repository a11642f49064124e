"""Who may send how much: recipients an hour and a day, by account and by tenant."""

from __future__ import annotations

import time
from typing import Final, NamedTuple, Protocol

from petitbleu_delivery.domain.permit_terms import Limits, Terms, under
from petitbleu_delivery.domain.permits import DAY, HOUR, Counts, key_of, knows, remember, together, wait_ms
from petitbleu_delivery.service.measures import PERMITS

_MOST_RECIPIENTS: Final = 1_000_000


class Tallied(NamedTuple):
    """Recipients of the last hour and day."""

    hour: Counts
    day: Counts

    def at(self, at_ms: int) -> Tallied:
        """Return them as of an instant."""
        return Tallied(self.hour.at(HOUR.slot(at_ms), HOUR), self.day.at(DAY.slot(at_ms), DAY))

    def plus(self, recipients: int) -> Tallied:
        """Return them with recipients of now."""
        return Tallied(self.hour.plus(recipients), self.day.plus(recipients))

    def wait(self, hour: int, day: int, recipients: int, at_ms: int) -> int:
        """Return after how many milliseconds so many more fit under both limits."""
        return max(
            wait_ms(self.hour, HOUR, hour, recipients, at_ms), wait_ms(self.day, DAY, day, recipients, at_ms)
        )  # fmt: skip


class Book(Protocol):
    """What is written of an account, and of its share of the tenant, while nobody else writes to them."""

    account: Tallied
    share: Tallied
    others: list[Tallied]
    """The other shares of the tenant, as last committed."""
    recent: bytes
    account_terms: Terms
    """What an operator says of the account."""
    tenant_terms: Terms
    """And of its tenant."""


class Decide(Protocol):
    """Looks at a book and changes it, or returns milliseconds to wait and changes nothing."""

    def __call__(self, book: Book) -> int:
        """Decide."""
        ...


class PermitTable(Protocol):
    """Where the counts are."""

    async def work(self, account_id: int, tenant_id: int, at_ms: int, decide: Decide) -> int:
        """Let `decide` look at the book and keep what it changed when it returns 0; return what it returned."""

    async def prune(self, at_ms: int) -> None:
        """Forget counts of more than a day ago."""


class Plans(Protocol):
    """Says what somebody's plan allows."""

    async def limits(self, account_id: int, tenant_id: int) -> Limits:
        """Return the most recipients of an account and of its tenant."""
        ...


class OnePlan:
    """`Plans` where all have the same, that of the settings."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def limits(self, account_id: int, tenant_id: int) -> Limits:  # noqa: ARG002
        """Return it."""
        return self._limits


class PermitError(ValueError):
    """No such number of recipients."""


class SuspendedError(Exception):
    """An account, or its tenant, may send nothing until an operator says otherwise."""


def now_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Permits:
    """The use case.

    Args:
        table: Where the counts are.
        plans: What plans allow; an operator's terms go before.
        slow_hour: Most recipients in an hour of an account that is slowed.
    """

    def __init__(self, table: PermitTable, plans: Plans, slow_hour: int = 0) -> None:
        self._slow_hour = slow_hour
        self._table = table
        self._plans = plans

    async def permit(self, account_id: int, tenant_id: int, recipients: int, key: bytes = b"") -> int:
        """Count recipients; return 0 when the account may send to them, else seconds after which it may.

        Nothing is counted when it may not, and nothing twice for one `key`. What was permitted lately stays so when its sender is
        suspended meanwhile.

        Raises:
            PermitError: no recipients, or absurdly many.
            SuspendedError: it may send nothing.
        """
        if not 0 < recipients <= _MOST_RECIPIENTS or account_id <= 0 or tenant_id <= 0:
            raise PermitError("how many recipients, and whose")
        at_ms = now_ms()
        plan = await self._plans.limits(account_id, tenant_id)
        short = key_of(b"%d:%b" % (recipients, key)) if key else b""

        def decide(book: Book) -> int:
            if short and knows(book.recent, short):
                return 0
            if book.account_terms.suspended or book.tenant_terms.suspended:
                raise SuspendedError
            limits = under(plan, book.account_terms, book.tenant_terms, self._slow_hour)
            wait = book.account.wait(limits.account_hour, limits.account_day, recipients, at_ms)
            shares = [book.share, *book.others]
            tenant = Tallied(
                together((one.hour for one in shares), HOUR), together((one.day for one in shares), DAY)
            )  # fmt: skip
            wait = max(wait, tenant.wait(limits.tenant_hour, limits.tenant_day, recipients, at_ms))
            if not wait:
                book.account = book.account.plus(recipients)
                book.share = book.share.plus(recipients)
                book.recent = remember(book.recent, short)
            return wait

        try:
            waited = await self._table.work(account_id, tenant_id, at_ms, decide)
        except SuspendedError:
            PERMITS.labels("suspended").inc()
            raise
        PERMITS.labels("refused" if waited else "given").inc()
        return -(-waited // 1000)

    async def prune(self) -> None:
        """Forget counts of more than a day ago."""
        await self._table.prune(now_ms())
