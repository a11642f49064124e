"""RFC 8621 §4.4.2: what Email/query sorts by."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient


def put(jmap: JmapClient, fields: str) -> str:
    return jmap.put(f"{fields}\r\nHello\r\n".encode())


def query(jmap: JmapClient, *sort: dict[str, Any], **arguments: Any) -> list[str]:
    found: list[str] = jmap.call("Email/query", sort=list(sort), **arguments)["ids"]
    return found


def by(name: str, *, ascending: bool = True, **more: Any) -> dict[str, Any]:
    return {"property": name, "isAscending": ascending, **more}


def test_rfc8621_1_3_1_every_sort_is_told_of_and_answered(jmap: JmapClient) -> None:
    jmap.mail()
    told = jmap.session["accounts"][jmap.account]["accountCapabilities"]["urn:ietf:params:jmap:mail"]
    # RFC 8621 §4.4.2: receivedAt is a MUST, these are SHOULDs
    assert set(told["emailQuerySortOptions"]) == {
        "receivedAt", "size", "from", "to", "subject", "sentAt", "hasKeyword", "allInThreadHaveKeyword",
        "someInThreadHaveKeyword",
    }  # fmt: skip
    for name in told["emailQuerySortOptions"]:
        keyword: dict[str, Any] = {"keyword": "$seen"} if name.endswith("Keyword") else {}
        assert len(query(jmap, by(name, **keyword))) == 1


@pytest.mark.parametrize("name", ["From", "To"])
def test_rfc8621_4_4_2_sort_by_from_and_to(jmap: JmapClient, name: str) -> None:
    other = {"From": "To", "To": "From"}[name]
    zoe = put(jmap, f"{name}: Zoe <a@x.example>\r\n{other}: q@x.example\r\n")
    bare = put(jmap, f"{name}: m@x.example\r\n{other}: q@x.example\r\n")  # no name: the address counts
    second = put(
        jmap, f"{name}: Anna <z@x.example>, Zz <a@x.example>\r\n{other}: q@x.example\r\n"
    )  # the first one counts
    none = put(jmap, f"{other}: q@x.example\r\n")  # nothing at all: the empty string
    quoted = put(jmap, f'{name}: "" <n@x.example>\r\n{other}: q@x.example\r\n')  # an empty name is none
    order = [none, second, bare, quoted, zoe]
    assert query(jmap, by(name.lower())) == order
    assert query(jmap, by(name.lower(), ascending=False)) == order[::-1]


def test_rfc8621_4_4_2_sort_by_base_subject(jmap: JmapClient) -> None:
    cherry = put(jmap, "Subject: Re: Fwd: [list] Cherry (fwd)\r\n")  # RFC 5256 §2.1
    apple = put(jmap, "Subject: AW apple\r\n")
    banana = put(jmap, "Subject: re:   Banana\r\n")
    none = put(jmap, "From: a@x.example\r\n")
    elder = put(jmap, "Subject: =?utf-8?q?=C3=A9toile?=\r\n")
    assert query(jmap, by("subject")) == [none, apple, banana, cherry, elder]
    assert query(jmap, by("subject", ascending=False)) == [elder, cherry, banana, apple, none]


def test_rfc8620_5_5_collation_of_strings(jmap: JmapClient) -> None:
    lower, upper, accent, accent_upper = [
        put(jmap, f"Subject: {text}\r\n") for text in ("b", "A", "=?utf-8?q?=C3=A9?=", "=?utf-8?q?=C3=89?=")
    ]
    same = by("receivedAt")
    assert query(jmap, by("subject", collation="i;octet"), same) == [upper, lower, accent_upper, accent]
    # RFC 4790 §9.2: only ASCII letters have no case
    assert query(jmap, by("subject", collation="i;ascii-casemap"), same) == [upper, lower, accent_upper, accent]
    # RFC 5051 §2: no letter has one, and an accent comes behind its letter
    assert query(jmap, by("subject", collation="i;unicode-casemap"), same) == [upper, lower, accent, accent_upper]
    # RFC 8620 §5.5: the default knows Unicode
    assert query(jmap, by("subject"), same) == [upper, lower, accent, accent_upper]


def test_rfc8621_4_4_2_equal_ones_follow_the_next_comparator(jmap: JmapClient) -> None:
    first = put(jmap, "Subject: Same\r\nFrom: z@x.example\r\n")
    second = put(jmap, "Subject: Re: same\r\nFrom: m@x.example\r\n")
    third = put(jmap, "Subject: SAME\r\nFrom: z@x.example\r\n")
    assert query(jmap, by("subject"), by("from"), by("receivedAt")) == [second, first, third]
    assert query(jmap, by("subject"), by("from"), by("receivedAt", ascending=False)) == [second, third, first]
    assert query(jmap, by("from", ascending=False), by("receivedAt")) == [first, third, second]
    # what nothing tells apart has a stable order all the same
    assert query(jmap, by("subject")) == query(jmap, by("subject"))


def make_threads(jmap: JmapClient) -> tuple[list[str], str]:
    """Return a thread of two of which one is flagged, and a message alone."""
    first = jmap.mail("Plan", message_id="plan1@x.example")
    second = jmap.mail("Re: Plan", message_id="plan2@x.example", fields="In-Reply-To: <plan1@x.example>\r\n")
    alone = jmap.mail("Alone")
    jmap.call("Email/set", update={first: {"keywords/$flagged": True}})
    return [first, second], alone


def test_rfc8621_4_4_2_sort_by_keywords_of_the_thread(jmap: JmapClient) -> None:
    (first, second), alone = make_threads(jmap)
    dates = by("receivedAt")
    some = by("someInThreadHaveKeyword", keyword="$FLAGGED", ascending=False)
    every = by("allInThreadHaveKeyword", keyword="$flagged", ascending=False)
    assert query(jmap, some, dates) == [first, second, alone]
    assert query(jmap, by("someInThreadHaveKeyword", keyword="$flagged"), dates) == [alone, first, second]
    assert query(jmap, every, dates) == [first, second, alone]  # none of them: all alike
    jmap.call("Email/set", update={alone: {"keywords/$flagged": True}})
    assert query(jmap, every, dates) == [alone, first, second]
    jmap.call("Email/set", update={second: {"keywords/$flagged": True}})
    assert query(jmap, every, dates) == [first, second, alone]


def test_rfc8621_4_4_2_the_example_of_the_standard(jmap: JmapClient) -> None:
    (first, second), alone = make_threads(jmap)
    sort: list[dict[str, Any]] = [
        {"property": "someInThreadHaveKeyword", "keyword": "$flagged", "isAscending": False},
        {"property": "subject", "collation": "i;ascii-casemap"},
        {"property": "receivedAt", "isAscending": False},
    ]
    assert query(jmap, *sort) == [second, first, alone]


def test_rfc8621_4_4_3_threads_collapse_in_any_order(jmap: JmapClient) -> None:
    (first, second), alone = make_threads(jmap)
    for name in ("subject", "from", "to"):
        found = jmap.call("Email/query", collapseThreads=True, calculateTotal=True, sort=[by(name), by("receivedAt")])
        assert found["total"] == 2
        assert set(found["ids"]) == {first, alone}  # the first of each thread in this order
        found = jmap.call("Email/query", collapseThreads=True, sort=[by(name), by("receivedAt", ascending=False)])
        assert set(found["ids"]) == {second, alone}
    by_flag = by("hasKeyword", keyword="$flagged")
    assert query(jmap, by_flag, by("receivedAt"), collapseThreads=True) == [second, alone]


def test_rfc8620_5_5_windows_of_any_order(jmap: JmapClient) -> None:
    ids = [jmap.mail(f"Letter {letter}") for letter in "abcdef"]
    jmap.mail("zzz")
    wanted: dict[str, Any] = {"filter": {"subject": "Letter"}, "sort": [by("subject")], "calculateTotal": True}
    found = jmap.call("Email/query", **wanted, position=2, limit=2)
    assert (found["ids"], found["position"], found["total"]) == (ids[2:4], 2, 6)
    found = jmap.call("Email/query", **wanted, position=-2)
    assert (found["ids"], found["position"]) == (ids[4:], 4)
    found = jmap.call("Email/query", **wanted, anchor=ids[3], anchorOffset=-1, limit=3)
    assert (found["ids"], found["position"]) == (ids[2:5], 2)
    assert jmap.fails("Email/query", **wanted, anchor="M99999")["type"] == "anchorNotFound"
    assert jmap.call("Email/query", **wanted, position=99)["ids"] == []
    assert jmap.call("Email/query", **wanted, limit=0)["ids"] == []
