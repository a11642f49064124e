"""RFC 8621 §4.8: Email/import; and §4.7: what Email/copy refuses of a person with one account."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from tests.conformance.jmap_client import CORE, JmapClient


def message(subject: str = "imported", fields: str = "", body: str = "Hello\r\n") -> bytes:
    text = (
        f"From: Anna <anna@x.example>\r\nTo: bob@x.example\r\nSubject: {subject}\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\n"
        f"Message-ID: <{secrets.token_hex(8)}@x.example>\r\n{fields}\r\n{body}"
    )
    return text.encode()


def imported(jmap: JmapClient, blob: str, **properties: Any) -> dict[str, Any]:
    email = {"blobId": blob, "mailboxIds": {jmap.mailbox("inbox"): True}, **properties}
    result = jmap.call("Email/import", emails={"i": email})
    assert result["notCreated"] is None, result
    found: dict[str, Any] = result["created"]["i"]
    return found


def refused(jmap: JmapClient, **email: Any) -> dict[str, Any]:
    result = jmap.call("Email/import", emails={"i": email})
    assert result["created"] is None
    assert result["oldState"] == result["newState"]
    error: dict[str, Any] = result["notCreated"]["i"]
    return error


def test_rfc8621_4_8_import_of_an_upload(jmap: JmapClient) -> None:
    raw = message("été", body="Bonjour\r\n")
    before = jmap.call("Email/get", ids=[])["state"]
    result = jmap.call(
        "Email/import",
        emails={
            "i": {
                "blobId": jmap.upload(raw),
                "mailboxIds": {jmap.mailbox("archive"): True},
                "keywords": {"$Seen": True},
            }
        },
    )
    assert result["oldState"] == before != result["newState"]
    created = result["created"]["i"]
    assert set(created) == {"id", "blobId", "threadId", "size"}
    assert created["size"] == len(raw)
    assert jmap.download(created["blobId"]).content == raw
    email = jmap.get(created["id"], "mailboxIds", "keywords", "subject", "threadId")
    assert email["mailboxIds"] == {jmap.mailbox("archive"): True}
    assert (email["keywords"], email["threadId"]) == ({"$seen": True}, created["threadId"])


def test_rfc8621_4_8_import_is_byte_for_byte(jmap: JmapClient) -> None:
    raw = b"From: a@x.example\nSubject: bare line ends, \xff and no date\n\nx\ny"
    assert jmap.download(imported(jmap, jmap.upload(raw))["blobId"]).content == raw


def test_rfc8621_4_8_received_at(jmap: JmapClient) -> None:
    trace = "Received: from b by c; Wed, 2 Jul 2025 12:00:00 +0200\r\nReceived: from a by b; Tue, 1 Jul 2025 09:00:00 +0000\r\n"
    email = imported(jmap, jmap.upload(message(fields=trace)))
    # the most recent Received field
    assert jmap.get(email["id"], "receivedAt")["receivedAt"] == "2025-07-02T10:00:00Z"
    email = imported(jmap, jmap.upload(message(fields=trace)), receivedAt="2020-02-02T02:02:02Z")
    assert jmap.get(email["id"], "receivedAt")["receivedAt"] == "2020-02-02T02:02:02Z"
    email = imported(jmap, jmap.upload(message()))
    assert jmap.get(email["id"], "receivedAt")["receivedAt"] > "2025"


def test_rfc8621_4_8_attached_message_is_imported(jmap: JmapClient) -> None:
    raw = message("inner")
    blob = jmap.upload(raw, "message/rfc822")
    draft = jmap.draft(textBody=[{"partId": "t"}], bodyValues={"t": {"value": "see"}},
                       attachments=[{"blobId": blob, "type": "message/rfc822"}])  # fmt: skip
    (part,) = jmap.get(draft["id"], "attachments")["attachments"]
    email = imported(jmap, part["blobId"])
    assert jmap.get(email["id"], "subject")["subject"] == "inner"
    assert jmap.download(email["blobId"]).content == raw


def test_rfc8621_4_8_what_exists_already(jmap: JmapClient) -> None:
    raw = message()
    first = imported(jmap, jmap.upload(raw))
    error = refused(jmap, blobId=jmap.upload(raw), mailboxIds={jmap.mailbox("archive"): True})
    assert error == {"type": "alreadyExists", "existingId": first["id"]}
    error = refused(jmap, blobId=first["blobId"], mailboxIds={jmap.mailbox("archive"): True})
    assert error == {"type": "alreadyExists", "existingId": first["id"]}
    jmap.call("Email/set", destroy=[first["id"]])
    assert imported(jmap, jmap.upload(raw))["id"] != first["id"]


@pytest.mark.parametrize(
    "octets", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"just a text\r\n", b"Content-Type: text/plain\r\n\r\nx"]
)
def test_rfc8621_4_8_invalid_email(jmap: JmapClient, octets: bytes) -> None:
    error = refused(jmap, blobId=jmap.upload(octets), mailboxIds={jmap.mailbox("inbox"): True})
    assert error["type"] == "invalidEmail"


def test_rfc8621_4_8_invalid_properties(jmap: JmapClient, jmap_other: JmapClient) -> None:
    inbox, blob = {jmap.mailbox("inbox"): True}, jmap.upload(message())
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"mailboxIds": inbox}, ["blobId"]),
        ({"blobId": "U17", "mailboxIds": inbox}, ["blobId"]),
        ({"blobId": 17, "mailboxIds": inbox}, ["blobId"]),
        ({"blobId": jmap_other.upload(message()), "mailboxIds": inbox}, ["blobId"]),
        ({"blobId": blob}, ["mailboxIds"]),
        ({"blobId": blob, "mailboxIds": {}}, ["mailboxIds"]),
        ({"blobId": blob, "mailboxIds": {"F999": True}}, ["mailboxIds"]),
        ({"blobId": blob, "mailboxIds": inbox, "keywords": {"a b": True}}, ["keywords"]),
        ({"blobId": blob, "mailboxIds": inbox, "receivedAt": "yesterday"}, ["receivedAt"]),
        ({"blobId": blob, "mailboxIds": inbox, "subject": "x"}, ["subject"]),
        ({"blobId": "U17", "mailboxIds": {}, "keywords": 5}, ["mailboxIds", "keywords", "blobId"]),
    ]
    for email, wrong in cases:
        error = refused(jmap, **email)
        assert (error["type"], error["properties"]) == ("invalidProperties", wrong), email


def test_rfc8621_4_8_if_in_state(jmap: JmapClient) -> None:
    state = jmap.call("Email/get", ids=[])["state"]
    emails = {
        name: {"blobId": jmap.upload(message()), "mailboxIds": {jmap.mailbox("inbox"): True}} for name in ("a", "b")
    }
    result = jmap.call("Email/import", ifInState=state, emails=emails)
    assert (result["oldState"], set(result["created"])) == (state, {"a", "b"})
    assert jmap.fails("Email/import", ifInState=state, emails=emails)["type"] == "stateMismatch"
    assert jmap.fails("Email/import", ifInState="rubbish", emails={})["type"] == "stateMismatch"
    now = result["newState"]
    empty = jmap.call("Email/import", ifInState=now, emails={})
    assert (empty["oldState"], empty["newState"], empty["created"], empty["notCreated"]) == (now, now, None, None)


def test_rfc8621_4_8_one_that_fails_stops_no_other(jmap: JmapClient) -> None:
    inbox = {jmap.mailbox("inbox"): True}
    emails = {
        "bad": {"blobId": jmap.upload(b"no"), "mailboxIds": inbox},
        "good": {"blobId": jmap.upload(message()), "mailboxIds": inbox},
    }
    result = jmap.call("Email/import", emails=emails)
    assert (set(result["created"]), set(result["notCreated"])) == ({"good"}, {"bad"})


def test_rfc8621_4_8_creation_ids_are_used_by_later_calls(jmap: JmapClient) -> None:
    emails = {"i": {"blobId": jmap.upload(message("by reference")), "mailboxIds": {jmap.mailbox("inbox"): True}}}
    responses = jmap.responses(
        ["Email/import", {"accountId": jmap.account, "emails": emails}, "0"],
        ["Email/get", {"accountId": jmap.account, "ids": ["#i"], "properties": ["subject"]}, "1"],
    )
    assert responses[1][1]["list"][0]["subject"] == "by reference"


def test_rfc8621_4_8_bounds_and_arguments(jmap: JmapClient) -> None:
    limit = jmap.session["capabilities"][CORE]["maxObjectsInSet"]
    emails = {f"k{number}": {"blobId": "U1", "mailboxIds": {"F1": True}} for number in range(limit + 1)}
    assert jmap.fails("Email/import", emails=emails)["type"] == "requestTooLarge"
    assert jmap.fails("Email/import")["type"] == "invalidArguments"
    assert jmap.fails("Email/import", emails=[])["type"] == "invalidArguments"
    assert jmap.fails("Email/import", emails={"no id!": {}})["type"] == "invalidArguments"


def test_rfc8621_4_7_copy_needs_two_accounts(jmap: JmapClient, jmap_other: JmapClient) -> None:
    create = {"c": {"id": jmap.mail(), "mailboxIds": {jmap.mailbox("inbox"): True}}}
    # RFC 8620 §5.4
    assert jmap.fails("Email/copy", fromAccountId=jmap.account, create=create)["type"] == "invalidArguments"
    assert jmap.fails("Email/copy", fromAccountId="anobody", create=create)["type"] == "fromAccountNotFound"
    assert jmap.fails("Email/copy", fromAccountId=jmap_other.account, create=create)["type"] == "fromAccountNotFound"
    error = jmap.fails("Email/copy", accountId=jmap_other.account, fromAccountId=jmap.account, create=create)
    assert error["type"] == "accountNotFound"
    assert jmap.fails("Email/copy", create=create)["type"] == "invalidArguments"
    assert jmap.fails("Email/copy", fromAccountId=jmap_other.account)["type"] == "invalidArguments"
