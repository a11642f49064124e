"""Names that people choose: what they may be, what is kept for offices, what looks alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_accounts.domain.addresses import wanted
from petitbleu_accounts.domain.chosen_names import MAX_CHOSEN, NameFault, alike_digest, judge_local


@pytest.mark.parametrize("local", ["alice", "jean-paul.martin", "a1", "x" * MAX_CHOSEN, "o_brien", "francois"])
def test_ordinary_names_may_be_chosen(local: str) -> None:
    assert judge_local(local) is NameFault.NONE


@pytest.mark.parametrize(
    "local",
    [
        "", ".alice", "alice.", "al..ice", "al.-ice", "alice+news", '"al ice"', "x" * (MAX_CHOSEN + 1), "\u0430lice", "\u03b1lice", "ali\u200bce",
        "\uff41lice", "ﬁona", "ali/ce", "łukasz", "a b", "a\0", "李", "zoe\u0301", "zoé", "Alice", "a", "a__b", "-a", "a_",
    ],
)  # fmt: skip
def test_letters_of_other_scripts_details_and_odd_dots_may_not(local: str) -> None:
    assert judge_local(local) is NameFault.BAD


@pytest.mark.parametrize(
    "local",
    [
        "postmaster", "abuse", "hostmaster", "webmaster", "security", "noc", "admin", "adm1n", "ad.min", "r00t", "no-reply", "n.o-reply",
        "mailer-daemon", "amis-request", "owner-amis", "amis-bounces", "petit-bleu", "petit.bleu", "peti7bleu".replace("7", "t"), "supp0rt",
    ],
)  # fmt: skip
def test_names_of_offices_and_what_looks_like_them_are_kept(local: str) -> None:
    assert judge_local(local) is NameFault.RESERVED


@pytest.mark.parametrize(
    ("one", "other"),
    [("martin", "rnartin"), ("alice", "a1ice"), ("alice", "al.ice"), ("zoe", "zoé"), ("bob.o", "b0b-0"), ("william", "wiIliam".lower())],
)  # fmt: skip
def test_what_people_take_for_one_another_is_the_same(one: str, other: str) -> None:
    assert alike_digest(f"{one}@a.test") == alike_digest(f"{other}@a.test")
    assert alike_digest(f"{one}@a.test") != alike_digest(f"{other}@b.test")


def test_different_names_are_different() -> None:
    names = ["alice", "bob", "zoe", "jean", "jeanne", "jean1", "jean2", "martin", "martine"]
    assert len({alike_digest(f"{name}@a.test") for name in names}) == len(names)


@given(st.text(max_size=50))
def test_no_text_breaks_the_judge_and_what_may_be_chosen_is_its_own_address(local: str) -> None:
    alike_digest(f"{local}@a.test")
    if judge_local(local) is NameFault.NONE:
        want = wanted(f"{local}@a.test")
        assert want is not None
        assert not want.detail
        assert want.domain == "a.test"
