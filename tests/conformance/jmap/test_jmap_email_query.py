"""RFC 8621 §4.4 and RFC 8620 §5.5: Email/query."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient


def make(jmap: JmapClient, count: int) -> list[str]:
    """Deliver messages and return their ids, oldest first."""
    return [jmap.mail(f"Query {n}") for n in range(count)]


OLDEST_FIRST = [{"property": "receivedAt", "isAscending": True}]


def test_rfc8620_5_5_response_names_everything(jmap: JmapClient) -> None:
    (only,) = make(jmap, 1)
    found = jmap.call("Email/query")
    assert found["ids"] == [only]
    assert (found["position"], found["canCalculateChanges"]) == (0, True)
    assert isinstance(found["queryState"], str)
    assert "total" not in found  # only when asked
    assert jmap.call("Email/query", calculateTotal=True)["total"] == 1


def test_rfc8620_5_5_limit_is_named_when_the_server_sets_it(jmap: JmapClient) -> None:
    assert jmap.call("Email/query")["limit"] > 0
    assert "limit" not in jmap.call("Email/query", limit=10)
    assert jmap.call("Email/query", limit=10**9)["limit"] < 10**9


def test_rfc8620_5_5_position_and_limit(jmap: JmapClient) -> None:
    ids = make(jmap, 5)
    found = jmap.call("Email/query", sort=OLDEST_FIRST, position=1, limit=2, calculateTotal=True)
    assert (found["ids"], found["position"], found["total"]) == (ids[1:3], 1, 5)
    assert jmap.call("Email/query", sort=OLDEST_FIRST, limit=0)["ids"] == []
    assert jmap.call("Email/query", sort=OLDEST_FIRST, position=99)["ids"] == []


def test_rfc8620_5_5_negative_position_counts_from_the_end(jmap: JmapClient) -> None:
    ids = make(jmap, 4)
    found = jmap.call("Email/query", sort=OLDEST_FIRST, position=-2)
    assert (found["ids"], found["position"]) == (ids[2:], 2)
    assert jmap.call("Email/query", sort=OLDEST_FIRST, position=-99)["position"] == 0


def test_rfc8620_5_5_anchor(jmap: JmapClient) -> None:
    ids = make(jmap, 5)
    found = jmap.call("Email/query", sort=OLDEST_FIRST, anchor=ids[2], limit=2, position=77)
    assert (found["ids"], found["position"]) == (ids[2:4], 2)
    assert jmap.call("Email/query", sort=OLDEST_FIRST, anchor=ids[2], anchorOffset=-1, limit=2)["ids"] == ids[1:3]
    assert jmap.call("Email/query", sort=OLDEST_FIRST, anchor=ids[2], anchorOffset=1)["ids"] == ids[3:]
    assert jmap.call("Email/query", sort=OLDEST_FIRST, anchor=ids[1], anchorOffset=-9)["position"] == 0


def test_rfc8620_5_5_anchor_not_found(jmap: JmapClient) -> None:
    make(jmap, 1)
    for anchor in ("M99999", "nonsense", ""):
        assert jmap.fails("Email/query", anchor=anchor)["type"] == "anchorNotFound"


def test_rfc8621_4_4_2_default_is_a_stable_order(jmap: JmapClient) -> None:
    ids = make(jmap, 3)
    assert sorted(jmap.call("Email/query")["ids"]) == sorted(ids)
    assert jmap.call("Email/query")["ids"] == jmap.call("Email/query")["ids"]


def test_rfc8621_4_4_2_sort_by_received_at(jmap: JmapClient) -> None:
    ids = make(jmap, 3)
    assert jmap.call("Email/query", sort=[{"property": "receivedAt"}])["ids"] == ids  # ascending unless told
    assert jmap.call("Email/query", sort=[{"property": "receivedAt", "isAscending": False}])["ids"] == ids[::-1]


def test_rfc8621_4_4_2_sort_by_size_sent_at_and_keyword(jmap: JmapClient) -> None:
    small = jmap.mail("s", fields="X-Order: 1\r\n")
    large = jmap.mail("l", body="x" * 70 + "\r\n" + "y" * 70 + "\r\n")
    assert jmap.call("Email/query", sort=[{"property": "size"}])["ids"] == [small, large]
    assert jmap.call("Email/query", sort=[{"property": "size", "isAscending": False}])["ids"] == [large, small]
    jmap.call("Email/set", update={large: {"keywords/$flagged": True}})
    by_flag = [{"property": "hasKeyword", "keyword": "$flagged", "isAscending": False}, {"property": "receivedAt"}]
    assert jmap.call("Email/query", sort=by_flag)["ids"] == [large, small]
    late = jmap.put(b"From: a@x.example\r\nDate: Fri, 1 Jan 2100 00:00:00 +0000\r\nSubject: late\r\n\r\nx\r\n")
    assert jmap.call("Email/query", sort=[{"property": "sentAt", "isAscending": False}])["ids"][0] == late


@pytest.mark.parametrize(
    "sort",
    [
        [{"property": "nonsense"}],
        [{"property": "size", "collation": "i;nonsense"}],
        [{"property": "subject", "collation": "i;nonsense"}],
        [{"property": "size"}] * 9,
    ],
)
def test_rfc8620_5_5_unsupported_sort(jmap: JmapClient, sort: Any) -> None:
    assert jmap.fails("Email/query", sort=sort)["type"] == "unsupportedSort"


@pytest.mark.parametrize(
    "sort",
    [
        [{}],
        [{"property": 5}],
        ["x"],
        [{"property": "hasKeyword"}],
        [{"property": "hasKeyword", "keyword": "a b"}],
        [{"property": "allInThreadHaveKeyword"}],
        [{"property": "someInThreadHaveKeyword"}],
        [{"property": "size", "nonsense": 1}],
        [{"property": "size", "isAscending": "no"}],
        [{"property": "size", "collation": None}],
        [{"property": "size", "keyword": None}],
    ],
)
def test_rfc8620_5_5_sort_that_is_none(jmap: JmapClient, sort: Any) -> None:
    assert jmap.fails("Email/query", sort=sort)["type"] == "invalidArguments"


def test_rfc8621_4_4_1_filter_in_mailbox(jmap: JmapClient) -> None:
    here, there = make(jmap, 2)
    inbox, archive = jmap.mailbox("inbox"), jmap.mailbox("archive")
    jmap.call("Email/set", update={there: {"mailboxIds": {archive: True}}})
    assert jmap.call("Email/query", filter={"inMailbox": inbox})["ids"] == [here]
    assert jmap.call("Email/query", filter={"inMailbox": archive})["ids"] == [there]
    assert jmap.call("Email/query", filter={"inMailbox": "F99999"})["ids"] == []
    assert jmap.call("Email/query", filter={"inMailbox": "nonsense"})["ids"] == []
    assert jmap.call("Email/query", filter={"inMailboxOtherThan": [inbox]})["ids"] == [there]
    assert jmap.call("Email/query", filter={"inMailboxOtherThan": [inbox, archive]})["ids"] == []
    assert len(jmap.call("Email/query", filter={"inMailboxOtherThan": []})["ids"]) == 2


def test_rfc8621_4_4_1_filter_dates(jmap: JmapClient) -> None:
    first, second = make(jmap, 2)
    instant = jmap.get(second, "receivedAt")["receivedAt"]
    assert jmap.call("Email/query", filter={"before": instant})["ids"] == [first]
    assert jmap.call("Email/query", filter={"after": instant})["ids"] == [second]
    assert jmap.fails("Email/query", filter={"after": "yesterday"})["type"] == "invalidArguments"
    assert jmap.fails("Email/query", filter={"after": "2025-13-45T99:99:99Z"})["type"] == "invalidArguments"


def test_rfc8621_4_4_1_filter_sizes(jmap: JmapClient) -> None:
    email = jmap.mail()
    size = jmap.get(email, "size")["size"]
    assert jmap.call("Email/query", filter={"minSize": size})["ids"] == [email]
    assert jmap.call("Email/query", filter={"minSize": size + 1})["ids"] == []
    assert jmap.call("Email/query", filter={"maxSize": size})["ids"] == []  # smaller than, not up to
    assert jmap.call("Email/query", filter={"maxSize": size + 1})["ids"] == [email]
    assert jmap.call("Email/query", filter={"maxSize": 0})["ids"] == []


def test_rfc8621_4_4_1_filter_keywords(jmap: JmapClient) -> None:
    seen, unseen = make(jmap, 2)
    jmap.call("Email/set", update={seen: {"keywords/$seen": True}})
    assert jmap.call("Email/query", filter={"hasKeyword": "$SEEN"})["ids"] == [seen]
    assert jmap.call("Email/query", filter={"notKeyword": "$seen"})["ids"] == [unseen]
    assert jmap.fails("Email/query", filter={"hasKeyword": "a b"})["type"] == "invalidArguments"


def test_rfc8621_4_4_1_filter_has_attachment(jmap: JmapClient) -> None:
    plain = jmap.mail()
    file = jmap.put(
        b"Subject: f\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
        b"Content-Type: application/pdf\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--\r\n"
    )
    assert jmap.call("Email/query", filter={"hasAttachment": True})["ids"] == [file]
    assert jmap.call("Email/query", filter={"hasAttachment": False})["ids"] == [plain]


def test_rfc8620_5_5_filter_operators(jmap: JmapClient) -> None:
    one, two, three = make(jmap, 3)
    jmap.call("Email/set", update={one: {"keywords/a": True}, two: {"keywords/a": True, "keywords/b": True}})
    has_a, has_b = {"hasKeyword": "a"}, {"hasKeyword": "b"}

    def ids(operator: str, *conditions: Any) -> list[str]:
        wanted = {"operator": operator, "conditions": list(conditions)}
        found: list[str] = jmap.call("Email/query", sort=OLDEST_FIRST, filter=wanted)["ids"]
        return found

    assert ids("AND", has_a, has_b) == [two]
    assert ids("OR", has_a, has_b) == [one, two]
    assert ids("NOT", has_a, has_b) == [three]
    assert ids("AND", has_a, {"operator": "NOT", "conditions": [has_b]}) == [one]


@pytest.mark.parametrize("wanted", [{"operator": "XOR", "conditions": []}, {"operator": "AND"}, {"operator": "AND", "conditions": [5]},
                                    {"nonsense": 1}, {"inMailbox": 5}, {"hasAttachment": "yes"}, {"inMailbox": None},
                                    {"hasAttachment": None}, {"before": None}, {"before": "2025-07-01T10:00:00Z\n"},
                                    {"before": "\u0662025-07-01T10:00:00Z"},
                                    {"text": 5}, {"text": None}, {"from": ["x"]}, {"header": "Subject"}, {"header": []}, {"header": [None]},
                                    {"header": ["a", "b", "c"]}, {"header": ["a b"]}, {"header": [""]}, {"allInThreadHaveKeyword": "a b"},
                                    {"someInThreadHaveKeyword": None}, {"noneInThreadHaveKeyword": 1}, {"minSize": -1}, {"maxSize": 1.5},
                                    {"inMailboxOtherThan": "F1"}])  # fmt: skip
def test_rfc8620_5_5_filter_that_is_none(jmap: JmapClient, wanted: Any) -> None:
    assert jmap.fails("Email/query", filter=wanted)["type"] == "invalidArguments"


def test_rfc8620_5_5_absurd_filter_is_refused(jmap: JmapClient) -> None:
    wanted: dict[str, Any] = {"hasKeyword": "a"}
    for _ in range(20):
        wanted = {"operator": "NOT", "conditions": [wanted]}
    assert jmap.fails("Email/query", filter=wanted)["type"] == "unsupportedFilter"


def test_rfc8621_4_4_3_collapse_threads(jmap: JmapClient) -> None:
    jmap.mail("Thread", message_id="t1@x.example")
    newest = jmap.mail("Re: Thread", message_id="t2@x.example", fields="In-Reply-To: <t1@x.example>\r\n")
    other = jmap.mail("Another")
    newest_first = [{"property": "receivedAt", "isAscending": False}]
    found = jmap.call("Email/query", collapseThreads=True, sort=newest_first, calculateTotal=True)
    assert (found["ids"], found["total"]) == ([other, newest], 2)


def test_rfc8620_5_5_query_state_changes_with_the_mail(jmap: JmapClient) -> None:
    before = jmap.call("Email/query")["queryState"]
    assert jmap.call("Email/query")["queryState"] == before
    jmap.mail()
    assert jmap.call("Email/query")["queryState"] != before
