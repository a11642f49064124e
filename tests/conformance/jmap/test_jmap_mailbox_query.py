"""RFC 8621 §2.2-§2.4: Mailbox/query, Mailbox/queryChanges and Mailbox/changes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient

STANDARD = {"inbox", "drafts", "sent", "trash", "junk", "archive"}


def make(jmap: JmapClient, **boxes: dict[str, Any]) -> dict[str, str]:
    """Make mailboxes by creation id, named so unless told otherwise; return their ids."""
    result = jmap.call("Mailbox/set", create={key: {"name": key, **box} for key, box in boxes.items()})
    assert result["notCreated"] is None, result["notCreated"]
    return {key: one["id"] for key, one in result["created"].items()}


def grove(jmap: JmapClient) -> dict[str, str]:
    """Two trees: a over c over e, and over d; b over f."""
    return make(
        jmap, a={"sortOrder": 2}, b={"sortOrder": 1}, c={"parentId": "#a", "sortOrder": 9}, d={"parentId": "#a", "sortOrder": 3},
        e={"parentId": "#c", "sortOrder": 0}, f={"parentId": "#b", "isSubscribed": False},
    )  # fmt: skip


def own(jmap: JmapClient, boxes: dict[str, str], **arguments: Any) -> str:
    """Query, and return the names of those among our boxes in order."""
    names = {number: name for name, number in boxes.items()}
    found = jmap.call("Mailbox/query", **arguments)["ids"]
    return "".join(names[number] for number in found if number in names)


def test_rfc8620_5_5_mailbox_query_names_everything(jmap: JmapClient) -> None:
    state = jmap.call("Mailbox/get", ids=[])["state"]
    found = jmap.call("Mailbox/query")
    assert set(found) == {"accountId", "queryState", "canCalculateChanges", "position", "ids"}
    assert (found["queryState"], found["canCalculateChanges"], found["position"]) == (state, True, 0)
    everything = [mailbox["id"] for mailbox in jmap.call("Mailbox/get", ids=None)["list"]]
    assert sorted(found["ids"]) == sorted(everything)
    assert jmap.call("Mailbox/query", filter=None, sort=None)["ids"] == found["ids"]
    assert jmap.call("Mailbox/query", calculateTotal=True)["total"] == len(everything)


def test_rfc8620_5_5_windows_of_a_mailbox_query(jmap: JmapClient) -> None:
    whole = jmap.call("Mailbox/query", sort=[{"property": "name"}])["ids"]

    def window(**arguments: Any) -> Any:
        found = jmap.call("Mailbox/query", sort=[{"property": "name"}], **arguments)
        assert found["position"] == (whole.index(found["ids"][0]) if found["ids"] else found["position"])
        return found["ids"]

    assert window(position=2) == whole[2:]
    assert window(position=1, limit=2) == whole[1:3]
    assert window(position=-2) == whole[-2:]
    assert window(position=-200, limit=1) == whole[:1]
    assert window(position=200) == []
    assert window(limit=0) == []
    assert window(anchor=whole[3], position=-7) == whole[3:]
    assert window(anchor=whole[3], anchorOffset=-1, limit=2) == whole[2:4]
    assert window(anchor=whole[1], anchorOffset=-9) == whole
    assert window(anchorOffset=3) == whole
    for anchor in ("F999999", "M1", ""):
        assert jmap.fails("Mailbox/query", anchor=anchor)["type"] == "anchorNotFound"
    assert jmap.fails("Mailbox/query", anchor=whole[0], filter={"name": "\u0000"})["type"] == "anchorNotFound"
    for arguments in (
        {"limit": -1},
        {"position": 1.5},
        {"calculateTotal": None},
        {"sortAsTree": "yes"},
        {"collapseThreads": True},
    ):
        assert jmap.fails("Mailbox/query", **arguments)["type"] == "invalidArguments"


def test_rfc8621_2_3_filters(jmap: JmapClient) -> None:
    boxes = grove(jmap)
    assert own(jmap, boxes, filter={"parentId": boxes["a"]}) == "cd"
    assert own(jmap, boxes, filter={"parentId": None}) == "ab"
    assert own(jmap, boxes, filter={"parentId": "F999999"}) == ""
    assert own(jmap, boxes, filter={"isSubscribed": False}) == "f"
    assert own(jmap, boxes, filter={"hasAnyRole": True}) == ""
    assert own(jmap, boxes, filter={"hasAnyRole": False, "parentId": boxes["c"]}) == "e"
    assert own(jmap, boxes, filter={"role": None, "name": "B"}) == "b"
    assert own(jmap, boxes, filter={}) == own(jmap, boxes)
    assert jmap.call("Mailbox/query", filter={"role": "inbox"})["ids"] == [jmap.mailbox("inbox")]
    assert len(jmap.call("Mailbox/query", filter={"hasAnyRole": True})["ids"]) == len(STANDARD)
    jmap.call("Mailbox/set", update={boxes["a"]: {"name": "Été 2025"}})
    assert own(jmap, boxes, filter={"name": "te\u0301 2"}) == "a"


def test_rfc8620_5_5_filter_operators(jmap: JmapClient) -> None:
    boxes = grove(jmap)
    a, c = {"name": "a", "role": None, "parentId": None}, {"parentId": boxes["c"]}
    assert own(jmap, boxes, filter={"operator": "OR", "conditions": [a, c]}) == "ae"
    assert own(jmap, boxes, filter={"operator": "AND", "conditions": [a, c]}) == ""
    assert (
        own(
            jmap,
            boxes,
            filter={
                "operator": "NOT",
                "conditions": [a, c, {"operator": "AND", "conditions": [{"isSubscribed": False}]}],
            },
        )
        == "bcd"
    )
    assert own(jmap, boxes, filter={"operator": "AND", "conditions": []}) == "abcdef"
    assert own(jmap, boxes, filter={"operator": "OR", "conditions": []}) == ""
    deep: dict[str, Any] = {}
    for _ in range(20):
        deep = {"operator": "AND", "conditions": [deep]}
    assert jmap.fails("Mailbox/query", filter=deep)["type"] == "unsupportedFilter"
    wide = {"operator": "OR", "conditions": [{}] * 300}
    assert jmap.fails("Mailbox/query", filter=wide)["type"] == "unsupportedFilter"


@pytest.mark.parametrize(
    "wanted",
    [{"colour": 1}, {"name": None}, {"name": 1}, {"hasAnyRole": None}, {"isSubscribed": 1}, {"parentId": 1}, {"operator": "XOR", "conditions": []},
     {"operator": "AND"}, {"operator": "AND", "conditions": [], "name": "x"}, {"operator": "AND", "conditions": [1]}, []],
)  # fmt: skip
def test_rfc8621_2_3_filters_that_are_none(jmap: JmapClient, wanted: Any) -> None:
    assert jmap.fails("Mailbox/query", filter=wanted)["type"] == "invalidArguments"


def test_rfc8621_2_3_sorts(jmap: JmapClient) -> None:
    boxes = grove(jmap)
    assert own(jmap, boxes, sort=[{"property": "name", "isAscending": False}]) == "fedcba"
    assert own(jmap, boxes, sort=[{"property": "sortOrder"}, {"property": "name"}]) == "efbadc"
    assert own(jmap, boxes, sort=[{"property": "sortOrder"}, {"property": "name", "isAscending": False}]) == "febadc"
    assert own(jmap, boxes, sort=[{"property": "isSubscribed"}, {"property": "sortOrder"}]) == "febadc"
    assert own(jmap, boxes, sort=[]) == "abcdef"
    for wrong in (
        [{"property": "totalEmails"}],
        [{"property": "name", "collation": "i;nonsense"}],
        [{"property": "name"}] * 20,
    ):
        assert jmap.fails("Mailbox/query", sort=wrong)["type"] == "unsupportedSort"
    no_sorts: tuple[Any, ...] = (
        [{}],
        [1],
        {"property": "name"},
        [{"property": "name", "isAscending": None}],
        [{"property": "name", "keyword": "x"}],
    )
    for no_sort in no_sorts:
        assert jmap.fails("Mailbox/query", sort=no_sort)["type"] == "invalidArguments"


def test_rfc8620_5_5_collations(jmap: JmapClient) -> None:
    boxes = make(
        jmap, a={"name": "apple"}, b={"name": "Banana"}, c={"name": "\u00e9clair"}, d={"name": "Zoo"}, e={"name": "fig"}
    )

    def by(**comparator: Any) -> str:
        return own(jmap, boxes, sort=[{"property": "name", **comparator}])

    assert by() == by(collation="i;unicode-casemap") == "abced"
    assert by(collation="i;ascii-casemap") == "abedc"
    assert by(collation="i;octet") == "bdaec"
    assert set(jmap.session["capabilities"]["urn:ietf:params:jmap:core"]["collationAlgorithms"]) == {
        "i;unicode-casemap", "i;ascii-casemap", "i;octet",
    }  # fmt: skip


def test_rfc8621_2_3_sort_as_tree(jmap: JmapClient) -> None:
    boxes = grove(jmap)
    by_order = [{"property": "sortOrder"}]
    assert own(jmap, boxes, sort=by_order, sortAsTree=True) == "bfadce"
    assert own(jmap, boxes, sort=[{"property": "name", "isAscending": False}], sortAsTree=True) == "bfadce"
    assert own(jmap, boxes, sort=[{"property": "name"}], sortAsTree=True) == "acedbf"
    # The places of what is left are those of the whole tree.
    assert (
        own(
            jmap,
            boxes,
            sort=by_order,
            sortAsTree=True,
            filter={"operator": "NOT", "conditions": [{"parentId": boxes["a"]}]},
        )
        == "bfae"
    )


def test_rfc8621_2_3_filter_as_tree(jmap: JmapClient) -> None:
    boxes = grove(jmap)
    but_c = {"operator": "NOT", "conditions": [{"name": "c", "parentId": boxes["a"]}]}
    assert own(jmap, boxes, filter=but_c) == "abdef"
    assert own(jmap, boxes, filter=but_c, filterAsTree=True) == "abdf"
    assert own(jmap, boxes, filter={"parentId": boxes["a"]}, filterAsTree=True) == ""


QUERIES: list[dict[str, Any]] = [
    {},
    {"sort": [{"property": "name"}]},
    {"sort": [{"property": "sortOrder"}, {"property": "name"}], "sortAsTree": True},
    {"filter": {"isSubscribed": True}, "filterAsTree": True},
    {"filter": {"operator": "NOT", "conditions": [{"name": "b"}]}, "filterAsTree": True, "sortAsTree": True},
    {"filter": {"hasAnyRole": False}, "sort": [{"property": "name", "isAscending": False}]},
]


def spliced(cached: list[str], changes: dict[str, Any]) -> list[str]:
    """RFC 8620 §5.6: splice out what was removed, splice in what was added."""
    found = [number for number in cached if number not in set(changes["removed"])]
    assert [item["index"] for item in changes["added"]] == sorted(item["index"] for item in changes["added"])
    for item in changes["added"]:
        found.insert(item["index"], item["id"])
    return found[: changes["total"]]


def one_step(jmap: JmapClient, chooser: random.Random, email: str) -> None:
    """Change something."""
    mine = [one for one in jmap.call("Mailbox/get", ids=None)["list"] if one["role"] is None]
    wanted: dict[str, Any] = {"create": {}, "update": {}, "destroy": [], "onDestroyRemoveEmails": True}
    for _ in range(chooser.randint(1, 3)):
        kind = chooser.choice(["create", "create", "update", "update", "update", "destroy", "count"])
        parent = chooser.choice([None, None, *(one["id"] for one in mine)])
        one = chooser.choice(mine)["id"] if mine else jmap.mailbox("archive")
        if kind == "create":
            wanted["create"][f"k{chooser.randint(0, 10**6)}"] = {"name": chooser.choice("abcdefgh"), "parentId": parent}
        elif kind == "update":
            patch = chooser.choice(
                [
                    {"name": chooser.choice("abcdefgh")},
                    {"parentId": parent},
                    {"sortOrder": chooser.randint(0, 3)},
                    {"isSubscribed": chooser.random() < 0.5},
                ]
            )
            wanted["update"][one] = patch
        elif kind == "destroy" and mine:
            wanted["destroy"].append(one)
        else:
            jmap.call("Email/set", update={email: {"mailboxIds": {one: True, jmap.mailbox("inbox"): True}}})
    jmap.call("Mailbox/set", **wanted)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rfc8621_2_4_changes_lead_from_list_to_list(jmap: JmapClient, seed: int) -> None:
    chooser = random.Random(seed)
    email = jmap.mail()
    caches = [jmap.call("Mailbox/query", **query) for query in QUERIES]
    known = {one["id"]: one for one in jmap.call("Mailbox/get", ids=None)["list"]}
    state = caches[0]["queryState"]
    for _ in range(12):
        for _ in range(chooser.choice([1, 1, 3])):
            one_step(jmap, chooser, email)
        for at, query in enumerate(QUERIES):
            now = jmap.call("Mailbox/query", **query)
            told = jmap.call(
                "Mailbox/queryChanges", **query, sinceQueryState=caches[at]["queryState"], calculateTotal=True
            )
            assert (told["oldQueryState"], told["newQueryState"]) == (caches[at]["queryState"], now["queryState"])
            assert spliced(caches[at]["ids"], told) == now["ids"], query
            caches[at] = now
        # RFC 8621 §2.2: the same of Mailbox/changes
        told = jmap.call("Mailbox/changes", sinceState=state)
        truth = {one["id"]: one for one in jmap.call("Mailbox/get", ids=None)["list"]}
        assert set(told["destroyed"]) == set(known) - set(truth)
        assert set(told["created"]) == set(truth) - set(known)
        changed = {
            one for one in set(truth) & set(known) if {**truth[one], "myRights": 0} != {**known[one], "myRights": 0}
        }
        assert changed <= set(told["updated"])
        if told["updatedProperties"] is not None:
            for one in told["updated"]:
                assert {**truth[one], **dict.fromkeys(told["updatedProperties"])} == {
                    **known[one],
                    **dict.fromkeys(told["updatedProperties"]),
                }
        known, state = truth, told["newState"]


def test_rfc8621_2_4_counts_change_no_list(jmap: JmapClient) -> None:
    sort = [{"property": "name"}]
    state = jmap.call("Mailbox/query", sort=sort)["queryState"]
    jmap.mail()
    told = jmap.call("Mailbox/queryChanges", sort=sort, sinceQueryState=state)
    assert set(told) == {"accountId", "oldQueryState", "newQueryState", "removed", "added"}
    assert (told["removed"], told["added"]) == ([], [])
    again = jmap.call("Mailbox/queryChanges", sort=sort, sinceQueryState=told["newQueryState"])
    assert (again["removed"], again["added"], again["newQueryState"]) == ([], [], told["newQueryState"])


def test_rfc8620_5_6_what_may_have_moved_is_in_both(jmap: JmapClient) -> None:
    boxes = make(jmap, a={}, b={})
    state = jmap.call("Mailbox/query")["queryState"]
    whole = jmap.call(
        "Mailbox/set", update={boxes["a"]: {"name": "z"}}, create={"c": {"name": "c"}}, destroy=[boxes["b"]]
    )
    new = whole["created"]["c"]["id"]
    by_name = {"sort": [{"property": "name"}], "filter": {"hasAnyRole": False}, "sinceQueryState": state}
    told = jmap.call("Mailbox/queryChanges", **by_name, calculateTotal=True)
    assert sorted(told["removed"]) == sorted([boxes["a"], boxes["b"]])
    assert told["added"] == [{"id": new, "index": 0}, {"id": boxes["a"], "index": 1}]
    assert told["total"] == 2
    # Without filter and sort a new name moves nothing.
    plain = jmap.call("Mailbox/queryChanges", sinceQueryState=state)
    assert plain["removed"] == [boxes["b"]]
    assert [item["id"] for item in plain["added"]] == [new]
    last = jmap.mailbox("inbox")
    assert jmap.call("Mailbox/queryChanges", sinceQueryState=state, upToId=last)["added"] == []
    assert len(jmap.call("Mailbox/queryChanges", **by_name, upToId=last)["added"]) == 2, (
        "upToId is ignored with a mutable property"
    )


def test_rfc8620_5_6_errors(jmap: JmapClient) -> None:
    state = jmap.call("Mailbox/query")["queryState"]
    make(jmap, a={}, b={})
    assert jmap.fails("Mailbox/queryChanges", sinceQueryState=state, maxChanges=1)["type"] == "tooManyChanges"
    assert jmap.fails("Mailbox/queryChanges", sinceQueryState=state, maxChanges=0)["type"] == "tooManyChanges"
    assert len(jmap.call("Mailbox/queryChanges", sinceQueryState=state, maxChanges=2)["added"]) == 2
    for old in ("nonsense", "", "999999999", "-1"):
        assert jmap.fails("Mailbox/queryChanges", sinceQueryState=old)["type"] == "cannotCalculateChanges"
    assert jmap.fails("Mailbox/queryChanges")["type"] == "invalidArguments"
    assert jmap.fails("Mailbox/queryChanges", sinceQueryState=state, maxChanges=-1)["type"] == "invalidArguments"
    assert (
        jmap.fails("Mailbox/queryChanges", sinceQueryState=state, sort=[{"property": "x"}])["type"] == "unsupportedSort"
    )


def test_rfc8621_2_2_changes_tell_what_was_made_changed_and_destroyed(jmap: JmapClient) -> None:
    boxes = make(jmap, a={}, b={}, c={})
    state = jmap.call("Mailbox/get", ids=[])["state"]
    new = jmap.call(
        "Mailbox/set",
        create={"d": {"name": "d"}, "e": {"name": "e"}},
        update={boxes["a"]: {"name": "z"}},
        destroy=[boxes["b"]],
    )
    made = new["created"]
    jmap.call("Mailbox/set", update={made["d"]["id"]: {"sortOrder": 4}}, destroy=[made["e"]["id"]])
    jmap.mail()
    found = jmap.call("Mailbox/changes", sinceState=state)
    assert found["created"] == [made["d"]["id"]]
    assert set(found["updated"]) == {boxes["a"], jmap.mailbox("inbox")}
    assert found["destroyed"] == [boxes["b"]]
    assert found["updatedProperties"] is None
    assert found["newState"] == jmap.call("Mailbox/get", ids=[])["state"]
    # Step by step it is the same, and made and destroyed again may be told as it happened.
    told: dict[str, set[str]] = {"created": set(), "updated": set(), "destroyed": set()}
    while True:
        step = jmap.call("Mailbox/changes", sinceState=state, maxChanges=1)
        assert sum(len(step[kind]) for kind in told) <= 1
        for kind, ids in told.items():
            ids.update(step[kind])
        if not step["hasMoreChanges"]:
            break
        assert step["newState"] != state
        state = step["newState"]
    assert told["created"] - told["destroyed"] == set(found["created"])
    assert told["destroyed"] - told["created"] == set(found["destroyed"])
    assert told["updated"] >= set(found["updated"])


def test_rfc8621_2_2_updated_properties_serve_a_reference(jmap: JmapClient) -> None:
    account = {"accountId": jmap.account}
    state = jmap.call("Mailbox/get", ids=[])["state"]
    jmap.mail()
    back = {"resultOf": "a", "name": "Mailbox/changes"}
    calls = [
        ["Mailbox/changes", {**account, "sinceState": state}, "a"],
        [
            "Mailbox/get",
            {**account, "#ids": {**back, "path": "/updated"}, "#properties": {**back, "path": "/updatedProperties"}},
            "b",
        ],
    ]
    counted = jmap.responses(*calls)[1][1]["list"]
    assert [set(one) for one in counted] == [{"id", "totalEmails", "unreadEmails", "totalThreads", "unreadThreads"}]
    jmap.call("Mailbox/set", update={jmap.mailbox("archive"): {"sortOrder": 1}})
    assert all("name" in one for one in jmap.responses(*calls)[1][1]["list"])
