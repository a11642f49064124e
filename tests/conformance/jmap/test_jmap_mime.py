"""MIME in every shape: each message of the shared data through every door, and what is right of those that are hard to read."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap.test_jmap_rendering import HEAD, encoded, fetch, keep, mail, multipart, rendered
from tests.conformance.jmap_client import JmapClient

from petitbleu_gateway.domain.header_forms import parse_header_property
from petitbleu_mail.headers import scan_headers

DATA = Path(os.environ.get("PETITBLEU_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
FILES = sorted((DATA / "mime").rglob("*.eml"))
needs_data = pytest.mark.skipif(not FILES, reason=f"NO TEST DATA in {DATA}: set PETITBLEU_TEST_DATA")

FORMS = ("", ":asRaw", ":asText", ":asAddresses", ":asGroupedAddresses", ":asMessageIds", ":asDate", ":asURLs")
SAME = (
    "messageId",
    "inReplyTo",
    "references",
    "sender",
    "from",
    "to",
    "cc",
    "bcc",
    "replyTo",
    "subject",
    "sentAt",
    "hasAttachment",
    "preview",
    "bodyValues",
)
EVERYTHING = (
    *SAME,
    "id",
    "blobId",
    "threadId",
    "mailboxIds",
    "keywords",
    "size",
    "receivedAt",
    "headers",
    "textBody",
    "htmlBody",
    "attachments",
    "bodyStructure",
)
PART = [
    "partId",
    "blobId",
    "size",
    "name",
    "type",
    "charset",
    "disposition",
    "cid",
    "language",
    "location",
    "headers",
    "subParts",
]


def header_properties(raw: bytes) -> list[str]:
    """Every field that a message has, in every form that it may have."""
    names = dict.fromkeys(name.decode("latin-1").lower() for name, _ in scan_headers(raw).fields)
    wanted = [f"header:{name}{form}{every}" for name in names for form in FORMS for every in ("", ":all")]
    return [key for key in wanted if parse_header_property(key) is not None]


def parts(structure: dict[str, Any]) -> list[dict[str, Any]]:
    return [structure, *(deeper for child in structure["subParts"] or () for deeper in parts(child))]


def sections(shown: dict[str, Any]) -> set[str]:
    return {one["blobId"].partition("-")[2] for one in (*shown["attachments"], *shown["inline"])}


def through_every_door(jmap: JmapClient, raw: bytes) -> None:
    """Import, get, parse, render and download a message, and compare what must be the same."""
    blob = jmap.upload(raw, "message/rfc822")
    emails = {"i": {"blobId": blob, "mailboxIds": {jmap.mailbox("inbox"): True}}}
    imported = jmap.call("Email/import", emails=emails)
    is_message = imported["created"] is not None
    if not is_message:  # it has not one field of a mail, and comes as mail all the same
        assert imported["notCreated"]["i"]["type"] == "invalidEmail"
        assert fetch(jmap, blob).status_code == 422
    name = imported["created"]["i"]["id"] if is_message else jmap.put(raw)
    wanted = {"bodyProperties": PART, "fetchAllBodyValues": True}
    email = jmap.get(name, *EVERYTHING, **wanted)
    served = jmap.download(email["blobId"]).content
    assert served.endswith(raw)
    assert len(served) == email["size"]
    if is_message:
        assert served == raw
        found = jmap.call("Email/parse", blobIds=[blob], properties=list(EVERYTHING), **wanted)["parsed"][blob]
        assert {key: email[key] for key in SAME} == {key: found[key] for key in SAME}
    properties = header_properties(raw)
    for at in range(0, len(properties), 100):
        some = properties[at : at + 100]
        got = jmap.get(name, *some)
        assert set(got) == {"id", *some}
        if is_message:
            again = jmap.call("Email/parse", blobIds=[blob], properties=some)["parsed"][blob]
            assert again == {key: got[key] for key in some}
    for part in parts(email["bodyStructure"]):
        if part["blobId"] is not None:
            answer = jmap.download(part["blobId"], kind="application/octet-stream")
            assert (answer.status_code, len(answer.content)) == (200, part["size"])
    shown = rendered(jmap, name)
    if is_message:
        same = rendered(jmap, blob)
        for key in ("html", "text", "kind", "isTruncated"):
            assert shown[key] == same[key]
        assert sections(shown) == sections(same)
    for one in (*shown["attachments"], *shown["inline"]):
        answer = jmap.http.get(one["url"])
        assert (answer.status_code, len(answer.content)) == (200, one["size"])
    for nested in shown["messages"]:
        assert fetch(jmap, nested["blobId"]).status_code in {200, 422}


@needs_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DATA)))
def test_a_message_of_the_shared_data_goes_through_every_door(jmap: JmapClient, server: JmapServer, path: Path) -> None:
    before = [log.stat().st_size for log in server.logs]
    through_every_door(jmap, path.read_bytes())
    for log, size in zip(server.logs, before, strict=True):
        with log.open("rb") as lines:
            lines.seek(size)
            assert b"Traceback" not in lines.read()


def nested(depth: int) -> bytes:
    message = mail("text/plain", b"at the bottom")
    for level in range(depth):
        message = mail("message/rfc822", message, f"X-Level: {level}")
    return message


SHAPES = {
    "rfc2045 a charset that nobody knows": mail("text/plain; charset=x-nonsense", b"caf\xe9"),
    "rfc2045 an encoding that nobody knows": mail("text/plain", b"as it is", "Content-Transfer-Encoding: x-rot13"),
    "rfc2045 base64 with rubbish in it": mail("text/plain", b"aGVs*bG8=\r\n!", "Content-Transfer-Encoding: base64"),
    "rfc2046 a multipart without its boundary": mail("multipart/mixed", b"--b\r\n\r\ntext\r\n"),
    "rfc2046 a multipart without an end": mail("multipart/mixed; boundary=b", b"--b\r\nContent-Type: text/html\r\n\r\n<p>open"),
    "rfc2046 a multipart in a multipart in one": multipart("mixed", ("Content-Type: multipart/alternative; boundary=i", b"--i\r\n\r\none\r\n--i\r\nContent-Type: text/html\r\n\r\n<b>two</b>\r\n--i--")),
    "rfc2046 50 messages in each other": nested(50),
    "rfc2046 60 messages in each other": nested(60),
    "rfc2046 a piece of a message": mail("message/partial; id=x; number=1; total=2", b"From: a\r\n\r\nhalf"),
    "rfc2046 a body elsewhere": mail('message/external-body; access-type=URL; url="http://x.example/"', b"Content-Type: image/gif\r\n\r\n"),
    "rfc2047 words gone wrong": mail("text/plain", b"x").replace(b"Shown", b"=?utf-8?q?caf=C3?= =?utf-8?q?=A9?= =?utf-8?b?w6k?= =?nope?q?x?= =?utf-8?q?a b?= =?utf-8?q?open"),
    "rfc2231 a name in pieces": mail("application/pdf; name*0*=utf-8'fr'%C3%A9t; name*1*=%C3%A9; name*2=.pdf", b"%PDF"),
    "rfc6532 a header in UTF-8": mail("text/plain", b"x").replace(b"Anna <anna@x", "Zoë <zoë@é".encode()).replace(b"Shown", "Été".encode()),
    "a header in latin-1": mail("text/plain", b"x").replace(b"Shown", b"\xc9t\xe9"),
    "uuencode": mail("application/octet-stream; name=a", b"begin 644 a\r\n#86)C\r\n`\r\nend\r\n", "Content-Transfer-Encoding: x-uuencode"),
    "nothing but a header": HEAD,
    "NUL, bare CR, bare LF": HEAD + b"X-Odd: a\0b\r\n\r\nfirst\rsecond\nthird\r\n\0\r\n",
    "a thousand parts": multipart("mixed", *[("Content-Type: text/plain", b"part")] * 1000),
    "a line of a megabyte": mail("text/html", b"<p>" + b"x" * 1_000_000),
}  # fmt: skip


def test_messages_that_are_hard_to_read_go_through_every_door(jmap: JmapClient) -> None:
    for name, raw in SHAPES.items():
        try:
            through_every_door(jmap, raw)
        except AssertionError as error:
            raise AssertionError(name) from error


def read(jmap: JmapClient, name: str, *properties: str) -> dict[str, Any]:
    return jmap.get(
        keep(jmap, SHAPES[name]), *properties, "textBody", "attachments", "bodyValues", fetchAllBodyValues=True
    )


def test_rfc2045_6_what_is_not_known_is_read_as_well_as_can_be(jmap: JmapClient) -> None:
    found = read(jmap, "rfc2045 a charset that nobody knows")
    assert found["bodyValues"]["1"] == {"value": "café", "isEncodingProblem": True, "isTruncated": False}
    found = rendered(jmap, keep(jmap, SHAPES["rfc2045 an encoding that nobody knows"]))
    assert (found["text"], found["isEncodingProblem"]) == ("as it is", True)
    found = read(jmap, "rfc2045 base64 with rubbish in it")
    assert found["bodyValues"]["1"]["value"] == "hello"


def test_rfc2046_5_1_multiparts_that_are_broken_hide_nothing(jmap: JmapClient) -> None:
    found = read(jmap, "rfc2046 a multipart without its boundary")
    assert "text" in next(iter(found["bodyValues"].values()))["value"]
    found = rendered(jmap, keep(jmap, SHAPES["rfc2046 a multipart without an end"]))
    assert found["html"] == "<div><p>open</p></div>"
    found = rendered(jmap, keep(jmap, SHAPES["rfc2046 a multipart in a multipart in one"]))
    assert (found["text"], found["html"], found["attachments"]) == ("one", "<div><b>two</b></div>", [])


def test_rfc2046_5_2_1_messages_in_each_other_are_read_at_any_depth(jmap: JmapClient) -> None:
    name = keep(jmap, nested(65))
    for _ in range(60):
        (message,) = rendered(jmap, name)["messages"]
        name = message["blobId"]
    assert rendered(jmap, name)["structures"][0]["kind"] == "message"
    assert jmap.download(name).content == nested(5)
    assert jmap.call("Email/parse", blobIds=[name], properties=["subject"])["parsed"][name] == {"subject": "Shown"}


def test_rfc2046_5_2_2_pieces_and_bodies_elsewhere_are_told(jmap: JmapClient) -> None:
    for shape, kind in (("rfc2046 a piece of a message", "partial"), ("rfc2046 a body elsewhere", "external-body")):
        found = rendered(jmap, keep(jmap, SHAPES[shape]))
        assert ([one["kind"] for one in found["structures"]], len(found["attachments"])) == ([kind], 1)


def test_rfc2047_6_2_words_gone_wrong_stay_readable(jmap: JmapClient) -> None:
    found = read(jmap, "rfc2047 words gone wrong", "subject")
    assert found["subject"].startswith("caféé")
    assert found["subject"].endswith("=?utf-8?q?open")


def test_rfc2231_3_a_name_in_pieces_is_put_together(jmap: JmapClient) -> None:
    assert read(jmap, "rfc2231 a name in pieces")["attachments"][0]["name"] == "été.pdf"


def test_rfc6532_3_headers_in_utf8_and_in_nothing_known(jmap: JmapClient) -> None:
    found = read(jmap, "rfc6532 a header in UTF-8", "subject", "from")
    assert (found["subject"], found["from"]) == ("Été", [{"name": "Zoë", "email": "zoë@é.example"}])
    assert read(jmap, "a header in latin-1", "subject")["subject"] == "\ufffdt\ufffd"


def test_uuencode_is_decoded(jmap: JmapClient) -> None:
    (part,) = read(jmap, "uuencode")["attachments"]
    assert (jmap.download(part["blobId"]).content, part["size"]) == (b"abc", 3)


def test_rfc8551_3_what_is_signed_is_given_byte_for_byte(jmap: JmapClient) -> None:
    """Whoever verifies needs the octets of the signed part and of the signature."""
    octets = base64.b64decode("MIIB")
    signed = multipart(
        'signed; protocol="application/pkcs7-signature"; micalg=sha-256', ("Content-Type: text/plain", b"signed\r\n  text"),
        ("Content-Type: application/pkcs7-signature; name=smime.p7s\nContent-Transfer-Encoding: base64", encoded(octets)),
    )  # fmt: skip
    found = rendered(jmap, keep(jmap, signed))
    assert [one["kind"] for one in found["structures"]] == ["smime-signed"]
    assert jmap.download(found["structures"][0]["contentBlobId"]).content == b"signed\r\n  text"
    assert jmap.http.get(found["attachments"][0]["url"]).content == octets
