"""Envelopes of submissions, and the headers that they follow from, whatever a client sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_gateway.domain.submission_envelope import derived_envelope, read_envelope
from petitbleu_gateway.domain.submitted_header import is_own, read_header
from petitbleu_gateway.errors import SetError, SetFault
from petitbleu_mail.future_release import MAX_HOLD_SECONDS
from petitbleu_mail.headers import MAX_VALUE, scan_headers

NOW = 1_800_000_000_000
KNOWN = {
    SetFault.INVALID_PROPERTIES, SetFault.NO_RECIPIENTS, SetFault.TOO_MANY_RECIPIENTS, SetFault.INVALID_RECIPIENTS,
    SetFault.FORBIDDEN_MAIL_FROM,
}  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
_ADDRESS = st.fixed_dictionaries(
    {"email": st.text(max_size=30) | st.emails()},
    optional={
        "parameters": st.none()
        | st.dictionaries(
            st.sampled_from(
                [
                    "HOLDFOR",
                    "holduntil",
                    "RET",
                    "ENVID",
                    "SIZE",
                    "BODY",
                    "SMTPUTF8",
                    "NOTIFY",
                    "ORCPT",
                    "REQUIRETLS",
                    "X",
                ]
            ),
            st.none()
            | st.text(max_size=20)
            | st.sampled_from(["FULL", "60", "2027-02-01T00:00:00Z", "8BITMIME", "SUCCESS,DELAY"]),
            max_size=3,
        )
    },
)


def envelope(**parameters: str | None) -> dict[str, Any]:
    return {"mailFrom": {"email": "a@x.example", "parameters": parameters}, "rcptTo": [{"email": "b@x.example"}]}


@given(_JSON | st.fixed_dictionaries({"mailFrom": _ADDRESS, "rcptTo": st.lists(_ADDRESS, max_size=4)}))
def test_whatever_is_given_is_an_envelope_or_refused_by_name(value: Any) -> None:
    try:
        found = read_envelope(value, NOW)
    except SetError as error:
        assert error.fault in KNOWN  # noqa: PT017
        return
    message = found.message
    assert message.recipients
    assert not found.hold_until_ms or NOW < found.hold_until_ms <= NOW + MAX_HOLD_SECONDS * 1000
    for one in (message.mail_from, *message.recipients):
        # nothing that could begin a line, or a parameter, of its own
        assert not set(one.address) & set("\r\n\0<>")
        assert one.orcpt.isascii() and not set(one.orcpt) & set(" \r\n")
        assert one.notify in {"", "NEVER"} or set(one.notify.split(",")) <= {"SUCCESS", "FAILURE", "DELAY"}
    assert message.envid.isprintable() and message.ret in {"", "FULL", "HDRS"}
    assert message.smtputf8 or all(one.address.isascii() for one in message.recipients)


def test_rfc4865_4_how_long_mail_is_held() -> None:
    assert read_envelope(envelope(HOLDFOR="60"), NOW).hold_until_ms == NOW + 60_000
    assert read_envelope(envelope(holduntil="2027-01-15T09:00:00+01:00"), NOW).hold_until_ms == 0
    assert read_envelope(envelope(HOLDUNTIL="2027-01-15T08:01:00Z"), NOW).hold_until_ms == NOW + 60_000
    for wrong in (
        {"HOLDFOR": "0"}, {"HOLDFOR": None}, {"HOLDFOR": "1e3"}, {"HOLDFOR": "60", "HOLDUNTIL": "2027-01-15T08:01:00Z"},
        {"HOLDUNTIL": "2027-13-15T08:01:00Z"}, {"HOLDFOR": str(MAX_HOLD_SECONDS + 1)}, {"HOLDFOR": "60", "holdfor": "60"},
    ):  # fmt: skip
        with pytest.raises(SetError) as refused:
            read_envelope(envelope(**wrong), NOW)
        assert refused.value.members == {"properties": ["envelope"]}


def test_rfc3461_4_parameters_come_decoded_and_leave_encoded() -> None:
    given = {
        "mailFrom": {"email": "a@x.example", "parameters": {"RET": "HDRS", "ENVID": "a+b=c"}},
        "rcptTo": [
            {"email": "b@x.example", "parameters": {"NOTIFY": "success,failure", "ORCPT": "rfc822;b+c@x.example"}}
        ],
    }
    found = read_envelope(given, NOW).message
    assert (found.ret, found.envid) == ("HDRS", "a+b=c")
    assert (found.recipients[0].notify, found.recipients[0].orcpt) == ("SUCCESS,FAILURE", "rfc822;b+2Bc@x.example")
    assert found.recipients[0].parameters[0].value == "success,failure"


def test_rfc8689_2_requiretls_has_no_value() -> None:
    assert read_envelope(envelope(requiretls=None), NOW).message.require_tls
    assert not read_envelope(envelope(), NOW).message.require_tls
    with pytest.raises(SetError):
        read_envelope(envelope(REQUIRETLS="yes"), NOW)


def test_recipients_stand_once() -> None:
    found = derived_envelope("a@x.example", ["b@x.example", "B@X.Example", "c@x.example"]).message
    assert [one.address for one in found.recipients] == ["b@x.example", "c@x.example"]
    assert derived_envelope("a@x.example", ["jürgen@x.example"]).message.smtputf8


def read(text: str) -> Any:
    octets = text.encode()
    return read_header(scan_headers(octets), octets)


def test_rfc5322_3_6_what_a_header_says() -> None:
    found = read("From: A <a@x.example>\r\nTo: b@x.example, G: c@x.example;\r\nBcc: d@x.example\r\n\r\n")
    assert (found.author, found.recipients) == ("a@x.example", ("b@x.example", "c@x.example", "d@x.example"))
    assert (found.has_date, found.has_message_id, found.eight_bit) == (False, False, False)
    assert read("From: a@x.example, b@x.example\r\nSender: b@x.example\r\n\r\n").author == "b@x.example"
    for text, names in (
        ("To: b@x.example\r\n\r\n", ["from"]), ("From: a@x.example\r\nSender: x\r\n\r\n", ["sender"]),
        ("From: a@x.example\r\nSubject: a\r\nSubject: b\r\n\r\n", ["subject"]), ("From: a\r\nFrom: b\r\n\r\n", ["from"]),
    ):  # fmt: skip
        with pytest.raises(SetError) as refused:
            read(text)
        assert (refused.value.fault, refused.value.members["properties"]) == (SetFault.INVALID_EMAIL, names)


def test_nobody_is_left_out_of_a_long_field() -> None:
    for value in (", ".join(f"p{number}@x.example" for number in range(1000)), " " * MAX_VALUE + "b@x.example"):
        with pytest.raises(SetError) as refused:
            read(f"From: a@x.example\r\nTo: {value}\r\n\r\n")
        assert refused.value.fault is SetFault.TOO_MANY_RECIPIENTS


@given(st.binary(max_size=300))
def test_any_header_is_read_or_refused_by_name(octets: bytes) -> None:
    try:
        read_header(scan_headers(octets), octets)
    except SetError as error:
        assert error.fault in {SetFault.INVALID_EMAIL, SetFault.TOO_MANY_RECIPIENTS}  # noqa: PT017


def test_whose_an_address_is() -> None:
    assert is_own("Alice+shop@X.example", ["alice@x.example"])
    assert is_own("alice@x.example", ["bob@x.example", "alice@x.example"])
    for other in ("alice@y.example", "alice", "", "bob+alice@x.example", "@x.example"):
        assert not is_own(other, ["alice@x.example"])
