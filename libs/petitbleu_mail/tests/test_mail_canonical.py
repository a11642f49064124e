"""The canonical forms of RFC 6376 §3.4, and tag lists (§3.2)."""

from __future__ import annotations

import hashlib
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.auth.canonical import BodyHashes, relaxed_field
from petitbleu_mail.auth.fields import Fields, split_message
from petitbleu_mail.auth.tags import MAX_LIST, TagError, parse_tags

# Bodies made of what the canonical forms care about, cut anywhere
BODIES = st.lists(
    st.sampled_from([b" ", b"\t", b"\r", b"\n", b"\r\n", b"a", b"bc", b" \r\n", b"\r\n\r\n"]), max_size=40
).map(b"".join)


def simple(body: bytes) -> bytes:
    return re.sub(rb"(?:\r\n)*\Z", b"\r\n", body, count=1)


def relaxed(body: bytes) -> bytes:
    body = re.sub(rb"[ \t]+(?=\r\n|\Z)", b"", body)
    body = re.sub(rb"[ \t]+", b" ", body)
    return simple(body) if body.replace(b"\r\n", b"") else b""


def hashed(body: bytes, cuts: list[int], form: str, limit: int | None) -> tuple[bytes, int]:
    hashes = BodyHashes()
    digest = hashes.want(form, limit)
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    hashes.take(body[a:b] for a, b in itertools.pairwise(edges))
    return digest.digest(), digest.size


@given(BODIES, st.lists(st.integers(0, 200), max_size=12), st.none() | st.integers(0, 60))
def test_rfc6376_3_4_bodies_in_pieces_hash_as_whole_ones(body: bytes, cuts: list[int], limit: int | None) -> None:
    for form, canonical in (("simple", simple(body)), ("relaxed", relaxed(body))):
        assert hashed(body, cuts, form, limit) == (hashlib.sha256(canonical[:limit]).digest(), len(canonical)), form


@pytest.mark.parametrize(
    ("form", "body", "canonical"),
    [
        # RFC 6376 §3.4.5, example 1 and 2
        ("relaxed", b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        ("simple", b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n"),
        ("simple", b"", b"\r\n"),
        ("relaxed", b"", b""),
        ("relaxed", b" \t\r\n\r\n", b""),
        ("simple", b"no line end", b"no line end\r\n"),
        ("relaxed", b"no line end \t", b"no line end\r\n"),
        ("relaxed", b"a \r b\r\n", b"a \r b\r\n"),
        ("simple", b"a\n\n", b"a\n\n\r\n"),
    ],
)
def test_rfc6376_3_4_canonical_bodies(form: str, body: bytes, canonical: bytes) -> None:
    assert hashed(body, list(range(len(body))), form, None) == (hashlib.sha256(canonical).digest(), len(canonical))


def test_rfc6376_3_4_empty_lines_in_bulk_are_hashed_in_blocks() -> None:
    body = b"a\r\n" + b"\r\n" * 20_000 + b"b"
    digest = hashlib.sha256(body + b"\r\n").digest()
    assert hashed(body, [7, 3001, 30_000], "simple", None) == (digest, len(body) + 2)
    assert hashed(body, [7, 3001, 30_000], "relaxed", None)[0] == digest


@pytest.mark.parametrize(
    ("field", "canonical"),
    [
        (b"A: X", b"a:X"),
        (b"B : Y\t\r\n\tZ  ", b"b:Y Z"),  # RFC 6376 §3.4.5
        (b"SUBJect:\r\n a \t b", b"subject:a b"),
        (b"X:", b"x:"),
    ],
)
def test_rfc6376_3_4_2_relaxed_fields(field: bytes, canonical: bytes) -> None:
    assert relaxed_field(field) == canonical


def test_rfc6376_5_4_2_fields_are_taken_from_the_bottom() -> None:
    header, start = split_message(b"A: 1\r\nB: 2\r\n folded\r\na : 3\r\nno field\r\n\r\nbody")
    assert (header, start) == (b"A: 1\r\nB: 2\r\n folded\r\na : 3\r\nno field\r\n", 40)
    fields = Fields(header)
    assert fields.raw == [b"A: 1", b"B: 2\r\n folded", b"a : 3", b"no field"]
    assert fields.names == [b"a", b"b", b"a", b""]
    assert fields.select([b"a", b"x", b"a", b"a", b"b", b""]) == [2, 0, 1]
    assert fields.select([b"a", b"a"], own=2) == [0]
    assert split_message(b"\r\nbody") == (b"", 2)
    assert split_message(b"A: 1\r\n") == (b"A: 1\r\n", 6)


def test_rfc6376_3_2_tag_lists() -> None:
    tags = parse_tags(b" a = 1 ;\r\n\tb=\r\n x\r\n\ty ; c=;")
    assert tags.values == {"a": "1", "b": "x\r\n\ty", "c": ""}
    start, end = tags.spans["b"]
    assert (start, end) == (13, 22)
    assert "a" in tags
    assert tags.get("d") is None
    assert tags.words("b") == ["x\r\n\ty"]
    assert parse_tags(b"h=from : to\r\n : Subject").words("h") == ["from", "to", "Subject"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b";",
        b"a",
        b"a=1;;b=2",
        b"a=1; a=2",
        b"1a=1",
        b"a=\x00",
        b"a=\xff",
        b"=1",
        b"a b=1",
        b"a=" + b"x" * MAX_LIST,
    ],
)
def test_rfc6376_3_2_what_is_no_tag_list(text: bytes) -> None:
    with pytest.raises(TagError):
        parse_tags(text)


@given(
    st.binary(max_size=80)
    | st.lists(st.sampled_from([b"a", b"=", b";", b" ", b"\r\n ", b"b", b"bh", b"1"])).map(b"".join)
)
def test_rfc6376_3_2_the_parser_raises_nothing_but_its_own(text: bytes) -> None:
    try:
        tags = parse_tags(text)
    except TagError:
        return
    assert tags.values.keys() == tags.spans.keys()
    for name, (start, end) in tags.spans.items():
        assert text[start:end].strip(b" \t\r\n").decode() == tags.values[name]
        for read in (tags.need, tags.octets, tags.number, tags.words):
            try:
                read(name)
            except TagError:
                continue
