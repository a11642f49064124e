"""RFC 8620 §6.1 and §6.3: uploads, their downloads and copies, and what drafts make of them."""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.conformance.held_post import held_post
from tests.conformance.jmap_client import CORE, JmapClient

ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


def test_rfc8620_6_1_upload_is_answered_with_its_blob(jmap: JmapClient) -> None:
    answer = jmap.post_upload(b"some octets", "image/png")
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert "no-store" in answer.headers["cache-control"]
    found = answer.json()
    assert set(found) == {"accountId", "blobId", "type", "size"}
    assert (found["accountId"], found["type"], found["size"]) == (jmap.account, "image/png", 11)
    assert ID.fullmatch(found["blobId"])


@pytest.mark.parametrize("octets", [0, 1, 65_536, 131_072, 131_073, 700_001])
def test_rfc8620_6_2_upload_comes_back_byte_for_byte(jmap: JmapClient, octets: int) -> None:
    data = (bytes(range(256)) * (octets // 256 + 1))[:octets]
    blob = jmap.upload(data)
    answer = jmap.download(blob, "a file.bin", "image/png")
    assert answer.status_code == 200
    assert answer.content == data
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(octets)


def test_rfc8620_6_1_upload_without_a_length_is_streamed(jmap: JmapClient) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(40):
            yield bytes([number]) * 20_000

    blob = jmap.upload(pieces())
    assert jmap.download(blob).content == b"".join(bytes([number]) * 20_000 for number in range(40))


def test_rfc9110_14_ranges_of_uploads(jmap: JmapClient) -> None:
    data = bytes(range(256)) * 2000
    blob = jmap.upload(data)
    part = jmap.download(blob, Range="bytes=131000-132999")
    assert part.status_code == 206
    assert part.content == data[131_000:133_000]
    assert jmap.download(blob, Range="bytes=-5").content == data[-5:]


def test_rfc8620_6_1_upload_larger_than_the_limit_is_refused(jmap: JmapClient) -> None:
    limit = jmap.session["capabilities"][CORE]["maxSizeUpload"]
    url = httpx.URL(jmap.session["uploadUrl"].replace("{accountId}", jmap.account))
    connection = http.client.HTTPConnection(url.host, url.port, timeout=30)
    try:
        connection.putrequest("POST", url.path)
        connection.putheader("Authorization", jmap.http.headers["authorization"])
        connection.putheader("Content-Length", str(limit + 1))
        connection.endheaders()
        # the answer does not wait for what it refuses
        answer = connection.getresponse()
        assert answer.status == 413
        assert answer.headers["content-type"] == "application/problem+json"
        problem = json.loads(answer.read())
    finally:
        connection.close()
    assert problem["type"] == "urn:ietf:params:jmap:error:limit"
    assert problem["limit"] == "maxSizeUpload"


def test_rfc8620_6_1_upload_that_breaks_off_is_not_kept(jmap: JmapClient) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"begun"
        raise OSError("the line is cut")

    with pytest.raises(OSError, match="cut"):
        jmap.post_upload(pieces())
    assert jmap.download(jmap.upload(b"whole")).content == b"whole"


def test_rfc8620_6_1_type_that_is_none_is_not_echoed(jmap: JmapClient) -> None:
    assert jmap.post_upload(b"x", "no type at all").json()["type"] == "application/octet-stream"
    assert jmap.post_upload(b"x", 'text/plain; charset="utf-8"').json()["type"] == 'text/plain; charset="utf-8"'


def test_rfc8620_6_1_upload_needs_authentication_and_the_own_account(jmap: JmapClient, jmap_other: JmapClient) -> None:
    url = jmap.session["uploadUrl"].replace("{accountId}", jmap.account)
    assert httpx.post(jmap.url + httpx.URL(url).path, content=b"x").status_code == 401
    theirs = jmap_other.session["uploadUrl"].replace("{accountId}", jmap_other.account)
    assert jmap.http.post(theirs, content=b"x").status_code == 404
    assert jmap.http.get(url).status_code == 405


def test_rfc8620_6_2_upload_of_another_is_not_found(jmap: JmapClient, jmap_other: JmapClient) -> None:
    blob = jmap_other.upload(b"secret")
    assert jmap.download(blob).status_code == 404
    assert jmap_other.download(blob).status_code == 200


def test_rfc8620_2_uploads_at_once_are_bounded(jmap: JmapClient) -> None:
    limit = jmap.session["capabilities"][CORE]["maxConcurrentUpload"]
    url = jmap.session["uploadUrl"].replace("{accountId}", jmap.account)
    gate = threading.Event()

    def one() -> int:
        return held_post(url, dict(jmap.http.headers), gate, first=b"x", more=b"x")

    with ThreadPoolExecutor(limit) as pool:
        running = [pool.submit(one) for _ in range(limit)]
        try:
            deadline = time.monotonic() + 60  # until the server has seen them begin
            while (refused := jmap.http.post(url, content=b"x")).status_code != 429 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert refused.status_code == 429
            assert refused.json()["limit"] == "maxConcurrentUpload"
        finally:
            gate.set()
        assert {done.result(90) for done in running} == {201}


def test_rfc8621_4_6_upload_is_attached(jmap: JmapClient) -> None:
    picture = bytes(range(256)) * 40
    blob = jmap.upload(picture, "image/png")
    draft = jmap.draft(
        subject="with a picture", textBody=[{"partId": "t"}], bodyValues={"t": {"value": "see"}},
        attachments=[{"blobId": blob, "type": "image/png", "name": "p.png", "disposition": "attachment"}],
    )  # fmt: skip
    email = jmap.get(draft["id"], "attachments", "hasAttachment")
    assert email["hasAttachment"] is True
    (part,) = email["attachments"]
    assert (part["type"], part["name"], part["size"]) == ("image/png", "p.png", len(picture))
    assert jmap.download(part["blobId"]).content == picture


def test_rfc8621_4_6_upload_is_a_body_part(jmap: JmapClient) -> None:
    blob = jmap.upload("Grüße\r\n".encode(), "text/plain")
    draft = jmap.draft(bodyStructure={"type": "text/plain", "blobId": blob, "charset": "utf-8"})
    email = jmap.get(draft["id"], "textBody", "bodyValues", fetchTextBodyValues=True)
    assert [value["value"] for value in email["bodyValues"].values()] == ["Grüße\n"]


def test_rfc8621_4_6_upload_that_is_not_there(jmap: JmapClient) -> None:
    error = jmap.refused(attachments=[{"blobId": "U1234567", "type": "image/png"}])
    assert (error["type"], error["notFound"]) == ("blobNotFound", ["U1234567"])


def test_rfc8620_1_2_blob_ids_of_deep_parts_are_ids(jmap: JmapClient) -> None:
    inner = base64.b64encode(b"deep").decode()
    raw = (
        "From: a@x.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{inner}\r\n--b--\r\n--a--\r\n"
    )
    (part,) = jmap.get(jmap.put(raw.encode()), "attachments")["attachments"]
    assert part["partId"] == "1.1"
    assert ID.fullmatch(part["blobId"])
    assert jmap.download(part["blobId"]).content == b"deep"


def test_rfc8620_6_3_copy_is_between_two_different_accounts(jmap: JmapClient) -> None:
    blob = jmap.upload(b"x")
    error = jmap.fails("Blob/copy", fromAccountId=jmap.account, blobIds=[blob])
    assert error["type"] == "invalidArguments"
    assert jmap.download(blob).content == b"x"


def test_rfc8620_6_3_copy_from_an_account_that_is_not_ours(jmap: JmapClient, jmap_other: JmapClient) -> None:
    blob = jmap_other.upload(b"secret")
    error = jmap.fails("Blob/copy", fromAccountId=jmap_other.account, blobIds=[blob])
    assert error["type"] == "fromAccountNotFound"
    error = jmap.fails("Blob/copy", accountId=jmap_other.account, fromAccountId=jmap.account, blobIds=[blob])
    assert error["type"] == "accountNotFound"
    assert jmap.fails("Blob/copy", fromAccountId=jmap.account)["type"] == "invalidArguments"


def test_rfc8620_6_3_copies_are_bounded(jmap: JmapClient) -> None:
    limit = jmap.session["capabilities"][CORE]["maxObjectsInSet"]
    error = jmap.fails(
        "Blob/copy", fromAccountId=jmap.account, blobIds=[f"U{number + 1}" for number in range(limit + 1)]
    )
    assert error["type"] == "requestTooLarge"
