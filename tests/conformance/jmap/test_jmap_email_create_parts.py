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
