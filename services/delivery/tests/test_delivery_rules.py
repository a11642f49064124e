"""What rules make of messages and recipients, and the mails that they write, whatever came in."""

from __future__ import annotations

import email
from collections.abc import Sequence
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.delivery.tests.delivery_fakes import World

from petitbleu_delivery.domain.answers import (
    Owner,
    away_answer,
    fault_mail,
    may_be_answered,
    notification_mail,
    plain_address,
    rejection_mail,
    vacation_mail,
)
from petitbleu_delivery.domain.model import Filed, Outcome, Placement, Reason
from petitbleu_delivery.domain.rules import Folder, ruling_of
from petitbleu_delivery.domain.vacation import Vacation as Away
from petitbleu_delivery.domain.verdict import outcome_of
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_mail.sieve.actions import Discard, FileInto, HeaderEdit, Keep, Notify, Redirect, Reject, Vacation
from petitbleu_mail.sieve.message import HeaderView, ParsedView
from petitbleu_mail.sieve.notifying import Mailto

OWNER = Owner("zoé@demo.test", "Zoé Martin", "zoé+x@demo.test")
MARK = bytes(range(32))
ADDED = HeaderEdit("X-New", "1")


def header(text: bytes) -> HeaderView:
    return HeaderView(ParsedView(text + b"\r\n").fields())


def test_actions_become_places_keywords_and_mails() -> None:
    ruling = ruling_of(
        [
            Keep(("\\Seen", "Work")), FileInto("A/b", ("\\Flagged",), create=True, special_use="\\Junk"),
            Redirect("x@y.test", edits=(ADDED,)), Redirect("x@y.test"),
        ]
    )  # fmt: skip
    assert ruling.roles == ("inbox",)
    assert ruling.folders == (Folder("A/b", "junk", create=True),)
    assert ruling.keywords == ("$seen", "work", "$flagged")
    assert ruling.redirects == (("x@y.test", (ADDED,)),)
    assert ruling.edits == ()
    assert ruling_of([Keep(edits=(ADDED,)), FileInto("A", edits=(ADDED, ADDED)), Redirect("x@y.test")]).edits == (
        ADDED,
        ADDED,
    )
    by_id = [FileInto("A", mailbox_id="F12"), FileInto("A", mailbox_id="M12"), FileInto("A", mailbox_id="F0")]
    assert ruling_of(by_id).folders == (Folder("A", mailbox_id=12), Folder("A"))
    assert not ruling_of([Discard()]).files
    assert ruling_of([Reject("no")]).reject == "no"
    assert ruling_of([Keep()], junk=True).roles == ("junk",)
    assert ruling_of([FileInto("A")], junk=True).roles == ()


def test_a_recipient_is_discarded_when_every_account_wants_that() -> None:
    world = World()
    accepted = world.store.accept("a@x.test")
    recipient = world.store.open[accepted, 0]

    def told(*states: Filed) -> tuple[Outcome, Reason, tuple[int, ...]]:
        found = outcome_of(recipient, [Placement(recipient, at, False, filed=state) for at, state in enumerate(states)])
        return found.outcome, found.reason, found.account_ids

    assert told(Filed.DISCARDED) == (Outcome.DISCARDED, Reason.RULE, ())
    assert told(Filed.DISCARDED, Filed.DISCARDED)[0] is Outcome.DISCARDED
    assert told(Filed.DISCARDED, Filed.FILED) == (Outcome.FILED, Reason.NONE, (1,))
    assert told(Filed.HELD, Filed.DISCARDED, Filed.FILED) == (Outcome.FILED, Reason.PARTLY_HELD, (0, 2))
    assert told(Filed.DISCARDED, Filed.NO_ACCOUNT)[0] is Outcome.OPEN
    assert told(Filed.DROPPED) == (Outcome.DISCARDED, Reason.HELD_LIMIT, ())
    assert told(Filed.DROPPED, Filed.DISCARDED) == (Outcome.DISCARDED, Reason.HELD_LIMIT, ())
    assert told(Filed.DROPPED, Filed.FILED) == (Outcome.FILED, Reason.NONE, (1,))
    assert told(Filed.DROPPED, Filed.HELD) == (Outcome.HELD, Reason.NONE, (1,))


@pytest.mark.parametrize(
    "extra",
    [
        b"Auto-Submitted: auto-replied\r\n", b"Precedence: List\r\n", b"List-Unsubscribe: <mailto:x@y.test>\r\n",
        b"X-Auto-Response-Suppress: All\r\n",
    ],
)  # fmt: skip
def test_rfc5230_4_6_machines_are_not_answered(extra: bytes) -> None:
    named = "To: Zoé <zoé@demo.test>\r\n".encode()
    own = (OWNER.address, OWNER.recipient)
    assert may_be_answered(header(named), "anna@x.test", own)
    assert not may_be_answered(header(named + extra), "anna@x.test", own)


def test_rfc5230_4_5_who_is_answered() -> None:
    own = ("zoe@demo.test", "zoe+x@demo.test")
    assert may_be_answered(header(b"Cc: x@y.test, zoe+lists@DEMO.test\r\n"), "anna@x.test", own)
    assert may_be_answered(header(b"To: zoe@demo.test\r\nAuto-Submitted: no\r\n"), "anna@x.test", own)
    assert not may_be_answered(header(b"To: x@y.test\r\n"), "anna@x.test", own)
    for sender in (
        "",
        "mailer-daemon@x.test",
        "MAILER-DAEMON@x.test",
        "list-request@x.test",
        "owner-list@x.test",
        "zoe@demo.test",
    ):
        assert not may_be_answered(header(b"To: zoe@demo.test\r\n"), sender, own), sender
    assert plain_address("Zoe+x@DEMO.test") == plain_address("zoe@demo.test")


TEXT = st.text(max_size=200)
LINE = st.binary(max_size=120).map(lambda value: value.replace(b"\n", b"").replace(b"\r", b""))


@given(reason=TEXT, subject=st.none() | TEXT, given_subject=LINE, message_id=LINE, mime=st.booleans(), sender=TEXT)
def test_rfc5230_5_no_message_or_script_adds_a_field(
    reason: str, subject: str | None, given_subject: bytes, message_id: bytes, mime: bool, sender: str
) -> None:
    answered = header(b"Subject: " + given_subject + b"\r\nMessage-ID: " + message_id + b"\r\n")
    subject = None if subject is None else " ".join(subject.split())
    answer = Vacation(reason, subject, sender, is_mime=mime)
    mail = vacation_mail(answer, OWNER, answered, "anna@x.test", MARK)
    head = mail.partition(b"\r\n\r\n")[0] if not mime else mail[: mail.index(b"MIME-Version: 1.0")]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line and line[:1] not in b" \t"]
    assert len(names) == len(set(names))
    allowed = {
        b"From", b"To", b"Date", b"Message-ID", b"Subject", b"In-Reply-To", b"References", b"Auto-Submitted", b"MIME-Version",
        b"Content-Type", b"Content-Transfer-Encoding",
    }  # fmt: skip
    assert set(names) <= allowed
    assert email.message_from_bytes(mail)["To"] == "anna@x.test"


_ENTITY_LINES = st.sampled_from(
    [
        "From: ceo@demo.test", "FROM : ceo@demo.test", " folded", "\tfolded", "To: all@demo.test", "Subject: pay at once",
        "Message-ID: <forged@demo.test>", "MIME-Version: 1.0", "Content-Type: text/html; charset=utf-8", "content-language: fr",
        "DKIM-Signature: v=1", "", " ", "text", ": none", "Bcc: x@y.test\rFrom: ceo@demo.test", "a: b\x0bSender: ceo@demo.test",
    ]
)  # fmt: skip


@given(lines=st.lists(_ENTITY_LINES, max_size=8))
def test_rfc5230_4_7_an_entity_says_only_what_its_content_is(lines: list[str]) -> None:
    written = vacation_mail(Vacation("\n".join(lines), is_mime=True), OWNER, header(b""), "anna@x.test", MARK)
    head = written.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.partition(b":")[0].strip().lower() for line in head if line[:1] not in b" \t"]
    ours = [name for name in names if not name.startswith(b"content-")]
    assert ours == [b"from", b"to", b"date", b"message-id", b"subject", b"auto-submitted", b"mime-version"]
    assert b"ceo@" not in b"".join(head)


def test_rfc5230_4_7_an_entity_is_the_content_of_the_answer() -> None:
    entity = "Subject: pay at once\n folded\nContent-Type: text/html;\n charset=utf-8\n\n<p>Fort\u00e9</p>\n\nend\n"
    made = email.message_from_bytes(
        vacation_mail(Vacation(entity, is_mime=True), OWNER, header(b""), "anna@x.test", MARK), policy=default
    )
    assert made.get_content_type() == "text/html"
    assert [one.strip() for one in made.get_all("Subject", [])] == ["Auto:"]
    assert made.get_payload(decode=True) == "<p>Fort\u00e9</p>\r\n\r\nend\r\n".encode()


@given(text=st.none() | TEXT, html=st.none() | TEXT, fault=TEXT, reason=TEXT, message=st.binary(max_size=300))
def test_mails_of_rules_are_written_whatever_is_in_them(
    text: str | None, html: str | None, fault: str, reason: str, message: bytes
) -> None:
    away = Away(True, text_body=text, html_body=html)
    made = vacation_mail(away_answer(away), OWNER, header(b""), "anna@x.test", MARK, away)
    assert email.message_from_bytes(made, policy=default)["Auto-Submitted"] == "auto-replied (vacation)"
    assert email.message_from_bytes(fault_mail(fault, OWNER, MARK))["To"]
    notice = Notify("mailto:x@y.test", message=" ".join(fault.split()))
    wanted = Mailto(("x@y.test",), (("body", reason),))
    told = email.message_from_bytes(
        notification_mail(notice, wanted, "x@y.test", OWNER, header(b"Subject: " + message), MARK)
    )
    assert (told["To"], told["Auto-Submitted"]) == ("x@y.test", "auto-notified")
    rejected = email.message_from_bytes(rejection_mail(reason, OWNER, message, "anna@x.test", "mx.demo.test", MARK))
    assert rejected.get_content_type() == "multipart/report"


class _Rules:
    """Rules that want what a test says."""

    def __init__(self, world: World) -> None:
        self.discards: set[int] = set()
        self.away = False
        world.rounds._rules = self

    async def apply(self, placements: Sequence[Placement]) -> None:
        if self.away:
            raise PeerUnavailableError(Peer.DATABASE, "gone")
        for placement in placements:
            if placement.account_id in self.discards:
                placement.filed = Filed.DISCARDED


async def test_store_is_not_asked_to_file_what_a_rule_discards() -> None:
    world = World()
    rules = _Rules(world)
    rules.discards = {7}
    world.directory.add("a@x.test", 7)
    world.directory.add("team@x.test", 7, 8)
    accepted = world.store.accept("a@x.test", "team@x.test")
    await world.rounds.deliver([accepted])
    assert world.store.outcome(accepted, 0).outcome is Outcome.DISCARDED
    assert world.store.outcome(accepted, 1).account_ids == (8,)
    assert 7 not in world.store.mailboxes
    assert ("file", 1) in world.store.calls


async def test_rules_that_cannot_be_read_make_mail_wait_and_park_nothing() -> None:
    world = World()
    rules = _Rules(world)
    rules.away = True
    world.directory.add("a@x.test", 7)
    accepted = world.store.accept("a@x.test")
    with pytest.raises(PeerUnavailableError):
        await world.rounds.deliver([accepted])
    assert not world.store.settled
    rules.away = False
    await world.rounds.deliver([accepted])
    assert world.store.outcome(accepted).outcome is Outcome.FILED
