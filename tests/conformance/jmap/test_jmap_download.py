"""RFC 8620 §6.2: downloads, and that what is downloaded can do nothing in a browser."""

from __future__ import annotations

import base64
import os

from tests.conformance.jmap_client import JmapClient


def file_mail(jmap: JmapClient, content: bytes, kind: str = "application/octet-stream") -> tuple[str, str]:
    """Deliver a message with one attachment; return the blob ids of message and attachment."""
    body = base64.encodebytes(content).replace(b"\n", b"\r\n")
    raw = (
        b"Subject: file\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: "
        + kind.encode() + b"\r\nContent-Disposition: attachment; filename=f\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body + b"--b--\r\n"
    )  # fmt: skip
    email = jmap.get(jmap.put(raw), "blobId", "attachments")
    return email["blobId"], email["attachments"][0]["blobId"]


def test_rfc8620_6_2_whole_message_byte_for_byte(jmap: JmapClient) -> None:
    raw = b"Subject: bytes\r\nX-Odd:\ttab \r\n\r\n" + bytes(range(32, 127)) + b"\r\n.\r\n..\r\nend\r\n"
    answer = jmap.download(jmap.get(jmap.put(raw), "blobId")["blobId"], kind="message/rfc822")
    assert answer.status_code == 200
    assert answer.content.endswith(raw)
    assert answer.headers["content-type"] == "message/rfc822"
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_rfc8620_6_2_parts_are_decoded(jmap: JmapClient) -> None:
    content = os.urandom(700_001)
    _, blob = file_mail(jmap, content)
    answer = jmap.download(blob)
    assert answer.content == content
    assert int(answer.headers["content-length"]) == len(content)


def test_rfc8620_6_2_quoted_printable_parts(jmap: JmapClient) -> None:
    lines = "".join(f"l=C3=A9gume {n} =\r\nsuite=\r\n\r\n" for n in range(4000))
    email = jmap.mail(
        body=lines,
        fields="MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    )
    part = jmap.get(email, "textBody")["textBody"][0]
    answer = jmap.download(part["blobId"])
    assert answer.content == "".join(f"légume {n} suite\r\n" for n in range(4000)).encode()
    assert part["size"] == len(answer.content)


def test_rfc8620_6_2_name_and_type_are_the_clients_but_safe(jmap: JmapClient) -> None:
    blob, _ = file_mail(jmap, b"x")
    answer = jmap.download(blob, name="%C3%A9t%C3%A9%22%0d%0a.eml", kind="text/html")
    assert answer.headers["content-type"] == "text/html"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    assert "filename*=UTF-8''%C3%A9t%C3%A9%22__.eml" in disposition
    assert jmap.download(blob, kind="text/html%0d%0aX: y").headers["content-type"] == "application/octet-stream"


def test_rfc8620_6_2_type_is_given_back(jmap: JmapClient) -> None:
    blob, _ = file_mail(jmap, b"x")
    for given, kind in (
        ("image%2Fsvg%2Bxml", "image/svg+xml"),
        ("image/svg+xml", "image/svg+xml"),
        ("text/plain;charset=us-ascii;format=flowed", "text/plain;charset=us-ascii;format=flowed"),
        ("text/x%3B%20a%3D%22b%20c%22", 'text/x; a="b c"'),
        ('text/x;a="b', "application/octet-stream"),
        ("text", "application/octet-stream"),
    ):
        assert jmap.download(blob, kind=given).headers["content-type"] == kind


def test_rfc8620_6_2_nothing_runs_in_a_browser(jmap: JmapClient) -> None:
    _, blob = file_mail(jmap, b"<script>alert(1)</script>", "text/html")
    headers = jmap.download(blob, kind="text/html").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]


def test_rfc8620_6_2_blobs_may_be_cached_for_ever_by_their_owner(jmap: JmapClient) -> None:
    blob, part = file_mail(jmap, b"x")
    for name in (blob, part):
        first = jmap.download(name)
        assert "immutable" in first.headers["cache-control"]
        assert "private" in first.headers["cache-control"]
        again = jmap.download(name, **{"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_rfc9110_14_ranges_of_whole_messages(jmap: JmapClient) -> None:
    blob, part = file_mail(jmap, os.urandom(300_000))
    whole = jmap.download(blob).content
    for header, start, end in (("bytes=0-9", 0, 10), ("bytes=100-", 100, len(whole)), ("bytes=-7", len(whole) - 7, len(whole)),
                               ("bytes=65530-65540", 65530, 65541), (f"bytes=5-{10**12}", 5, len(whole))):  # fmt: skip
        answer = jmap.download(blob, Range=header)
        assert answer.status_code == 206
        assert answer.content == whole[start:end]
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(whole)}"
    beyond = jmap.download(blob, Range=f"bytes={len(whole)}-")
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"
    for ignored in ("bytes=0-1,3-4", "lines=1-2", "bytes=9-3", "bytes=-", "nonsense"):
        assert jmap.download(blob, Range=ignored).status_code == 200
    assert jmap.download(part, Range="bytes=0-1").status_code == 200  # encoded parts have no ranges
    assert jmap.download(blob, Range="bytes=0-1", **{"If-Range": '"other"'}).status_code == 200


def test_rfc8620_6_2_what_does_not_exist_is_404(jmap: JmapClient, jmap_other: JmapClient) -> None:
    blob, part = file_mail(jmap, b"x")
    for bad in ("B99999", "B0", "rubbish", f"{blob}-99", f"{blob}-", "M1", f"{part}.1", "B1-..", "%00"):
        assert jmap.download(bad).status_code == 404, bad
    path = f"/jmap/download/{jmap.account}/{blob}/x"
    assert jmap_other.http.get(path).status_code == 404
    assert jmap.http.get(f"/jmap/download/{jmap.account}/{blob}").status_code == 404


def test_rfc8620_6_2_head_has_no_body(jmap: JmapClient) -> None:
    blob, _ = file_mail(jmap, b"x")
    answer = jmap.http.head(f"/jmap/download/{jmap.account}/{blob}/x")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0


def test_rfc8620_6_2_authentication_is_needed(jmap: JmapClient) -> None:
    blob, _ = file_mail(jmap, b"x")
    jmap.http.headers.pop("Authorization")
    assert jmap.download(blob).status_code == 401
