"""Notices: what they say to people and to machines, and that nothing of a stranger's becomes a field of ours."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petitbleu_delivery.domain.dsn import MAX_HEADER, MAX_ORIGINAL, Action, Concerned, Notice, delivery_notice
from petitbleu_delivery.domain.dsn_texts import TEXTS, reason_of, texts_of
from petitbleu_delivery.domain.outbound import Answer, Reply, Verdict
from petitbleu_mail.delivery_status import DeliveryStatus, read_delivery_status
from petitbleu_mail.reports import find_report

ORIGINAL = b"Subject: =?utf-8?q?D=C3=A9jeuner?=\r\nMessage-ID: <1@demo.test>\r\n\r\nAt noon?\r\n"


def concerned(address: str = "bob@else.test", orcpt: str = "", **reply: Any) -> Concerned:
    told = Reply(**{"code": 550, "enhanced": "5.1.1", "text": "no such user", "host": "mx.else.test", **reply})
    return Concerned(address, orcpt, Answer(0, Verdict.REFUSED, told))


def notice(action: Action = Action.FAILED, *recipients: Concerned, **more: Any) -> Notice:
    given_values: dict[str, Any] = {
        "action": action, "language": "en", "to": "alice@demo.test", "reporting_mta": "mail.demo.test",
        "recipients": recipients or (concerned(),), "original": ORIGINAL, "arrived": 1_000_000.0, "now": 1_100_000.0,
        "message_id": "n1@mail.demo.test",
    }  # fmt: skip
    return Notice(**{**given_values, **more})


def read(raw: bytes) -> tuple[EmailMessage, DeliveryStatus]:
    found = find_report(raw)
    assert found is not None
    report = read_delivery_status(raw[found.machine.body_start : found.machine.body_end])
    assert report is not None
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message, report


def readable(message: EmailMessage) -> str:
    return str(message.get_payload(0).get_content())  # type: ignore[union-attr]


def test_rfc3464_2_a_notice_of_failure_tells_people_and_machines() -> None:
    raw = delivery_notice(notice(Action.FAILED, concerned(orcpt="rfc822;Bob+2BX@else.test"), envid="e1"))
    message, report = read(raw)
    assert message["To"] == "alice@demo.test"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == "<1@demo.test>"
    assert message.get_content_type() == "multipart/report"
    text = readable(message)
    assert "bob@else.test" in text
    assert "Déjeuner" in text
    assert "550 5.1.1 no such user" in text
    assert "does not exist" in text
    (one,) = report.recipients
    assert (one.action, one.status) == ("failed", "5.1.1")
    assert one.final_recipient.text == "rfc822; bob@else.test"
    assert one.original_recipient is not None
    assert one.original_recipient.text == "rfc822; Bob+X@else.test"
    assert one.diagnostic_code is not None
    assert one.diagnostic_code.text == "smtp; 550 5.1.1 no such user"
    assert one.remote_mta is not None
    assert report.original_envelope_id == "e1"
    assert report.reporting_mta is not None
    assert report.arrival is not None
    assert b"At noon?" not in raw


def test_rfc3461_4_3_the_whole_message_comes_back_where_that_was_asked_for() -> None:
    assert b"At noon?" in delivery_notice(notice(full=True))
    large = ORIGINAL + b"x" * MAX_ORIGINAL
    raw = delivery_notice(notice(full=True, original=large))
    assert b"text/rfc822-headers" in raw
    assert len(raw) < 5000


def test_a_header_without_end_is_cut_at_a_line() -> None:
    raw = delivery_notice(notice(original=b"X-A: b\r\n" * 20_000))
    assert len(raw) < MAX_HEADER + 5000
    assert raw.count(b"X-A: b\r\n") == MAX_HEADER // 8


def test_a_warning_says_until_when_it_is_tried() -> None:
    answer = concerned(code=0, enhanced="4.4.1", text="connection timed out", host="")
    message, report = read(delivery_notice(notice(Action.DELAYED, answer, until=1_432_000.0)))
    assert "until 1970-01-17 13:46 UTC" in readable(message)
    (one,) = report.recipients
    assert (one.action, one.status) == ("delayed", "4.4.1")
    assert one.will_retry_until is not None
    assert one.will_retry_until.seconds == 1_432_000
    assert one.diagnostic_code is None  # no server said anything


@pytest.mark.parametrize(
    ("action", "enhanced", "status"),
    [
        (Action.FAILED, "4.4.7", "4.4.7"), (Action.FAILED, "2.1.5", "5.0.0"), (Action.FAILED, "nonsense", "5.0.0"),
        (Action.DELAYED, "5.1.1", "4.1.1"), (Action.RELAYED, "2.1.5", "2.1.5"), (Action.RELAYED, "", "2.0.0"),
        (Action.DELIVERED, "5.7.1", "2.0.0"),
    ],
)  # fmt: skip
def test_a_status_goes_with_its_action(action: Action, enhanced: str, status: str) -> None:
    _, report = read(delivery_notice(notice(action, concerned(enhanced=enhanced))))
    assert report.recipients[0].status == status


@pytest.mark.parametrize("language", sorted(TEXTS))
@pytest.mark.parametrize("action", list(Action))
def test_each_language_says_everything(language: str, action: Action) -> None:
    message, _ = read(delivery_notice(notice(action, language=f"{language}-XX", until=1_432_000.0)))
    texts = TEXTS[language]
    assert message["Subject"] == texts.subjects[action.value]
    text = readable(message)
    assert texts.intros[action.value] in text
    assert texts.closing in text
    assert texts.reasons.keys() == TEXTS["en"].reasons.keys()
    assert set(texts.intros) == set(texts.subjects) == {one.value for one in Action}


def test_a_language_that_we_do_not_have_is_english() -> None:
    assert texts_of("tlh") is texts_of("") is TEXTS["en"]
    assert {reason_of(code) for code in ("5.1.1", "4.4.7", "5.7.26", "5.9.9", "", "x")} == {
        "unknown", "expired", "policy", "other",
    }  # fmt: skip


def test_addresses_beyond_ascii_are_told() -> None:
    raw = delivery_notice(notice(Action.FAILED, concerned("jos\u00e9@b\u00fccher.test"), to="zo\u00eb@demo.test"))
    _, report = read(raw)
    assert report.recipients[0].final_recipient.address == "jos\u00e9@b\u00fccher.test"
    assert b"global-delivery-status" in raw


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(max_size=500), host=st.text(max_size=80), orcpt=st.text(max_size=80), address=st.text(min_size=1, max_size=80),
    envid=st.text(max_size=60), to=st.text(max_size=60), original=st.binary(max_size=400), enhanced=st.text(max_size=12),
    action=st.sampled_from(Action), full=st.booleans(),
)  # fmt: skip
def test_nothing_that_others_wrote_becomes_a_field_of_ours(
    text: str, host: str, orcpt: str, address: str, envid: str, to: str, original: bytes, enhanced: str, action: Action,
    full: bool,
) -> None:  # fmt: skip
    one = concerned(address, orcpt, text=text, host=host, enhanced=enhanced)
    raw = delivery_notice(notice(action, one, envid=envid, to=to, original=original, full=full))
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    known = {b"from", b"to", b"subject", b"date", b"message-id", b"auto-submitted", b"mime-version", b"content-type"}
    assert set(names) - {b"in-reply-to", b"references"} == known
    assert len(set(names)) == len(names)
    found = find_report(raw)
    assert found is not None
    report = read_delivery_status(raw[found.machine.body_start : found.machine.body_end])
    assert report is not None
    assert [group.action for group in report.recipients] == [action.value]
