"""RFC 8621 §4.6: messages that clients make."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient

TEXT = {"textBody": [{"partId": "t", "type": "text/plain"}], "bodyValues": {"t": {"value": "Hello"}}}


def source(jmap: JmapClient, created: dict[str, Any]) -> Any:
    """Return the created message, parsed by the standard library."""
    raw = jmap.download(created["blobId"]).content
    assert b"\n" not in raw.replace(b"\r\n", b"")
    return email.message_from_bytes(raw, policy=email.policy.default)


def test_rfc8621_4_6_created_gives_what_the_server_set(jmap: JmapClient) -> None:
    created = jmap.draft(subject="x", **TEXT)
    assert set(created) == {"id", "blobId", "threadId", "size"}
    assert jmap.get(created["id"], "size", "blobId", "threadId") == created
    assert len(jmap.download(created["blobId"]).content) == created["size"]


def test_rfc8621_4_6_round_trip_of_convenience_properties(jmap: JmapClient) -> None:
    given = {
        "from": [{"name": "Zoé, de l'Été", "email": "zoe@x.example"}],
        "sender": [{"name": 'O\'Hara "q" \\', "email": "o@x.example"}],
        "to": [{"name": None, "email": "a@x.example"}, {"name": "B b", "email": "b@x.example"}],
        "cc": [{"name": "日本語の名前はとても長いのでいくつかの語に分けられます", "email": "jp@x.example"}],
        "bcc": [{"name": None, "email": '"odd local"@x.example'}],
        "replyTo": [{"name": "r", "email": "r@x.example"}],
        "subject": "Une très longue ligne d'objet qui ne tient pas sur une ligne, avec des accents partout: éèàùçœ — et 😀",
        "messageId": ["made@x.example"],
        "inReplyTo": ["i@x.example"],
        "references": ["a@x.example", "i@x.example"],
        "sentAt": "2025-07-01T10:00:00+02:00",
        "keywords": {"$draft": True, "$Seen": True},
    }
    created = jmap.draft(**given, **TEXT)
    found = jmap.get(created["id"], *given)
    assert found == {"id": created["id"], **given, "keywords": {"$draft": True, "$seen": True}}


def test_rfc8621_4_6_received_at(jmap: JmapClient) -> None:
    created = jmap.draft(receivedAt="2020-02-29T12:00:00Z", **TEXT)
    assert jmap.get(created["id"], "receivedAt")["receivedAt"] == "2020-02-29T12:00:00Z"
    for bad in ("2020-02-30T12:00:00Z", "today", 5, "2020-02-29 12:00:00Z", "2020-02-29T12:00:00+01:00"):
        assert jmap.refused(receivedAt=bad, **TEXT)["properties"] == ["receivedAt"]


def test_rfc8621_4_6_message_id_and_date_are_added(jmap: JmapClient) -> None:
    made = source(jmap, jmap.draft(**TEXT))
    assert made["Message-ID"].startswith("<")
    assert made["Date"]
    assert made["MIME-Version"] == "1.0"


def test_rfc8621_4_6_header_properties(jmap: JmapClient) -> None:
    given = {
        "header:X-Text:asText": "héllo wörld",
        "header:X-Raw": " raw value\r\n folded",
        "header:X-Date:asDate": "2025-07-01T10:00:00Z",
        "header:X-Ids:asMessageIds": ["a@b", "c@d"],
        "header:List-Post:asURLs": ["mailto:l@x.example", "http://x.example/"],
        "header:Reply-To:asGroupedAddresses": [
            {"name": None, "addresses": [{"name": "A", "email": "a@x.example"}]},
            {
                "name": "Gruppe ä",
                "addresses": [{"name": None, "email": "b@x.example"}, {"name": "C", "email": "c@x.example"}],
            },
        ],
        "header:X-All:asText:all": ["one", "two"],
    }
    created = jmap.draft(**given, **TEXT)
    assert jmap.get(created["id"], *given) == {"id": created["id"], **given}


def test_rfc8621_4_6_alternative_with_attachments(jmap: JmapClient) -> None:
    other = jmap.draft(subject="inner", **TEXT)
    created = jmap.draft(
        textBody=[{"partId": "t", "type": "text/plain"}], htmlBody=[{"partId": "h", "type": "text/html"}],
        bodyValues={"t": {"value": "Hé\nligne"}, "h": {"value": "<p>Hé</p>" + "x" * 2000}},
        attachments=[
            {"blobId": other["blobId"], "type": "message/rfc822", "name": "transféré.eml"},
            {"blobId": f"{other['blobId']}-1", "type": "text/plain", "name": 'a "b".txt', "disposition": "attachment"},
            {"blobId": f"{other['blobId']}-1", "type": "image/png", "cid": "img@x", "disposition": "inline", "name": "i.png"},
        ],
    )  # fmt: skip
    found = jmap.get(created["id"], "textBody", "htmlBody", "attachments", "bodyValues", "bodyStructure", fetchAllBodyValues=True,
                     bodyProperties=["partId", "type", "name", "cid", "disposition", "blobId"])  # fmt: skip
    values = found["bodyValues"]
    assert values[found["textBody"][0]["partId"]]["value"] == "Hé\nligne"
    assert values[found["htmlBody"][0]["partId"]]["value"] == "<p>Hé</p>" + "x" * 2000
    names = {part["name"]: part for part in found["attachments"]}
    assert set(names) == {"transféré.eml", 'a "b".txt', "i.png"}
    assert names["i.png"]["cid"] == "img@x"
    assert jmap.download(names['a "b".txt']["blobId"]).content == b"Hello"
    assert jmap.download(names["transféré.eml"]["blobId"]).content == jmap.download(other["blobId"]).content
    assert found["bodyStructure"]["subParts"][0]["type"] == "multipart/alternative"
    assert source(jmap, created).get_body(("plain",)).get_content().split() == ["Hé", "ligne"]


def test_rfc8621_4_6_body_structure(jmap: JmapClient) -> None:
    structure = {
        "type": "multipart/mixed",
        "header:X-Root:asText": "root",
        "subParts": [
            {
                "partId": "a",
                "type": "text/plain",
                "header:X-Part:asText": "é",
                "language": ["fr"],
                "location": "http://x.example/",
            },
            {"partId": "b", "type": "text/calendar", "disposition": "attachment", "name": "c.ics"},
        ],
    }
    created = jmap.draft(
        bodyStructure=structure, subject="s", bodyValues={"a": {"value": "A"}, "b": {"value": "BEGIN:VCALENDAR"}}
    )
    found = jmap.get(created["id"], "bodyStructure", "header:X-Root:asText", "subject",
                     bodyProperties=["type", "name", "language", "location", "header:X-Part:asText"])  # fmt: skip
    assert (found["header:X-Root:asText"], found["subject"]) == ("root", "s")
    first, second = found["bodyStructure"]["subParts"]
    assert (first["type"], first["header:X-Part:asText"], first["language"], first["location"]) == (
        "text/plain",
        "é",
        ["fr"],
        "http://x.example/",
    )
    assert (second["type"], second["name"]) == ("text/calendar", "c.ics")


def test_rfc8621_4_6_text_of_every_kind_comes_back(jmap: JmapClient) -> None:
    for value in (
        "",
        "\n",
        "é" * 5000,
        "a" * 5000,
        "=20 = \t \n.\n..x\nFrom here\n",
        "\u2028 😀 \u0000 x",
        "tail \n \n",
    ):
        created = jmap.draft(textBody=[{"partId": "t", "type": "text/plain"}], bodyValues={"t": {"value": value}})
        (found,) = jmap.get(created["id"], "bodyValues", fetchTextBodyValues=True)["bodyValues"].values()
        assert found == {"value": value, "isEncodingProblem": False, "isTruncated": False}


def test_rfc8621_4_6_mailboxes_are_needed(jmap: JmapClient) -> None:
    for value in ({}, None, {"F99999": True}, {"x": True}, {"F1": False}):
        assert jmap.refused(mailboxIds=value)["properties"] == ["mailboxIds"]
    result = jmap.call("Email/set", create={"d": {"subject": "x"}})
    assert result["notCreated"]["d"] == {"type": "invalidProperties", "properties": ["mailboxIds"]}


@pytest.mark.parametrize(
    ("given", "named"),
    [({"headers": []}, "headers"), ({"id": "M1"}, "id"), ({"size": 5}, "size"), ({"preview": "x"}, "preview"), ({"nonsense": 1}, "nonsense"),
     ({"subject": 5}, "subject"), ({"subject": "a\r\nBcc: x@y"}, "subject"), ({"from": "a@b"}, "from"), ({"from": [{"email": "no way"}]}, "from"),
     ({"from": [{"email": "a@b\r\nX: y"}]}, "from"), ({"to": [{"name": "x\ny", "email": "a@b"}]}, "to"), ({"messageId": ["a b"]}, "messageId"),
     ({"messageId": [""]}, "messageId"), ({"sentAt": "tomorrow"}, "sentAt"), ({"keywords": {"a b": True}}, "keywords"),
     ({"keywords": ["a"]}, "keywords"), ({"header:Content-Type": " text/html"}, "header:Content-Type"),
     ({"header:From:asDate": "2025-07-01T10:00:00Z"}, "header:From:asDate"), ({"header:X-A": "a\r\nX-B: c"}, "header:X-A"),
     ({"header:X-A": "a\n b"}, "header:X-A"), ({"header:X-A": "a\r\n\r\n b"}, "header:X-A"), ({"header:X A": "a"}, "header:X A"),
     ({"header:X-A:asText": 5}, "header:X-A:asText"), ({"header:X:all": "x"}, "header:X:all")],
)  # fmt: skip
def test_rfc8621_4_6_invalid_properties(jmap: JmapClient, given: dict[str, Any], named: str) -> None:
    error = jmap.refused(**{**TEXT, **given})
    assert (error["type"], error["properties"]) == ("invalidProperties", [named])


def test_rfc8620_5_3_all_that_is_wrong_with_a_creation_is_named(jmap: JmapClient) -> None:
    given = {
        "mailboxIds": {},
        "keywords": {"a b": True},
        "receivedAt": "x",
        "sentAt": "y",
        "subject": 5,
        "nonsense": 1,
        "to": "z",
    }
    error = jmap.refused(**given, textBody=[{"partId": "none"}], cc=[])
    assert error["type"] == "invalidProperties"
    assert sorted(error["properties"]) == sorted([*given, "textBody/0/partId"])


def test_rfc8621_4_1_2_3_half_written_addresses_are_kept(jmap: JmapClient) -> None:
    given = [{"name": None, "email": "ali"}, {"name": "Bob", "email": "bob"}, {"name": None, "email": "carla@"}]
    given += [{"name": "Dan", "email": "@x.example"}, {"name": None, "email": "eve@x@y"}]
    assert jmap.get(jmap.draft(to=given)["id"], "to")["to"] == given


def test_rfc8621_4_6_fields_of_the_root_part_are_the_messages(jmap: JmapClient) -> None:
    part = {
        "partId": "t",
        "header:Message-ID:asMessageIds": ["own@x.example"],
        "header:Date:asDate": "2025-07-01T10:00:00Z",
    }
    created = jmap.draft(bodyStructure=part, bodyValues={"t": {"value": "x"}})
    found = jmap.get(created["id"], "messageId", "header:Message-ID:all", "sentAt", "header:Date:all")
    assert (found["messageId"], found["sentAt"]) == (["own@x.example"], "2025-07-01T10:00:00Z")
    assert len(found["header:Message-ID:all"]) == len(found["header:Date:all"]) == 1


def test_rfc8621_4_6_a_part_may_bring_its_own_content_type(jmap: JmapClient) -> None:
    part = {"partId": "t", "header:Content-Type": " text/calendar; method=REQUEST", "name": "é.ics"}
    made = source(jmap, jmap.draft(bodyStructure=part, bodyValues={"t": {"value": "BEGIN:VCALENDAR é"}}))
    assert made.get_all("Content-Type") == [made["Content-Type"]]
    assert (made.get_content_type(), made.get_param("method"), made.get_content_charset()) == (
        "text/calendar",
        "REQUEST",
        "utf-8",
    )
    assert made.get_filename() == "é.ics"
    assert made.get_content().strip() == "BEGIN:VCALENDAR é"
    for bad in (" multipart/mixed", " nonsense", " text/plain; charset=latin-1", 5):
        wrong = {"partId": "t", "header:Content-Type": bad}
        assert jmap.refused(bodyStructure=wrong, bodyValues={"t": {"value": "x"}})["type"] == "invalidProperties"
    twice = {"partId": "t", "type": "text/plain", "header:Content-Type": " text/plain"}
    assert jmap.refused(bodyStructure=twice, bodyValues={"t": {"value": "x"}})["type"] == "invalidProperties"


def test_rfc8621_4_6_null_sets_nothing(jmap: JmapClient) -> None:
    created = jmap.draft(messageId=None, sentAt=None, to=None, **{"header:X-A": None})
    found = jmap.get(created["id"], "messageId", "sentAt", "to", "header:X-A:all")
    assert found["messageId"]
    assert found["sentAt"]
    assert (found["to"], found["header:X-A:all"]) == (None, [])


def test_rfc8621_4_6_null_excludes_no_other_body(jmap: JmapClient) -> None:
    values = {"t": {"value": "text"}}
    lists = {"textBody": [{"partId": "t", "type": "text/plain"}]}
    for body in ({**lists, "bodyStructure": None}, {**dict.fromkeys(lists), "bodyStructure": {"partId": "t"}}):
        created = jmap.draft(**body, bodyValues=values)
        assert jmap.get(created["id"], "preview")["preview"] == "text"


def test_rfc8621_4_6_empty_lists_set_nothing(jmap: JmapClient) -> None:
    lists = ("messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo")
    headers = ("header:X-A:asURLs", "header:X-B:asGroupedAddresses")
    created = jmap.draft(**{name: [] for name in (*lists, *headers)}, subject="")
    found = jmap.get(created["id"], *lists, "headers")
    assert found["messageId"]
    assert {found[name] for name in lists[1:]} == {None}
    names = {field["name"].lower() for field in found["headers"]}
    assert names == {"date", "message-id", "subject", "mime-version", "content-type", "content-transfer-encoding"}


def test_rfc8621_4_6_one_property_for_one_field(jmap: JmapClient) -> None:
    error = jmap.refused(subject="a", **{"header:SUBJECT:asText": "b"})
    assert error["type"] == "invalidProperties"
    assert jmap.refused(**{"header:X-A": "a", "header:x-a:asText": "b"})["type"] == "invalidProperties"
    assert jmap.refused(subject=None, **{"header:Subject": " b"})["type"] == "invalidProperties"


@pytest.mark.parametrize(
    "given",
    [{"bodyStructure": {"partId": "t"}, "textBody": []}, {"textBody": []}, {"textBody": [{"partId": "t"}, {"partId": "t"}]},
     {"textBody": [{"partId": "t", "type": "text/html"}]}, {"htmlBody": [{"partId": "t", "type": "text/plain"}]}, {"textBody": [{"partId": "none"}]},
     {"textBody": [{"partId": "t", "blobId": "B1"}]}, {"textBody": [{}]}, {"textBody": [{"partId": "t", "charset": "utf-8"}]},
     {"textBody": [{"partId": "t", "size": 5}]}, {"textBody": [{"partId": "t", "headers": []}]}, {"attachments": [{"partId": "t", "type": "message/rfc822"}]},
     {"textBody": [{"partId": "t", "header:Content-Transfer-Encoding": "8bit"}]}, {"bodyStructure": {"type": "multipart/mixed"}},
     {"bodyStructure": {"type": "text/plain", "partId": "t", "subParts": [{"partId": "t"}]}}, {"bodyStructure": []},
     {"bodyStructure": {"type": "no type", "partId": "t"}}, {"attachments": [{"blobId": 5}]}, {"attachments": {}}, {"attachments": [5]},
     {"textBody": [{"partId": "t", "cid": "a b"}]}, {"textBody": [{"partId": "t", "name": "a\nb"}]}, {"textBody": [{"partId": "t", "language": "fr"}]},
     {"subject": "x", "bodyStructure": {"partId": "t", "header:Subject:asText": "y"}}],
)  # fmt: skip
def test_rfc8621_4_6_invalid_bodies(jmap: JmapClient, given: dict[str, Any]) -> None:
    assert jmap.refused(bodyValues={"t": {"value": "x"}}, **given)["type"] == "invalidProperties"


@pytest.mark.parametrize(
    "value",
    [
        5,
        {"value": 5},
        {},
        {"value": "x", "isTruncated": True},
        {"value": "x", "isEncodingProblem": True},
        {"value": "x", "y": 1},
    ],
)
def test_rfc8621_4_6_invalid_body_values(jmap: JmapClient, value: Any) -> None:
    assert jmap.refused(textBody=[{"partId": "t"}], bodyValues={"t": value})["type"] == "invalidProperties"


def test_rfc8621_4_6_blob_not_found(jmap: JmapClient) -> None:
    found = jmap.refused(attachments=[{"blobId": "B99999", "type": "image/png"}, {"blobId": "rubbish"}])
    assert found["type"] == "blobNotFound"
    assert set(found["notFound"]) == {"B99999", "rubbish"}


def test_rfc8621_4_6_blobs_of_strangers_do_not_exist(jmap: JmapClient, jmap_other: JmapClient) -> None:
    jmap_other.mail()
    theirs = jmap_other.get(jmap_other.mail(), "blobId")["blobId"]
    assert jmap.refused(attachments=[{"blobId": theirs, "type": "text/plain"}])["type"] == "blobNotFound"


def test_rfc8620_5_3_updates_may_name_what_the_same_call_creates(jmap: JmapClient) -> None:
    email_set = {
        "create": {"k": {"mailboxIds": {jmap.mailbox("drafts"): True}}},
        "update": {"#k": {"keywords/$draft": True}},
    }
    result = jmap.call("Email/set", **email_set)
    made = result["created"]["k"]["id"]
    assert result["updated"] == {made: None}
    assert jmap.get(made, "keywords")["keywords"] == {"$draft": True}
