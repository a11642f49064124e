"""Tests of the DATA decoder against a naive reference, whatever the cuts."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.dotstuff import DotDecoder, LineCheck, stuff

RAGGED = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"a", b"bcd", b"\0", b"\x80" * 7]),
    max_size=40,
).map(b"".join)


def reference(data: bytes, max_line: int) -> tuple[bytes, bytes | None, bool, bool, bool, int]:
    """Decode the whole of `data` in the simplest way; the second value is None while the end has not come."""
    whole = b"\r\n" + data
    end = whole.find(b"\r\n.\r\n")
    rest = None
    if end >= 0:
        whole, rest = whole[: end + 2], whole[end + 5 :]
    body = whole.replace(b"\r\n.", b"\r\n")[2:]
    bare_cr = re.search(rb"\r(?!\n)", body) is not None
    bare_lf = re.search(rb"(?<!\r)\n", body) is not None
    long_lines = sum(len(line) > max_line for line in body.split(b"\n")[:-1] for line in [line + b"\n"])
    return body, rest, bare_cr, bare_lf, b"\0" in body, long_lines


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut `data` at the given places."""
    places = sorted({c % (len(data) + 1) for c in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(RAGGED, RAGGED, st.lists(st.integers(0, 500), max_size=12), st.integers(3, 12))
def test_any_cut_gives_what_the_reference_gives(head: bytes, tail: bytes, cuts: list[int], max_line: int) -> None:
    data = head + b"\r\n.\r\n" + tail
    body, rest, bare_cr, bare_lf, nul, long_lines = reference(data, max_line)
    decoder = DotDecoder(max_line)
    out = b"".join([decoder.feed(piece) for piece in cut(data, cuts)])
    assert decoder.done
    assert out == body
    assert decoder.rest == rest
    assert decoder.size == len(body)
    lines = decoder.lines
    assert (lines.bare_cr, lines.bare_lf, lines.nul, lines.long_lines) == (bare_cr, bare_lf, nul, long_lines)


@given(RAGGED, st.lists(st.integers(0, 500), max_size=12))
def test_an_unfinished_stream_holds_back_at_most_four_octets(data: bytes, cuts: list[int]) -> None:
    body, rest, *_ = reference(data, 1000)
    decoder = DotDecoder()
    out = b"".join([decoder.feed(piece) for piece in cut(data, cuts)])
    assert decoder.done == (rest is not None)
    if rest is None:
        assert body.startswith(out)
        assert len(body) - len(out) <= 4
    else:
        assert out == body


@given(st.binary(max_size=300).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"\r\n")), st.integers(1, 9))
def test_what_is_stuffed_comes_back(message: bytes, step: int) -> None:
    wire = stuff(message)
    decoder = DotDecoder()
    out = b"".join([decoder.feed(wire[i : i + step]) for i in range(0, len(wire), step)])
    assert decoder.done and decoder.rest == b""
    assert out == (message if not message or message.endswith(b"\r\n") else message + b"\r\n")
    assert not decoder.bare


@given(RAGGED, st.lists(st.integers(0, 500), max_size=12), st.integers(1, 9))
def test_a_line_check_does_not_depend_on_the_cuts(data: bytes, cuts: list[int], max_line: int) -> None:
    check = LineCheck(max_line)
    for piece in cut(data, cuts):
        check.feed(piece)
    check.finish()
    assert check.bare_cr == (re.search(rb"\r(?!\n)", data) is not None)
    assert check.bare_lf == (re.search(rb"(?<!\r)\n", data) is not None)
    assert check.nul == (b"\0" in data)
    # the open last line is counted as soon as it is certainly too long, at the latest when its LF comes
    closed = sum(len(line) + 1 > max_line for line in data.split(b"\n")[:-1])
    assert closed <= check.long_lines <= closed + 1


def test_the_example_of_rfc_5321() -> None:
    decoder = DotDecoder()
    out = decoder.feed(b"..a\r\n.b\r\n...\r\n.\r\nQUIT\r\n")
    assert (out, decoder.done, decoder.rest) == (b".a\r\nb\r\n..\r\n", True, b"QUIT\r\n")


def test_an_empty_message_ends_at_once() -> None:
    decoder = DotDecoder()
    assert decoder.feed(b".") == b""
    assert decoder.feed(b"\r") == b""
    assert decoder.feed(b"\n") == b""
    assert decoder.done and decoder.size == 0


def test_no_smuggled_end_of_data() -> None:
    for smuggled in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r\n\0.\r\n"):
        decoder = DotDecoder()
        decoder.feed(b"Subject: x\r\n\r\nhello" + smuggled + b"MAIL FROM:<evil@example.org>\r\n")
        assert not decoder.done
        assert decoder.lines.bare or decoder.lines.nul


def test_octets_after_the_end_gather_in_rest() -> None:
    decoder = DotDecoder()
    decoder.feed(b"x\r\n.\r\nRSET")
    assert decoder.feed(b"\r\n") == b""
    assert decoder.rest == b"RSET\r\n"


def test_a_line_of_1000_octets_passes_and_one_more_does_not() -> None:
    for size, wrong in ((998, 0), (999, 1), (5000, 1)):
        wire = b"." + b"." + b"x" * (size - 1) + b"\r\n.\r\n"  # a stuffed dot, which does not count
        for step in (1, 7, 997, 100_000):
            decoder = DotDecoder()
            for i in range(0, len(wire), step):
                decoder.feed(wire[i : i + step])
            assert decoder.done and decoder.lines.long_lines == wrong


def test_few_steps_for_a_large_message() -> None:
    """5 MB in pieces of 64 KiB come back in as many pieces: nothing is cut into lines."""
    wire = (b"x" * 76 + b"\r\n") * 64_000 + b".\r\n"
    decoder = DotDecoder()
    pieces = [decoder.feed(wire[i : i + 65536]) for i in range(0, len(wire), 65536)]
    assert b"".join(pieces) == wire[:-3]
    assert len(pieces) == -(-len(wire) // 65536)
