"""RFC 8621 §4.5 and RFC 8620 §5.6: Email/queryChanges."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient

NEWEST: list[dict[str, Any]] = [{"property": "receivedAt", "isAscending": False}]
OLDEST: list[dict[str, Any]] = [{"property": "receivedAt"}]


def query(jmap: JmapClient, **asked: Any) -> tuple[list[str], str]:
    found = jmap.call("Email/query", **asked)
    assert found["canCalculateChanges"] is True
    return found["ids"], found["queryState"]


def changes(jmap: JmapClient, since: str, **asked: Any) -> dict[str, Any]:
    return jmap.call("Email/queryChanges", sinceQueryState=since, **asked)


def told(jmap: JmapClient, since: str, **asked: Any) -> tuple[set[str], list[tuple[str, int]]]:
    found = changes(jmap, since, **asked)
    return set(found["removed"]), [(one["id"], one["index"]) for one in found["added"]]


def applied(cache: list[str], found: dict[str, Any]) -> list[str]:
    """RFC 8620 §5.6: how a client brings its list up to date."""
    left = [one for one in cache if one not in found["removed"]]
    for one in found["added"]:
        left.insert(one["index"], one["id"])
    return left


def test_rfc8620_5_6_response_names_everything(jmap: JmapClient) -> None:
    jmap.mail()
    _, since = query(jmap)
    new = jmap.mail()
    found = changes(jmap, since)
    assert set(found) == {"accountId", "oldQueryState", "newQueryState", "removed", "added"}
    assert (found["accountId"], found["oldQueryState"]) == (jmap.account, since)
    assert found["newQueryState"] == query(jmap)[1] != since
    assert [one["id"] for one in found["added"]] == [new]
    # RFC 8620 §5.6: total only when asked for
    assert changes(jmap, since, calculateTotal=True)["total"] == 2


def test_rfc8620_5_6_nothing_changed(jmap: JmapClient) -> None:
    jmap.mail()
    _, since = query(jmap, sort=NEWEST)
    found = changes(jmap, since, sort=NEWEST)
    assert (found["removed"], found["added"], found["newQueryState"]) == ([], [], since)
    # RFC 8620 §5.6: null stands for what was not given
    found = changes(jmap, since, filter=None, sort=None, maxChanges=None, upToId=None)
    assert (found["removed"], found["added"]) == ([], [])


@pytest.mark.parametrize("state", ["", "nonsense", "-1", "1.5", "99999999", "99999999999999999999999"])
def test_rfc8620_5_6_cannot_calculate_changes(jmap: JmapClient, state: str) -> None:
    assert jmap.fails("Email/queryChanges", sinceQueryState=state)["type"] == "cannotCalculateChanges"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"sinceQueryState": 5},
        {"sinceQueryState": None},
        {"sinceQueryState": "1", "maxChanges": -1},
        {"sinceQueryState": "1", "maxChanges": "5"},
        {"sinceQueryState": "1", "upToId": 5},
        {"sinceQueryState": "1", "calculateTotal": "yes"},
        {"sinceQueryState": "1", "collapseThreads": None},
        {"sinceQueryState": "1", "filter": []},
        {"sinceQueryState": "1", "filter": {"nonsense": 1}},
        {"sinceQueryState": "1", "sort": {}},
        {"sinceQueryState": "1", "position": 0},
        {"sinceQueryState": "1", "nonsense": 1},
    ],
)
def test_rfc8620_3_6_2_arguments_that_are_none(jmap: JmapClient, wrong: dict[str, Any]) -> None:
    assert jmap.fails("Email/queryChanges", **wrong)["type"] == "invalidArguments"


def test_rfc8620_5_6_filters_and_sorts_that_are_not_there(jmap: JmapClient) -> None:
    _, since = query(jmap)
    wrong = {"sort": [{"property": "nonsense"}]}
    assert jmap.fails("Email/queryChanges", sinceQueryState=since, **wrong)["type"] == "unsupportedSort"
    deep: dict[str, Any] = {"hasKeyword": "a"}
    for _ in range(20):
        deep = {"operator": "NOT", "conditions": [deep]}
    assert jmap.fails("Email/queryChanges", sinceQueryState=since, filter=deep)["type"] == "unsupportedFilter"
    assert jmap.fails("Email/queryChanges", sinceQueryState=since, accountId="a0")["type"] == "accountNotFound"


def test_rfc8620_5_6_added_has_indexes_in_order(jmap: JmapClient) -> None:
    jmap.mail("a"), jmap.mail("b")
    _, since = query(jmap, sort=NEWEST)
    three = [jmap.mail() for _ in range(3)]
    assert told(jmap, since, sort=NEWEST) == (set(), [(three[2], 0), (three[1], 1), (three[0], 2)])
    assert told(jmap, since, sort=OLDEST) == (set(), [(three[0], 2), (three[1], 3), (three[2], 4)])


def test_rfc8620_5_6_removed(jmap: JmapClient) -> None:
    gone, kept = jmap.mail(), jmap.mail()
    inbox, archive = jmap.mailbox("inbox"), jmap.mailbox("archive")
    wanted: dict[str, Any] = {"filter": {"inMailbox": inbox}, "sort": NEWEST}
    _, since = query(jmap, **wanted)
    jmap.call("Email/set", destroy=[gone])
    assert told(jmap, since, **wanted) == ({gone}, [])
    jmap.call("Email/set", update={kept: {"mailboxIds": {archive: True}}})
    assert told(jmap, since, **wanted) == ({gone, kept}, [])
    jmap.call("Email/set", update={kept: {"mailboxIds": {inbox: True}}})
    # it has come back: what may have moved is in both (RFC 8620 §5.6)
    assert told(jmap, since, **wanted) == ({gone, kept}, [(kept, 0)])


def test_rfc8620_5_6_what_came_and_went_is_not_told_of(jmap: JmapClient) -> None:
    jmap.mail()
    _, since = query(jmap)
    passing = jmap.mail()
    jmap.call("Email/set", destroy=[passing])
    found = changes(jmap, since)
    assert [one["id"] for one in found["added"]] == []
    assert set(found["removed"]) <= {passing}


def test_rfc8620_5_6_only_mutable_properties_make_a_message_move(jmap: JmapClient) -> None:
    one, two = jmap.mail(), jmap.mail()
    by_flag = [{"property": "hasKeyword", "keyword": "$flagged", "isAscending": False}, *OLDEST]
    _, since = query(jmap, sort=by_flag)
    jmap.call("Email/set", update={two: {"keywords/$flagged": True}})
    # RFC 8620 §5.6: what may have moved is removed and added again
    assert told(jmap, since, sort=by_flag) == ({two}, [(two, 0)])
    removed, added = told(jmap, since, filter={"hasKeyword": "$flagged"})
    assert added == [(two, 0)]
    assert removed <= {two}  # it was not there; it may be named all the same
    assert told(jmap, since, filter={"notKeyword": "$flagged"}) == ({two}, [])
    # what is fixed does not move
    assert told(jmap, since, sort=OLDEST) == (set(), [])
    assert told(jmap, since, sort=[{"property": "subject"}], filter={"minSize": 1}) == (set(), [])
    assert one not in changes(jmap, since, sort=by_flag)["removed"]


def test_rfc8620_5_6_max_changes(jmap: JmapClient) -> None:
    first = jmap.mail()
    _, since = query(jmap)
    jmap.mail(), jmap.mail()
    jmap.call("Email/set", destroy=[first])
    # RFC 8620 §5.6: each item of removed and added is one change
    assert len(changes(jmap, since, maxChanges=3)["added"]) == 2
    for most in (0, 1, 2):
        assert jmap.fails("Email/queryChanges", sinceQueryState=since, maxChanges=most)["type"] == "tooManyChanges"
    _, since = query(jmap)
    assert changes(jmap, since, maxChanges=0)["added"] == []


def test_rfc8620_5_6_up_to_id(jmap: JmapClient) -> None:
    ids = [jmap.mail() for _ in range(3)]
    cache, since = query(jmap, sort=OLDEST)
    assert cache == ids
    late = jmap.mail()
    # fixed filter and sort: what comes behind is left out
    assert told(jmap, since, sort=OLDEST, upToId=ids[1]) == (set(), [])
    assert told(jmap, since, sort=OLDEST, upToId="M99999") == (set(), [(late, 3)])  # not in the results
    assert told(jmap, since, sort=OLDEST, upToId="nonsense") == (set(), [(late, 3)])
    assert told(jmap, since, sort=NEWEST, upToId=ids[2]) == (set(), [(late, 0)])
    # one that may move: it is ignored
    inbox = {"inMailbox": jmap.mailbox("inbox")}
    assert told(jmap, since, sort=OLDEST, filter=inbox, upToId=ids[1]) == (set(), [(late, 3)])


def test_rfc8621_4_5_threads_collapse(jmap: JmapClient) -> None:
    first = jmap.mail("Plan", message_id="plan1@x.example")
    other = jmap.mail("Other")
    wanted: dict[str, Any] = {"collapseThreads": True, "sort": NEWEST}
    cache, since = query(jmap, **wanted)
    assert cache == [other, first]
    second = jmap.mail("Re: Plan", message_id="plan2@x.example", fields="In-Reply-To: <plan1@x.example>\r\n")
    found = changes(jmap, since, **wanted, calculateTotal=True)
    assert found["total"] == 2
    assert first in found["removed"]
    assert found["added"] == [{"id": second, "index": 0}]
    assert applied(cache, found) == query(jmap, **wanted)[0] == [second, other]
    cache, since = query(jmap, **wanted)
    jmap.call("Email/set", destroy=[second])
    found = changes(jmap, since, **wanted)
    assert applied(cache, found) == query(jmap, **wanted)[0] == [other, first]


def test_rfc8621_4_5_keywords_of_threads(jmap: JmapClient) -> None:
    first = jmap.mail("Plan", message_id="plan1@x.example")
    second = jmap.mail("Re: Plan", message_id="plan2@x.example", fields="In-Reply-To: <plan1@x.example>\r\n")
    wanted: dict[str, Any] = {"filter": {"someInThreadHaveKeyword": "$flagged"}, "sort": OLDEST}
    cache, since = query(jmap, **wanted)
    assert cache == []
    jmap.call("Email/set", update={first: {"keywords/$flagged": True}})
    found = changes(jmap, since, **wanted)
    assert applied(cache, found) == [first, second]
    cache, since = query(jmap, **wanted)
    jmap.call("Email/set", update={first: {"keywords/$flagged": None}})
    assert applied(cache, changes(jmap, since, **wanted)) == []


def test_rfc8620_5_6_a_list_that_is_kept_by_its_changes_is_the_servers_list(jmap: JmapClient) -> None:
    chooser = random.Random(8)
    inbox, archive = jmap.mailbox("inbox"), jmap.mailbox("archive")
    lists: list[dict[str, Any]] = [
        {},
        {"filter": {"inMailbox": inbox}, "sort": NEWEST, "collapseThreads": True},
        {"filter": {"inMailboxOtherThan": [archive], "notKeyword": "$seen"}, "sort": [{"property": "subject"}]},
        {"filter": {"noneInThreadHaveKeyword": "$flagged"}, "sort": OLDEST, "collapseThreads": True},
        {"sort": [{"property": "allInThreadHaveKeyword", "keyword": "$seen"}, {"property": "from"}]},
    ]
    known = [query(jmap, **wanted) for wanted in lists]
    ids = [jmap.mail(f"S{number}", message_id=f"s{number}@x.example") for number in range(4)]
    for step in range(24):
        email = chooser.choice(ids)
        doing = chooser.randrange(5)
        if doing == 0:
            root = chooser.randrange(4)
            ids.append(jmap.mail(f"Re: S{root}", fields=f"References: <s{root}@x.example>\r\n"))
        elif doing == 1 and len(ids) > 3:
            ids.remove(email)
            jmap.call("Email/set", destroy=[email])
        elif doing == 2:
            jmap.call("Email/set", update={email: {"mailboxIds": {chooser.choice([inbox, archive]): True}}})
        else:
            keyword = chooser.choice(["$seen", "$flagged"])
            jmap.call("Email/set", update={email: {f"keywords/{keyword}": chooser.choice([True, None])}})
        if step % 3 == 2:
            for number, wanted in enumerate(lists):
                cache, since = known[number]
                found = changes(jmap, since, **wanted, calculateTotal=True)
                known[number] = query(jmap, **wanted)
                assert applied(cache, found) == known[number][0], wanted
                assert (found["newQueryState"], found["total"]) == (known[number][1], len(known[number][0]))
