"""Who is told of what: NOTIFY is honoured, each is told once, and nobody but ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest
from services.delivery.tests.delivery_fakes import Clock, FakeDirectory

from petitbleu.store.v1 import accept_pb2, outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import AcceptedLetter
from petitbleu_delivery.adapters.queue_rows import FinalAnswer, Unit
from petitbleu_delivery.domain.dsn import Action
from petitbleu_delivery.domain.model import Message, Recipient
from petitbleu_delivery.domain.outbound import Answer, Reply, Verdict
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.outbound.notices import DeliveryNotices, action_of, warns
from petitbleu_delivery.service.outbound.telling import SENT, Told
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_delivery.service.router import Router
from petitbleu_mail.delivery_status import read_delivery_status
from petitbleu_mail.reports import find_report

SENDER = "alice@here.test"
ACCEPTED = UUID(int=7)
BODY = b"Subject: hello\r\n\r\nbody\r\n"


class FakeMail:
    """Takes mail as store does: a key that is known accepts nothing."""

    def __init__(self) -> None:
        self.taken: dict[bytes, accept_pb2.AcceptItem] = {}
        self.letters: dict[bytes, AcceptedLetter] = {}

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        del max_octets
        return {one: self.letters[one] for one in accepted_ids if one in self.letters}

    async def accept(self, items: Sequence[accept_pb2.AcceptItem]) -> list[bytes]:
        for item in items:
            self.taken.setdefault(item.idempotency_key, item)
        return [bytes(16)] * len(items)


class Scene:
    def __init__(self) -> None:
        self.directory = FakeDirectory()
        self.directory.add(SENDER, 8)
        self.mail = FakeMail()
        clock = Clock()
        self.notices = DeliveryNotices(
            Router(self.directory, RouteCache(100, 60, clock)), Submitters(self.directory, 60, clock), self.mail,
            "mail.here.test", 432_000.0, clock,
        )  # fmt: skip

    def told(
        self, *notify: str, mail_from: str = SENDER, origin: int = accept_pb2.ORIGIN_SUBMITTED, **more: Any
    ) -> Told:
        header = outgoing_pb2.AcceptedHeader(
            accepted_id=ACCEPTED.bytes, found=True, mail_from=mail_from, origin=accept_pb2.Origin.ValueType(origin),
            submitter_account_id=8, submitter_tenant_id=1, received_at_ms=900_000,
        )  # fmt: skip
        for number, value in enumerate(notify):
            header.recipients.add(address=f"r{number}@else.test", notify=value)
        unit = Unit(ACCEPTED, "else.test", 0, tuple(range(len(notify))), 8, 1, origin, 1, len(BODY), 900.0, 0, False)
        self.mail.letters[ACCEPTED.bytes] = AcceptedLetter(header, BODY, True)
        return Told(unit, header, BODY, more.get("finals", ()), more.get("late", ()), 77)

    def reports(self) -> list[tuple[str, list[str]]]:
        """Action and recipients of each notice."""
        found = []
        for item in self.mail.taken.values():
            report = find_report(item.body)
            assert report is not None
            status = read_delivery_status(item.body[report.machine.body_start : report.machine.body_end])
            assert status is not None
            found.append(
                (
                    status.recipients[0].action,
                    [one.final_recipient.address.partition("@")[0] for one in status.recipients],
                )
            )
        return sorted(found)


def refused(number: int, enhanced: str = "5.1.1") -> Answer:
    return Answer(number, Verdict.REFUSED, Reply(550, enhanced, "no", "mx.else.test"))


def sent(number: int, *, relayed_dsn: bool = False) -> Answer:
    return Answer(number, Verdict.SENT, Reply(250, "2.0.0", "yes", "mx.else.test"), relayed_dsn)


@pytest.mark.parametrize(
    ("answer", "notify", "action"),
    [
        (refused(0), "", Action.FAILED), (refused(0), "FAILURE", Action.FAILED), (refused(0), "SUCCESS,DELAY", None),
        (refused(0), "NEVER", None), (sent(0), "", None), (sent(0), "SUCCESS", Action.RELAYED),
        (sent(0, relayed_dsn=True), "SUCCESS", None), (sent(0), "FAILURE,SUCCESS", Action.RELAYED), (sent(0), "NEVER", None),
    ],
)  # fmt: skip
def test_rfc3461_5_2_what_is_told(answer: Answer, notify: str, action: Action | None) -> None:
    assert action_of(answer, notify) is action


def test_rfc3461_4_1_warnings_are_wanted_or_left_to_us() -> None:
    assert [warns(notify) for notify in ("", "DELAY", "SUCCESS,DELAY", "FAILURE", "NEVER")] == [
        True,
        True,
        True,
        False,
        False,
    ]


async def test_one_notice_an_action_tells_of_all_recipients_and_twice_is_as_once() -> None:
    scene = Scene()
    told = scene.told(
        "", "FAILURE", "NEVER", "SUCCESS", "", finals=(refused(0), refused(1), refused(2), sent(3)), late=(refused(4),)
    )
    await scene.notices.notify(told)
    assert scene.reports() == [("delayed", ["r4"]), ("failed", ["r0", "r1"]), ("relayed", ["r3"])]
    await scene.notices.notify(told)
    assert len(scene.mail.taken) == 3
    for item in scene.mail.taken.values():
        assert item.mail_from == ""
        assert [one.address for one in item.recipients] == [SENDER]
        assert item.recipients[0].notify == "NEVER"
        assert (item.origin, item.submitter_account_id) == (accept_pb2.ORIGIN_NOTICE, 8)
        assert b"Subject: =?utf-8?" in item.body  # the language of the account, French


@pytest.mark.parametrize(
    ("mail_from", "origin"),
    [
        ("", accept_pb2.ORIGIN_SUBMITTED), ("stranger@else.test", accept_pb2.ORIGIN_RULE), (SENDER, accept_pb2.ORIGIN_STRANGER),
        (SENDER, accept_pb2.ORIGIN_NOTICE), ("closed@here.test", accept_pb2.ORIGIN_SUBMITTED),
    ],
)  # fmt: skip
async def test_nobody_but_ours_is_ever_told(mail_from: str, origin: int) -> None:
    scene = Scene()
    await scene.notices.notify(scene.told("", mail_from=mail_from, origin=origin, finals=(refused(0),)))
    assert scene.mail.taken == {}


async def test_what_was_kept_and_never_told_is_told_once() -> None:
    scene = Scene()
    told = scene.told("", "NEVER", "", finals=(refused(0), refused(1)))
    finals = [FinalAnswer(ACCEPTED, number, 8, 8, Reply(550, "5.1.1", "", "mx.else.test"), 77) for number in (0, 1)]
    finals.append(FinalAnswer(ACCEPTED, 2, 8, 8, Reply(0, "", "")))  # an operator dropped it
    finals.append(FinalAnswer(UUID(int=9), 0, 8, 8, Reply(550, "5.1.1", "")))  # store does not know it any more
    await scene.notices.again(finals)
    assert scene.reports() == [("failed", ["r0"])]
    await scene.notices.notify(told)
    assert len(scene.mail.taken) == 1


async def test_rfc3461_5_2_3_what_is_filed_here_is_confirmed_where_that_was_asked_for() -> None:
    scene = Scene()
    scene.told("SUCCESS", "", "SUCCESS")
    message = Message(ACCEPTED.bytes, SENDER, SENDER, True, origin=accept_pb2.ORIGIN_SUBMITTED, submitter_id=8)
    stranger = Message(ACCEPTED.bytes, "x@else.test", "", True, origin=accept_pb2.ORIGIN_STRANGER)
    asked = [Recipient(message, number, f"r{number}@else.test", 0, True) for number in (2, 0)]
    await scene.notices.filed([*asked, Recipient(stranger, 1, "r1@else.test", 0, True)])
    await scene.notices.filed(asked)
    # a notice each, so that whoever is told of again alone, or with others, is told of once
    await scene.notices.filed(asked[:1])
    assert scene.reports() == [("delivered", ["r0"]), ("delivered", ["r2"])]


def kept(number: int, notice: int, *, sent: bool = False, informs: bool = True) -> FinalAnswer:
    reply = Reply(250, "2.0.0", "", "mx.else.test") if sent else Reply(550, "5.1.1", "", "mx.else.test")
    return FinalAnswer(ACCEPTED, number, 8, SENT if sent else 8, reply, notice, informs)


async def test_what_one_attempt_brought_is_one_notice_with_whatever_else_is_told_later() -> None:
    """A death after the notice and before `told`: what is told again may be found together with another attempt's answers."""
    scene = Scene()
    told = scene.told(
        "", "", "", "SUCCESS", "SUCCESS", finals=(refused(0), refused(1), sent(3), sent(4, relayed_dsn=True))
    )
    await scene.notices.notify(told)
    first = [kept(0, 77), kept(1, 77), kept(3, 77, sent=True, informs=False), kept(4, 77, sent=True)]
    await scene.notices.again([kept(2, 78), *first])
    assert scene.reports() == [("failed", ["r0", "r1"]), ("failed", ["r2"]), ("relayed", ["r3"])]


async def test_what_was_passed_on_is_told_after_a_death_too() -> None:
    scene = Scene()
    scene.told("SUCCESS", "SUCCESS", "")
    await scene.notices.again([kept(0, 77, sent=True, informs=False), kept(1, 77, sent=True), kept(2, 77, sent=True)])
    assert scene.reports() == [("relayed", ["r0"])]


async def test_a_delay_of_a_unit_is_told_once_whoever_still_waits() -> None:
    scene = Scene()
    late = [Answer(number, Verdict.DEFERRED, Reply(451, "4.3.0", "busy", "mx")) for number in (0, 1)]
    await scene.notices.notify(scene.told("", "", late=tuple(late)))
    await scene.notices.notify(msgspec.structs.replace(scene.told("", "", late=tuple(late[1:])), notice=78))
    assert scene.reports() == [("delayed", ["r0", "r1"])]
