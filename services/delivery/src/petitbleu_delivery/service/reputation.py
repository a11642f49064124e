"""Reputation by sending domain: recipients of authenticated mail are counted, and those who call it junk (ADR 45).

Counting holds up no mail: it is gathered in memory and written about every ten seconds. What a process that dies has not written is not counted;
what people said is, for the bus offers it again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from prometheus_client import Counter as Metric

from petitbleu.events.v1 import events_pb2 as pb
from petitbleu_delivery.adapters.accepted_mail import MAX_MESSAGES, AcceptedMail
from petitbleu_delivery.adapters.reputation_rows import ReputationRows
from petitbleu_delivery.domain.model import STRANGERS, Message, Outcome, Settlement
from petitbleu_delivery.domain.outbound import destination_of
from petitbleu_delivery.domain.reputation import MAX_DOMAIN, Standing, points_of
from petitbleu_delivery.errors import DATABASE_AWAY, PeerRefusedError
from petitbleu_delivery.service.measures import BAD_EVENTS
from petitbleu_kit.bus import Event
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_said = Metric("petitbleu_delivery_called_junk_total", "What recipients said of authenticated mail", ["said"])

JUDGED_PREFIX: Final = "mail.message.judged."
JUDGED: Final = f"{JUDGED_PREFIX}>"
_MOST_DOMAINS: Final = 20_000
_DAY: Final = 86_400
_ID_OCTETS: Final = 16
_ENVELOPE_ONLY: Final = -1


def domain_of(message: Message) -> str:
    """Return the authenticated domain of a stranger's message, empty for none."""
    if not message.authenticated or message.origin not in STRANGERS:
        return ""
    return _usable(message.header_from)


def _usable(header_from: str) -> str:
    domain = destination_of(header_from)
    return domain if "." in domain and len(domain) <= MAX_DOMAIN and not domain.startswith("[") else ""


class Reputations:
    """Counts, and says what follows.

    Args:
        rows: Where it is kept.
        mail: store, for who sent what people call junk.
    """

    def __init__(self, rows: ReputationRows, mail: AcceptedMail) -> None:
        self._rows = rows
        self._mail = mail
        self._gathered: Counter[str] = Counter()

    def note(self, settlements: Iterable[Settlement]) -> None:
        """Count recipients who got mail."""
        gathered = self._gathered
        for one in settlements:
            if one.outcome is Outcome.FILED:
                domain = domain_of(one.recipient.message)
                if domain and (domain in gathered or len(gathered) < _MOST_DOMAINS):
                    gathered[domain] += 1

    async def flush(self) -> None:
        """Write what was gathered."""
        gathered, self._gathered = self._gathered, Counter()
        if not gathered:
            return
        try:
            await self._rows.count(gathered, _today())
        except DATABASE_AWAY as error:
            _log.warning("senders are counted later", error_type=type(error).__qualname__)
            self._gathered.update(gathered)

    async def points(self, domains: Collection[str]) -> dict[str, tuple[int, Standing]]:
        """Return hundredths of points and what they come from, of the domains of which anything is known."""
        today = _today()
        found = {domain: one.at(today) for domain, one in (await self._rows.read(domains)).items()}
        return {domain: (points_of(one), one) for domain, one in found.items()}

    async def forget(self, domain: str) -> None:
        """Forget a domain's past."""
        self._gathered.pop(domain, None)
        await self._rows.forget(domain)

    async def hear(self, events: Sequence[Event]) -> None:
        """Count what recipients said; when it returns the events may be acknowledged.

        Raises:
            PeerUnavailableError: store does not answer.
        """
        for event in events:
            try:
                told = pb.MessagesJudged.FromString(event.data)
            except DecodeError:
                BAD_EVENTS.inc()
                _log.error("event cannot be read", subject=event.subject)
                continue
            said = {one: False for one in told.not_junk if len(one) == _ID_OCTETS}
            said |= {one: True for one in told.junk if len(one) == _ID_OCTETS}
            ids = list(said)
            for start in range(0, len(ids), MAX_MESSAGES):
                part = ids[start : start + MAX_MESSAGES]
                await self._teach(told, {one: said[one] for one in part})

    async def _teach(self, told: pb.MessagesJudged, said: dict[bytes, bool]) -> None:
        try:
            found = await self._mail.read(list(said), _ENVELOPE_ONLY)
        except PeerRefusedError as error:
            _log.error("store refused to say who sent messages", code=error.code)
            return
        for accepted_id, letter in found.items():
            header = letter.header
            if not header.found or not header.from_authenticated or header.origin not in STRANGERS:
                continue
            domain = _usable(header.header_from)
            junk = said[accepted_id]
            if domain and await self._rows.teach(
                told.account_id, accepted_id, domain, _today(), junk=junk, version=told.version
            ):
                _said.labels("junk" if junk else "not-junk").inc()

    async def prune(self) -> None:
        """Drop what is too old to say anything."""
        await self._rows.prune()


def _today() -> int:
    return int(time.time()) // _DAY
