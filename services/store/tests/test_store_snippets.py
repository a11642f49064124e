"""How much mail is opened for snippets."""

from __future__ import annotations

from petitbleu_store.service.snippets import MAX_OCTETS, affordable


def test_rfc8621_5_1_as_many_messages_are_opened_as_there_is_room_for() -> None:
    sizes = {1: 10, 2: MAX_OCTETS, 3: MAX_OCTETS - 10, 4: 1}
    rows = [{"message_id": number, "size": size} for number, size in sizes.items()]
    assert [row["message_id"] for row in affordable(rows, [1, 2, 9, 3, 4])] == [1, 3]
    assert [row["message_id"] for row in affordable(rows, [4, 1])] == [4, 1]


def test_a_message_larger_than_all_the_room_is_opened_when_it_comes_first() -> None:
    rows = [{"message_id": number, "size": MAX_OCTETS + 1} for number in (1, 2)]
    assert [row["message_id"] for row in affordable(rows, [2, 1])] == [2]
