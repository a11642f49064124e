"""RFC 8621 §4.1 and §4.2: Email/get, its properties, body parts and values."""

from __future__ import annotations

import re

from tests.conformance.jmap_client import JmapClient

MIXED = (
    b"From: =?UTF-8?Q?J=C3=A9r=C3=B4me?= <jerome@x.example>\r\nTo: Alice <alice@x.example>, bob@x.example\r\nSubject: =?iso-8859-1?Q?=C9t=E9?=\r\n"
    b"Message-ID: <mixed@x.example>\r\nIn-Reply-To: <one@x>\r\nReferences: <zero@x> <one@x>\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\npreamble\r\n--m\r\n"
    b"Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\nX-Part: first\r\n\r\nH=C3=A9llo w=C3=B6rld\r\n--a\r\nContent-Type: text/html; charset=utf-8\r\n"
    b'Content-Transfer-Encoding: base64\r\n\r\nPHA+SMOpbGxvPC9wPg==\r\n--a--\r\n--m\r\nContent-Type: application/pdf; name="a b.pdf"\r\n'
    b"Content-Disposition: attachment; filename*=UTF-8''%C3%A9t%C3%A9.pdf\r\nContent-ID: <pdf@x>\r\nContent-Language: fr, en\r\n"
    b"Content-Location: http://x.example/a\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--m\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\n\r\ninner text\r\n--m--\r\n"
)  # fmt: skip
DEFAULT = {
    "id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "messageId", "inReplyTo", "references", "sender",
    "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "hasAttachment", "preview", "bodyValues", "textBody", "htmlBody",
    "attachments",
}  # fmt: skip


def test_rfc8621_4_2_default_properties(jmap: JmapClient) -> None:
    email = jmap.get(jmap.put(MIXED))
    assert set(email) == DEFAULT
    assert set(email["textBody"][0]) == {
        "partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location",
    }  # fmt: skip
    assert email["bodyValues"] == {}


def test_rfc8621_4_1_1_metadata(jmap: JmapClient) -> None:
    email_id = jmap.put(MIXED)
    email = jmap.get(email_id)
    assert email["id"] == email_id
    assert email["mailboxIds"] == {jmap.mailbox("inbox"): True}
    assert email["keywords"] == {}
    assert email["size"] == len(jmap.download(email["blobId"]).content)
    # RFC 8620 §1.4: fractions of a second are left out when they are zero
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9]\d*)?Z", email["receivedAt"])


def test_rfc8621_4_1_3_header_properties(jmap: JmapClient) -> None:
    email = jmap.get(jmap.put(MIXED))
    assert email["from"] == [{"name": "Jérôme", "email": "jerome@x.example"}]
    assert email["to"] == [{"name": "Alice", "email": "alice@x.example"}, {"name": None, "email": "bob@x.example"}]
    assert email["cc"] is None
    assert email["subject"] == "Été"
    assert email["messageId"] == ["mixed@x.example"]
    assert email["inReplyTo"] == ["one@x"]
    assert email["references"] == ["zero@x", "one@x"]
    assert email["sentAt"] == "2025-07-01T10:00:00+02:00"


def test_rfc8621_4_1_4_lists_of_parts(jmap: JmapClient) -> None:
    email = jmap.get(jmap.put(MIXED))
    assert [part["type"] for part in email["textBody"]] == ["text/plain"]
    assert [part["type"] for part in email["htmlBody"]] == ["text/html"]
    assert [part["type"] for part in email["attachments"]] == ["application/pdf", "message/rfc822"]
    assert email["hasAttachment"] is True
    assert email["preview"] == "Héllo wörld"
    pdf = email["attachments"][0]
    assert (pdf["name"], pdf["disposition"], pdf["cid"], pdf["size"]) == ("été.pdf", "attachment", "pdf@x", 4)
    assert (pdf["language"], pdf["location"], pdf["charset"]) == (["fr", "en"], "http://x.example/a", None)


def test_rfc8621_4_1_4_comments_belong_to_no_value(jmap: JmapClient) -> None:
    fields = "MIME-Version: 1.0\r\nContent-ID: <x@y> (c)\r\nContent-Language: en (English), fr\r\n"
    part = jmap.get(jmap.mail(fields=fields), "textBody")["textBody"][0]
    assert (part["cid"], part["language"]) == ("x@y", ["en", "fr"])
    fields = (
        "MIME-Version: 1.0\r\nContent-Type: (see <a@b>) text / (and (so) on) html (x); charset=utf-8\r\n"
        "Content-Disposition: (x) inline\r\nContent-ID: (not <a@b>) <x@y>\r\n"
    )
    part = jmap.get(jmap.mail(fields=fields), "htmlBody")["htmlBody"][0]
    assert (part["type"], part["disposition"], part["cid"]) == ("text/html", "inline", "x@y")


def test_rfc8621_4_1_4_body_structure(jmap: JmapClient) -> None:
    email = jmap.get(jmap.put(MIXED), "bodyStructure", bodyProperties=["type", "partId", "blobId"])
    root = email["bodyStructure"]
    assert (root["type"], root["partId"], root["blobId"]) == ("multipart/mixed", None, None)
    assert [part["type"] for part in root["subParts"]] == ["multipart/alternative", "application/pdf", "message/rfc822"]
    assert [part["type"] for part in root["subParts"][0]["subParts"]] == ["text/plain", "text/html"]
    message = root["subParts"][2]
    assert "subParts" not in message  # RFC 8621 §4.1.4: a message within a message is a leaf
    leaves = [*root["subParts"][0]["subParts"], root["subParts"][1], message]
    assert len({leaf["partId"] for leaf in leaves}) == 4
    assert all(leaf["blobId"] for leaf in leaves)


def test_rfc8621_4_2_body_values(jmap: JmapClient) -> None:
    email_id = jmap.put(MIXED)
    text = jmap.get(email_id, "bodyValues", "textBody", fetchTextBodyValues=True)
    part = text["textBody"][0]["partId"]
    assert text["bodyValues"] == {part: {"value": "Héllo wörld", "isEncodingProblem": False, "isTruncated": False}}
    html = jmap.get(email_id, "bodyValues", fetchHTMLBodyValues=True)["bodyValues"]
    assert [value["value"] for value in html.values()] == ["<p>Héllo</p>"]
    assert len(jmap.get(email_id, "bodyValues", fetchAllBodyValues=True)["bodyValues"]) == 2
    assert jmap.get(email_id, "bodyValues")["bodyValues"] == {}


def test_rfc8621_4_2_max_body_value_bytes(jmap: JmapClient) -> None:
    body = "é" * 40 + "\r\n"
    email_id = jmap.mail(body=body, fields="MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n")
    for limit, length in ((1, 0), (2, 1), (5, 2), (81, 41), (80, 40), (1000, 41)):
        (value,) = jmap.get(email_id, "bodyValues", fetchAllBodyValues=True, maxBodyValueBytes=limit)[
            "bodyValues"
        ].values()
        assert value["value"] == ("é" * 40 + "\n")[:length]
        assert value["isTruncated"] is (length < 41)
        assert value["isEncodingProblem"] is False
    (value,) = jmap.get(email_id, "bodyValues", fetchAllBodyValues=True, maxBodyValueBytes=0)["bodyValues"].values()
    assert value["isTruncated"] is False


def test_rfc8621_4_2_large_values_are_cut_at_the_limit(jmap: JmapClient) -> None:
    email_id = jmap.mail(body=("line of text, " * 5 + "\r\n") * 3000)
    (value,) = jmap.get(email_id, "bodyValues", fetchAllBodyValues=True, maxBodyValueBytes=500)["bodyValues"].values()
    assert value == {
        "value": (("line of text, " * 5 + "\n") * 10)[:500],
        "isEncodingProblem": False,
        "isTruncated": True,
    }


def test_rfc8621_4_2_html_is_not_cut_within_a_tag(jmap: JmapClient) -> None:
    body = '<p>abc</p><a href="http://x.example/">&eacute;t&eacute;</a>'
    email_id = jmap.mail(body=body, fields="MIME-Version: 1.0\r\nContent-Type: text/html\r\n")
    for limit in range(1, len(body)):
        (value,) = jmap.get(email_id, "bodyValues", fetchAllBodyValues=True, maxBodyValueBytes=limit)[
            "bodyValues"
        ].values()
        cut = value["value"]
        assert body.startswith(cut)
        assert cut.rfind("<") <= cut.rfind(">")
        assert not re.search(r"&[a-z]*$", cut)


def test_rfc8621_4_1_4_encoding_problems_are_said(jmap: JmapClient) -> None:
    email_id = jmap.put(
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nbad \xff\xfe octets\r\n"
    )
    (value,) = jmap.get(email_id, "bodyValues", fetchAllBodyValues=True)["bodyValues"].values()
    assert value["isEncodingProblem"] is True
    assert "bad" in value["value"]


def test_rfc8621_4_2_properties_of_parts_by_header(jmap: JmapClient) -> None:
    email_id = jmap.put(MIXED)
    email = jmap.get(
        email_id, "textBody", "attachments", bodyProperties=["header:X-Part", "headers", "header:Content-Type:asText"]
    )
    assert email["textBody"][0]["header:X-Part"] == " first"
    assert {"name": "X-Part", "value": " first"} in email["textBody"][0]["headers"]
    assert email["attachments"][0]["header:X-Part"] is None
    assert email["attachments"][1]["header:Content-Type:asText"] == "message/rfc822"


def test_rfc8621_4_2_id_is_always_given_and_order_is_kept(jmap: JmapClient) -> None:
    first, second = jmap.mail(), jmap.mail()
    found = jmap.call("Email/get", ids=[second, "M99999", first, second], properties=["size"])
    assert [email["id"] for email in found["list"]] == [second, first]
    assert all(set(email) == {"id", "size"} for email in found["list"])
    assert found["notFound"] == ["M99999"]


def test_rfc8620_5_1_all_of_them_when_they_are_few(jmap: JmapClient) -> None:
    ids = {jmap.mail(), jmap.mail()}
    assert {email["id"] for email in jmap.call("Email/get", ids=None, properties=["id"])["list"]} == ids


def test_rfc8621_4_1_odd_messages_are_shown_too(jmap: JmapClient) -> None:
    for raw in (b"x", b"\r\n", b"Subject: only\r\n", b"From: \r\nTo: ,,;\r\nDate: never\r\nMessage-ID: nothing here\r\n\r\n",
                b"Content-Type: multipart/mixed; boundary=none\r\n\r\ntext", b"Content-Type: text/plain; charset=klingon\r\n\r\n\xe9"):  # fmt: skip
        email = jmap.get(
            jmap.put(raw), *DEFAULT, "bodyStructure", "headers", "header:From:asGroupedAddresses", fetchAllBodyValues=True,
            bodyProperties=["partId", "type", "headers", "subParts"],
        )  # fmt: skip
        assert email["bodyStructure"]["type"]
