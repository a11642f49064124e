"""Orders by names are made in one place, and what is asked for twice is decided once."""

from __future__ import annotations

from typing import Any

import pytest

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_mail.sorted_by import SortedBy
from petitbleu_store.domain.seen_changes import History, Seen, TooMuchError
from petitbleu_store.service import query_lists
from petitbleu_store.service.query_lists import in_order

SUBJECT = pb.MessageSort(property=pb.SORT_PROPERTY_SUBJECT, ascending=True)
FROM = pb.MessageSort(property=pb.SORT_PROPERTY_FROM)


def test_rfc8621_4_4_2_a_comparator_that_comes_twice_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {number: SortedBy(f"from {number % 3}", "", f"subject {number % 7}") for number in range(50)}
    rows: list[dict[str, Any]] = [{"message_id": number, "received_ms": number % 5} for number in range(50)]
    wanted = sorted(rows, key=lambda row: (row["received_ms"], row["message_id"]), reverse=True)
    wanted.sort(key=lambda row: names[row["message_id"]].from_, reverse=True)
    wanted.sort(key=lambda row: names[row["message_id"]].subject)
    made: list[int] = []
    key = query_lists._key

    def counted(number: int, *given: Any) -> Any:
        made.append(number)
        return key(number, *given)

    monkeypatch.setattr(query_lists, "_key", counted)
    again = pb.MessageSort(
        property=pb.SORT_PROPERTY_SUBJECT, ascending=False
    )  # decided already, so its direction is of no matter
    assert in_order(rows, [SUBJECT, FROM, again, SUBJECT, FROM, SUBJECT, again, FROM], names) == wanted
    assert made == [1, 0]
    made.clear()
    default = pb.MessageSort(property=pb.SORT_PROPERTY_SUBJECT, ascending=True, collation=pb.COLLATION_UNICODE_CASEMAP)
    assert in_order(rows, [SUBJECT, FROM, default], names) == wanted
    assert made == [1, 0], "no collation and the default one are the same"


def test_shares_toggled_without_end_are_not_gone_through_for_each_message() -> None:
    """Each toggle times each message would be minutes and gigabytes: the client starts anew instead."""
    steps = [(modseq, frozenset({6} if modseq % 2 else ())) for modseq in range(1, 2001)]
    seen = Seen(0, 2001, History(frozenset(), steps), [])
    seen.messages = {number: History(frozenset({6})) for number in range(1, 2001)}
    seen.threads = dict.fromkeys(range(1, 2001), 1)
    with pytest.raises(TooMuchError):
        seen.of_messages(1_000_000)
