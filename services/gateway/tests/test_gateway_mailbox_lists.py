"""RFC 8621 §2.3: the order of mailboxes as a tree is what comparing them two by two gives."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.mailbox_lists import MailboxList
from petitbleu_gateway.domain.mailbox_view import MailboxView, levels, rights
from petitbleu_mail.collations import ascii_casemap, unicode_casemap
from petitbleu_mail.mailbox_rules import FREE_ROLES, MAX_DEPTH, STANDARD_ROLES

NAMES = st.sampled_from(["a", "B", "c", "É", "e", "ß", "日"])


@st.composite
def forests(draw: st.DrawFn) -> list[pb.Mailbox]:
    """Mailboxes, each below one that came before it or at the top, in any order."""
    count = draw(st.integers(0, 9))
    found = [
        pb.Mailbox(
            mailbox_id=number, parent_id=draw(st.integers(0, number - 1)), name=draw(NAMES), sort_order=draw(st.integers(0, 2)),
            subscribed=draw(st.booleans()),
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
    return draw(st.permutations(found))


def line(by_id: dict[int, pb.Mailbox], one: pb.Mailbox) -> list[pb.Mailbox]:
    """A mailbox and those above it, from the top."""
    above = line(by_id, by_id[one.parent_id]) if one.parent_id else []
    return [*above, one]


def compared(by_id: dict[int, pb.Mailbox], sort: list[dict[str, Any]], a: pb.Mailbox, b: pb.Mailbox) -> int:
    """RFC 8621 §2.3, sortAsTree, as it stands there."""
    above_a, above_b = line(by_id, a), line(by_id, b)
    if a in above_b or b in above_a:
        return -1 if a in above_b else 1
    # The nearest ancestors of each that have the same parent.
    one, other = next((x, y) for x, y in zip(above_a, above_b, strict=False) if x != y)
    assert one.parent_id == other.parent_id
    for comparator in sort:
        if comparator["property"] == "sortOrder":
            same, less = one.sort_order == other.sort_order, one.sort_order < other.sort_order
        else:
            x, y = unicode_casemap(one.name), unicode_casemap(other.name)
            same, less = x == y, x < y
        if not same:
            return -1 if less is comparator["isAscending"] else 1
    return -1 if one.mailbox_id < other.mailbox_id else 1


SORTS = st.lists(
    st.fixed_dictionaries({"property": st.sampled_from(["name", "sortOrder"]), "isAscending": st.booleans()}),
    max_size=3,
)


def numbers(
    forest: list[pb.Mailbox], sort: Any = None, wanted: Any = None, *, by_tree: bool = False, whole: bool = False
) -> list[int]:
    return MailboxList(wanted, sort, by_tree, whole, str).of(forest)


@given(forests(), SORTS)
def test_rfc8621_2_3_a_tree_is_sorted_as_its_pairs_are(forest: list[pb.Mailbox], sort: list[dict[str, Any]]) -> None:
    by_id = {one.mailbox_id: one for one in forest}
    order = functools.cmp_to_key(functools.partial(compared, by_id, sort))
    assert numbers(forest, sort, by_tree=True) == [one.mailbox_id for one in sorted(forest, key=order)]


@given(forests())
def test_rfc8621_2_3_a_filtered_tree_has_no_gap(forest: list[pb.Mailbox]) -> None:
    by_id = {one.mailbox_id: one for one in forest}
    found = numbers(forest, wanted={"isSubscribed": True}, whole=True)
    assert found == sorted(one for one in by_id if all(above.subscribed for above in line(by_id, by_id[one])))


@given(forests())
def test_levels_and_rights_follow_the_hierarchy(forest: list[pb.Mailbox]) -> None:
    by_id = {one.mailbox_id: one for one in forest}
    assert levels(MailboxView(forest).parents) == {0: 0, **{one: len(line(by_id, by_id[one])) for one in by_id}}
    for one in forest:
        assert MailboxView(forest).value(one, "myRights")["mayCreateChild"]


@pytest.mark.parametrize("role", sorted(STANDARD_ROLES | FREE_ROLES | {""}))
def test_rfc8621_2_rights_by_role(role: str) -> None:
    found = rights(role, MAX_DEPTH)
    assert found["mayDelete"] is (role not in STANDARD_ROLES)
    assert found["mayRename"] is (role != "inbox")
    assert not found["mayCreateChild"]


def test_rfc5051_2_casemap_compares_what_looks_alike() -> None:
    assert unicode_casemap("\u00e9t\u00e9") == unicode_casemap("E\u0301T\u00c9")
    assert unicode_casemap("a") < unicode_casemap("B") < unicode_casemap("c")
    assert ascii_casemap("\u00e9a") != ascii_casemap("\u00c9A")
