"""RFC 8620 §3.7: result references."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient


def echo(jmap: JmapClient, first: dict[str, Any], path: Any, **reference: Any) -> Any:
    """Echo `first`, then echo what `path` finds in it; return the second response."""
    pointer = {"resultOf": "a", "name": "Core/echo", "path": path, **reference}
    return jmap.responses(["Core/echo", first, "a"], ["Core/echo", {"#x": pointer}, "b"])[1]


DATA = {"list": [{"id": "1", "ids": ["a", "b"]}, {"id": "2", "ids": ["c"]}], "a/b": {"m~n": 8}, "": 0, "empty": []}


@pytest.mark.parametrize(
    ("path", "value"),
    [("/list/0/id", "1"), ("/list/1", {"id": "2", "ids": ["c"]}), ("/list/*/id", ["1", "2"]), ("/list/*/ids", ["a", "b", "c"]),
     ("/list/*/ids/*", ["a", "b", "c"]), ("/a~1b/m~0n", 8), ("", DATA), ("/", 0), ("/empty/*/id", []), ("/list/*/ids/0", ["a", "c"])],
)  # fmt: skip
def test_rfc8620_3_7_pointer_finds(jmap: JmapClient, path: str, value: Any) -> None:
    assert echo(jmap, DATA, path) == ["Core/echo", {"x": value}, "b"]


@pytest.mark.parametrize(
    "path",
    [
        "/none",
        "/list/2",
        "/list/-",
        "/list/01",
        "/list/x",
        "list",
        "/list/0/id/x",
        "/list/*/none",
        5,
        None,
        "/*",
        "/list/9999999999",
        "/a~2b",
        "/a~",
    ],
)
def test_rfc8620_3_7_pointer_fails(jmap: JmapClient, path: Any) -> None:
    assert echo(jmap, DATA, path)[1]["type"] == "invalidResultReference"


def test_rfc8620_3_7_name_and_call_must_fit(jmap: JmapClient) -> None:
    assert echo(jmap, DATA, "", name="Email/get")[1]["type"] == "invalidResultReference"
    assert echo(jmap, DATA, "", resultOf="z")[1]["type"] == "invalidResultReference"
    assert echo(jmap, DATA, "", extra=1)[1]["type"] == "invalidResultReference"


def test_rfc8620_3_7_errors_cannot_be_referred_to(jmap: JmapClient) -> None:
    pointer = {"resultOf": "a", "name": "Foo/bar", "path": ""}
    found = jmap.responses(["Foo/bar", {}, "a"], ["Core/echo", {"#x": pointer}, "b"])
    assert found[1][1]["type"] == "invalidResultReference"


def test_rfc8620_3_7_both_forms_of_an_argument_are_refused(jmap: JmapClient) -> None:
    pointer = {"resultOf": "a", "name": "Core/echo", "path": ""}
    found = jmap.responses(["Core/echo", {}, "a"], ["Core/echo", {"x": 1, "#x": pointer}, "b"])
    assert found[1][1]["type"] == "invalidArguments"


def test_rfc8620_3_7_first_screen_in_one_request(jmap: JmapClient) -> None:
    first = jmap.mail("One")
    second = jmap.mail("Two")
    account = jmap.account
    found = jmap.responses(
        ["Email/query", {"accountId": account, "filter": {"inMailbox": jmap.mailbox("inbox")}, "collapseThreads": True}, "t0"],
        ["Email/get", {"accountId": account, "#ids": {"resultOf": "t0", "name": "Email/query", "path": "/ids"}, "properties": ["threadId"]}, "t1"],
        ["Thread/get", {"accountId": account, "#ids": {"resultOf": "t1", "name": "Email/get", "path": "/list/*/threadId"}}, "t2"],
        ["Email/get", {"accountId": account, "#ids": {"resultOf": "t2", "name": "Thread/get", "path": "/list/*/emailIds"}, "properties": ["subject"]}, "t3"],
    )  # fmt: skip
    assert {email["id"]: email["subject"] for email in found[3][1]["list"]} == {first: "One", second: "Two"}


def test_rfc8620_3_7_a_list_is_the_same_in_one_request_and_in_two(jmap: JmapClient) -> None:
    """What stands between a query and its get is seen by the get: nothing is read before its time."""
    drafts = next(box["id"] for box in jmap.call("Mailbox/get", ids=None)["list"] if box["role"] == "drafts")
    made = jmap.call(
        "Email/set", create={key: {"mailboxIds": {drafts: True}, "subject": key, "to": []} for key in ("a", "b", "c")}
    )["created"]
    query = {"accountId": jmap.account, "filter": {"inMailbox": drafts}, "limit": 50}
    ids = {"resultOf": "q", "name": "Email/query", "path": "/ids"}
    get = {"accountId": jmap.account, "#ids": ids, "properties": ["subject", "keywords", "mailboxIds"]}
    together = jmap.responses(["Email/query", query, "q"], ["Email/get", get, "g"])
    apart = jmap.call("Email/get", ids=together[0][1]["ids"], properties=get["properties"])
    assert together[1][1]["list"] == apart["list"]
    assert {shown["subject"] for shown in apart["list"]} == {"a", "b", "c"}
    flag = {"accountId": jmap.account, "update": {made["a"]["id"]: {"keywords/x": True}}, "destroy": [made["b"]["id"]]}
    changed = jmap.responses(["Email/query", query, "q"], ["Email/set", flag, "s"], ["Email/get", get, "g"])
    assert changed[2][1]["notFound"] == [made["b"]["id"]]
    assert {shown["subject"]: "x" in shown["keywords"] for shown in changed[2][1]["list"]} == {"a": True, "c": False}
    assert changed[2][1]["state"] == changed[1][1]["newState"]
