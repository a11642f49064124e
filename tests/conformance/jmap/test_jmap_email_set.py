"""RFC 8621 §4.6 and RFC 8620 §5.3: Email/set, changes and destruction."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient


def keywords(jmap: JmapClient, email: str) -> Any:
    return jmap.get(email, "keywords")["keywords"]


def refusal(jmap: JmapClient, email: str, patch: dict[str, Any]) -> Any:
    result = jmap.call("Email/set", update={email: patch})
    assert result["updated"] is None
    return result["notUpdated"][email]


def test_rfc8620_5_3_response_names_everything(jmap: JmapClient) -> None:
    found = jmap.call("Email/set")
    assert found["oldState"] == found["newState"]
    assert set(found) == {
        "accountId", "oldState", "newState", "created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed",
    }  # fmt: skip


def test_rfc8620_5_3_patch_of_keywords(jmap: JmapClient) -> None:
    email = jmap.mail()
    result = jmap.call("Email/set", update={email: {"keywords/$seen": True, "keywords/work": True}})
    assert result["updated"] == {email: None}
    assert result["oldState"] != result["newState"]
    assert keywords(jmap, email) == {"$seen": True, "work": True}
    jmap.call("Email/set", update={email: {"keywords/$seen": None, "keywords/none": None}})
    assert keywords(jmap, email) == {"work": True}
    jmap.call("Email/set", update={email: {"keywords": {"$flagged": True}}})
    assert keywords(jmap, email) == {"$flagged": True}
    jmap.call("Email/set", update={email: {"keywords": None}})
    assert keywords(jmap, email) == {}


def test_rfc8621_4_1_1_keywords_are_lower_case(jmap: JmapClient) -> None:
    email = jmap.mail()
    jmap.call("Email/set", update={email: {"keywords/$SEEN": True, "keywords/Work": True}})
    assert keywords(jmap, email) == {"$seen": True, "work": True}


def test_rfc6901_pointers_are_unescaped(jmap: JmapClient) -> None:
    email = jmap.mail()
    jmap.call("Email/set", update={email: {"keywords/a~1b~0c": True}})
    assert keywords(jmap, email) == {"a/b~c": True}


@pytest.mark.parametrize("keyword", ["", "a b", "a(b", "a{", "a%", "a*", 'a"b', "a\\b", "é", "a]", "x" * 256])
def test_rfc8621_4_1_1_what_is_no_keyword(jmap: JmapClient, keyword: str) -> None:
    email = jmap.mail()
    assert refusal(jmap, email, {f"keywords/{keyword}": True})["type"] == "invalidProperties"
    assert refusal(jmap, email, {"keywords": {keyword: True}})["properties"] == ["keywords"]


def test_rfc8620_5_3_patch_of_mailboxes(jmap: JmapClient) -> None:
    email = jmap.mail()
    inbox, archive, trash = jmap.mailbox("inbox"), jmap.mailbox("archive"), jmap.mailbox("trash")
    jmap.call("Email/set", update={email: {f"mailboxIds/{archive}": True}})
    assert jmap.get(email, "mailboxIds")["mailboxIds"] == {inbox: True, archive: True}
    jmap.call("Email/set", update={email: {f"mailboxIds/{inbox}": None}})
    assert jmap.get(email, "mailboxIds")["mailboxIds"] == {archive: True}
    jmap.call("Email/set", update={email: {"mailboxIds": {trash: True}}})
    assert jmap.get(email, "mailboxIds")["mailboxIds"] == {trash: True}


@pytest.mark.parametrize("value", [{}, None, {"F99999": True}, {"nonsense": True}, {"F1": False}, [], "F1", {"F1": 1}])
def test_rfc8621_4_1_1_an_email_is_in_some_mailbox(jmap: JmapClient, value: Any) -> None:
    email = jmap.mail()
    found = refusal(jmap, email, {"mailboxIds": value})
    assert (found["type"], found["properties"]) == ("invalidProperties", ["mailboxIds"])


def test_rfc8621_4_1_1_the_last_mailbox_cannot_go(jmap: JmapClient) -> None:
    email = jmap.mail()
    assert refusal(jmap, email, {f"mailboxIds/{jmap.mailbox('inbox')}": None})["type"] == "invalidProperties"


def test_rfc8620_5_3_null_for_a_key_that_is_not_there_does_nothing(jmap: JmapClient) -> None:
    email = jmap.mail()
    absent = ("keywords/none", "keywords/a b", "mailboxIds/F99999", "mailboxIds/nonsense", "mailboxIds/#nobody")
    result = jmap.call("Email/set", update={email: {"keywords/here": True, **dict.fromkeys(absent)}})
    assert (result["updated"], result["notUpdated"]) == ({email: None}, None)
    assert keywords(jmap, email) == {"here": True}
    assert jmap.get(email, "mailboxIds")["mailboxIds"] == {jmap.mailbox("inbox"): True}


@pytest.mark.parametrize(
    "patch",
    [
        {"keywords": {}, "keywords/a": True},
        {"keywords/a/b": True},
        {"subject/x": 1},
        {"mailboxIds/F1/x": None},
        {"keywords/a~": True},
        {"keywords/~2": True},
    ],
)
def test_rfc8620_5_3_invalid_patch(jmap: JmapClient, patch: Any) -> None:
    assert refusal(jmap, jmap.mail(), patch)["type"] == "invalidPatch"


@pytest.mark.parametrize("patch", [{"subject": "new"}, {"nonsense": 1}, {"size": 1}, {"threadId": "T9"}, {"headers": []}, {"keywords/a": False},
                                   {"keywords/a": 1}, {"preview": None}, {"header:Subject": "x"}])  # fmt: skip
def test_rfc8620_5_3_what_cannot_change(jmap: JmapClient, patch: Any) -> None:
    assert refusal(jmap, jmap.mail(), patch)["type"] == "invalidProperties"


def test_rfc8620_5_3_all_that_is_wrong_is_named(jmap: JmapClient) -> None:
    email = jmap.mail()
    patch = {"subject": "x", "size": 1, "nonsense": 2, "keywords/a b": True, "mailboxIds/none": True, "id": email}
    found = refusal(jmap, email, patch)
    assert found["type"] == "invalidProperties"
    assert sorted(found["properties"]) == ["keywords", "mailboxIds", "nonsense", "size", "subject"]
    assert keywords(jmap, email) == {}


def test_rfc8620_5_3_same_values_again_are_allowed(jmap: JmapClient) -> None:
    email = jmap.mail("Same")
    whole = jmap.get(email, "id", "blobId", "threadId", "size", "receivedAt", "subject", "from", "hasAttachment")
    assert jmap.call("Email/set", update={email: {**whole, "keywords": {"x": True}}})["updated"] == {email: None}
    assert keywords(jmap, email) == {"x": True}


BODIES = (
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=1\r\n\r\n--1\r\nContent-Type: text/plain\r\nX-Part: p\r\n\r\n"
    "Hello all\r\n--1\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nPDF\r\n--1--\r\n"
)


def test_rfc8620_5_3_a_whole_email_is_a_patch(jmap: JmapClient) -> None:
    email = jmap.put(f"From: a@b.example\r\nSubject: Whole\r\n{BODIES}".encode())
    everything = (
        "bodyStructure",
        "headers",
        "header:From:asGroupedAddresses",
        "header:X-None:all",
        "bodyValues",
        "attachments",
    )
    for whole in (
        jmap.get(email),
        jmap.get(
            email,
            *everything,
            fetchAllBodyValues=True,
            bodyProperties=["partId", "subParts", "headers", "header:X-Part"],
        ),
        jmap.get(
            email, "bodyValues", "textBody", fetchTextBodyValues=True, maxBodyValueBytes=5, bodyProperties=["size"]
        ),
    ):
        result = jmap.call("Email/set", update={email: {**whole, "keywords": {"x": True}}})
        assert (result["updated"], result["notUpdated"]) == ({email: None}, None)
    for key, value in {
        "bodyValues": {"1": {"value": "Hello"}}, "textBody": [{"size": 1}], "attachments": [], "bodyStructure": {"nonsense": 1},
        "headers": [], "header:X-None:all": ["x"], "htmlBody": [None],
    }.items():  # fmt: skip
        found = refusal(jmap, email, {key: value})
        assert (found["type"], found["properties"]) == ("invalidProperties", [key])


def test_rfc8620_5_3_destroy(jmap: JmapClient) -> None:
    email = jmap.mail()
    result = jmap.call("Email/set", destroy=[email, "M99999"])
    assert result["destroyed"] == [email]
    assert result["notDestroyed"] == {"M99999": {"type": "notFound"}}
    assert jmap.call("Email/get", ids=[email])["notFound"] == [email]


def test_rfc8620_5_3_will_destroy(jmap: JmapClient) -> None:
    email = jmap.mail()
    result = jmap.call("Email/set", update={email: {"keywords/a": True}}, destroy=[email, email])
    assert result["notUpdated"][email]["type"] == "willDestroy"
    assert result["destroyed"] == [email]


def test_rfc8620_5_3_each_object_succeeds_or_fails_alone(jmap: JmapClient) -> None:
    good, bad = jmap.mail(), jmap.mail()
    result = jmap.call(
        "Email/set", update={good: {"keywords/a": True}, bad: {"mailboxIds": {}}, "M99999": {"keywords/a": True}}
    )
    assert result["updated"] == {good: None}
    assert result["notUpdated"][bad]["type"] == "invalidProperties"
    assert result["notUpdated"]["M99999"]["type"] == "notFound"


def test_rfc8620_5_3_if_in_state(jmap: JmapClient) -> None:
    email = jmap.mail()
    now = jmap.call("Email/get", ids=[])["state"]
    result = jmap.call("Email/set", ifInState=now, update={email: {"keywords/a": True}})
    assert result["oldState"] == now
    assert jmap.fails("Email/set", ifInState=now, update={email: {"keywords/b": True}})["type"] == "stateMismatch"
    assert jmap.fails("Email/set", ifInState="nonsense", destroy=[email])["type"] == "stateMismatch"
    assert keywords(jmap, email) == {"a": True}


def test_rfc8620_5_3_fifty_flags_in_one_call(jmap: JmapClient) -> None:
    drafts = jmap.mailbox("drafts")
    made = jmap.call("Email/set", create={str(n): {"mailboxIds": {drafts: True}, "subject": str(n)} for n in range(50)})
    ids = [created["id"] for created in made["created"].values()]
    assert len(set(ids)) == 50
    assert len(jmap.call("Email/set", update={email: {"keywords/$flagged": True} for email in ids})["updated"]) == 50
    assert len(jmap.call("Email/query", filter={"hasKeyword": "$flagged"})["ids"]) == 50
