"""Tests of TNEF and compressed RTF: the examples of the specifications, streams that are built and read again, rubbish."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.tnef_streams import (
    MESSAGE_OBJECT,
    STORAGE,
    attribute,
    padded,
    properties,
    rtf,
    stream,
    variable,
    wide,
)

from petitbleu_mail import mapi_properties, tnef
from petitbleu_mail.compressed_rtf import MAX_RTF, decompress_rtf
from petitbleu_mail.mapi_properties import codec_of
from petitbleu_mail.tnef import MAX_DEPTH, TnefAttachment, read_tnef


def test_rtf_examples_of_the_specification() -> None:
    # [MS-OXRTFCP], the examples of decompressing
    simple = "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    assert decompress_rtf(bytes.fromhex(simple)) == (b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n", False)
    overlapping = "1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0"
    assert decompress_rtf(bytes.fromhex(overlapping)) == (b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}", False)


def test_rtf_that_is_not_compressed() -> None:
    assert decompress_rtf(rtf(b"{\\rtf1}", b"{\\rtf1}", 0x414C454D)) == (b"{\\rtf1}", False)
    assert decompress_rtf(rtf(b"{\\rtf1}", b"{\\rt", 0x414C454D)) == (b"{\\rt", True)
    assert decompress_rtf(rtf(b"x", b"x", 1)) == (b"", True)
    assert decompress_rtf(b"short") == (b"", True)


def test_rtf_is_bounded() -> None:
    body = b"\0{\\par a}" * 600_000
    huge, wrong = decompress_rtf(struct.pack("<IIII", len(body), 0xFFFFFFFF, 0x75465A4C, 0) + body)
    assert wrong
    assert len(huge) == MAX_RTF


@given(st.binary(max_size=200), st.integers(0, 5000))
def test_any_octets_are_decompressed(body: bytes, size: int) -> None:
    raw, _ = decompress_rtf(struct.pack("<IIII", len(body), size, 0x75465A4C, 0) + body)
    assert len(raw) <= min(size, 17 * len(body))
    decompress_rtf(body)


@given(st.binary(max_size=2000))
def test_literals_come_back(raw: bytes) -> None:
    body = b"".join(b"\0" + raw[at : at + 8] for at in range(0, len(raw), 8))
    assert decompress_rtf(rtf(raw, body)) == (raw, False)


def test_a_message_with_files() -> None:
    blob = stream(
        attribute(1, 0x9006, b"\0\0\1\0"),
        attribute(1, 0x9007, struct.pack("<II", 1251, 0)),
        attribute(1, 0x8008, b"IPM.Microsoft Mail.Note\0"),
        attribute(1, 0x8004, "Тема".encode("cp1251") + b"\0"),
        attribute(1, 0x9003, properties(
            struct.pack("<HHHH", 0x0B, 0x0E1B, 1, 0),
            struct.pack("<HH16sII", 0x03, 0x8001, b"g" * 16, 0, 7) + b"\1\0\0\0",
            struct.pack("<HH16sI", 0x1F, 0x8002, b"g" * 16, 1) + padded("name\0".encode("utf-16-le")) + struct.pack("<I", 1) + padded(b"v\0\0\0"),
            struct.pack("<HHI", 0x1003, 0x6001, 2) + b"12345678",
            struct.pack("<HHI", 0x1002, 0x6002, 3) + b"112233\0\0",
            variable(0x101F, 0x6003, b"a\0", b"b\0"),
            struct.pack("<HHI", 0x03, 0x3FDE, 65001),
            wide(0x1035, "<id@x.example>"),
            wide(0x0C1A, "Zoë"),
            variable(0x1E, 0x0C1F, b"zoe@x.example\0"),
            variable(0x102, 0x1013, "<p>é</p>\0".encode()),
            variable(0x102, 0x1009, rtf(b"{\\rtf1}", b"\0{\\rtf1}")),
            wide(0x1000, "plain"),
        )),
        attribute(2, 0x9002, b"\1\0"),
        attribute(2, 0x8010, b"REPORT~1.PDF\0"),
        attribute(2, 0x800F, b"%PDF\0\0"),
        attribute(2, 0x9005, properties(wide(0x3707, "..\\..\\Réport final.pdf"), wide(0x3712, "cid@x"), struct.pack("<HHHH", 0x0B, 0x7FFE, 1, 0))),
        attribute(2, 0x9002, b"\1\0"),
        attribute(2, 0x8010, b"x.bin\0"),
        attribute(2, 0x9005, properties(variable(0x1E, 0x370E, b"Text/X-Thing\0"), variable(0x0D, 0x3701, STORAGE + b"ole"))),
    )  # fmt: skip
    found = read_tnef(blob)
    assert found is not None
    assert found == tnef.TnefMessage(
        subject="Тема",
        message_class="IPM.Microsoft Mail.Note",
        message_id="<id@x.example>",
        sender_name="Zoë",
        sender_address="zoe@x.example",
        text="plain",
        html="<p>é</p>",
        rtf=b"{\\rtf1}",
        attachments=[
            TnefAttachment("Réport final.pdf", "application/pdf", b"%PDF\0\0", "cid@x", is_hidden=True),
            TnefAttachment("x.bin", "text/x-thing", b"ole"),
        ],
    )


def nested(depth: int) -> bytes:
    inner = stream(attribute(1, 0x8004, b"%d\0" % depth))
    for level in range(depth - 1, -1, -1):
        held = properties(variable(0x0D, 0x3701, MESSAGE_OBJECT + inner))
        inner = stream(attribute(1, 0x8004, b"%d\0" % level), attribute(2, 0x9002, b""), attribute(2, 0x9005, held))
    return inner


def test_messages_within_messages() -> None:
    found = read_tnef(nested(2))
    for level in ("0", "1", "2"):
        assert found is not None
        assert found.subject == level
        assert not found.is_damaged
        if found.attachments:
            assert found.attachments[0].type == "message/rfc822"
            assert found.attachments[0].data == b""
            found = found.attachments[0].message
    found = read_tnef(nested(20))
    depth = 0
    while found is not None and found.attachments and found.attachments[0].message:
        found, depth = found.attachments[0].message, depth + 1
    assert depth == MAX_DEPTH - 1
    assert found is not None
    assert found.is_damaged
    assert found.attachments[0].data.startswith(struct.pack("<I", 0x223E9F78))


def test_what_is_cut_off_is_read_as_far_as_it_goes() -> None:
    blob = stream(
        attribute(1, 0x8004, b"x\0"),
        attribute(2, 0x9002, b""),
        attribute(2, 0x8010, b"a.txt\0"),
        attribute(2, 0x800F, b"12345678"),
    )
    found = read_tnef(blob[:-6])
    assert found is not None
    assert found.is_damaged
    assert (found.attachments[0].name, found.attachments[0].type, found.attachments[0].data) == (
        "a.txt",
        "text/plain",
        b"1234",
    )
    found = read_tnef(blob + b"garbage that is no attribute")
    assert found is not None
    assert found.attachments[0].data == b"12345678"
    assert read_tnef(b"") is None
    assert read_tnef(b"no TNEF") is None


def test_attachments_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tnef, "MAX_ATTACHMENTS", 3)
    found = read_tnef(stream(*[attribute(2, 0x9002, b""), attribute(2, 0x800F, b"x")] * 5))
    assert found is not None
    assert len(found.attachments) == 3
    assert found.is_damaged


def test_properties_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapi_properties, "MAX_FIELDS", 100)
    found = read_tnef(
        stream(
            attribute(1, 0x9003, properties(wide(0x0037, "here"), *[wide(0x1234, "x")] * 100, wide(0x1000, "too far")))
        )
    )
    assert found is not None
    assert (found.subject, found.text, found.is_damaged) == ("here", None, True)


def test_code_pages_have_names() -> None:
    assert [codec_of(n) for n in (1252, 28605, 65001, 932)] == ["cp1252", "iso-8859-15", "utf-8", "cp932"]


MANY = st.sampled_from([0x8004, 0x8008, 0x9003, 0x9005, 0x9002, 0x9007, 0x800F, 0x8010, 0x1234])
NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 255, 0x7FFFFFFF, 0xFFFFFFFF])
PROPERTY = st.builds(
    lambda kind, name, many, size, data: struct.pack("<HHII", kind, name, many, size) + data,
    st.sampled_from([0x1E, 0x1F, 0x0D, 0x102, 0x1003, 0x101E, 0x03, 0x0B, 0x48, 0x7777]),
    st.sampled_from([0x0037, 0x1000, 0x1009, 0x1013, 0x3701, 0x3707, 0x8001]),
    NUMBERS,
    NUMBERS,
    st.binary(max_size=12) | st.just(MESSAGE_OBJECT + stream()),
)
LISTS = st.builds(lambda n, found: struct.pack("<I", n) + b"".join(found), NUMBERS, st.lists(PROPERTY, max_size=4))


@given(
    st.lists(st.builds(attribute, st.integers(1, 2), MANY, st.binary(max_size=20) | LISTS), max_size=8),
    st.binary(max_size=8),
    st.integers(0, 300),
)
def test_any_stream_is_read(attributes: list[bytes], tail: bytes, cut: int) -> None:
    blob = stream(*attributes) + tail
    for octets in (blob, blob[:cut]):
        found = read_tnef(octets)
        assert found is None or sum(len(a.data) for a in found.attachments) <= len(octets)
        assert found is None or len(found.attachments) <= len(octets) // 9
