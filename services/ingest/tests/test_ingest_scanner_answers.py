"""What scanners answer: read, or refused as no answer; what they are told ends no line of theirs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_kit.scanners import clamd, rspamd
from petitbleu_kit.scanners.scanning import Advice, Letter, ScanError, Scanned


@given(
    st.binary(max_size=200)
    | st.sampled_from([b'{"action":"reject","score":1e400}', b'{"action":"reject","score":NaN}'])
)
def test_any_octets_are_an_answer_or_none(octets: bytes) -> None:
    for read in (clamd.answer_of, rspamd.answer_of):
        with contextlib.suppress(ScanError):
            assert isinstance(read(octets), Scanned)


def test_what_rspamd_s_antivirus_finds_is_a_virus() -> None:
    said = b'{"action":"%b","score":15.0,"symbols":{"%b":{"name":"x","score":0.0}}}'
    assert rspamd.answer_of(said % (b"reject", b"CLAM_VIRUS")) == Scanned(Advice.VIRUS, 1500)
    assert rspamd.answer_of(said % (b"reject", b"GTUBE")) == Scanned(Advice.SPAM, 1500)
    assert rspamd.answer_of(said % (b"no action", b"CLAM_VIRUS")).advice is Advice.CLEAN


@pytest.mark.parametrize(
    ("octets", "advice"),
    [
        (b"stream: OK\0", Advice.CLEAN),
        (b"stream: Win.Test FOUND\0", Advice.VIRUS),
        (b"stream: x ERROR\0", None),
        (b"", None),
    ],
)
def test_clamd_s_line(octets: bytes, advice: Advice | None) -> None:
    if advice is None:
        with pytest.raises(ScanError):
            clamd.answer_of(octets)
    else:
        assert clamd.answer_of(octets).advice is advice


@pytest.mark.parametrize(
    ("action", "advice"),
    [("no action", Advice.CLEAN), ("greylist", Advice.CLEAN), ("add header", Advice.JUNK), ("soft reject", Advice.LATER), ("reject", Advice.SPAM)],
)  # fmt: skip
def test_rspamd_s_action(action: str, advice: Advice) -> None:
    assert rspamd.answer_of(b'{"action":"%b","score":7.25}' % action.encode()) == Scanned(advice, 725)
    with pytest.raises(ScanError):
        rspamd.answer_of(b'{"action":"explode"}')


@given(st.text(max_size=60))
def test_rfc9112_2_2_nothing_of_a_stranger_s_ends_a_line(text: str) -> None:
    scanner = rspamd.Rspamd("http://127.0.0.1:11333")
    try:
        head = scanner._head(Letter("192.0.2.1", text, text, [text], "q"), 5)
    except UnicodeEncodeError:
        assert any("\ud800" <= c <= "\udfff" for c in text)
        return
    assert head.endswith(b"\r\n\r\n")
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert all(b"\r" not in line and b"\n" not in line and line for line in lines)
    assert len(lines) == 6 + 3 * bool(text)
