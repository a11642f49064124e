"""Blind copies leave the header, and nothing else does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.submitted import BLIND, header_octets, without_fields

LINES = st.lists(
    st.sampled_from([b"To: a@b.test", b"Bcc: x@y.test", b"bCC :\tz", b" folded", b"\tfolded", b"Bccx: no", b"no colon", b"X: \x0b y", b""]),
    max_size=12,
)  # fmt: skip


def test_folded_fields_of_any_case_go_whole() -> None:
    header = (
        b"From: a@b.test\r\nBCC: x@y.test,\r\n z@y.test,\r\n\tw@y.test\r\nTo: c@d.test\r\nresent-bcc:\r\n q\r\n\r\n"
    )
    assert without_fields(header, BLIND) == b"From: a@b.test\r\nTo: c@d.test\r\n\r\n"


def test_what_only_looks_like_it_stays() -> None:
    header = b"X-Bcc: 1\r\nSubject: Bcc: 2\r\n Bcc: 3\r\nbcc\r\n\r\n"
    assert without_fields(header, BLIND) == header


@given(LINES)
def test_every_other_line_stays_as_it_is(lines: list[bytes]) -> None:
    header = b"".join(line + b"\r\n" for line in lines)
    kept = without_fields(header, BLIND)
    assert without_fields(kept, BLIND) == kept
    expected: list[bytes] = []
    dropping = False
    for line in lines:
        if not line.startswith((b" ", b"\t")):
            dropping = line.lower().replace(b" ", b"").startswith(b"bcc:")
        if not dropping:
            expected.append(line + b"\r\n")
    assert kept == b"".join(expected)


@given(st.binary(max_size=200))
def test_any_octets_lose_nothing_but_fields(octets: bytes) -> None:
    kept = without_fields(octets, BLIND)
    assert len(kept) <= len(octets)
    if b"bcc" not in octets.lower():
        assert kept == octets
    end = header_octets(octets)
    assert end == -1 or octets[:end].endswith((b"\n\r\n", b"\n\n", b"\r\n", b"\n"))
