"""Rosters as files: what a spreadsheet writes is read, and one bad line spoils all, by its number."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_cli.roster_csv import MAX_OCTETS, MAX_ROWS, RosterError, RosterRow, parse_roster


def faults(octets: bytes) -> tuple[tuple[int, str], ...]:
    with pytest.raises(RosterError) as refused:
        parse_roster(octets)
    return refused.value.faults


@pytest.mark.parametrize(
    "octets",
    [
        b"address,role\nzoe@a.test,child\nm@a.test,teacher\n",
        b'name;address;role\r\nZo\xc3\xa9;zoe@a.test;child\r\n\r\n"M; e";m@a.test;Teacher\r\n',
        b'\xef\xbb\xbfRole,Name,Address\nchild,,zoe@a.test\nteacher,"two\nlines",m@a.test',
    ],
)  # fmt: skip
def test_what_spreadsheets_write_is_read(octets: bytes) -> None:
    assert [(row.address, row.role) for row in parse_roster(octets)] == [
        ("zoe@a.test", "child"),
        ("m@a.test", "teacher"),
    ]


def test_lines_are_those_of_the_file() -> None:
    text = b'name,address,role\n"two\nlines",zoe@a.test,child\n\nx,m@a.test,teacher\n'
    assert [row.line for row in parse_roster(text)] == [2, 5]
    bad = b'name,address,role\n"two\nlines",zoe@a.test,child\n,nobody,child\n,m@a.test,head\n,zoe@A.test,child\n,a@b.test\n'
    assert [line for line, _ in faults(bad)] == [4, 5, 6, 7]


@pytest.mark.parametrize("cell", ["=1+1", "+33 1", "-1", "@sum", " =1", '"\t=1"'])
def test_a_formula_is_refused(cell: str) -> None:
    assert faults(f"name,address,role\n{cell},zoe@a.test,child\n".encode()) == ((2, "a cell begins as a formula does"),)


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        ("name,address,role\nZoé,zoe@a.test,child\n".encode("latin-1"), "Latin-1"),
        ("address,role\n".encode("utf-16"), "UTF-8"),
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"zoe@a.test,child\n", "first line"),
        (b"address\nzoe@a.test\n", "first line"),
        (b"address,address,role\n", "first line"),
        (b"address,role,grade\n", "first line"),
        (b"address,role\n\0,child\n", "not text"),
        (b'address,role\n"zoe@a.test,child\n', "no CSV"),
        (b"address,role\n" + b"".join(b"a%d@a.test,child\n" % n for n in range(MAX_ROWS + 1)), "at most"),
        (b"a" * (MAX_OCTETS + 1), "larger"),
    ],
)
def test_what_is_no_roster_is_refused_by_name(octets: bytes, word: str) -> None:
    assert word in str(RosterError(faults(octets)))


def read(octets: bytes) -> list[RosterRow] | tuple[tuple[int, str], ...]:
    try:
        return parse_roster(octets)
    except RosterError as refused:
        return refused.faults


@given(st.binary(max_size=200) | st.binary(max_size=120).map(lambda tail: b"name,address,role\n" + tail))
def test_any_octets_are_a_roster_or_refused_with_a_reason(octets: bytes) -> None:
    found = read(octets)
    if isinstance(found, tuple):
        assert found
        assert all(line >= 0 and why for line, why in found)
    else:
        assert all(row.role in {"child", "teacher"} and row.line > 1 and "@" in row.address for row in found)


WORD = st.text("abcdefghij", min_size=1, max_size=8)
NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(lambda text: "x" + text)


@given(
    st.lists(st.tuples(NAME, WORD, st.sampled_from(["child", "teacher"])), max_size=20, unique_by=lambda row: row[1]),
    st.sampled_from([",", ";"]), st.sampled_from(["\n", "\r\n"]), st.booleans(),
)  # fmt: skip
def test_what_is_written_is_read_again(
    rows: list[tuple[str, str, str]], separator: str, end: str, marked: bool
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerow(["name", "address", "role"])
    for name, word, role in rows:
        writer.writerow([name, f"{word}@a.test", role])
    octets = text.getvalue().encode("utf-8-sig" if marked else "utf-8")
    assert parse_roster(octets) == [
        RosterRow(number, f"{word}@a.test", role) for number, (_, word, role) in enumerate(rows, 2)
    ]
