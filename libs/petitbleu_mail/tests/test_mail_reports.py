"""Notifications of RFC 8098 and reports of RFC 3464: read from what others write, written and read again, and never a traceback."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.delivery_status import (
    ACTIONS,
    DeliveryStatus,
    RecipientStatus,
    read_delivery_status,
    write_delivery_status,
)
from petitbleu_mail.disposition import (
    Disposition,
    Notification,
    read_disposition,
    read_notification,
    write_notification,
)
from petitbleu_mail.header_values import SentAt
from petitbleu_mail.mime import part_content, part_text
from petitbleu_mail.report_fields import Typed, recipient, without_comments, write
from petitbleu_mail.reports import find_report, write_report

# RFC 8098 §3.1's fields, folded and commented as the grammar allows
MDN = (
    b"Reporting-UA: joes-pc.cs.example.com; Foomail 97.1\r\n"
    b"MDN-Gateway: dns; gate.example.com\r\n"
    b"Original-Recipient: rfc822;Joe_Recipient@example.com\r\n"
    b"Final-Recipient: RFC822 (the type) ;\r\n Joe_Recipient@example.com\r\n"
    b"Original-Message-ID: <199509192301.23456@example.org>\r\n"
    b"Disposition: manual-action/MDN-sent-manually (by Joe); displayed/error, x-late\r\n"
    b"Error: it was odd\r\nError: very\r\nX-Colour: blue\r\n\r\nand what is no part of it\r\n"
)
# RFC 3464, appendix E.1
DSN = (
    b"Reporting-MTA: dns; cs.utk.edu\r\nArrival-Date: Tue, 5 Jul 1994 19:00:00 -0400\r\n\r\n"
    b"Original-Recipient: rfc822;louisl@larry.slip.umd.edu\r\nFinal-Recipient: rfc822;louisl@larry.slip.umd.edu\r\n"
    b"Action: failed (for good)\r\nStatus: 4.0.0\r\nDiagnostic-Code: smtp; 426 connection timed\r\n  out\r\n"
    b"Last-Attempt-Date: Thu, 7 Jul 1994 17:15:49 -0400\r\n\r\n"
    b"Final-Recipient: rfc822;second@example.org\r\nAction: delivered\r\nStatus: 2.0.0\r\nX-Own: yes\r\n"
)


def test_rfc8098_3_1_fields_of_a_notification() -> None:
    found = read_notification(MDN)
    assert found is not None
    assert found.disposition == Disposition("manual-action", "mdn-sent-manually", "displayed", ("error", "x-late"))
    assert found.reporting_ua == "joes-pc.cs.example.com; Foomail 97.1"
    assert found.gateway == Typed("dns", "gate.example.com")
    assert found.original_recipient == found.final_recipient == Typed("rfc822", "Joe_Recipient@example.com")
    assert found.original_message_id == "<199509192301.23456@example.org>"
    assert found.errors == ("it was odd", "very")
    assert found.extensions == (("X-Colour", "blue"),)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n", b"Hello\r\n", b"Final-Recipient: rfc822;a@b\r\n", b"Disposition: displayed\r\n", b"Disposition: /;\r\n",
        b"Disposition: manual-action/mdn-sent-manually\r\n", b"X: y\r\n\r\nDisposition: a-b/c-d; e\r\n", b"\0" * 50,
    ],
)  # fmt: skip
def test_rfc8098_3_2_6_what_is_no_notification(data: bytes) -> None:
    assert read_notification(data) is None


def test_rfc8098_3_2_4_a_notification_names_its_recipient_when_written() -> None:
    shown = Disposition("manual-action", "mdn-sent-manually", "displayed")
    with pytest.raises(ValueError, match=r"3\.2\.4"):
        write_notification(Notification(disposition=shown))
    to = recipient("a@x.example")
    for wrong in (
        Notification(disposition=shown, final_recipient=to, extensions=(("Disposition", "x"),)),
        Notification(disposition=shown, final_recipient=to, reporting_ua="a\r\nDisposition: b"),
        Notification(disposition=shown, final_recipient=to, extensions=(("two words", "x"),)),
        Notification(disposition=Disposition("manual action", "x", "y"), final_recipient=to),
        Notification(disposition=shown, final_recipient=to, reporting_ua="x" * 2000),
    ):
        with pytest.raises(ValueError, match=r".+"):
            write_notification(wrong)
    assert write_notification(Notification(disposition=shown, final_recipient=to)) == (
        b"Final-Recipient: rfc822; a@x.example\r\nDisposition: manual-action/mdn-sent-manually; displayed\r\n"
    )


def test_rfc3464_2_1_groups_of_a_report() -> None:
    found = read_delivery_status(DSN)
    assert found is not None
    assert found.reporting_mta == Typed("dns", "cs.utk.edu")
    assert found.arrival == SentAt(773449200, -240)
    first, second = found.recipients
    assert (first.action, first.status) == ("failed", "4.0.0")
    assert first.diagnostic_code == Typed("smtp", "426 connection timed  out")
    assert first.original_recipient == Typed("rfc822", "louisl@larry.slip.umd.edu")
    assert first.last_attempt is not None
    assert second.extensions == (("X-Own", "yes"),)


def test_rfc3464_2_3_recipients_without_an_outcome_are_left_out() -> None:
    assert read_delivery_status(b"Reporting-MTA: dns; a.example\r\n\r\nFinal-Recipient: rfc822;a@b\r\n") is None
    alone = read_delivery_status(b"Final-Recipient: rfc822;a@b\r\nAction: failed\r\nStatus: 5.1.1 (no such)\r\n")
    assert alone is not None
    assert alone.reporting_mta is None
    assert alone.recipients[0].status == "5.1.1"


def test_rfc6533_3_addresses_beyond_ascii() -> None:
    assert recipient("zoé@x.example").kind == "utf-8"
    assert Typed("utf-8", r"zo\x{E9}@x.example").address == "zoé@x.example"
    assert Typed("rfc822", "anna@x.example").address == "anna@x.example"
    shown = Disposition("automatic-action", "mdn-sent-automatically", "deleted")
    machine = write_notification(Notification(disposition=shown, final_recipient=recipient("zoé@x.example")))
    whole = b"From: a@x.example\r\n" + write_report("disposition-notification", "Gone", machine, None)
    found = find_report(whole)
    assert found is not None
    assert found.machine.type == "message/global-disposition-notification"


def test_rfc6522_3_a_report_is_found_as_it_was_written() -> None:
    shown = Disposition("manual-action", "mdn-sent-manually", "displayed")
    machine = write_notification(Notification(disposition=shown, final_recipient=recipient("a@x.example")))
    original = b"From: b@x.example\r\nSubject: Hi\r\n\r\n--report-\r\nHello\r\n"
    text = "Lu à 10 h = dix\n" + "long " * 40 + "\n"
    raw = b"Subject: Read\r\n" + write_report("disposition-notification", text, machine, original)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"report-type=disposition-notification" in raw
    found = find_report(raw)
    assert found is not None
    assert found.kind == "disposition-notification"
    assert part_content(raw, found.machine) == machine
    assert found.text is not None
    assert part_text(raw, found.text)[0] == text
    assert found.original is not None
    assert part_content(raw, found.original) == original
    header = write_report("delivery-status", "No", DSN, b"Subject: Hi\r\n", header_only=True)
    headers = find_report(header)
    assert headers is not None
    assert headers.original is not None
    assert (headers.kind, headers.original.type) == ("delivery-status", "text/rfc822-headers")
    assert find_report(b"Subject: x\r\n\r\nHello\r\n") is None
    assert find_report(raw.replace(b"multipart/report", b"multipart/mixed")) is None


@given(st.binary(max_size=2000))
def test_rfc8098_3_any_octets_are_read(data: bytes) -> None:
    for raw in (data, b"Disposition: " + data, b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n" + data):
        read_notification(raw)
        read_delivery_status(raw)
        find_report(raw)


_values = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x2FF, exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]),
    min_size=1, max_size=60,
)  # fmt: skip
_texts = st.lists(_values, min_size=1, max_size=12).map(" ".join).filter(lambda text: "=?" not in text)
_kinds = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
_typed = st.builds(Typed, _kinds, _texts)
_extensions = st.lists(
    st.tuples(st.from_regex(r"X-[A-Za-z0-9]{1,20}", fullmatch=True), _texts), max_size=4
).map(tuple)  # fmt: skip
_tokens = st.from_regex(r"[a-z][a-z-]{0,20}", fullmatch=True)
_notifications = st.builds(
    Notification,
    disposition=st.builds(Disposition, _tokens, _tokens, _tokens, st.lists(_tokens, max_size=3).map(tuple)),
    final_recipient=_typed, original_recipient=st.none() | _typed, reporting_ua=st.none() | _texts, gateway=st.none() | _typed,
    original_message_id=st.none() | _texts, errors=st.lists(_texts, max_size=3).map(tuple), extensions=_extensions,
)  # fmt: skip
_dates = st.none() | st.builds(
    SentAt, st.integers(0, 4_000_000_000), st.integers(-12 * 4, 14 * 4).map(lambda quarter: quarter * 15)
)
_recipients = st.builds(
    RecipientStatus, final_recipient=_typed, action=st.sampled_from(sorted(ACTIONS)),
    status=st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True).filter(str.isascii), original_recipient=st.none() | _typed,
    remote_mta=st.none() | _typed, diagnostic_code=st.none() | _typed, last_attempt=_dates, final_log_id=st.none() | _texts,
    will_retry_until=_dates, extensions=_extensions,
)  # fmt: skip
_reports = st.builds(
    DeliveryStatus, reporting_mta=_typed, recipients=st.lists(_recipients, min_size=1, max_size=4).map(tuple),
    original_envelope_id=st.none() | _texts, gateway=st.none() | _typed, received_from=st.none() | _typed, arrival=_dates,
    extensions=_extensions,
)  # fmt: skip


@given(_notifications)
def test_rfc8098_3_1_what_is_written_is_read(notification: Notification) -> None:
    data = write_notification(notification)
    assert read_notification(data) == notification
    assert re.fullmatch(rb"(?:[^\r\n]{1,998}\r\n)+", data)


@given(_reports)
def test_rfc3464_2_what_is_written_is_read(report: DeliveryStatus) -> None:
    assert read_delivery_status(write_delivery_status(report)) == report


@given(st.text(max_size=300))
def test_rfc5322_2_2_3_a_written_field_is_one_field(text: str) -> None:
    try:
        data = write("X-Any", text)
    except ValueError:
        return
    assert re.fullmatch(rb"X-Any: [^\r\n]+\r\n(?: [^\r\n]+\r\n)*", data)
    assert all(line.strip() for line in data.split(b"\r\n")[:-1])


def test_comments_within_comments_cost_little() -> None:
    began = time.process_time()
    without_comments("(" * 2000 + ")" * 2000)
    read_disposition("(" * 4000)
    read_notification(b"Disposition: " + b"a/" * 30_000 + b"\r\n" + b"X: y\r\n" * 50_000)
    read_delivery_status(b"X: y\r\n\r\n" * 50_000)
    assert time.process_time() - began < 1
