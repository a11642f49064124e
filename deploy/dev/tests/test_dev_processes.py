"""Who belongs to a stack, and what the reaper and the control socket make of what they are told."""

from __future__ import annotations

import os
import signal
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_dev import proctable, reaper
from petitbleu_dev.control import ControlError, parse_request
from petitbleu_dev.proctable import Entry


def entry(pid: int, parent: int, group: int | None = None, session: int | None = None) -> Entry:
    return Entry(pid=pid, parent=parent, group=group or pid, session=session or group or pid, state="S")


def test_a_status_line_with_an_evil_program_name_is_read() -> None:
    parsed = proctable.parse_stat("71 (a) b (c) R 1 2 3) S 5 70 69 0 -1")
    assert parsed == Entry(pid=71, parent=5, group=70, session=69, state="S")


@given(st.text(), st.integers(1, 2**22), st.integers(0, 2**22))
def test_any_program_name_is_read(name: str, pid: int, parent: int) -> None:
    parsed = proctable.parse_stat(f"{pid} ({name}) R {parent} {pid} {pid} 0")
    assert (parsed.pid, parsed.parent, parsed.state) == (pid, parent, "R")


@given(st.text(alphabet=string.printable))
def test_anything_else_is_a_value_error(text: str) -> None:
    try:
        parsed = proctable.parse_stat(text)
    except ValueError:
        return
    head, _, tail = text.rpartition(")")
    assert int(head.partition(" ")[0]) == parsed.pid
    assert tail.split()[0] == parsed.state
    assert int(tail.split()[1]) == parsed.parent


def test_family_follows_parents_groups_and_sessions() -> None:
    table = [
        entry(10, 1),
        entry(11, 10, group=10),
        entry(12, 11),  # a grandchild with a session of its own
        entry(13, 1, group=10),  # an orphan still in the leader's group
        entry(20, 1),
        entry(21, 20),
    ]
    assert proctable.family([10], table) == {10, 11, 12, 13}
    assert proctable.family([], table) == set()
    assert proctable.family([999], table) == set()


def test_this_process_is_found_among_the_living_and_by_its_environment() -> None:
    assert os.getpid() in {living.pid for living in proctable.entries()}
    name, value = next(iter(pair) for pair in [("PATH", os.environ["PATH"])])
    assert os.getpid() in proctable.carrying(f"{name}={value}")
    assert os.getpid() not in proctable.carrying(f"{name}={value}-and-more")


def test_the_reaper_keeps_who_was_added_and_not_removed() -> None:
    lines = ["add 5 15\n", "add 6 9\n", "del 5\n", "add 7 3\n"]
    assert reaper.read_leaders(lines) == {6: signal.SIGKILL, 7: signal.SIGQUIT}


def test_the_reaper_does_nothing_after_an_orderly_end() -> None:
    assert reaper.read_leaders(["add 5 15\n", "bye\n"]) is None


@given(st.lists(st.one_of(st.text(), st.from_regex(r"(add|del) [0-9a]{0,3}( [0-9]{0,3})?", fullmatch=True))))
def test_the_reaper_survives_any_line(lines: list[str]) -> None:
    leaders = reaper.read_leaders(["add 77 9\n", *lines])
    cancelled = any(line.split() in (["bye"], ["del", "77"]) for line in lines)
    assert cancelled or (leaders is not None and 77 in leaders) or any("77" in line for line in lines)


@given(st.binary())
def test_a_request_is_an_object_with_a_verb_or_refused(line: bytes) -> None:
    try:
        request = parse_request(line)
    except ControlError:
        return
    assert isinstance(request["verb"], str)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"verb": 1}', b"{", b"\xff", b"[" * 100_000])
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ControlError):
        parse_request(line)
