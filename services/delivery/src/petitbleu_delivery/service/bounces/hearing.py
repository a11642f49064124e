"""What is learnt of a bounce that is real: the submission's status, an event, and addresses that are not written to for a while (ADR 39).

Nothing of it holds up the bounce itself, which its reader gets as other mail; but while the database is away the bounce waits too, so that
nothing is missed. All of it takes a repeat as once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from petitbleu.store.v1 import outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import MAX_MESSAGES, AcceptedLetter
from petitbleu_delivery.adapters.returned_rows import Bounced
from petitbleu_delivery.domain.bounce_report import READ_OCTETS, Spoken, concerned, read_bounce
from petitbleu_delivery.domain.bounce_token import BounceToken
from petitbleu_delivery.domain.outbound import Verdict
from petitbleu_delivery.errors import DATABASE_AWAY, Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import News, SubmissionNews
from petitbleu_delivery.service.bounces.suppressions import Suppressions
from petitbleu_delivery.service.measures import BOUNCES
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_HEADER_ONLY: Final = -1


Look: TypeAlias = Callable[[int, int], Awaitable[None]]
"""Judges an account of a tenant."""


class ReadsAccepted(Protocol):
    """store, for what was accepted."""

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        """Return accepted messages by id, at most 64; `max_octets` of each, the envelope alone when negative."""
        ...


class ReturnedTable(Protocol):
    """Where it is kept."""

    async def bounced(self, bounce: Bounced) -> frozenset[int]:
        """Keep a bounce; return the recipients of whom it was not known."""
        ...


class Bounce(NamedTuple):
    """A mail that came back: its accepted id (16 octets), and what its address proves."""

    accepted_id: bytes
    token: BounceToken


class Hearing:
    """The use case.

    Args:
        mail: store.
        table: Where it is kept.
        news: Submissions.
        suppressions: Which addresses are not written to.
        look: Judges an account of which something was learnt.
    """

    def __init__(
        self, mail: ReadsAccepted, table: ReturnedTable, news: SubmissionNews, suppressions: Suppressions,
        look: Look | None = None,
    ) -> None:  # fmt: skip
        self._look = look
        self._mail = mail
        self._table = table
        self._news = news
        self._suppressions = suppressions

    async def hear(self, bounces: Sequence[Bounce]) -> dict[bytes, int]:
        """Learn what real bounces say; return who sent what came back, by the bounce's id, where that is known.

        Raises:
            PeerUnavailableError: store or the database does not answer: nothing is lost by trying again.
        """
        sent = await self._read([one.token.accepted_id.bytes for one in bounces], _HEADER_ONLY)
        known = [one for one in bounces if one.token.accepted_id.bytes in sent]
        BOUNCES.labels(result="forgotten").inc(len(bounces) - len(known))
        submitters: dict[bytes, int] = {}
        for start in range(0, len(known), MAX_MESSAGES):
            part = known[start : start + MAX_MESSAGES]
            read = await self._read([one.accepted_id for one in part], READ_OCTETS)
            for one in part:
                header = sent[one.token.accepted_id.bytes].header
                submitters[one.accepted_id] = header.submitter_account_id
                letter = read.get(one.accepted_id)
                if letter is not None and header.submitter_account_id > 0:
                    await self._hear_one(one, header, letter.body)
        return submitters

    async def _read(self, accepted_ids: Sequence[bytes], octets: int) -> dict[bytes, AcceptedLetter]:
        found: dict[bytes, AcceptedLetter] = {}
        ids = list(dict.fromkeys(accepted_ids))
        for start in range(0, len(ids), MAX_MESSAGES):
            try:
                found |= await self._mail.read(ids[start : start + MAX_MESSAGES], octets)
            except PeerRefusedError as error:
                _log.warning("a bounce is not looked at", code=error.code)
        return {accepted_id: letter for accepted_id, letter in found.items() if letter.header.found}

    async def _hear_one(self, bounce: Bounce, header: outgoing_pb2.AcceptedHeader, octets: bytes) -> None:
        try:
            await self._hear(bounce, header, octets)
        except PeerUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 — an error of ours: it is mail all the same, and its text might quote it
            BOUNCES.labels(result="failed").inc()
            _log.error("a bounce could not be learnt from", error_type=type(error).__qualname__)

    async def _hear(self, bounce: Bounce, header: outgoing_pb2.AcceptedHeader, octets: bytes) -> None:
        addresses = [one.address for one in header.recipients]
        spoken = read_bounce(octets, concerned(addresses, bounce.token.first_no))
        if not spoken:
            BOUNCES.labels(result="unreadable" if spoken is None else "of-nobody").inc()
            return
        try:
            await self._news.record([_news(header, number, one) for number, one in sorted(spoken.items())])
            await self._keep(bounce, header, {n: one.status for n, one in spoken.items() if not one.delivered})
        except DATABASE_AWAY as error:
            raise PeerUnavailableError(Peer.DATABASE, type(error).__name__) from None

    async def _keep(
        self, bounce: Bounce, header: outgoing_pb2.AcceptedHeader, statuses: Mapping[int, str]
    ) -> None:  # fmt: skip
        if not statuses:
            BOUNCES.labels(result="delivered").inc()
            return
        account_id = header.submitter_account_id
        strikes = {
            number: key
            for number, status in statuses.items()
            for key in self._suppressions.striking(account_id, {header.recipients[number].address: status})
        }
        fresh = await self._table.bounced(
            Bounced(
                account_id, header.submitter_tenant_id, bounce.token.accepted_id, UUID(bytes=bounce.accepted_id), statuses,
                strikes, *self._suppressions.seconds,
            )
        )  # fmt: skip
        if fresh and strikes:
            self._suppressions.struck(account_id)
        if fresh and self._look is not None:
            await self._look(account_id, header.submitter_tenant_id)
        BOUNCES.labels(result="heard" if fresh else "known").inc()


def _news(header: outgoing_pb2.AcceptedHeader, number: int, spoken: Spoken) -> News:
    verdict = Verdict.SENT if spoken.delivered else Verdict.REFUSED
    return News(
        header.accepted_id, header.submitter_account_id, number, verdict, None if spoken.delivered else spoken.reply
    )
