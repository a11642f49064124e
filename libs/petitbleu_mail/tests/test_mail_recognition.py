"""Tests of what a message is: the examples of the standards, their common deviations, and any structure at all."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.mime import scan
from petitbleu_mail.recognition import MAX_LOOKS, Kind, kinds, recognise


def multipart(head: str, *parts: str) -> bytes:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts)
    return f"Content-Type: {head}; boundary=b\r\n\r\n{body}--b--\r\n".encode()


def leaf(head: str, body: str = "x") -> str:
    return f"Content-Type: {head}\r\n\r\n{body}"


def der(oid: str) -> str:
    octets = bytes.fromhex("3082010006" + f"{len(oid) // 2:02x}" + oid)
    return "Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(octets + b"\xa0\x80" * 20).decode()


TEXT = leaf("text/plain", "hello")
SIGNED_DATA, ENVELOPED, AUTH_ENVELOPED = "2a864886f70d010702", "2a864886f70d010703", "2a864886f70d0109100117"

CASES = [
    (multipart('multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256', TEXT, leaf("application/pkcs7-signature; name=smime.p7s")), {Kind.SMIME_SIGNED}),
    (multipart("multipart/signed", TEXT, leaf("application/x-pkcs7-signature")), {Kind.SMIME_SIGNED}),
    (leaf("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m").encode(), {Kind.SMIME_ENCRYPTED}),
    (leaf("application/pkcs7-mime; smime-type=AuthEnveloped-Data").encode(), {Kind.SMIME_ENCRYPTED}),
    (leaf("application/pkcs7-mime; smime-type=signed-data").encode(), {Kind.SMIME_SIGNED}),
    (leaf("application/pkcs7-mime; smime-type=certs-only").encode(), {Kind.SMIME_CERTIFICATES}),
    (leaf("application/pkcs7-mime; smime-type=compressed-data").encode(), {Kind.SMIME_COMPRESSED}),
    (leaf("application/x-pkcs7-mime").encode(), {Kind.SMIME_UNKNOWN}),
    (b"Content-Type: application/pkcs7-mime\r\n" + der(SIGNED_DATA).encode(), {Kind.SMIME_SIGNED}),
    (b"Content-Type: application/octet-stream; name=SMIME.p7m\r\n" + der(ENVELOPED).encode(), {Kind.SMIME_ENCRYPTED}),
    (b"Content-Type: application/octet-stream; name=smime.p7m\r\n" + der(AUTH_ENVELOPED).encode(), {Kind.SMIME_ENCRYPTED}),
    (leaf("application/octet-stream; name=smime.p7c").encode(), {Kind.SMIME_CERTIFICATES}),
    (multipart('multipart/signed; protocol="application/pgp-signature"', TEXT, leaf("application/pgp-signature")), {Kind.PGP_SIGNED}),
    (multipart('multipart/encrypted; protocol="application/pgp-encrypted"', leaf("application/pgp-encrypted", "Version: 1"), leaf("application/octet-stream")), {Kind.PGP_ENCRYPTED}),
    (multipart("multipart/mixed", leaf("text/plain", ""), leaf("application/pgp-encrypted"), leaf("application/octet-stream")), {Kind.PGP_ENCRYPTED}),
    (multipart("multipart/mixed", TEXT, leaf("application/pgp-keys")), {Kind.PGP_KEYS}),
    (leaf("text/plain", "Hi,\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nx\r\n-----END PGP MESSAGE-----").encode(), {Kind.PGP_INLINE_ENCRYPTED}),
    (leaf("text/plain", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx").encode(), {Kind.PGP_INLINE_SIGNED}),
    (leaf("text/plain", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n").encode(), {Kind.PGP_INLINE_KEYS}),
    (leaf("text/plain", "> -----BEGIN PGP MESSAGE-----\n see -----BEGIN PGP MESSAGE-----\n").encode(), set()),
    (multipart("multipart/alternative", TEXT, leaf("text/calendar; method=REQUEST", "BEGIN:VCALENDAR")), {Kind.CALENDAR}),
    (multipart("multipart/digest", "\r\nSubject: a\r\n\r\nx", "\r\nSubject: b\r\n\r\nx"), {Kind.MESSAGE}),
    (multipart("multipart/report; report-type=delivery-status", TEXT, leaf("message/delivery-status"), leaf("message/rfc822", "Subject: x\r\n\r\n")), {Kind.DELIVERY_REPORT, Kind.MESSAGE}),
    (multipart("multipart/report; report-type=global-delivery-status", TEXT, leaf("message/global-delivery-status")), {Kind.DELIVERY_REPORT}),
    (multipart("multipart/report; report-type=disposition-notification", TEXT, leaf("message/disposition-notification")), {Kind.DISPOSITION_REPORT}),
    (multipart("multipart/report; report-type=feedback-report", TEXT, leaf("message/feedback-report")), {Kind.FEEDBACK_REPORT}),
    (multipart("multipart/report; report-type=delivery-status", TEXT), set()),
    (multipart("multipart/mixed", TEXT, leaf("application/ms-tnef; name=winmail.dat")), {Kind.TNEF}),
    (multipart("multipart/mixed", TEXT, leaf("application/octet-stream; name=WINMAIL.DAT")), {Kind.TNEF}),
    (multipart("multipart/signed; protocol=application/unknown", TEXT, leaf("application/unknown")), set()),
    (multipart("multipart/signed; protocol=application/pkcs7-signature"), set()),
    (multipart("multipart/encrypted; protocol=application/other", TEXT, TEXT), set()),
    (b"", set()),
    (leaf("text/plain", "hello").encode(), set()),
]  # fmt: skip


@pytest.mark.parametrize(("blob", "found"), CASES)
def test_kinds(blob: bytes, found: set[Kind]) -> None:
    assert kinds(scan(blob), blob) == found


def test_the_part_to_read_next_is_told() -> None:
    blob = multipart(
        'multipart/signed; protocol="application/pkcs7-signature"', TEXT, leaf("application/pkcs7-signature")
    )
    (finding,) = recognise(scan(blob))
    assert finding.content is not None
    assert (finding.part.type, finding.content.type) == ("multipart/signed", "text/plain")
    blob = multipart("multipart/report; report-type=delivery-status", TEXT, leaf("message/delivery-status"))
    (finding,) = recognise(scan(blob))
    assert finding.content is not None
    assert finding.content.type == "message/delivery-status"
    blob = leaf("message/rfc822", multipart("multipart/mixed", leaf("application/ms-tnef")).decode()).encode()
    (finding,) = recognise(scan(blob), blob)  # not looked into
    assert finding.kind is Kind.MESSAGE
    assert finding.content is not None
    assert kinds(finding.content, blob) == {Kind.TNEF}


@pytest.mark.parametrize(
    ("head", "body", "method"),
    [
        ("text/calendar; method=reply", "", "REPLY"),
        ("text/calendar", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:Cancel\r\n", "CANCEL"),
        ("text/calendar", "BEGIN:VCALENDAR\nMETHOD;X-A=b:REQUEST\n", "REQUEST"),
        ("application/ics; name=invite.ics", "BEGIN:VCALENDAR\nVERSION:2.0\n", None),
        ('text/calendar; method="two words"', "", None),
    ],
)
def test_the_method_of_a_calendar(head: str, body: str, method: str | None) -> None:
    blob = leaf(head, body).encode()
    (finding,) = recognise(scan(blob), blob)
    assert (finding.kind, finding.method) == (Kind.CALENDAR, method)


def test_without_octets_only_the_structure_is_told() -> None:
    blob = leaf("text/plain", "-----BEGIN PGP MESSAGE-----\n").encode()
    assert kinds(scan(blob)) == set()


def test_few_bodies_are_looked_at() -> None:
    armour = leaf("text/plain", "-----BEGIN PGP MESSAGE-----\n")
    blob = multipart("multipart/mixed", *[armour] * (MAX_LOOKS + 50))
    assert len(recognise(scan(blob), blob)) == MAX_LOOKS


TYPES = st.sampled_from(
    ["multipart/signed", "multipart/encrypted", "multipart/report", "multipart/mixed", "text/plain", "text/calendar", "application/pgp-encrypted",
     "application/pkcs7-mime", "application/octet-stream; name=smime.p7m", "message/rfc822", "message/delivery-status", "application/ms-tnef"]
)  # fmt: skip


@given(
    st.lists(
        st.tuples(TYPES, st.sampled_from(["", "x", "--b", "--c\r\n", "-----BEGIN PGP MESSAGE-----", "\nMETHOD:"])),
        max_size=12,
    ),
    st.binary(max_size=50),
)
def test_any_structure_is_looked_at(parts: list[tuple[str, str]], rubbish: bytes) -> None:
    blob = multipart("multipart/mixed", *[leaf(f"{kind}; boundary=c", body) for kind, body in parts]) + rubbish
    for octets in (blob, rubbish, b"Content-Type: text/calendar\r\n\r\n" + rubbish):
        root = scan(octets)
        assert kinds(root) <= kinds(root, octets) | {Kind.SMIME_UNKNOWN}
