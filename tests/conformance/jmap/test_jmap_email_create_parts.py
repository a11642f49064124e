"""RFC 8621 §4.6: the parts of messages that clients make, and which fields they bring."""

from __future__ import annotations

import pytest
from tests.conformance.jmap_client import JmapClient


def test_rfc2046_5_1_5_parts_of_a_digest_are_messages(jmap: JmapClient) -> None:
    blobs = [jmap.get(jmap.mail(subject), "blobId")["blobId"] for subject in ("First", "Second")]
    inner = [{"blobId": blob} for blob in blobs] + [{"partId": "t", "type": "text/plain"}]
    created = jmap.draft(
        bodyStructure={"type": "multipart/digest", "subParts": inner}, bodyValues={"t": {"value": "These two."}}
    )
    root = jmap.get(created["id"], "bodyStructure", bodyProperties=["type", "blobId", "subParts"])["bodyStructure"]
    assert [part["type"] for part in root["subParts"]] == ["message/rfc822", "message/rfc822", "text/plain"]
    wanted = [part["blobId"] for part in root["subParts"][:2]]
    parsed = jmap.call("Email/parse", blobIds=wanted, properties=["subject"])["parsed"]
    assert [parsed[blob]["subject"] for blob in wanted] == ["First", "Second"]


@pytest.mark.parametrize("key", ["textBody", "htmlBody"])
def test_rfc8621_4_6_a_lone_text_brings_fields_of_the_message(jmap: JmapClient, key: str) -> None:
    part = {
        "partId": "t",
        "header:Subject:asText": "Of the part",
        "header:Message-ID:asMessageIds": ["own@x.example"],
        "header:Date:asDate": "2025-07-01T10:00:00Z",
    }
    values = {"t": {"value": "x"}}
    found = jmap.get(
        jmap.draft(**{key: [part], "bodyValues": values})["id"],
        "subject", "messageId", "sentAt", "header:Message-ID:all", "header:Date:all",
    )  # fmt: skip
    assert (found["subject"], found["messageId"], found["sentAt"]) == (
        "Of the part",
        ["own@x.example"],
        "2025-07-01T10:00:00Z",
    )
    assert len(found["header:Message-ID:all"]) == len(found["header:Date:all"]) == 1
    error = jmap.refused(**{key: [part], "bodyValues": values, "subject": "Of the message"})
    assert (error["type"], error["properties"]) == ("invalidProperties", [f"{key}/0/header:Subject:asText"])


def test_rfc8621_4_6_a_text_among_others_keeps_its_fields(jmap: JmapClient) -> None:
    created = jmap.draft(
        subject="Of the message",
        textBody=[{"partId": "t", "header:Subject:asText": "Of the part"}],
        htmlBody=[{"partId": "h"}],
        bodyValues={"t": {"value": "x"}, "h": {"value": "<p>x</p>"}},
    )
    found = jmap.get(created["id"], "header:Subject:asText:all", "textBody", bodyProperties=["header:Subject:asText"])
    assert found["header:Subject:asText:all"] == ["Of the message"]
    assert found["textBody"] == [{"header:Subject:asText": "Of the part"}]


def test_rfc8621_4_6_a_value_may_be_of_any_type(jmap: JmapClient) -> None:
    text = '{\n "é": 1\r\n}\n'
    files = [{"partId": "j", "type": "application/json", "name": "é.json"}, {"partId": "j", "type": "image/jpeg", "disposition": "attachment"}]  # fmt: skip
    created = jmap.draft(
        textBody=[{"partId": "t"}], attachments=files, bodyValues={"t": {"value": "x"}, "j": {"value": text}}
    )
    found = jmap.get(created["id"], "attachments")["attachments"]
    assert [(part["type"], part["name"], part["charset"]) for part in found] == [
        ("application/json", "é.json", None),
        ("image/jpeg", None, None),
    ]
    assert [jmap.download(part["blobId"]).content for part in found] == [text.encode()] * 2


def test_rfc8621_4_6_what_is_wrong_with_a_value_is_named(jmap: JmapClient) -> None:
    for given, named in (
        ({"value": "x", "isTruncated": True, "isEncodingProblem": True}, {"isTruncated", "isEncodingProblem"}),
        ({"value": "x", "isTruncated": False, "isEncodingProblem": 0}, {"isEncodingProblem"}),
        ({"value": "x", "y": False}, {"y"}),
    ):
        error = jmap.refused(textBody=[{"partId": "t"}], bodyValues={"t": given})
        assert (error["type"], set(error["properties"])) == (
            "invalidProperties",
            {f"bodyValues/t/{name}" for name in named},
        )


def test_rfc2047_2_a_subject_has_76_characters_on_each_line(jmap: JmapClient) -> None:
    subject = "é" * 100
    created = jmap.draft(
        subject=subject, **{"header:X-A-Name-Of-Which-The-Length-Leaves-No-Room-For-Words-Behind-It:asText": subject}
    )
    raw = jmap.download(created["blobId"]).content
    assert max(map(len, raw.split(b"\r\n"))) <= 76
    assert jmap.get(created["id"], "subject")["subject"] == subject


def test_rfc8621_4_1_4_what_is_attached_is_an_attachment(jmap: JmapClient) -> None:
    own = {"partId": "t", "type": "image/gif", "header:Content-Disposition": " inline"}
    files = [{"partId": "t", "type": kind} for kind in ("text/plain", "image/png")]
    created = jmap.draft(textBody=[{"partId": "t"}], attachments=[*files, own], bodyValues={"t": {"value": "x"}})
    found = jmap.get(created["id"], "textBody", "attachments", "hasAttachment")
    assert [(part["type"], part["disposition"]) for part in found["attachments"]] == [
        ("text/plain", "attachment"),
        ("image/png", "attachment"),
    ]
    assert [(part["type"], part["disposition"]) for part in found["textBody"]] == [
        ("text/plain", None),
        ("image/gif", "inline"),
    ]
    assert found["hasAttachment"] is True
