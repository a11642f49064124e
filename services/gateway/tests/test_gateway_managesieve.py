"""The words of ManageSieve, whatever a client sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_gateway.managesieve.grammar import GrammarError, read_line, string


def test_rfc5804_4_words() -> None:
    assert read_line(b'PUTSCRIPT "a \\"b\\" \\\\" {12+}') == ((b"PUTSCRIPT", b'a "b" \\'), 12)
    assert read_line(b'HAVESPACE "x{3}" 99999') == ((b"HAVESPACE", b"x{3}", 99999), None)
    assert read_line(b'"{3+}"') == ((b"{3+}",), None)
    assert read_line(b"{0}") == ((), 0)
    assert read_line(b"") == ((), None)


@pytest.mark.parametrize("line", [b'"open', b'PUT"x"', b"a,b", b'"\\x"', b"1a", b"\xff", b"a " * 20, b'"a\0"'])
def test_lines_that_are_none(line: bytes) -> None:
    with pytest.raises(GrammarError):
        read_line(line)


@given(st.binary(max_size=200))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    try:
        found = read_line(line)
    except GrammarError:
        return
    assert all(isinstance(word, bytes | int) for word in found.words)


@given(st.text(max_size=1100))
def test_rfc5804_4_what_is_written_is_read_again(value: str) -> None:
    try:
        octets = value.encode()
    except UnicodeEncodeError:
        return
    written = string(value)
    if written.startswith(b'"'):
        assert read_line(written) == ((octets,), None)
    else:
        head, _, rest = written.partition(b"\r\n")
        assert read_line(head) == ((), len(octets))
        assert rest == octets
