"""Outbound abuse: what accounts send is counted, looked at, and slowed or suspended; the administrators of the tenant hear of it (ADR 43).

Counting holds up no mail: it is gathered in memory and written about once a second. What a process that dies has not written is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.conduct_rows import Case, ConductRows, Counted, figures_text
from petitbleu_delivery.domain.abuse_mail import account_mail, administrator_mail
from petitbleu_delivery.domain.conduct import WINDOW_DAYS, Stage, Thresholds, judge
from petitbleu_delivery.domain.model import Status
from petitbleu_delivery.errors import DATABASE_AWAY, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.service.measures import ABUSE
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_delivery.service.router import Router
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_DAY: Final = 86_400
_MOST_ACCOUNTS: Final = 10_000
_MOST_KEYS: Final = 200_000


class Accepts(Protocol):
    """store, for mail that we write."""

    async def accept(self, items: list[accept_pb2.AcceptItem]) -> list[bytes]:
        """Accept messages; their ids, empty for one that store does not take."""
        ...


@dataclass(slots=True)
class _Gathered:
    tenant_id: int
    keys: set[bytes] = field(default_factory=set)
    sent: int = 0
    bounced: int = 0
    spam: int = 0


class Watch:
    """Counts and judges.

    Args:
        rows: Where it is kept.
        thresholds: From where on something speaks against an account.
        slow_seconds: For how long an account is slowed.
        spam_score: Hundredths of points from which on a scanner's score is spam; 0 for never.
        key: Hashes an address for an account.
    """

    def __init__(
        self, rows: ConductRows, thresholds: Thresholds, slow_seconds: float, spam_score: int,
        key: Callable[[int, str], bytes],
    ) -> None:  # fmt: skip
        self._rows = rows
        self._thresholds = thresholds
        self._slow_seconds = slow_seconds
        self._spam_score = spam_score
        self._key = key
        self._gathered: dict[int, _Gathered] = {}
        self._keys = 0

    def sent(self, account_id: int, tenant_id: int, addresses: Iterable[str], spam_score: int = 0) -> None:
        """Count recipients of a message that an account sends to other servers."""
        one = self._of(account_id, tenant_id)
        if one is None:
            return
        before = len(one.keys)
        for address in addresses:
            one.sent += 1
            if self._keys < _MOST_KEYS:
                one.keys.add(self._key(account_id, address))
        self._keys += len(one.keys) - before
        if self._spam_score and spam_score >= self._spam_score:
            one.spam += 1

    def refused(self, account_id: int, tenant_id: int, recipients: int) -> None:
        """Count recipients who do not exist, as their server said."""
        one = self._of(account_id, tenant_id) if recipients else None
        if one is not None:
            one.bounced += recipients

    def _of(self, account_id: int, tenant_id: int) -> _Gathered | None:
        if account_id <= 0:
            return None
        found = self._gathered.get(account_id)
        if found is None and len(self._gathered) < _MOST_ACCOUNTS:
            found = self._gathered[account_id] = _Gathered(tenant_id)
        return found

    async def flush(self) -> None:
        """Write what was gathered, and look at those of whom something was."""
        gathered, self._gathered, self._keys = self._gathered, {}, 0
        if not gathered:
            return
        counted = [
            Counted(account_id, one.tenant_id, frozenset(one.keys), one.sent, one.bounced, one.spam)
            for account_id, one in gathered.items()
        ]  # fmt: skip
        try:
            fresh = await self._rows.count(counted, _today())
        except DATABASE_AWAY as error:
            _log.warning("what is sent is counted later", error_type=type(error).__qualname__)
            self._take_back(gathered)
            return
        for one in counted:
            # of nearly all that send, nothing has to be read
            if one.bounced or one.spam or 0 < self._thresholds.fresh < fresh.get(one.account_id, 0):
                await self.look(one.account_id, one.tenant_id)

    def _take_back(self, gathered: Mapping[int, _Gathered]) -> None:
        for account_id, one in gathered.items():
            now = self._of(account_id, one.tenant_id)
            if now is not None:
                now.keys |= one.keys
                now.sent += one.sent
                now.bounced += one.bounced
                now.spam += one.spam
        self._keys = sum(len(one.keys) for one in self._gathered.values())

    async def look(self, account_id: int, tenant_id: int) -> None:
        """Judge an account, and do what is to be done."""
        today = _today()
        days = await self._rows.days(account_id, today)
        stage, signs = judge(days, today, self._thresholds)
        if stage is Stage.FREE:
            return
        window = {day: one for day, one in days.items() if day > today - WINDOW_DAYS}
        if await self._rows.raise_to(account_id, tenant_id, stage, signs, figures_text(window), self._slow_seconds):
            ABUSE.labels(stage=stage.name.lower()).inc()
            _log.warning("an account is held back", account_id=account_id, stage=stage.name.lower(), signs=list(signs))


class Teller:
    """Tells the account, and the administrators of its tenant, what was done.

    Args:
        rows: What was done.
        submitters: Whose account it is.
        router: Where administrators are.
        mail: store.
        host: Our name.
    """

    def __init__(
        self, rows: ConductRows, submitters: Submitters, router: Router, mail: Accepts, host: str,
    ) -> None:  # fmt: skip
        self._rows = rows
        self._submitters = submitters
        self._router = router
        self._mail = mail
        self._host = host

    async def tell(self) -> None:
        """Write what nobody was told of yet; twice is as once."""
        for case in await self._rows.untold():
            try:
                items = await self._items(case)
                if items and not all(await self._mail.accept(items)):
                    _log.error("store takes no mail about an account that is held back", account_id=case.account_id)
            except (PeerUnavailableError, PeerRefusedError) as error:
                _log.warning("it is told later that an account is held back", code=error.code)
                continue
            await self._rows.told(case)

    async def _items(self, case: Case) -> list[accept_pb2.AcceptItem]:
        known = (await self._submitters.find([case.account_id])).get(case.account_id)
        if known is None or not known.address:
            return []
        # The tenant's administrators have the mail for this office where nobody else does (RFC 2142 §5).
        office = f"postmaster@{known.address.rpartition('@')[2]}"
        name = f"petitbleu abuse {case.account_id} {case.stage.value} {case.raised_at.isoformat()}"
        items = []
        for to, mail, submitter in (
            (known.address, account_mail, case.account_id),
            (office, administrator_mail, 0),
        ):
            if (await self._router.routes([to]))[to].status is not Status.LOCAL:
                _log.warning("nobody is there to be told of an account that is held back", account_id=case.account_id)
                continue
            key = sha256(f"{name} {mail.__name__}".encode()).digest()
            body = mail(
                case.stage, case.signs, known.address, known.language, to, self._host, key.hex()[:32], case.raised_at
            )
            item = accept_pb2.AcceptItem(idempotency_key=key, body=body, origin=accept_pb2.ORIGIN_NOTICE)
            item.submitter_account_id = submitter
            item.submitter_tenant_id = case.tenant_id if submitter else 0
            item.recipients.add(address=to, tenant_id=case.tenant_id, notify="NEVER")
            item.parameters.smtputf8 = not body.partition(b"\r\n\r\n")[0].isascii()
            items.append(item)
        return items


def _today() -> int:
    return int(time.time()) // _DAY
