"""The rendering of messages (docs/rest.md): what mail is like, and that nothing of it can do anything."""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx
import pytest
from libs.petitbleu_mail.tests.tnef_streams import MESSAGE_OBJECT, attribute, properties, rtf, stream, variable, wide
from tests.conformance.jmap_client import JmapClient

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
HEAD = b"From: Anna <anna@x.example>\r\nTo: bob@x.example\r\nSubject: Shown\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\nMIME-Version: 1.0\r\n"


def fetch(jmap: JmapClient, name: str, **choices: str) -> httpx.Response:
    return jmap.http.get(f"/api/messages/{jmap.account}/{name}/rendering", params=choices)


def rendered(jmap: JmapClient, name: str, **choices: str) -> dict[str, Any]:
    answer = fetch(jmap, name, **choices)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def keep(jmap: JmapClient, raw: bytes) -> str:
    """Import a message as it is, where delivery would end its last line."""
    emails = {"i": {"blobId": jmap.upload(raw), "mailboxIds": {jmap.mailbox("inbox"): True}}}
    created = jmap.call("Email/import", emails=emails)["created"]
    return str(created["i"]["id"])


def mail(kind: str, body: bytes, *fields: str) -> bytes:
    return HEAD + "".join(f"{field}\r\n" for field in (*fields, f"Content-Type: {kind}")).encode() + b"\r\n" + body


def multipart(subtype: str, *parts: tuple[str, bytes], boundary: bytes = b"b") -> bytes:
    """A message of parts, each with the lines of its header."""
    delimiter = b"--" + boundary
    body = b"".join(
        delimiter + b"\r\n" + header.replace("\n", "\r\n").encode() + b"\r\n\r\n" + octets + b"\r\n"
        for header, octets in parts
    )
    return mail(f"multipart/{subtype}; boundary={boundary.decode()}", body + delimiter + b"--\r\n")


def encoded(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n").rstrip()


RELATED = multipart(
    "related",
    ("Content-Type: text/html; charset=utf-8", "<p onclick=x()>é<script>x()</script><img src='cid:a@x'><img src='cid:none'></p>".encode()),
    ("Content-Type: image/gif; name=a.gif\nContent-ID: <a@x>\nContent-Transfer-Encoding: base64", encoded(GIF)),
    ("Content-Type: image/gif\nContent-ID: <unused@x>\nContent-Transfer-Encoding: base64", encoded(GIF)),
)  # fmt: skip


def test_rfc2557_8_html_with_its_own_pictures(jmap: JmapClient) -> None:
    email = jmap.get(jmap.put(RELATED), "id", "blobId", "attachments")
    found = rendered(jmap, email["id"])
    picture = "data:image/gif;base64," + base64.b64encode(GIF).decode()
    assert found["html"] == f'<div><p>é<img src="{picture}"><img data-cid="none"></p></div>'
    assert (found["accountId"], found["blobId"], found["kind"]) == (jmap.account, email["blobId"], "html")
    assert found["images"] == {"mode": "held", "count": 0, "expiresAt": None}
    (inline,), (other,) = found["inline"], found["attachments"]
    assert (inline["blobId"], inline["cid"], inline["isShown"]) == (email["attachments"][0]["blobId"], "a@x", True)
    assert (other["cid"], other["isShown"]) == ("unused@x", False)
    assert jmap.http.get(inline["url"]).content == GIF
    held = rendered(jmap, email["blobId"], inline="none")
    assert held["html"] == '<div><p>é<img data-cid="a@x"><img data-cid="none"></p></div>'
    assert [(part["cid"], part["isShown"]) for part in held["inline"]] == [("a@x", False)]


def test_rfc2392_2_mid_and_content_location_name_parts(jmap: JmapClient) -> None:
    message = multipart(
        "related",
        ("Content-Type: text/html", b"<img src='mid:m%40x/a'><img src='http://x.example/l.gif'><img src='mid:other/a'>"),
        ("Content-Type: image/gif\nContent-ID: <a>\nContent-Transfer-Encoding: base64", encoded(GIF)),
        ("Content-Type: image/gif\nContent-Location: http://x.example/l.gif\nContent-Transfer-Encoding: base64", encoded(GIF)),
    ).replace(b"Subject:", b"Message-ID: <m@x>\r\nSubject:")  # fmt: skip
    found = rendered(jmap, jmap.put(message))
    assert found["html"].count('src="data:image/gif') == 2
    assert found["html"].count("data-cid") == 1
    assert (found["images"]["count"], len(found["inline"])) == (0, 2)


def test_rfc3676_4_flowed_text_is_shown_in_paragraphs(jmap: JmapClient) -> None:
    body = b"one \r\ntwo\r\n> quo \r\n> ted\r\n-- \r\nAnna http://x.example\r\n"
    found = rendered(jmap, keep(jmap, mail("text/plain; format=flowed; delsp=yes", body)))
    assert found["kind"] == "flowed"
    assert found["text"] == "onetwo\n> quoted\n-- \nAnna http://x.example"
    assert re.sub("<div[^>]*>|</div>", "", found["html"]).startswith(
        "onetwo<blockquote>quoted</blockquote>-- \nAnna <a href="
    )
    plain = rendered(jmap, keep(jmap, mail("text/plain; charset=iso-8859-1", b"d\xe9j\xe0 <b>\r\n>> vu")))
    assert (plain["kind"], plain["text"], plain["isEncodingProblem"]) == ("plain", "déjà <b>\n>> vu", False)
    assert "&lt;b&gt;" in plain["html"]


def test_a_picture_alone_and_nothing_at_all(jmap: JmapClient) -> None:
    found = rendered(jmap, jmap.put(mail("image/gif; name=a.gif", encoded(GIF), "Content-Transfer-Encoding: base64")))
    assert (found["kind"], found["html"].startswith('<div><img src="data:image/gif')) == ("picture", True)
    assert (len(found["inline"]), found["attachments"]) == (1, [])
    liar = rendered(jmap, jmap.put(mail("image/png; name=a.png", b"<svg onload=x()>")))
    assert (liar["html"], len(liar["attachments"])) == ("", 1)
    empty = rendered(jmap, jmap.put(mail("application/pdf; name=d.pdf", b"%PDF")))
    assert (empty["kind"], empty["html"], empty["attachments"][0]["name"]) == ("empty", "", "d.pdf")


def test_rfc2046_4_1_4_text_of_another_kind_is_shown_as_it_is(jmap: JmapClient) -> None:
    found = rendered(jmap, jmap.put(mail("text/enriched", b"<bold>Hi</bold>")))
    assert (found["kind"], "&lt;bold&gt;Hi" in found["html"]) == ("plain", True)
    rtf = rendered(jmap, jmap.put(mail("text/rtf", rb"{\rtf1\ansi d\'e9j\'e0\par vu}")))
    assert rtf["text"] == "déjà\nvu"


def test_a_document_can_run_nothing(jmap: JmapClient) -> None:
    email = keep(jmap, mail("text/html", b"<script>x()</script><p>Hi<img src=http://x.example/a.png>"))
    answer = fetch(jmap, email, **{"as": "document"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    )
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert (answer.headers["x-content-type-options"], answer.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert "script" not in answer.text
    assert '<meta http-equiv="Content-Security-Policy" content="default-src &#x27;none&#x27;' in answer.text
    assert '<p>Hi<img data-remote-src="http://x.example/a.png"></p>' in answer.text
    found = rendered(jmap, email)
    assert (found["contentSecurityPolicy"], found["sandbox"]) == (
        policy.split("; frame-ancestors")[0],
        "allow-popups allow-popups-to-escape-sandbox",
    )
    assert (found["images"]["count"], "script" in found["html"]) == (1, False)


def test_messages_within_messages_are_rendered_too(jmap: JmapClient) -> None:
    inner = mail("text/html", b"<i>deepest</i>")
    middle = multipart(
        "mixed", ("Content-Type: text/plain", b"middle"),
        ("Content-Type: application/octet-stream; name=in.eml\nContent-Transfer-Encoding: base64", encoded(inner)),
    )  # fmt: skip
    outer = multipart(
        "mixed", ("Content-Type: text/plain", b"outer"), ("Content-Type: message/rfc822", middle), boundary=b"outer"
    )
    found = rendered(jmap, jmap.put(outer))
    (message,) = found["messages"]
    assert (message["subject"], message["from"]) == ("Shown", [{"name": "Anna", "email": "anna@x.example"}])
    assert message["sentAt"] == "2025-07-01T10:00:00+02:00"
    assert found["structures"] == [
        {"kind": "message", "blobId": message["blobId"], "contentBlobId": None, "method": None}
    ]
    nested = rendered(jmap, message["blobId"])
    assert nested["text"] == "middle"
    (attachment,) = nested["attachments"]
    assert jmap.http.get(attachment["url"]).content == inner
    assert rendered(jmap, attachment["blobId"])["html"] == "<div><i>deepest</i></div>"
    assert rendered(jmap, jmap.upload(inner))["html"] == "<div><i>deepest</i></div>"


def test_rfc8551_rfc3156_what_is_claimed_is_told(jmap: JmapClient) -> None:
    signed = multipart(
        'signed; protocol="application/pgp-signature"', ("Content-Type: text/plain", b"signed text"),
        ("Content-Type: application/pgp-signature", b"-----BEGIN PGP SIGNATURE-----"),
    )  # fmt: skip
    found = rendered(jmap, jmap.put(signed))
    assert [(one["kind"], one["blobId"]) for one in found["structures"]] == [("pgp-signed", None)]
    assert found["structures"][0]["contentBlobId"] is not None
    assert found["text"] == "signed text"
    smime = rendered(jmap, jmap.put(mail("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", b"MIIB")))
    assert (smime["kind"], [one["kind"] for one in smime["structures"]]) == ("encrypted", ["smime-encrypted"])
    invitation = multipart(
        "alternative", ("Content-Type: text/plain", b"come"), ("Content-Type: text/calendar", b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\n"),
    )  # fmt: skip
    (claim,) = rendered(jmap, jmap.put(invitation))["structures"]
    assert (claim["kind"], claim["method"]) == ("calendar", "REQUEST")
    inline = mail("text/plain", b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEM\r\n-----END PGP MESSAGE-----\r\n")
    assert [one["kind"] for one in rendered(jmap, jmap.put(inline))["structures"]] == ["pgp-inline-encrypted"]


def winmail(body: bytes, *attachments: bytes) -> bytes:
    octets = stream(attribute(1, 0x8004, b"Outlook\0"), attribute(1, 0x9003, properties(body)), *attachments)
    kind = "application/ms-tnef; name=winmail.dat"
    return mail(kind, encoded(octets), "Content-Transfer-Encoding: base64")


def test_winmail_dat_is_opened(jmap: JmapClient) -> None:
    inner = stream(
        attribute(1, 0x8004, b"Within\0"), attribute(1, 0x9003, properties(wide(0x1000, "deep text"))),
        attribute(2, 0x9002, b""), attribute(2, 0x8010, b"deep.bin\0"), attribute(2, 0x800F, b"deep octets"),
    )  # fmt: skip
    message = winmail(
        variable(0x102, 0x1013, b"<p>rich<img src='cid:logo'></p>"),
        attribute(2, 0x9002, b""), attribute(2, 0x800F, GIF), attribute(2, 0x9005, properties(wide(0x3707, "logo.gif"), wide(0x3712, "logo"))),
        attribute(2, 0x9002, b""), attribute(2, 0x9005, properties(wide(0x3001, "Note"), variable(0x0D, 0x3701, MESSAGE_OBJECT + inner))),
        attribute(2, 0x9002, b""), attribute(2, 0x8010, "été.pdf".encode("cp1252") + b"\0"), attribute(2, 0x800F, b"%PDF-1"),
    )  # fmt: skip
    email = jmap.get(jmap.put(message), "blobId", "attachments")
    found = rendered(jmap, email["blobId"])
    assert (found["kind"], found["text"]) == ("html", "rich")
    assert found["html"].startswith('<div><p>rich<img src="data:image/gif;base64,')
    whole = email["attachments"][0]["blobId"]
    assert [(one["kind"], one["blobId"]) for one in found["structures"]] == [("tnef", whole)]
    (logo,), (note, pdf) = found["inline"], found["attachments"]
    assert [one["within"] for one in (logo, note, pdf)] == [whole] * 3
    assert (logo["blobId"], logo["cid"]) == (f"{whole}-1", "logo")
    assert jmap.http.get(logo["url"]).content == GIF
    assert (pdf["name"], pdf["type"], pdf["size"]) == ("été.pdf", "application/pdf", 6)
    answer = jmap.http.get(pdf["url"])
    assert (answer.content, answer.headers["content-type"]) == (b"%PDF-1", "application/pdf")
    # the message within is one like others
    assert found["messages"][0]["subject"] == "Within"
    assert found["messages"][0]["blobId"] == note["blobId"]
    assert jmap.call("Email/parse", blobIds=[note["blobId"]], properties=["subject"])["parsed"] == {
        note["blobId"]: {"subject": "Within"}
    }
    deep = rendered(jmap, note["blobId"])
    assert (deep["text"], [one["name"] for one in deep["attachments"]]) == ("deep text", ["deep.bin"])
    assert jmap.http.get(deep["attachments"][0]["url"]).content == b"deep octets"
    for wrong in (f"{whole}-4", f"{whole}-1_1", f"{whole}-1-1"):
        assert jmap.download(wrong).status_code == 404


def test_msoxrtfex_the_body_of_a_winmail_dat_that_is_rtf(jmap: JmapClient) -> None:
    plain = rb"{\rtf1\ansi d\'e9j\'e0\par vu}"
    found = rendered(jmap, jmap.put(winmail(variable(0x102, 0x1009, rtf(plain, plain, 0x414C454D)))))
    assert (found["kind"], found["text"]) == ("plain", "déjà\nvu")
    hidden = rb"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}caf\'e9{\*\htmltag72 </p>}}"
    found = rendered(jmap, jmap.put(winmail(variable(0x102, 0x1009, rtf(hidden, hidden, 0x414C454D)))))
    assert (found["kind"], found["html"], found["text"]) == ("html", "<div><p>café</p></div>", "café")
    broken = rendered(jmap, jmap.put(mail("application/ms-tnef; name=winmail.dat", b"no tnef")))
    assert (broken["kind"], broken["attachments"][0]["name"]) == ("empty", "winmail.dat")


def test_autocrypt_header_of_the_sender(jmap: JmapClient) -> None:
    header = "Autocrypt: addr={}; prefer-encrypt=mutual; keydata=mQENBF=="
    found = rendered(jmap, jmap.put(mail("text/plain", b"x", header.format("anna@x.example"))))
    assert found["autocrypt"] == {"addr": "anna@x.example", "preferEncrypt": "mutual"}
    assert rendered(jmap, jmap.put(mail("text/plain", b"x", header.format("eve@x.example"))))["autocrypt"] is None
    twice = mail("text/plain", b"x", *[header.format("anna@x.example")] * 2)
    assert rendered(jmap, jmap.put(twice))["autocrypt"] is None


def test_what_cannot_be_rendered(jmap: JmapClient, jmap_other: JmapClient) -> None:
    theirs = jmap_other.put(RELATED)
    for name in ("M999999", "B999999", "rubbish", "B1-9-9", "M"):
        assert fetch(jmap, name).status_code == 404, name
    other = jmap.http.get(f"/api/messages/{jmap_other.account}/{theirs}/rendering")
    assert other.status_code == 404
    picture = fetch(jmap, jmap.upload(GIF))
    assert (picture.status_code, picture.headers["content-type"]) == (422, "application/problem+json")
    email = jmap.put(RELATED)
    for choices in ({"images": "all"}, {"inline": "url"}, {"as": "pdf"}, {"x": "y"}, {"images": ""}):
        assert fetch(jmap, email, **choices).status_code == 400
    assert httpx.get(f"{jmap.url}/api/messages/{jmap.account}/{email}/rendering").status_code == 401
    assert jmap.http.post(f"/api/messages/{jmap.account}/{email}/rendering").status_code == 405


@pytest.mark.parametrize(
    "html",
    [b"<div>" * 300_000, b"<table><tr><td>" * 60_000, b"<b><i><a href=//x>" * 50_000, b"&amp" * 250_000, b"<img src='cid:a@x'>" * 50_000],
    ids=["deep", "tables", "soup", "references", "one picture often"],
)  # fmt: skip
def test_nasty_html_is_bounded_and_holds_up_nobody(jmap: JmapClient, jmap_other: JmapClient, html: bytes) -> None:
    nasty = RELATED.replace(b"<p onclick", html + b"<p onclick", 1)
    answer = fetch(jmap, jmap.upload(nasty))
    assert answer.status_code in {200, 422}
    assert len(answer.content) < 33 << 20
    assert fetch(jmap_other, jmap_other.put(RELATED)).status_code == 200


def test_style_sheets_reach_the_message_only(jmap: JmapClient) -> None:
    sheet = b"<style>p.x{color:red;position:fixed}@media screen and (max-width:600px){.x{width:100%}}@import url(//x.example/e.css)</style>"
    email = keep(jmap, mail("text/html", sheet + b"<p class=x id=y>Hi"))
    found = rendered(jmap, email)
    assert found["html"] == '<div class="mail-1"><p class="m-x i-y">Hi</p></div>'
    assert found["css"].startswith(
        ".mail-1 p.m-x{color:red}@media screen and (max-width:600px){.mail-1 .m-x{width:100%}}"
    )
    assert found["images"]["count"] == 2
    assert f"<style>{found['css']}</style></head>" in fetch(jmap, email, **{"as": "document"}).text
