"""Drafts and header fields, written and read again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_gateway.domain.compose import compose, read_draft
from petitbleu_gateway.domain.draft_fields import parameter, with_parameters
from petitbleu_gateway.domain.header_forms import addresses_value
from petitbleu_gateway.domain.header_writing import BadValueError, fold, write_field
from petitbleu_gateway.domain.stream_decoding import decoder_for
from petitbleu_gateway.domain.transfer_encoding import encode_base64, encode_text
from petitbleu_gateway.errors import SetError
from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.content_types import parse_disposition
from petitbleu_mail.header_values import as_text
from petitbleu_mail.mime import part_content, part_text
from petitbleu_mail.structure import parse_message
from petitbleu_mail.transfer import decode_transfer

NOW = datetime(2025, 7, 1, tzinfo=UTC)
LINE = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")) | st.just(" "), max_size=120
)


def written(form: str, value: Any) -> bytes:
    field = write_field("X", form, value)
    assert field.startswith(b"X:")
    assert field.endswith(b"\r\n")
    for line in field[:-2].split(b"\r\n")[1:]:
        assert line[:1] in {b" ", b"\t"}
        assert line.strip()
    return field[2:-2]


@given(LINE)
def test_text_fields_come_back(text: str) -> None:
    import unicodedata

    assert (
        as_text(written("Text", text)) == unicodedata.normalize("NFC", text.strip(" ") if text.isascii() else text)
        or not text.strip()
    )


@given(
    st.lists(
        st.tuples(LINE, st.sampled_from(["a@b.example", "é@ü.example", '"a b"@c.example', "x.y+z@[192.0.2.1]"])),
        min_size=1,
        max_size=5,
    )
)
def test_addresses_come_back(pairs: list[tuple[str, str]]) -> None:
    given_value = [{"name": " ".join(name.split()) or None, "email": email} for name, email in pairs]
    found = addresses_value(as_addresses(written("Addresses", given_value)))
    assert found is not None
    assert [address["email"] for address in found] == [address["email"] for address in given_value]
    for one, other in zip(found, given_value, strict=True):
        assert (one["name"] or "").replace(" ", "") == (other["name"] or "").replace(" ", "")


@given(st.sampled_from(["Raw", "Text", "Addresses", "GroupedAddresses", "MessageIds", "Date", "URLs"]),
       st.none() | st.integers() | st.text() | st.lists(st.text()) | st.lists(st.dictionaries(st.sampled_from(["name", "email", "addresses"]), st.text())))  # fmt: skip
def test_no_value_ever_begins_a_field_of_its_own(form: str, value: Any) -> None:
    try:
        field = write_field("X", form, value)
    except BadValueError:
        return
    assert field.count(b"\n") == field.count(b"\r\n") == field.count(b"\r")
    assert all(line[:1] in {b" ", b"\t"} for line in field[:-2].split(b"\r\n")[1:])
    assert b"\r\n\r\n" not in field


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=200))
def test_file_names_come_back(name: str) -> None:
    field = fold("Content-Disposition", with_parameters("attachment", parameter("filename", name)))
    disposition, parameters = parse_disposition(field.partition(b":")[2][:-2])
    assert disposition == "attachment"
    assert parameters["filename"] == name
    assert all(len(line) <= 98 for line in field.split(b"\r\n"))


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_bodies_come_back(text: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    draft = read_draft({"textBody": [{"partId": "t"}], "bodyValues": {"t": {"value": text}}}, "x.example", NOW)
    raw = compose(draft, lambda _blob: b"")
    message = parse_message(raw)
    assert part_text(raw, message.root)[0] == text
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


@given(st.binary(max_size=500))
def test_attachments_come_back(content: bytes) -> None:
    email = {"attachments": [{"blobId": "B1", "type": "image/png"}, {"blobId": "B1", "type": "image/gif"}]}
    raw = compose(read_draft(email, "x.example", NOW), lambda _blob: content)
    first, second = parse_message(raw).root.parts
    assert part_content(raw, first) == part_content(raw, second) == content


@given(st.binary(max_size=3000))
def test_text_encodings_are_true(data: bytes) -> None:
    text = data.decode("utf-8", "ignore").replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode()
    encoding, encoded = encode_text(text)
    assert decode_transfer(encoded, encoding)[0].rstrip(b"\r\n") == text.rstrip(b"\r\n")
    assert encoded.isascii()
    assert encode_base64(b"") == b""


@given(st.text("é😀a b", min_size=1, max_size=200), st.text("X-", min_size=1, max_size=90))
def test_rfc2047_2_lines_of_encoded_words_are_short(text: str, name: str) -> None:
    for written in (write_field(name, "Text", text), write_field(name, "Addresses", [{"name": text, "email": "a@b"}])):
        lines = written.decode().split("\r\n")
        assert all(len(line) <= 76 for line in lines if "=?" in line)
        assert lines[0].startswith(f"{name}:")


EMAIL_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["t", "text/plain", "B1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["partId", "blobId", "type", "subParts", "name", "cid", "value", "email"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["from", "subject", "textBody", "htmlBody", "attachments", "bodyStructure", "bodyValues", "header:X:asText", "headers",
                                        "messageId", "sentAt", "header:To:asGroupedAddresses"]), EMAIL_VALUES, max_size=5))  # fmt: skip
def test_any_object_becomes_a_draft_or_a_set_error(email: dict[str, Any]) -> None:
    try:
        draft = read_draft(email, "x.example", NOW)
    except SetError as error:
        assert error.as_object()["properties"]  # noqa: PT017 — some objects are drafts
        return
    raw = compose(draft, lambda _blob: b"content")
    assert parse_message(raw).message_id


def test_deep_structures_are_refused() -> None:
    structure: dict[str, Any] = {"partId": "t"}
    for _ in range(30):
        structure = {"type": "multipart/mixed", "subParts": [structure]}
    with pytest.raises(SetError):
        read_draft({"bodyStructure": structure, "bodyValues": {"t": {"value": "x"}}}, "x.example", NOW)


@given(
    st.sampled_from(["base64", "quoted-printable", "x-uuencode"]),
    st.binary(max_size=300),
    st.lists(st.integers(0, 300), max_size=4),
)
def test_streams_decode_as_whole_bodies_do(encoding: str, data: bytes, cuts: list[int]) -> None:
    decode = decoder_for(encoding)
    assert decode is not None
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]

    async def source() -> AsyncIterator[bytes]:
        for start, end in itertools.pairwise(edges):
            yield data[start:end]

    async def run() -> bytes:
        return b"".join([piece async for piece in decode(source())])

    assert asyncio.run(run()) == decode_transfer(data, encoding)[0]
