"""RFC 8621 §5: SearchSnippet/get."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient


def snippets(jmap: JmapClient, filter_: dict[str, Any] | None, *emails: str) -> list[dict[str, Any]]:
    found = jmap.call("SearchSnippet/get", filter=filter_, emailIds=list(emails))
    assert set(found) == {"accountId", "list", "notFound"}
    assert found["accountId"] == jmap.account
    assert found["notFound"] is None  # RFC 8621 §5.1: null when all were found
    listed: list[dict[str, Any]] = found["list"]
    assert all(set(one) == {"emailId", "subject", "preview"} for one in listed)
    return listed


def snippet(jmap: JmapClient, filter_: dict[str, Any] | None, email: str) -> tuple[Any, Any]:
    (found,) = snippets(jmap, filter_, email)
    assert found["emailId"] == email
    return found["subject"], found["preview"]


def test_rfc8621_5_what_is_found_is_marked(jmap: JmapClient) -> None:
    email = jmap.mail("Foo & the <report>", body="The bar of the hotel, near the report.\r\n")
    # RFC 8621 §5: &, < and > are escaped, what is found stands in <mark>
    assert snippet(jmap, {"subject": "foo"}, email) == ("<mark>Foo</mark> &amp; the &lt;report&gt;", None)
    subject, preview = snippet(jmap, {"text": "report"}, email)
    assert subject == "Foo &amp; the &lt;<mark>report</mark>&gt;"
    assert "<mark>report</mark>" in preview
    subject, preview = snippet(jmap, {"body": "hotel"}, email)
    assert subject is None
    assert "<mark>hotel</mark>" in preview


def test_rfc8621_5_null_where_nothing_is_found(jmap: JmapClient) -> None:
    email = jmap.mail("Plan", body="Text\r\n")
    for wanted in (
        None,
        {},
        {"text": "absent"},
        {"hasKeyword": "$seen"},
        {"from": "anna"},
        {"operator": "AND", "conditions": []},
    ):
        assert snippet(jmap, wanted, email) == (None, None)
    # what must not be there is not marked
    assert snippet(jmap, {"operator": "NOT", "conditions": [{"text": "plan"}]}, email) == (None, None)


def test_rfc8621_5_the_preview_is_short(jmap: JmapClient) -> None:
    body = "".join(f"word{number} needle é<>& " for number in range(300))
    email = jmap.mail("x", fields="Content-Type: text/plain; charset=utf-8\r\n", body=f"{body[:900]}\r\n")
    _, preview = snippet(jmap, {"body": "needle"}, email)
    assert preview.count("<mark>") == preview.count("</mark>") > 0
    assert len(preview.encode()) <= 255  # RFC 8621 §5


def test_rfc8621_5_1_the_filter_of_a_query_serves_as_it_is(jmap: JmapClient) -> None:
    first = jmap.mail("Une lettre", body="rien\r\n")
    second = jmap.mail("Autre", body="Une lettre encore\r\n")
    wanted = {"operator": "AND", "conditions": [{"inMailbox": jmap.mailbox("inbox")}, {"text": "lettre"}]}
    query = ["Email/query", {"accountId": jmap.account, "filter": wanted, "sort": [{"property": "receivedAt"}]}, "q"]
    reference = {"resultOf": "q", "name": "Email/query", "path": "/ids"}
    show = ["SearchSnippet/get", {"accountId": jmap.account, "filter": wanted, "#emailIds": reference}, "s"]
    found = jmap.responses(query, show)[1][1]["list"]
    assert [one["emailId"] for one in found] == [first, second]
    assert found[0]["subject"] == "Une <mark>lettre</mark>"
    assert "<mark>lettre</mark>" in found[1]["preview"]


def test_rfc8621_5_1_not_found(jmap: JmapClient) -> None:
    email = jmap.mail("Plan")
    found = jmap.call("SearchSnippet/get", filter={"text": "plan"}, emailIds=["M99999", email, "nonsense", email])
    assert [one["emailId"] for one in found["list"]] == [email]
    assert found["notFound"] == ["M99999", "nonsense"]
    assert snippets(jmap, {"text": "plan"}) == []


def test_rfc8621_5_1_another_accounts_mail_is_not_found(jmap: JmapClient, jmap_other: JmapClient) -> None:
    jmap.mail("Plan")
    mine, theirs = jmap_other.mail("Secret"), jmap_other.account
    assert jmap.fails("SearchSnippet/get", accountId=theirs, filter={"text": "secret"}, emailIds=[mine])["type"] in {
        "accountNotFound", "forbidden",
    }  # fmt: skip


def test_rfc8621_5_1_too_many(jmap: JmapClient) -> None:
    most = jmap.session["capabilities"]["urn:ietf:params:jmap:core"]["maxObjectsInGet"]
    ids = [f"M{number}" for number in range(10_000, 10_000 + most + 1)]
    assert jmap.fails("SearchSnippet/get", filter={"text": "x"}, emailIds=ids)["type"] == "requestTooLarge"
    assert len(jmap.call("SearchSnippet/get", filter={"text": "x"}, emailIds=ids[1:])["notFound"]) == most


def test_rfc8621_5_1_unsupported_filter(jmap: JmapClient) -> None:
    email = jmap.mail("Plan")
    for text in ("x" * 5000, "a b c d " * 40):
        assert jmap.fails("SearchSnippet/get", filter={"text": text}, emailIds=[email])["type"] == "unsupportedFilter"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"emailIds": None},
        {"emailIds": "M1"},
        {"emailIds": [5]},
        {"emailIds": [None]},
        {"emailIds": [], "filter": []},
        {"emailIds": [], "filter": {"nonsense": 1}},
        {"emailIds": [], "filter": {"text": None}},
        {"emailIds": [], "nonsense": 1},
    ],
)
def test_rfc8620_3_6_2_arguments_that_are_none(jmap: JmapClient, wrong: dict[str, Any]) -> None:
    assert jmap.fails("SearchSnippet/get", **wrong)["type"] == "invalidArguments"
