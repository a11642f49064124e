"""RFC 9425 on the wire: what an account may hold, and how clients follow it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import CORE, MAIL, QUOTA, JmapClient
from tests.conformance.jmap_push import listening

LIMIT = 5_000_000


@pytest.fixture
def limited(jmap: JmapClient) -> JmapClient:
    """A person whose account may hold 5 MB."""
    jmap.limit(LIMIT)
    return jmap


def quota(jmap: JmapClient) -> dict[str, Any]:
    (found,) = jmap.call("Quota/get", ids=None)["list"]
    return dict(found)


def test_rfc9425_2_1_capability(jmap: JmapClient) -> None:
    assert jmap.session["capabilities"][QUOTA] == {}
    assert jmap.session["accounts"][jmap.account]["accountCapabilities"][QUOTA] == {}
    assert jmap.session["primaryAccounts"][QUOTA] == jmap.account
    answer = jmap.responses(["Quota/get", {"accountId": jmap.account}, "c"], using=(CORE, MAIL))
    assert answer[0][1]["type"] == "unknownMethod"


def test_rfc9425_4_1_properties(limited: JmapClient) -> None:
    found = quota(limited)
    assert found["resourceType"] == "octets"
    assert found["scope"] == "account"
    assert found["hardLimit"] == LIMIT
    assert found["types"] == ["Email"]
    assert found["name"]
    assert 0 < found["warnLimit"] < LIMIT
    assert found["softLimit"] is None
    assert found["description"] is None
    assert set(found) == {
        "id", "resourceType", "used", "hardLimit", "scope", "name", "types", "warnLimit", "softLimit", "description",
    }  # fmt: skip


def test_rfc9425_4_1_used_is_the_sum_of_the_messages(limited: JmapClient) -> None:
    assert quota(limited)["used"] == 0
    email = limited.mail(body="x" * 500 + "\r\n")
    size = limited.get(email, "size")["size"]
    assert quota(limited)["used"] == size
    limited.call("Email/set", destroy=[email])
    assert quota(limited)["used"] == 0


def test_rfc9425_4_1_only_types_that_the_client_uses(limited: JmapClient) -> None:
    known = quota(limited)["id"]
    calls = (
        ["Quota/get", {"accountId": limited.account}, "a"], ["Quota/get", {"accountId": limited.account, "ids": [known]}, "b"],
        ["Quota/query", {"accountId": limited.account}, "c"],
    )  # fmt: skip
    every, one, listed = (answer[1] for answer in limited.responses(*calls, using=(CORE, QUOTA)))
    assert every["list"] == []
    assert one["list"] == []
    assert one["notFound"] == [known]
    assert listed["ids"] == []


def test_rfc9425_4_2_get(limited: JmapClient) -> None:
    known = quota(limited)["id"]
    found = limited.call("Quota/get", ids=[known, "nothing", known], properties=["used"])
    assert found["list"] == [{"id": known, "used": 0}]
    assert found["notFound"] == ["nothing"]
    assert limited.fails("Quota/get", properties=["octets"])["type"] == "invalidArguments"
    assert limited.fails("Quota/get", ids=[f"q{number}" for number in range(501)])["type"] == "requestTooLarge"
    assert limited.fails("Quota/get", accountId="aaaa")["type"] == "accountNotFound"


def test_rfc9425_4_2_no_limit_is_no_quota(jmap: JmapClient) -> None:
    jmap.limit(0)
    assert jmap.call("Quota/get", ids=None)["list"] == []
    assert jmap.call("Quota/query")["ids"] == []


def test_rfc9425_4_3_changes_of_use_alone(limited: JmapClient) -> None:
    known, state = quota(limited)["id"], limited.call("Quota/get")["state"]
    found = limited.call("Quota/changes", sinceState=state)
    assert found["updated"] == []
    assert found["newState"] == state
    limited.mail()
    found = limited.call("Quota/changes", sinceState=state)
    assert found["oldState"] == state
    assert found["newState"] == limited.call("Quota/get")["state"] != state
    assert (found["created"], found["updated"], found["destroyed"]) == ([], [known], [])
    assert found["updatedProperties"] == ["used"]
    assert found["hasMoreChanges"] is False


def test_rfc9425_4_3_changes_of_the_limit(limited: JmapClient) -> None:
    known, state = quota(limited)["id"], limited.call("Quota/get")["state"]
    limited.limit(2 * LIMIT)
    found = limited.call("Quota/changes", sinceState=state)
    assert found["updated"] == [known]
    assert found["updatedProperties"] is None
    assert quota(limited)["hardLimit"] == 2 * LIMIT
    between = found["newState"]
    limited.limit(0)
    assert limited.call("Quota/changes", sinceState=between)["destroyed"] == [known]
    gone = limited.call("Quota/get")["state"]
    limited.limit(LIMIT)
    assert limited.call("Quota/changes", sinceState=gone)["created"] == [known]


def test_rfc9425_4_3_states_that_were_never_ours(limited: JmapClient) -> None:
    for state in ("99999999", "-1", "x", ""):
        assert limited.fails("Quota/changes", sinceState=state)["type"] == "cannotCalculateChanges"
    assert limited.fails("Quota/changes", sinceState="1", maxChanges=0)["type"] == "invalidArguments"


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ({}, True), ({"name": "mail"}, True), ({"name": "ai"}, True), ({"name": "files"}, False), ({"scope": "account"}, True),
        ({"scope": "domain"}, False), ({"resourceType": "octets"}, True), ({"resourceType": "count"}, False),
        ({"type": "Email"}, True), ({"type": "Mailbox"}, False), ({"scope": "account", "type": "Email", "name": "M"}, True),
        ({"operator": "NOT", "conditions": [{"scope": "domain"}]}, True),
        ({"operator": "AND", "conditions": [{"scope": "account"}, {"type": "Thread"}]}, False),
        ({"operator": "OR", "conditions": [{"scope": "global"}, {"type": "Email"}]}, True),
    ],
)  # fmt: skip
def test_rfc9425_4_4_filters(limited: JmapClient, condition: dict[str, Any], kept: bool) -> None:
    assert bool(limited.call("Quota/query", filter=condition)["ids"]) is kept


def test_rfc9425_4_4_query_gives_what_get_names(limited: JmapClient) -> None:
    known = quota(limited)["id"]
    for sort in (None, [{"property": "name"}], [{"property": "used", "isAscending": False}]):
        found = limited.call("Quota/query", sort=sort, calculateTotal=True)
        assert found["ids"] == [known]
        assert found["total"] == 1
        assert found["position"] == 0
        assert found["canCalculateChanges"] is True
    assert limited.call("Quota/query", position=1)["ids"] == []
    assert limited.call("Quota/query", limit=0)["ids"] == []
    assert limited.call("Quota/query", anchor=known)["ids"] == [known]
    assert limited.fails("Quota/query", anchor="x")["type"] == "anchorNotFound"


def test_rfc9425_4_4_lists_that_cannot_be(limited: JmapClient) -> None:
    assert limited.fails("Quota/query", sort=[{"property": "scope"}])["type"] == "unsupportedSort"
    assert limited.fails("Quota/query", sort=[{"property": "name", "collation": "x"}])["type"] == "unsupportedSort"
    for bad in ({"name": 1}, {"size": 1}, {"operator": "XOR", "conditions": []}):
        assert limited.fails("Quota/query", filter=bad)["type"] in {"invalidArguments", "unsupportedFilter"}


def test_rfc9425_4_5_query_changes(limited: JmapClient) -> None:
    known, state = quota(limited)["id"], limited.call("Quota/query")["queryState"]
    limited.mail()
    found = limited.call("Quota/queryChanges", sinceQueryState=state, calculateTotal=True)
    assert (found["added"], found["removed"], found["total"]) == ([], [], 1)
    by_use = limited.call("Quota/queryChanges", sinceQueryState=state, sort=[{"property": "used"}])
    assert by_use["removed"] == [known]
    assert by_use["added"] == [{"id": known, "index": 0}]
    few = {"sinceQueryState": state, "sort": [{"property": "used"}], "maxChanges": 1}
    assert limited.fails("Quota/queryChanges", **few)["type"] == "tooManyChanges"
    limited.limit(0)
    gone = limited.call("Quota/queryChanges", sinceQueryState=found["newQueryState"])
    assert (gone["added"], gone["removed"]) == ([], [known])
    limited.limit(LIMIT)
    back = limited.call("Quota/queryChanges", sinceQueryState=gone["newQueryState"])
    assert (back["added"], back["removed"]) == ([{"id": known, "index": 0}], [])
    assert limited.fails("Quota/queryChanges", sinceQueryState="x")["type"] == "cannotCalculateChanges"


def test_rfc9425_4_3_use_and_limit_are_pushed(limited: JmapClient) -> None:
    with listening(limited, "Quota") as stream:
        limited.mail()
        found = stream.next()
        assert found is not None
        assert found.data["changed"][limited.account] == {"Quota": limited.call("Quota/get")["state"]}
        limited.limit(2 * LIMIT)
        found = stream.next()
        assert found is not None
        assert found.data["changed"][limited.account] == {"Quota": limited.call("Quota/get")["state"]}
