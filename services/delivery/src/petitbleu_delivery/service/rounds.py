"""A round: open recipients are listed, routed, decided on, filed and settled, one call a stage for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from petitbleu_delivery.domain.model import Filed, Outcome, Placement, Reason, Recipient, Route, Settlement, Status
from petitbleu_delivery.domain.outbound import Verdict
from petitbleu_delivery.domain.verdict import (
    SENDER_DISABLED,
    outcome_of,
    try_again,
    unroutable,
)
from petitbleu_delivery.errors import PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import (
    FiledNotices,
    Filing,
    HearsFiled,
    News,
    Reports,
    Returned,
    ReturnPaths,
    Rules,
    SubmissionNews,
    Word,
)
from petitbleu_delivery.service import measures
from petitbleu_delivery.service.gate import Gate
from petitbleu_delivery.service.halving import by_halves
from petitbleu_delivery.service.outbound.entering import SUBMITTED, Entering, leaves
from petitbleu_delivery.service.outbound.kept_back import KEPT
from petitbleu_delivery.service.router import Router
from petitbleu_kit.logs import get_logger
from petitbleu_kit.telemetry import links_to, span, tracing_on

_log = get_logger(__name__)
MAX_ITEMS: Final = 1000
# Of a long list the first are on their way while the next are looked at, and the parts grow as what is there to do grows.
_FIRST_ITEMS: Final = 128
_FILE_ITEMS: Final = 512
"""Items a File call: a group's thousands of members become several commits, each short."""

_NEWS: Final = {
    Outcome.FILED: Verdict.SENT, Outcome.DISCARDED: Verdict.SENT, Outcome.PARKED: Verdict.REFUSED,
}  # fmt: skip
"""What a sender is told of recipients here; what is held for a guardian, or was dropped since too much is, is told to nobody."""

_STAGES: Final = {
    name: measures.STAGE_SECONDS.labels(stage=name)
    for name in ("list", "resolve", "guard", "rules", "file", "enter", "settle")
}


@contextmanager
def _timed(stage: str) -> Iterator[None]:
    start = perf_counter()
    try:
        yield
    finally:
        _STAGES[stage].observe(perf_counter() - start)


class Rounds:
    """Delivers accepted messages.

    Args:
        filing: store.
        router: Where addresses lead.
        gate: junior-guard.
        tally: Counts.
        most: Most recipients in a round.
        rules: The rules of mailboxes; without, all goes to the inbox.
        entering: The outbound queue; without, nothing leaves.
        news: Hears what became of submitted messages.
        notices: Tells senders of ours what was filed here.
        returned: Tells real bounces from forged ones.
        hearers: Hear whose mail was filed.
        reports: Hears of reports on what was submitted.
        paths: Sends on bounces of what rules sent on.
    """

    def __init__(
        self, filing: Filing, router: Router, gate: Gate, tally: measures.Tally, most: int, rules: Rules | None = None,
        entering: Entering | None = None,
        news: SubmissionNews | None = None,
        notices: FiledNotices | None = None,
        returned: Returned | None = None,
        hearers: Sequence[HearsFiled] = (),
        reports: Reports | None = None,
        paths: ReturnPaths | None = None,
    ) -> None:  # fmt: skip
        self._hearers = hearers
        self._reports = reports
        self._paths = paths
        self._returned = returned
        self._notices = notices
        self._entering = entering
        self._news = news
        self._rules = rules
        self._filing = filing
        self._router = router
        self._gate = gate
        self._tally = tally
        self._most = most
        self._size = most

    async def deliver(self, accepted_ids: Sequence[bytes]) -> None:
        """Deliver messages by their accepted ids (16 octets each; doubles and settled ones cost nothing).

        When it returns, each open recipient has an outcome or a time at which it is tried again, recorded by store.

        Raises:
            PeerUnavailableError: a peer that all need does not answer; what was done stays done, the rest stays open.
        """
        todo = list(dict.fromkeys(accepted_ids))
        start = 0
        size = _FIRST_ITEMS
        while start < len(todo):
            size = min(size, self._size)
            part = todo[start : start + size]
            try:
                await self._deliver_part(part)
            except BaseException:
                # A batch that fails is halved: a lighter one may fit in the deadline, or leave the bad one out.
                self._size = max(1, self._size // 2)
                measures.ROUNDS.labels(result="failed").inc()
                raise
            start += len(part)
            size *= 2
            self._size = min(self._most, self._size * 2)

    async def _deliver_part(self, accepted_ids: Sequence[bytes]) -> None:
        with _timed("list"):
            recipients = await self._list_open(accepted_ids)
        for start in range(0, len(recipients), self._most):
            await self._round(recipients[start : start + self._most])

    async def _list_open(self, accepted_ids: Sequence[bytes]) -> list[Recipient]:
        async def listed(part: Sequence[bytes]) -> list[list[Recipient]]:
            return [await self._filing.list_open(part)]  # one element for the whole part

        recipients: list[Recipient] = []
        for result in await by_halves(accepted_ids, listed, MAX_ITEMS):
            if isinstance(result, PeerRefusedError):
                # Its recipients are not known, so none can be parked: they stay open, and store offers them again.
                measures.UNLISTED.inc()
                _log.error("store refused to list a message", code=result.code)
            else:
                recipients.extend(result)
        return recipients

    async def _round(self, recipients: Sequence[Recipient]) -> None:
        self._tally.begin(len(recipients))
        try:
            await self._traced(recipients)
        except PeerUnavailableError:
            raise
        except Exception:  # noqa: BLE001 — the recipients that did not cause it go on
            # An error of our own: whoever causes it must not hold up the others (architecture, promise 3).
            _log.exception("round failed", recipients=len(recipients))
            measures.ROUNDS.labels(result="failed").inc()
            if len(recipients) == 1:
                await self._settle([try_again(recipients[0], Reason.DELIVERY_FAILED)])
            else:
                middle = len(recipients) // 2
                await self._round(recipients[:middle])
                await self._round(recipients[middle:])
        finally:
            self._tally.end(len(recipients))

    async def _traced(self, recipients: Sequence[Recipient]) -> None:
        if not tracing_on():
            await self._work(recipients)
            return
        messages = {id(recipient.message): recipient.message for recipient in recipients}.values()
        links = links_to(message.traceparent for message in messages)
        with span("delivery.round", links=links) as around:
            around.set_attribute("petitbleu.recipients", len(recipients))
            await self._work(recipients)

    async def _work(self, recipients: Sequence[Recipient]) -> None:
        with _timed("resolve"):
            routes = await self._router.routes([recipient.address for recipient in recipients])
        settlements: list[Settlement] = []
        if self._paths is not None and self._paths.concerns(recipients):
            recipients, settlements = await self._paths.returned(recipients)
        if self._returned is not None and self._returned.concerns(recipients):
            recipients, known = await self._returned.judged(recipients, routes)
            routes = dict(known)
        # One placement for each recipient and account: store merges those of one message in one account, and has to know
        # each recipient that it was filed for.
        placements: list[Placement] = []
        reached: list[tuple[Recipient, list[Placement]]] = []
        leaving: list[Recipient] = []
        waiting = await self._waiting(recipients, routes)
        for recipient in recipients:
            route = routes[recipient.address]
            kept = waiting.get((recipient.message.accepted_id, recipient.number), Word.GOES)
            if kept is not Word.GOES:
                settlements.append(KEPT[kept](recipient))
                continue
            if route.status is Status.REMOTE and self._entering is not None and leaves(recipient.message):
                leaving.append(recipient)
                continue
            parked = unroutable(recipient, route)
            if parked is not None:
                settlements.append(parked)
                continue
            sole = len(route.targets) == 1 and not self._somebody_hears(recipient)
            mine = [Placement(recipient, account_id, guarded, sole) for account_id, guarded in route.targets]
            placements += mine
            reached.append((recipient, mine))
        if self._rules is not None:
            with _timed("rules"):
                await self._rules.apply(placements)
        await self._place([placement for placement in placements if placement.filed is not Filed.DISCARDED])
        await self._hear_reports(placements)
        recorded: list[Settlement] = []
        for recipient, mine in reached:
            settlement = outcome_of(recipient, mine)
            (recorded if mine[0].sole and mine[0].settled else settlements).append(settlement)
        self._tally.recorded(recorded)
        for hearer in self._hearers:
            hearer.note(recorded)
            hearer.note(settlements)
        self._distrust(reached)
        await self._leave(leaving)
        await self._report([*recorded, *settlements])
        untold = await self._confirm(settlements)
        await self._settle(
            [one for one in settlements if (one.recipient.message.accepted_id, one.recipient.number) not in untold]
            if untold
            else settlements
        )
        measures.ROUNDS.labels(result="done").inc()

    async def _hear_reports(self, placements: Sequence[Placement]) -> None:
        """Have a look at mail without a sender: it may be a report on what was submitted (RFC 8621 §7)."""
        if self._reports is None:
            return
        filed = [one for one in placements if one.message_id and not one.recipient.message.mail_from]
        if filed:
            await self._reports.hear(filed)

    def _somebody_hears(self, recipient: Recipient) -> bool:
        """Whether somebody is told what became of a recipient: told first and settled then, so that no death in between forgets to."""
        heard = self._news is not None and recipient.message.origin == SUBMITTED
        if self._reports is not None and not recipient.message.mail_from:
            return True
        return heard or (self._notices is not None and recipient.wants_success)

    async def _confirm(self, settlements: Sequence[Settlement]) -> set[tuple[bytes, int]]:
        """Tell senders of ours what was filed, where they asked for it; return recipients of whom nobody could be told now.

        A silent peer holds up no mail for that: it is filed, and these are offered again.
        """
        wanted = [one.recipient for one in settlements if one.recipient.wants_success and one.outcome is Outcome.FILED]
        if not wanted or self._notices is None:
            return set()
        try:
            await self._notices.filed(wanted)
        except PeerUnavailableError as error:
            _log.warning("confirmations wait", code=error.code, count=len(wanted))
            return {(one.message.accepted_id, one.number) for one in wanted}
        except PeerRefusedError as error:
            _log.warning("confirmations are left out", code=error.code, count=len(wanted))
        return set()

    async def _report(self, settlements: Sequence[Settlement]) -> None:
        """Tell submissions of recipients who are hosted here, or who never came into the queue."""
        if self._news is None:
            return
        news = [
            News(
                message.accepted_id, message.submitter_id, settlement.recipient.number, verdict,
                SENDER_DISABLED if settlement.reason is Reason.SENDER_DISABLED else None,
            )
            for settlement in settlements
            if (message := settlement.recipient.message).origin == SUBMITTED
            and settlement.reason is not Reason.HELD_LIMIT
            and (verdict := _NEWS.get(settlement.outcome)) is not None
        ]  # fmt: skip
        if news:
            await self._news.record(news)

    async def _waiting(
        self, recipients: Sequence[Recipient], routes: Mapping[str, Route]
    ) -> dict[tuple[bytes, int], Word]:
        """Return what the second gate says of recipients of ours that it was asked about; those of other servers are asked for in `_leave`.

        What goes to the child itself alone, as a notice does, passes: the gate before its mailbox stands there.
        """
        if self._entering is None:
            return {}
        asked = [
            recipient
            for recipient in recipients
            if recipient.message.submitter_id
            and (route := routes[recipient.address]).status is Status.LOCAL
            and any(target.account_id != recipient.message.submitter_id for target in route.targets)
        ]
        if not asked:
            return {}
        words = await self._entering.words(asked)
        return {(one.message.accepted_id, one.number): word for one, word in zip(asked, words, strict=True)}

    async def _leave(self, recipients: Sequence[Recipient]) -> None:
        """Queue what is for other servers: the rows first, then store's word for it, then the attempt."""
        if self._entering is None or not recipients:
            return
        with _timed("enter"):
            settlements, units = await self._entering.enter(recipients)
        try:
            await self._report(settlements)
            await self._settle(settlements)
        finally:
            # The rows are committed: whatever store says now, they are sent.
            self._entering.begin(units)

    async def _place(self, placements: Sequence[Placement]) -> None:
        guarded = [placement for placement in placements if placement.guarded]
        if guarded:
            free = [placement for placement in placements if not placement.guarded]
            # A silent guard must not hold up the others: their commit does not wait for its answer.
            done = await asyncio.gather(self._file(free), self._file_guarded(guarded), return_exceptions=True)
            for error in done:
                if error is not None:
                    raise error
        else:
            await self._file(placements)
        # store knows of a guard that the directory's answer did not yet show, or the decision went stale: ask once more.
        undecided = [p for p in placements if p.filed is Filed.DECISION_REQUIRED and (p.token or not p.guarded)]
        if undecided:
            await self._file_guarded(undecided)

    async def _file_guarded(self, placements: Sequence[Placement]) -> None:
        with _timed("guard"):
            decided = await self._gate.decide(placements)
        await self._file(decided)

    async def _file(self, placements: Sequence[Placement]) -> None:
        if not placements:
            return
        with _timed("file"):
            results = await by_halves(placements, self._filing.file, _FILE_ITEMS)
        for placement, result in zip(placements, results, strict=True):
            if isinstance(result, PeerRefusedError):
                placement.filed = Filed.REFUSED if result.lasting else Filed.FAILED
            else:
                placement.filed, placement.settled, placement.message_id = result

    def _distrust(self, reached: Sequence[tuple[Recipient, list[Placement]]]) -> None:
        """Forget routes that store contradicts, so that the next attempt asks the directory."""
        for recipient, placements in reached:
            for placement in placements:
                unknown_guard = placement.filed is Filed.DECISION_REQUIRED and not placement.guarded
                if placement.filed is Filed.NO_ACCOUNT or unknown_guard:
                    self._router.forget([recipient.address])

    async def _settle(self, settlements: Sequence[Settlement]) -> None:
        async def settle(part: Sequence[Settlement]) -> list[bool]:
            await self._filing.settle(part)
            return [True] * len(part)

        if not settlements:
            return
        with _timed("settle"):
            results = await by_halves(settlements, settle, MAX_ITEMS)
        recorded = []
        for settlement, result in zip(settlements, results, strict=True):
            message = settlement.recipient.message
            if isinstance(result, PeerRefusedError):
                # It stays open, and store offers it again: nothing is lost, and nobody else waits for it.
                _log.error("store refused an outcome", accepted_id=message.accepted_id.hex(), code=result.code)
                continue
            recorded.append(settlement)
            if settlement.outcome is Outcome.PARKED:
                _log.warning(
                    "recipient parked", accepted_id=message.accepted_id.hex(),
                    recipient_no=settlement.recipient.number, reason=settlement.reason.value,
                )  # fmt: skip
        self._tally.recorded(recorded)
