"""RFC 8621 §4.9: Email/parse, of uploads, of attached messages, and of messages in these."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.conformance.jmap_client import CORE, JmapClient

DEEP = (
    b"From: Deep <deep@x.example>\r\nSubject: deepest\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n"
    b"--d\r\nContent-Type: text/plain\r\n\r\nin the depth\r\n--d\r\nContent-Type: application/pdf; name=d.pdf\r\n"
    b"Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--d--\r\n"
)


def holding(inner: bytes, kind: str = "application/octet-stream") -> bytes:
    """A message with another one attached, in base64, so that only who decodes it finds it."""
    return (
        b"From: Anna <anna@x.example>\r\nTo: Bob <bob@x.example>\r\nSubject: =?utf-8?q?f=C3=AAte?=\r\n"
        b"Date: Tue, 1 Jul 2025 10:00:00 +0200\r\nMessage-ID: <out@x.example>\r\nX-Tag: one\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
        b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\nd\xe9j\xe0\r\n--o\r\nContent-Type: " + kind.encode()
        + b"; name=inner.eml\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(inner).replace(b"\n", b"\r\n") + b"--o--\r\n"
    )  # fmt: skip


def parsed(jmap: JmapClient, blob: str, *properties: str, **arguments: Any) -> dict[str, Any]:
    wanted = {"properties": list(properties)} if properties else {}
    result = jmap.call("Email/parse", blobIds=[blob], **wanted, **arguments)
    assert (result["notParsable"], result["notFound"]) == (None, None)
    found: dict[str, Any] = result["parsed"][blob]
    return found


def test_rfc8621_4_9_default_properties(jmap: JmapClient) -> None:
    found = parsed(jmap, jmap.upload(holding(DEEP)))
    assert set(found) == {
        "messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt",
        "hasAttachment", "preview", "bodyValues", "textBody", "htmlBody", "attachments",
    }  # fmt: skip
    assert (found["subject"], found["messageId"]) == ("fête", ["out@x.example"])
    assert found["from"] == [{"name": "Anna", "email": "anna@x.example"}]
    assert (found["hasAttachment"], found["preview"], found["bodyValues"]) == (True, "déjà", {})
    assert found["sentAt"] == "2025-07-01T10:00:00+02:00"


def test_rfc8621_4_9_what_only_an_email_has_is_null(jmap: JmapClient) -> None:
    blob = jmap.upload(DEEP)
    found = parsed(jmap, blob, "id", "mailboxIds", "keywords", "receivedAt", "threadId", "blobId", "size")
    assert found == {
        "id": None, "mailboxIds": None, "keywords": None, "receivedAt": None, "threadId": None, "blobId": blob,
        "size": len(DEEP),
    }  # fmt: skip


def test_rfc8621_4_9_headers_and_values(jmap: JmapClient) -> None:
    found = parsed(
        jmap, jmap.upload(holding(DEEP)), "header:X-Tag:asText", "headers", "bodyStructure", "bodyValues", "textBody",
        bodyProperties=["type", "partId", "header:Content-Type"], fetchTextBodyValues=True,
    )  # fmt: skip
    assert found["header:X-Tag:asText"] == "one"
    assert {"name": "X-Tag", "value": " one"} in found["headers"]
    assert found["bodyStructure"]["type"] == "multipart/mixed"
    assert [part["type"] for part in found["bodyStructure"]["subParts"]] == ["text/plain", "application/octet-stream"]
    assert found["textBody"][0]["header:Content-Type"] == " text/plain; charset=iso-8859-1"
    assert found["bodyValues"] == {"1": {"value": "déjà", "isEncodingProblem": False, "isTruncated": False}}


def test_rfc8621_4_9_value_that_is_cut(jmap: JmapClient) -> None:
    found = parsed(jmap, jmap.upload(DEEP), "bodyValues", fetchAllBodyValues=True, maxBodyValueBytes=6)
    assert found["bodyValues"] == {"1": {"value": "in the", "isEncodingProblem": False, "isTruncated": True}}


def test_rfc8621_4_9_parts_have_blobs(jmap: JmapClient) -> None:
    (part,) = parsed(jmap, jmap.upload(DEEP), "attachments")["attachments"]
    assert (part["name"], part["size"]) == ("d.pdf", 4)
    assert jmap.download(part["blobId"]).content == b"%PDF"


@pytest.mark.parametrize("kind", ["application/octet-stream", "message/rfc822"])
def test_rfc8621_4_9_message_within_a_message_within_one(jmap: JmapClient, kind: str) -> None:
    middle = holding(DEEP, kind)
    (outer,) = jmap.get(jmap.put(holding(middle)), "attachments")["attachments"]
    assert jmap.download(outer["blobId"]).content == middle
    found = parsed(jmap, outer["blobId"])
    (part,) = found["attachments"]
    assert jmap.download(part["blobId"]).content == DEEP
    deep = parsed(jmap, part["blobId"], "subject", "attachments")
    assert deep["subject"] == "deepest"
    assert jmap.download(deep["attachments"][0]["blobId"]).content == b"%PDF"
    # what was found may be attached and imported
    draft = jmap.draft(attachments=[{"blobId": deep["attachments"][0]["blobId"], "type": "application/pdf"}])
    assert jmap.get(draft["id"], "attachments")["attachments"][0]["size"] == 4
    emails = {"i": {"blobId": part["blobId"], "mailboxIds": {jmap.mailbox("inbox"): True}}}
    created = jmap.call("Email/import", emails=emails)["created"]["i"]
    assert jmap.download(created["blobId"]).content == DEEP


def test_rfc8621_4_9_email_of_the_account(jmap: JmapClient) -> None:
    email = jmap.get(jmap.put(DEEP), "blobId", "attachments")
    found = parsed(jmap, email["blobId"], "subject", "attachments")
    assert found == {"subject": "deepest", "attachments": email["attachments"]}


def test_rfc8621_4_9_what_cannot_be_parsed(jmap: JmapClient, jmap_other: JmapClient) -> None:
    picture, theirs = jmap.upload(b"\x89PNG\r\n\x1a\n" + bytes(99)), jmap_other.upload(DEEP)
    deep = jmap.upload(DEEP)
    wrong = [picture, theirs, "U5", "rubbish", f"{deep}-7", f"{deep}-1-1", f"{picture}-1"]
    found = jmap.call("Email/parse", blobIds=[*wrong, deep], properties=["subject"])
    assert found["parsed"] == {deep: {"subject": "deepest"}}
    assert found["notParsable"] == [picture]
    assert found["notFound"] == wrong[1:]
    assert jmap.call("Email/parse", blobIds=[])["parsed"] is None


def test_rfc8621_4_9_arguments(jmap: JmapClient) -> None:
    limit = jmap.session["capabilities"][CORE]["maxObjectsInGet"]
    error = jmap.fails("Email/parse", blobIds=[f"U{number + 1}" for number in range(limit + 1)])
    assert error["type"] == "requestTooLarge"
    cases: tuple[dict[str, Any], ...] = (
        {}, {"blobIds": None}, {"blobIds": [], "properties": ["no"]}, {"blobIds": [], "ids": []},
        {"blobIds": [], "bodyProperties": ["no"]}, {"blobIds": [5]},
    )  # fmt: skip
    for arguments in cases:
        assert jmap.fails("Email/parse", **arguments)["type"] == "invalidArguments", arguments
