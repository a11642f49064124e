"""Submissions of an account (RFC 8621 §7): where each stands, and what may become of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final, NamedTuple

MAX_RECIPIENTS: Final = 1_000
MAX_LIVE: Final = 5_000
"""Submissions that an account may have; of those that are over, the oldest go for new ones (RFC 8621 §7 allows it)."""
MAX_HOLD_MS: Final = 30 * 86_400_000
"""The furthest that a submission may be held (FUTURERELEASE, RFC 4865)."""
GIVE_UP_MS: Final = 5 * 86_400_000
"""So long store may be away before a submission fails; far less than the 60 days for which store knows a repeat."""
_ID_OCTETS: Final = 16
_FIRST_PAUSE_MS: Final = 2_000
_LAST_PAUSE_MS: Final = 300_000


class State(IntEnum):
    """Where a submission stands; the values are the contract's."""

    PENDING = 1
    SENDING = 2
    DONE = 3
    CANCELED = 4
    FAILED = 5


class Delivered(IntEnum):
    """Whether a recipient has the message; the values are the contract's."""

    QUEUED = 1
    YES = 2
    NO = 3
    UNKNOWN = 4


class Status(Enum):
    """What became of one change; the values are the contract's."""

    OK = 1
    NOT_FOUND = 2
    CANNOT_UNSEND = 3
    TOO_MANY = 4
    OVER_LIMIT = 5
    INVALID = 6
    SUSPENDED = 7


class Refusal(Exception):  # noqa: N818 — an outcome of one change of several
    """One change that is not made."""

    def __init__(self, status: Status, retry_after_seconds: int = 0) -> None:
        super().__init__(status.name)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class News(NamedTuple):
    """What became of one recipient: whether it has the message, and the reply of SMTP, code first."""

    delivered: Delivered
    reply: str


class ReportKind(IntEnum):
    """What a report is; the values are in rows."""

    DELIVERY = 1
    RECEIPT = 2


class Report(NamedTuple):
    """A report on a submission: the message in the account that it is, its kind, and the recipient who saw the message (-1: none)."""

    message_id: int
    kind: ReportKind
    displayed: int = -1


MAX_REPORTS: Final = 100
"""Of one submission: further ones are mail and nothing else."""


class Heard(NamedTuple):
    """What became of a recipient of an accepted message (its id has 16 octets)."""

    accepted_id: bytes
    recipient_no: int
    news: News


QUEUED: Final = News(Delivered.QUEUED, "250 2.0.0 Queued")
GONE: Final = News(Delivered.NO, "554 5.6.0 The message was deleted before it was sent")
UNREADABLE: Final = News(Delivered.NO, "554 5.6.0 The message cannot be read")
REFUSED: Final = News(Delivered.NO, "554 5.3.0 The message could not be sent")
STOPPED: Final = News(Delivered.NO, "550 5.7.1 The account was disabled before the message was sent")
MALWARE: Final = News(Delivered.NO, "550 5.7.1 Not sent: there is malicious content in it")
EXPIRED: Final = News(Delivered.NO, "554 5.4.7 The message could not be sent in time")


class Wanted(NamedTuple):
    """A submission to make. `submission_id` (16 octets) makes a repeat known; `envelope` is opaque here."""

    submission_id: bytes
    tenant_id: int
    identity_id: int
    message_id: int
    thread_id: int
    envelope: bytes
    recipients: int
    hold_until_ms: int
    subject: str = ""
    """The Message-ID of the message."""


@dataclass(slots=True)
class Submission:
    """One submission. `envelope` is empty once nobody needs it; `news` are of recipients of which anything is known."""

    number: int
    submission_id: bytes
    tenant_id: int
    identity_id: int
    message_id: int
    thread_id: int
    state: State
    created_modseq: int
    modseq: int
    send_at_ms: int
    next_try_ms: int
    recipients: int
    envelope: bytes
    gone: bool = False
    tries: int = 0
    finished_ms: int = 0
    accepted_id: bytes | None = None
    news: dict[int, News] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    subject: str = ""
    """The Message-ID of the message, of one that was just made."""

    @property
    def over(self) -> bool:
        """Whether nothing is to be done for it any more."""
        return self.state not in {State.PENDING, State.SENDING}

    def status_of(self, recipient_no: int) -> News:
        """What is known of a recipient; while nothing is, it is on its way."""
        return self.news.get(recipient_no, QUEUED)


@dataclass(slots=True)
class Window:
    """What was submitted since a moment: recipients since Unix milliseconds, of a span."""

    began_ms: int = 0
    recipients: int = 0

    def wait_ms(self, recipients: int, now_ms: int, span_ms: int, most: int) -> int:
        """Return how long so many more recipients must wait, 0 for not at all."""
        if now_ms >= self.began_ms + span_ms or self.recipients + recipients <= most:
            return 0
        return self.began_ms + span_ms - now_ms

    def count(self, recipients: int, now_ms: int, span_ms: int) -> None:
        """Count recipients; the first after the span begins a new one."""
        if now_ms >= self.began_ms + span_ms:
            self.began_ms, self.recipients = now_ms, 0
        self.recipients += recipients


class Rates(NamedTuple):
    """The most recipients that an account may submit to in an hour and in a day."""

    hour: int
    day: int


NO_RATES: Final = Rates(1 << 62, 1 << 62)
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Ledger:
    """The submissions of an account that are looked at, and how far its state is; whoever has one is alone with it.

    `rows` holds those that were asked for, those that are gone included. `touched` are those to write, `heard` the recipients of
    which there is news to write, `forgotten` those whose recipients nobody needs to know any more.
    """

    account_id: int
    modseq: int = 0
    last_number: int = 0
    pruned_modseq: int = 0
    live: int = 0
    hour: Window = field(default_factory=Window)
    day: Window = field(default_factory=Window)
    rows: dict[int, Submission] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    heard: set[tuple[int, int]] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)
    early: list[Heard] = field(default_factory=list)
    reported: list[tuple[int, Report]] = field(default_factory=list)

    def _moved(self, one: Submission) -> None:
        """Note a change that clients see."""
        self.modseq += 1
        one.modseq = self.modseq
        self.touched.add(one.number)

    def known(self, number: int) -> Submission:
        """Return one that is not gone. Raises `Refusal`."""
        found = self.rows.get(number)
        if found is None or found.gone:
            raise Refusal(Status.NOT_FOUND)
        return found

    def made(self, submission_id: bytes) -> Submission | None:
        """Return the submission that was made under an id."""
        return next((one for one in self.rows.values() if one.submission_id == submission_id), None)

    def _count(self, recipients: int, now_ms: int, rates: Rates) -> None:
        """Count what is submitted. Raises `Refusal` with the seconds to wait."""
        wait = max(
            self.hour.wait_ms(recipients, now_ms, _HOUR_MS, rates.hour),
            self.day.wait_ms(recipients, now_ms, _DAY_MS, rates.day),
        )
        if wait:
            raise Refusal(Status.OVER_LIMIT, -(-wait // 1000))
        self.hour.count(recipients, now_ms, _HOUR_MS)
        self.day.count(recipients, now_ms, _DAY_MS)

    def create(self, wanted: Wanted, now_ms: int, lease_ms: int, rates: Rates = NO_RATES) -> Submission:
        """Make a submission, once under its id; what is due at once can be canceled no more. Raises `Refusal`."""
        repeated = self.made(wanted.submission_id)
        if repeated is not None:
            return repeated
        held = wanted.hold_until_ms > now_ms
        whole = len(wanted.submission_id) == _ID_OCTETS and 0 < wanted.recipients <= MAX_RECIPIENTS
        if not whole or wanted.hold_until_ms > now_ms + MAX_HOLD_MS:
            raise Refusal(Status.INVALID)
        if self.live >= MAX_LIVE:
            self._make_room()
        self._count(wanted.recipients, now_ms, rates)
        self.last_number += 1
        self.live += 1
        due = wanted.hold_until_ms if held else now_ms
        one = Submission(
            self.last_number, wanted.submission_id, wanted.tenant_id, wanted.identity_id, wanted.message_id, wanted.thread_id,
            State.PENDING if held else State.SENDING, self.modseq + 1, 0, due, due if held else now_ms + lease_ms,
            wanted.recipients, wanted.envelope, tries=0 if held else 1, subject=wanted.subject,
        )  # fmt: skip
        self.rows[one.number] = one
        self._moved(one)
        return one

    def _make_room(self) -> None:
        """Destroy the oldest that is over. Raises `Refusal` when all still wait."""
        oldest = min((one for one in self.rows.values() if one.over and not one.gone), default=None, key=_number)
        if oldest is None:
            raise Refusal(Status.TOO_MANY)
        self.destroy(oldest.number)

    def cancel(self, number: int, now_ms: int) -> Submission:
        """Cancel a submission that nobody began to hand over (RFC 8621 §7, undoStatus). Raises `Refusal`."""
        one = self.known(number)
        if one.state is State.CANCELED:
            return one
        if one.state is not State.PENDING:
            raise Refusal(Status.CANNOT_UNSEND)
        one.state = State.CANCELED
        one.finished_ms = now_ms
        self._moved(one)
        return one

    def destroy(self, number: int) -> None:
        """Forget a submission, and never mind its mail (RFC 8621 §7.5). Raises `Refusal`."""
        one = self.known(number)
        one.gone = True
        self.live -= 1
        self._forget(one)
        self._moved(one)

    def _forget(self, one: Submission) -> None:
        """Let go of what nobody needs to know any more."""
        if one.gone and one.over:
            one.envelope = b""
            one.news.clear()
            one.reports.clear()
            self.forgotten.add(one.number)

    def begin(self, number: int, now_ms: int, lease_ms: int) -> Submission | None:
        """Take a due submission for the time of a lease: from here on it cannot be canceled. None when it is not to be had."""
        one = self.rows.get(number)
        if one is None or one.over or one.next_try_ms > now_ms:
            return None
        one.next_try_ms = now_ms + lease_ms
        one.tries += 1
        if one.state is State.PENDING:
            one.state = State.SENDING
            self._moved(one)
        else:
            self.touched.add(number)
        return one

    def postpone(self, number: int, now_ms: int) -> Submission | None:
        """Try again after a pause that doubles; give up after days."""
        one = self.rows.get(number)
        if one is None or one.state is not State.SENDING:
            return None
        if now_ms - one.send_at_ms > GIVE_UP_MS:
            return self.fail(number, EXPIRED, now_ms)
        one.next_try_ms = now_ms + min(_FIRST_PAUSE_MS << min(one.tries, 10), _LAST_PAUSE_MS)
        self.touched.add(number)
        return one

    def done(self, number: int, accepted_id: bytes, now_ms: int) -> Submission | None:
        """Record that store has it; None when that is known."""
        one = self.rows.get(number)
        if one is None or one.state is not State.SENDING:
            return None
        one.state, one.accepted_id, one.finished_ms = State.DONE, accepted_id, now_ms
        self.touched.add(number)
        self.accepted.add(number)
        self._forget(one)
        return one

    def fail(self, number: int, why: News, now_ms: int) -> Submission | None:
        """Record that it never goes out; None when it is over already."""
        one = self.rows.get(number)
        if one is None or one.state is not State.SENDING:
            return None
        one.state, one.finished_ms = State.FAILED, now_ms
        for recipient_no in range(one.recipients):
            one.news[recipient_no] = why
            self.heard.add((number, recipient_no))
        self._forget(one)
        self._moved(one)
        return one

    def report(self, heard: Iterable[Heard]) -> None:
        """Take note of what became of accepted mail: of a submission's, or kept until it is known whether it is one's."""
        numbers = {one.accepted_id: one.number for one in self.rows.values() if one.accepted_id is not None}
        under_way = any(one.state is State.SENDING for one in self.rows.values())
        for one in heard:
            number = numbers.get(one.accepted_id)
            if number is not None:
                self.hear(number, [(one.recipient_no, one.news)])
            elif under_way:
                self.early.append(one)

    def hear(self, number: int, found: Iterable[tuple[int, News]]) -> None:
        """Take note of what became of recipients; news of one that is gone interest nobody."""
        one = self.rows.get(number)
        if one is None or one.gone:
            return
        moved = False
        for recipient_no, news in found:
            if not 0 <= recipient_no < one.recipients or one.news.get(recipient_no) == news:
                continue
            known = one.news.get(recipient_no)
            if known is not None and known.delivered in _LAST and news.delivered not in _LAST:
                continue  # old news that came late
            one.news[recipient_no] = news
            self.heard.add((number, recipient_no))
            moved = True
        if moved:
            self._moved(one)

    def add_report(self, number: int, report: Report) -> None:
        """Take note of a report that came, once."""
        one = self.rows.get(number)
        if one is None or one.gone or len(one.reports) >= MAX_REPORTS:
            return
        if any(known.message_id == report.message_id for known in one.reports):
            return
        one.reports.append(report)
        self.reported.append((number, report))
        self._moved(one)


_LAST: Final = frozenset({Delivered.YES, Delivered.NO})


def _number(one: Submission) -> int:
    return one.number


class Step(NamedTuple):
    """One submission in the log of changes."""

    number: int
    created_modseq: int
    modseq: int
    gone: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed between two states (RFC 8620 §5.2)."""

    created: list[int]
    updated: list[int]
    destroyed: list[int]
    upto: int
    more: bool


def changes(steps: Iterable[Step], since: int, now: int, most: int) -> Changes:
    """Return what changed after `since`, at most so many numbers (0: all); what came and went between is not told."""
    found: list[tuple[int, str, int]] = []
    for one in steps:
        fresh = one.created_modseq > since
        if one.modseq <= since or (fresh and one.gone):
            continue
        kind = "created" if fresh else "destroyed" if one.gone else "updated"
        # by its creation, so that a window that ends before its last change does not leave it unknown
        found.append((one.created_modseq if fresh else one.modseq, kind, one.number))
    found.sort()
    more = bool(most) and len(found) > most
    lists: dict[str, list[int]] = {"created": [], "updated": [], "destroyed": []}
    for _, kind, number in found[:most] if more else found:
        lists[kind].append(number)
    return Changes(lists["created"], lists["updated"], lists["destroyed"], found[most - 1][0] if more else now, more)
