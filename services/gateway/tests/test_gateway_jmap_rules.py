"""Rules of JMAP without a wire: I-JSON, ids, references, patches, values."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_gateway.domain.body_values import body_value, octets_to_read, truncate
from petitbleu_gateway.domain.email_view import EmailView, UnknownPropertyError, utc_date
from petitbleu_gateway.domain.filters import millis
from petitbleu_gateway.domain.header_forms import parse_header_property
from petitbleu_gateway.domain.patches import split_patch, store_update
from petitbleu_gateway.errors import MethodError, SetError
from petitbleu_gateway.jmap import ids, ijson, references
from petitbleu_gateway.methods.email_get import Octets, _merged
from petitbleu_mail.mime import Part

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_ijson_reads_all_json(value: Any) -> None:
    for ascii_only in (True, False):
        assert ijson.decode(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8")) == value


@given(st.binary())
def test_ijson_refuses_or_reads_but_never_breaks(data: bytes) -> None:
    with contextlib.suppress(ijson.NotIJsonError):
        ijson.decode(data)


def test_ijson_takes_numbers_of_any_length_as_doubles() -> None:
    assert ijson.decode(b"123456789012345678901234567890") == pytest.approx(1.2345678901234568e29)
    for text in (b"1" * 400, b"1e400", b"Infinity", b"-Infinity", b"NaN"):
        with pytest.raises(ijson.NotIJsonError):
            ijson.decode(text)


def test_ijson_bounds_what_a_request_may_become() -> None:
    with pytest.raises(ijson.NotIJsonError):
        ijson.decode(b"[" + b"{}," * 600_000 + b"{}]")


@given(st.integers(1, 2**63 - 1))
def test_ids_come_back(number: int) -> None:
    assert ids.account_number(ids.account_id_text(number)) == number
    assert ids.is_id(ids.account_id_text(number))
    assert ids.message_number(f"M{number}") == number
    assert ids.blob_name(ids.blob_id(number, "1.2")) == (number, 0, "1.2", (), 0)
    assert ids.state_number(ids.state_text(number)) == number


@given(st.text() | st.from_regex(r"[MFTBa][0-9a-z.-]{0,30}", fullmatch=True))
def test_ids_that_are_none_name_nothing(text: str) -> None:
    number = ids.message_number(text)
    assert number is None or f"M{number}" == text
    account = ids.account_number(text)
    assert account is None or ids.account_id_text(account) == text
    ids.blob_name(text)
    ids.state_number(text)


@given(JSON, st.text() | st.from_regex(r"(/([a-z*]|[0-9]|~0|~1){0,3}){0,4}", fullmatch=True))
def test_references_find_or_fail_by_the_book(value: Any, path: str) -> None:
    responses: list[references.Response] = [("Core/echo", {"a": value}, "c")]
    try:
        references.resolve(
            {"#x": {"resultOf": "c", "name": "Core/echo", "path": path}}, responses, references.Allowance()
        )
    except MethodError as error:
        assert error.fault.value == "invalidResultReference"  # noqa: PT017 — some pointers fit


def test_references_flatten_arrays_only_once() -> None:
    responses: list[references.Response] = [("Core/echo", {"list": [{"a": [[1], [2]]}, {"a": 3}]}, "c")]
    found = references.resolve(
        {"#x": {"resultOf": "c", "name": "Core/echo", "path": "/list/*/a"}}, responses, references.Allowance()
    )
    assert found == {"x": [[1], [2], 3]}


def test_references_to_references_do_not_multiply_without_end() -> None:
    responses: list[references.Response] = [("Core/echo", {"x": "y" * 100}, "c0")]
    allowance = references.Allowance()
    with pytest.raises(MethodError) as caught:
        for depth in range(30):
            twice = {"resultOf": f"c{depth}", "name": "Core/echo", "path": ""}
            found = references.resolve({"#a": twice, "#b": twice}, responses, allowance)
            responses.append(("Core/echo", found, f"c{depth + 1}"))
    assert caught.value.fault.value == "requestTooLarge"
    assert len(json.dumps([result for _, result, _ in responses])) < 3 * references.MAX_OCTETS


PATCH = st.dictionaries(
    st.text() | st.from_regex(r"(keywords|mailboxIds)(/[a-zF0-9~ ]{0,4}){0,2}", fullmatch=True),
    st.none() | st.booleans() | st.integers() | st.dictionaries(st.text(max_size=4), st.booleans(), max_size=2), max_size=4,
)  # fmt: skip


@given(PATCH)
def test_patches_become_updates_or_set_errors(patch: dict[str, Any]) -> None:
    try:
        paths, _ = split_patch(patch)
        update = store_update(5, paths, lambda text: text)
    except SetError as error:
        assert error.as_object()["type"] in {"invalidPatch", "invalidProperties", "tooManyKeywords"}  # noqa: PT017 — some are patches
    else:
        assert all(keyword == keyword.lower() for keyword in update.add_keywords)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1970-01-01T00:00:00Z", 1), ("1970-01-01T00:00:01Z", 1000), ("2025-07-01T10:00:00.5Z", 1751364000500), ("1969-12-31T23:59:59Z", -1000),
     ("2025-07-01T10:00:00.123456Z", 1751364000123), ("0001-01-01T00:00:00Z", -62135596800000)],
)  # fmt: skip
def test_utc_dates_as_milliseconds(text: str, value: int) -> None:
    assert millis(text) == value


@given(st.integers(0, 253402300799999))
def test_utc_dates_come_back(value: int) -> None:
    assert millis(utc_date(value)) == (value or 1)


@given(st.integers(-(2**62), 2**62))
def test_utc_date_of_any_number_is_a_date(value: int) -> None:
    assert utc_date(value).endswith("Z")


@given(st.text(), st.integers(1, 40), st.booleans())
def test_truncated_text_is_a_beginning_within_the_limit(text: str, limit: int, html: bool) -> None:
    text = text.encode("utf-8", "replace").decode()
    short, cut = truncate(text, limit, html=html)
    assert text.startswith(short)
    assert len(short.encode()) <= limit
    assert cut or short == text
    assert not cut or len(text.encode()) > limit


@given(st.binary(max_size=400), st.sampled_from([None, "base64", "quoted-printable", "x-uuencode", "x"]), st.sampled_from([None, "utf-8", "utf-16", "none"]),
       st.integers(0, 50))  # fmt: skip
def test_body_values_of_any_octets(raw: bytes, encoding: str | None, charset: str | None, limit: int) -> None:
    part = Part("text/html", 0, 0, len(raw), encoding=encoding, charset=charset)
    found = body_value(part, raw[: octets_to_read(part, limit)], limit)
    assert not limit or len(found["value"].encode()) <= limit


def test_header_properties_are_parsed() -> None:
    found = parse_header_property("header:X-Foo:asText:all")
    assert found is not None
    assert (found.name, found.field, found.form, found.all) == ("X-Foo", "x-foo", "Text", True)
    assert parse_header_property("header:SUBJECT:asText") is not None
    assert parse_header_property("header:Subject:asDate") is None


@given(st.text() | st.from_regex(r"header:[A-Za-z-]{0,8}(:as[A-Z][a-z]{2,10})?(:all)?", fullmatch=True))
def test_views_know_a_property_or_refuse_it(key: str) -> None:
    for properties in (([key], ()), (("bodyStructure",), [key])):
        try:
            EmailView(*properties)
        except UnknownPropertyError as error:
            assert error.args == (key,)  # noqa: PT017 — some exist


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=6))
def test_merged_ranges_cover_what_was_asked(pairs: list[tuple[int, int]]) -> None:
    merged = _merged(pairs, 900_000)
    wanted = [(start, min(end, 900_000)) for start, end in pairs if start < min(end, 900_000)]
    for start, end in wanted:
        assert any(first <= start and end <= last for first, last in merged)
    assert all(later[0] > earlier[1] for earlier, later in itertools.pairwise(merged))
    octets = Octets()
    octets.add(10, b"0123456789")
    assert (octets.get(12, 14), octets.get(5, 8), octets.get(18, 30)) == (b"23", b"", b"89")


def test_i_json_floats_stay_floats() -> None:
    assert math.isclose(ijson.decode(b"1.5"), 1.5)


def test_a_header_is_not_asked_for_in_all_the_ways_to_write_its_name() -> None:
    for field, form in (("Subject", "Text"), ("From", "Addresses")):
        names = [field[:at] + field[at:].swapcase() for at in range(5)]
        all_of_them = [f"header:{name}:as{form}" for name in names]
        for properties in ((all_of_them, ()), ((), all_of_them)):
            with pytest.raises(UnknownPropertyError):
                EmailView(*properties)
        EmailView(all_of_them[1:], all_of_them[1:])
    EmailView(
        ["header:Subject:asText", "header:Subject", "header:Subject:asRaw", "header:Subject:asText:all"],
        ["header:Subject:asText"],
    )
