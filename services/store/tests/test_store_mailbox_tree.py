"""RFC 8620 §5.3 and RFC 8621 §2: what a request leaves of the mailboxes of an account, without a database."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_mail.mailbox_rules import MAX_DEPTH
from petitbleu_store.domain.mailbox_outcome import MailboxRow, Outcome
from petitbleu_store.domain.mailbox_tree import MAX_MAILBOXES, Change
from petitbleu_store.domain.standard_mailboxes import INBOX, STANDARD, TRASH

Update = pb.MailboxUpdate


def key(name: str) -> int:
    return hash("INBOX" if name.upper() == "INBOX" else name)


def row(mailbox_id: int, name: str, parent_id: int = 0, role: str = "") -> MailboxRow:
    return MailboxRow(mailbox_id, parent_id, role, 0, True, key(name), b"", 0)


def account(*own: MailboxRow) -> dict[int, MailboxRow]:
    standard = [row(one.mailbox_id, one.english, 0, one.role) for one in STANDARD]
    return {one.mailbox_id: one for one in [*standard, *own]}


def change(
    rows: dict[int, MailboxRow], *updates: pb.MailboxUpdate, occupied: tuple[int, ...] = ()
) -> tuple[Outcome, list[list[str]]]:
    before = copy.deepcopy(rows)
    found = Change(rows, updates, occupied, key).outcome()
    assert rows == before
    told = [
        sorted(pb.MailboxFault.Name(one).removeprefix("MAILBOX_FAULT_") for one in found.refused.get(index, ()))
        for index in range(len(updates))
    ]
    return found, told


def test_names_are_exchanged_beside_a_change_that_is_refused() -> None:
    rows = account(row(64, "a"), row(65, "b"), row(66, "c"))
    found, told = change(
        rows, Update(mailbox_id=64, name="b"), Update(mailbox_id=66, name="Inbox"), Update(mailbox_id=65, name="a")
    )
    assert told == [[], ["NAME_TAKEN"], []]
    assert (found.tree[64].name_hash, found.tree[65].name_hash) == (key("b"), key("a"))


def test_a_chain_of_names_that_ends_at_a_name_taken_is_refused_whole() -> None:
    rows = account(row(64, "a"), row(65, "b"), row(66, "c"))
    _, told = change(rows, Update(mailbox_id=64, name="b"), Update(mailbox_id=65, name="c"))
    assert told == [["NAME_TAKEN"], ["NAME_TAKEN"]]


def test_the_first_of_two_that_want_one_name_has_it() -> None:
    found, told = change(
        account(),
        Update(name="x"),
        Update(name="x"),
        Update(name="y", role="important"),
        Update(name="z", role="important"),
    )
    assert told == [[], ["NAME_TAKEN"], [], ["ROLE_TAKEN"]]
    assert set(found.tree) - set(account()) == {-1, -3}


def test_who_lost_to_a_change_that_is_refused_has_its_chance() -> None:
    rows = account(row(64, "a"), row(65, "b"))
    _, told = change(rows, Update(mailbox_id=64, name="x", role="inbox"), Update(mailbox_id=65, name="x"))
    assert told == [["ROLE_TAKEN"], []]


def test_parents_and_children_are_made_and_destroyed_in_any_order() -> None:
    found, told = change(
        account(row(64, "a"), row(65, "b", 64)), Update(name="leaf", parent_created_by=1), Update(name="root"),
        Update(created_by=0, sort_order=7), Update(mailbox_id=64, destroy=True), Update(mailbox_id=65, destroy=True),
    )  # fmt: skip
    assert told == [[]] * 5
    assert (found.tree[-1].parent_id, found.tree[-1].sort_order) == (-2, 7)
    assert found.targets == [-1, -2, -1, 64, 65]
    assert not {64, 65} & set(found.tree)


def test_what_depends_on_a_refused_creation_is_refused_too() -> None:
    found, told = change(
        account(), Update(name=" "), Update(name="below", parent_created_by=0), Update(created_by=0, name="other"),
        Update(name="x", parent_created_by=9), Update(name="y", parent_id=-1), Update(mailbox_id=-5, name="z"),
    )  # fmt: skip
    assert told == [["NAME"], ["PARENT"], [], ["PARENT"], ["PARENT"], []]
    assert set(found.tree) == set(account())
    assert found.status(2) == found.status(5) == pb.UPDATE_STATUS_NOT_FOUND


def test_all_that_is_wrong_is_told() -> None:
    _, told = change(account(), Update(name="", parent_id=99, role="nothing", sort_order=-1))
    assert told == [["NAME", "PARENT", "ROLE", "SORT_ORDER"]]


def test_loops_and_depth() -> None:
    chain = [row(64 + level, f"l{level}", 63 + level if level else 0) for level in range(MAX_DEPTH)]
    rows = account(*chain, row(200, "other"))
    last = 63 + MAX_DEPTH
    _, told = change(
        rows, Update(mailbox_id=64, parent_id=last), Update(mailbox_id=64, parent_id=64), Update(name="x", parent_id=last),
        Update(mailbox_id=200, parent_id=last - 1), Update(mailbox_id=64, parent_id=TRASH),
    )  # fmt: skip
    assert told == [["PARENT"], ["PARENT"], ["PARENT"], [], ["PARENT"]]
    _, told = change(account(), Update(name="a", parent_created_by=1), Update(name="b", parent_created_by=0))
    assert told == [["PARENT"], ["PARENT"]]


def test_the_standard_ones_stay_and_the_same_again_is_allowed() -> None:
    _, told = change(
        account(), Update(mailbox_id=INBOX, name="Mine"), Update(mailbox_id=INBOX, parent_id=TRASH), Update(mailbox_id=TRASH, destroy=True),
        Update(mailbox_id=TRASH, role="important"), Update(mailbox_id=INBOX, name="Inbox", parent_id=0, role="inbox", sort_order=3),
        Update(mailbox_id=TRASH, name="Corbeille", parent_id=INBOX),
    )  # fmt: skip
    assert told == [["STANDARD"], ["STANDARD"], ["STANDARD"], ["STANDARD"], [], []]


def test_destruction_waits_for_children_and_messages() -> None:
    rows = account(row(64, "a"), row(65, "b", 64), row(66, "c"))
    _, told = change(
        rows,
        Update(mailbox_id=64, destroy=True),
        Update(mailbox_id=66, destroy=True),
        Update(name="d", parent_id=64),
        occupied=(66,),
    )
    assert told == [["HAS_CHILD"], ["HAS_MESSAGES"], []]
    found, told = change(rows, Update(mailbox_id=66, destroy=True, with_messages=True), occupied=(66,))
    assert told == [[]]
    assert 66 not in found.tree


def test_an_account_has_a_bound() -> None:
    rows = account(*[row(100 + number, f"n{number}") for number in range(MAX_MAILBOXES - 8)])
    _, told = change(rows, *[Update(name=f"new {number}") for number in range(4)])
    assert told == [[], [], ["TOO_MANY"], ["TOO_MANY"]]


@pytest.mark.parametrize(
    ("updates", "done"),
    [
        ([Update(name="x") for _ in range(900)], 1),
        ([Update(name=f"n{at}", role="important") for at in range(900)], 1),
        # each takes the name of the next, and the last one's is taken
        ([Update(mailbox_id=100 + at, name=f"n{at + 1}") for at in range(499)], 0),
        # each is in the next, and there is no place for the last
        ([*(Update(name=f"x{at}", parent_created_by=at + 1) for at in range(400)), Update(name="n0")], 0),
        ([*(Update(name=f"x{at}", parent_created_by=at + 1) for at in range(400)), Update(name="x400")], 1),
        ([Update(name=f"x{at}", parent_id=99) for at in range(900)], 0),
        ([Update(mailbox_id=100 + at % 499, destroy=True) for at in range(998)], 499),
    ],
)
def test_changes_that_stand_in_each_other_s_way_are_gone_through_a_few_times_only(
    updates: list[pb.MailboxUpdate], done: int
) -> None:
    tries = 0

    class Counted(Change):
        def _try(self, active: Sequence[int]) -> Any:
            nonlocal tries
            tries += 1
            return super()._try(active)

    rows = account(*[row(100 + number, f"n{number}") for number in range(500)])
    found = Counted(rows, updates, (), key).outcome()
    assert len(updates) - len(found.refused) == done
    assert tries <= 4


UPDATES = st.lists(
    st.builds(
        Update, mailbox_id=st.integers(60, 70), destroy=st.booleans(), name=st.none() | st.sampled_from(["a", "b", "c", "inbox", ""]),
        parent_id=st.none() | st.sampled_from([0, 1, 64, 65, 66, 67, 99]), role=st.none() | st.sampled_from(["", "all", "important", "inbox"]),
        created_by=st.none() | st.integers(0, 4), parent_created_by=st.none() | st.integers(-1, 4),
    )
    | st.builds(Update, name=st.sampled_from(["a", "b", "x"]), parent_id=st.sampled_from([0, 64, 65]), parent_created_by=st.none() | st.integers(0, 5)),
    max_size=8,
)  # fmt: skip


@given(UPDATES)
def test_whatever_is_asked_a_right_hierarchy_is_left(updates: list[pb.MailboxUpdate]) -> None:
    rows = account(row(64, "a"), row(65, "b", 64), row(66, "c", 65), row(67, "a", 64, "all"))
    found, _ = change(rows, *updates, occupied=(66,))
    tree = found.tree
    assert set(account()) <= set(tree)
    assert all(one == tree[one].mailbox_id for one in tree)
    assert len({(one.parent_id, one.name_hash) for one in tree.values()}) == len(tree)
    roles = [one.role for one in tree.values() if one.role]
    assert len(set(roles)) == len(roles)
    for one in tree.values():
        at, steps = one.parent_id, 0
        while at:
            at, steps = tree[at].parent_id, steps + 1
            assert steps < MAX_DEPTH
