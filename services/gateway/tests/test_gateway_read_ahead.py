"""What a list's Email/get needs comes with its Email/query, and with no other."""

from __future__ import annotations

from typing import Any

import pytest

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.jmap.read_ahead import rows_of, wants_rows

QUERY: tuple[str, dict[str, Any], str] = ("Email/query", {"accountId": "a", "limit": 50}, "0")
IDS = {"resultOf": "0", "name": "Email/query", "path": "/ids"}


def get(**arguments: Any) -> tuple[str, dict[str, Any], str]:
    return ("Email/get", {"accountId": "a", "#ids": IDS, **arguments}, "1")


@pytest.mark.parametrize("then", [get(), get(properties=["id", "subject"]), get(properties=None)])
def test_a_list_is_read_with_its_query(then: tuple[str, dict[str, Any], str]) -> None:
    assert wants_rows([QUERY, then], 0)


@pytest.mark.parametrize(
    "calls",
    [
        [QUERY],
        [QUERY, get(properties=["threadId"])],
        [QUERY, get(accountId="b")],
        [QUERY, ("Email/get", {"accountId": "a", "ids": ["M1"]}, "1")],
        [QUERY, get(**{"#ids": {**IDS, "resultOf": "other"}})],
        [QUERY, get(**{"#ids": {**IDS, "path": "/ids/*"}})],
        [QUERY, ("Email/set", {"accountId": "a"}, "s"), get()],
        [("Email/query", {"accountId": "a"}, "0"), get()],
        [("Email/query", {"accountId": "a", "limit": 101}, "0"), get()],
        [("Email/query", {"accountId": "a", "limit": "50"}, "0"), get()],
        [("Mailbox/query", {"accountId": "a", "limit": 50}, "0"), get()],
    ],
)
def test_nothing_else_is_read_ahead(calls: list[tuple[str, dict[str, Any], str]]) -> None:
    assert not wants_rows(calls, 0)


def test_rows_serve_the_messages_that_they_are_of() -> None:
    answer = pb.QueryMessagesResponse(message_ids=[3, 1], rows=pb.GetMessagesResponse(modseq=7))
    assert rows_of(answer, [3, 1]) == answer.rows
    assert rows_of(answer, [1, 3]) is None
    assert rows_of(None, [3, 1]) is None
    assert rows_of(pb.QueryMessagesResponse(message_ids=[3]), [3]) is None
