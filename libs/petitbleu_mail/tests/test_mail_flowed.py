"""Tests of format=flowed (RFC 3676): its own examples, and paragraphs that are wrapped and found again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail import flowed
from petitbleu_mail.flowed import Paragraph, deletes_spaces, is_flowed, paragraphs, read_fixed, read_flowed


def shown(found: list[Paragraph]) -> list[tuple[int, str]]:
    return [(p.depth, p.text) for p in found]


def test_rfc3676_4_2_flowed_lines_are_one_paragraph() -> None:
    text = "`Take some more tea,' the March Hare said to Alice, \nvery earnestly.\n\n`I've had nothing yet,' Alice replied in an \noffended tone.\n"
    assert shown(read_flowed(text)) == [
        (0, "`Take some more tea,' the March Hare said to Alice, very earnestly."),
        (0, ""),
        (0, "`I've had nothing yet,' Alice replied in an offended tone."),
    ]


def test_rfc3676_4_5_quoting_depth_ends_a_paragraph() -> None:
    # The example of §4.5, whose lines end in a blank although the depth changes
    text = (
        ">>>Thou art a villainous ill-breeding spongy dizzy-eyed \n>>>reeky elf-skinned pigeon-egg! \n"
        ">>Thou artless swag-bellied milk-livered dismal-dreaming \n>>idle-headed scut!\n>Thou errant folly-fallen \n"
        "Henceforth, the coding style is to be strictly \nenforced.\n"
    )
    assert shown(read_flowed(text)) == [
        (3, "Thou art a villainous ill-breeding spongy dizzy-eyed reeky elf-skinned pigeon-egg! "),
        (2, "Thou artless swag-bellied milk-livered dismal-dreaming idle-headed scut!"),
        (1, "Thou errant folly-fallen "),
        (0, "Henceforth, the coding style is to be strictly enforced."),
    ]


def test_rfc3676_4_4_one_stuffed_blank_is_taken() -> None:
    assert shown(read_flowed(" >no quote\n> > one\n From me\n  two\n>\n")) == [
        (0, ">no quote"),
        (1, "> one"),
        (0, "From me"),
        (0, " two"),
        (1, ""),
    ]


def test_rfc3676_4_3_the_signature_line_stands_alone() -> None:
    found = read_flowed("> his \n> -- \n> he\nflowed \n-- \nme \nmyself\n")
    assert shown(found) == [(1, "his "), (1, "-- "), (1, "he"), (0, "flowed "), (0, "-- "), (0, "me myself")]
    assert [p.is_signature for p in found] == [False, True, True, False, True, True]
    assert not found[1].is_flowed
    assert [p.text for p in read_flowed("-- \nx", delete_spaces=True)] == ["-- ", "x"]


def test_rfc3676_4_delsp_takes_the_blank_away() -> None:
    assert shown(paragraphs("日本 \n語\n", {"format": "Flowed", "delsp": "YES"})) == [(0, "日本語")]
    assert shown(paragraphs("a  \nb\n", {"format": "flowed", "delsp": "yes"})) == [(0, "a b")]
    assert shown(paragraphs("a \nb\n", {"format": "flowed"})) == [(0, "a b")]
    assert shown(paragraphs("a \nb\n", None)) == [(0, "a "), (0, "b")]


def test_parameters_are_read_leniently() -> None:
    assert is_flowed({"format": " FLOWED "})
    assert not is_flowed({"format": "fixed"})
    assert not is_flowed(None)
    assert not deletes_spaces({"delsp": "no"})


def test_text_that_is_not_flowed_keeps_its_lines() -> None:
    found = read_fixed("On Monday he wrote:\r\n> > deep\r\n>> deep\r\n> once\r\n>\r\nanswer \r\n-- \r\nme\r\n")
    assert shown(found) == [
        (0, "On Monday he wrote:"),
        (2, "deep"),
        (2, "deep"),
        (1, "once"),
        (1, ""),
        (0, "answer "),
        (0, "-- "),
        (0, "me"),
    ]
    assert [p.is_signature for p in found][-3:] == [False, True, True]
    assert read_fixed("") == []


@pytest.mark.parametrize("params", [{"format": "flowed"}, None])
def test_a_text_of_many_lines_is_all_there(params: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flowed, "MAX_LINES", 3)
    found = paragraphs("1\n2\n3\n4\n5\n", params)
    assert [p.text for p in found] == ["1", "2", "3", "4\n5\n"]


words = st.lists(
    st.text("abé>- F", min_size=1, max_size=8).map(lambda w: w.replace(" ", "x")).filter(lambda w: w != "--"),
    min_size=1,
    max_size=12,
)


@given(st.lists(st.tuples(st.integers(0, 4), words), max_size=8), st.booleans())
def test_what_is_wrapped_is_found_again(written: list[tuple[int, list[str]]], delete: bool) -> None:
    lines = []
    for depth, parts in written:
        for index, word in enumerate(parts):
            end = "" if index == len(parts) - 1 else "  " if delete else " "
            lines.append(">" * depth + " " + word + end)
    found = read_flowed("\r\n".join([*lines, ""]), delete_spaces=delete)
    assert shown(found) == [(depth, " ".join(parts)) for depth, parts in written]


@given(st.text(st.sampled_from("> -\n\ra\0é")), st.booleans(), st.booleans())
def test_any_text_has_paragraphs(text: str, flows: bool, delete: bool) -> None:
    found = paragraphs(text, {"format": "flowed" if flows else "", "delsp": "yes" if delete else ""})
    assert len(found) <= text.count("\n") + 1
    assert sum(len(p.text) for p in found) <= len(text)
