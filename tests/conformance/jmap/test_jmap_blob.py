"""RFC 9404: Blob/upload, Blob/get and Blob/lookup, and the capability that tells their limits."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from tests.conformance.jmap_client import BLOB, CORE, MAIL, JmapClient

FOX = "The quick brown fox jumped over the lazy dog."


def made(jmap: JmapClient, *data: dict[str, Any], **more: Any) -> dict[str, Any]:
    result = jmap.call("Blob/upload", create={"b": {"data": list(data), **more}})
    assert result["notCreated"] is None, result
    found: dict[str, Any] = result["created"]["b"]
    return found


def refused(jmap: JmapClient, given: Any) -> dict[str, Any]:
    result = jmap.call("Blob/upload", create={"b": given})
    assert result["created"] is None
    error: dict[str, Any] = result["notCreated"]["b"]
    return error


def got(jmap: JmapClient, blob: str, *properties: str, **arguments: Any) -> dict[str, Any]:
    result = jmap.call("Blob/get", ids=[blob], **({"properties": list(properties)} if properties else {}), **arguments)
    (found,) = result["list"]
    assert found.pop("id") == blob
    return dict(found)


def test_rfc9404_3_1_capability_tells_the_limits(jmap: JmapClient) -> None:
    assert jmap.session["capabilities"][BLOB] == {}
    assert jmap.session["primaryAccounts"][BLOB] == jmap.account
    found = jmap.session["accounts"][jmap.account]["accountCapabilities"][BLOB]
    assert set(found) == {"maxSizeBlobSet", "maxDataSources", "supportedTypeNames", "supportedDigestAlgorithms"}
    assert found["maxSizeBlobSet"] >= 1_000_000
    assert found["maxDataSources"] >= 64
    assert set(found["supportedTypeNames"]) == {"Mailbox", "Thread", "Email"}
    assert {"sha", "sha-256"} <= set(found["supportedDigestAlgorithms"])


def test_rfc9404_3_1_methods_need_the_capability(jmap: JmapClient) -> None:
    call = ["Blob/get", {"accountId": jmap.account, "ids": []}, "c"]
    assert jmap.responses(call, using=(CORE, MAIL))[0][1]["type"] == "unknownMethod"


def test_rfc9404_4_1_upload_of_text_and_base64(jmap: JmapClient) -> None:
    found = made(jmap, {"data:asText": "é"}, {"data:asBase64": "AAEC/w=="}, type="image/png")
    assert set(found) == {"id", "type", "size"}
    assert (found["type"], found["size"]) == ("image/png", 6)
    assert jmap.download(found["id"]).content == "é".encode() + b"\0\x01\x02\xff"


def test_rfc9404_4_1_upload_of_nothing(jmap: JmapClient) -> None:
    found = made(jmap)
    assert (found["size"], found["type"]) == (0, None)
    assert jmap.download(found["id"]).content == b""


def test_rfc9404_4_1_1_complex_example(jmap: JmapClient) -> None:
    cat = [
        {"data:asText": "How"}, {"blobId": "#b4", "length": 7, "offset": 3}, {"data:asText": "was t"},
        {"blobId": "#b4", "length": 1, "offset": 1}, {"data:asBase64": "YXQ/"},
    ]  # fmt: skip
    responses = jmap.responses(
        ["Blob/upload", {"accountId": jmap.account, "create": {"b4": {"data": [{"data:asText": FOX}]}}}, "S4"],
        ["Blob/upload", {"accountId": jmap.account, "create": {"cat": {"data": cat}}}, "CAT"],
        ["Blob/get", {"accountId": jmap.account, "properties": ["data:asText", "size"], "ids": ["#cat"]}, "G4"],
    )
    (found,) = responses[2][1]["list"]
    assert found["id"] == responses[1][1]["created"]["cat"]["id"]
    assert (found["data:asText"], found["size"]) == ("How quick was that?", 19)


def test_rfc9404_4_1_a_creation_uses_one_before_it(jmap: JmapClient) -> None:
    create = {"a": {"data": [{"data:asText": "ab"}]}, "b": {"data": [{"blobId": "#a"}, {"blobId": "#a", "offset": 1}]}}
    created = jmap.call("Blob/upload", create=create)["created"]
    assert jmap.download(created["b"]["id"]).content == b"abb"


def test_rfc9404_4_1_parts_of_messages_are_sources(jmap: JmapClient) -> None:
    email = jmap.get(jmap.mail(body="Hello\r\n"), "blobId", "textBody")
    found = made(jmap, {"blobId": email["textBody"][0]["blobId"], "offset": 1, "length": 3})
    assert jmap.download(found["id"]).content == b"ell"


@pytest.mark.parametrize(
    "source",
    [
        {}, {"data:asText": "a", "data:asBase64": "YQ=="}, {"data:asText": 5}, {"data:asBase64": "Y"}, {"data:asBase64": "Y Q=="},
        {"data:asBase64": "é"}, {"data:asText": "a", "offset": 0}, {"blobId": "#own", "offset": -1}, {"other": 1}, 7,
        {"blobId": "#own", "offset": 4}, {"blobId": "#own", "length": 4}, {"blobId": "#own", "offset": 3, "length": 1},
    ],
)  # fmt: skip
def test_rfc9404_4_1_sources_that_are_none(jmap: JmapClient, source: Any) -> None:
    create = {"own": {"data": [{"data:asText": "abc"}]}, "b": {"data": [source]}}
    result = jmap.call("Blob/upload", create=create)
    assert set(result["created"]) == {"own"}
    assert result["notCreated"]["b"]["type"] == "invalidProperties"
    assert result["notCreated"]["b"]["properties"] == ["data"]


def test_rfc9404_4_1_a_range_may_end_where_the_blob_does(jmap: JmapClient) -> None:
    blob = made(jmap, {"data:asText": "abc"})["id"]
    assert made(jmap, {"blobId": blob, "offset": 3, "length": 0})["size"] == 0
    assert made(jmap, {"blobId": blob, "offset": 3})["size"] == 0
    assert made(jmap, {"blobId": blob, "offset": 1, "length": 2})["size"] == 2


def test_rfc9404_4_1_upload_objects_that_are_none(jmap: JmapClient) -> None:
    assert refused(jmap, {})["properties"] == ["data"]
    assert refused(jmap, {"data": "x"})["properties"] == ["data"]
    assert refused(jmap, {"data": [], "type": 5})["properties"] == ["type"]
    assert refused(jmap, {"data": [], "more": 5})["properties"] == ["more"]
    assert refused(jmap, {"data": [{"blobId": "U7"}]}) == {"type": "blobNotFound", "notFound": ["U7"]}
    sources = jmap.session["accounts"][jmap.account]["accountCapabilities"][BLOB]["maxDataSources"]
    assert made(jmap, *([{"data:asText": "x"}] * sources))["size"] == sources
    assert refused(jmap, {"data": [{"data:asText": "x"}] * (sources + 1)})["type"] == "invalidProperties"


def test_rfc9404_4_1_upload_that_grows_too_large(jmap: JmapClient) -> None:
    limit = jmap.session["accounts"][jmap.account]["accountCapabilities"][BLOB]["maxSizeBlobSet"]
    blob = jmap.upload(b"x" * 1_000_000)
    error = refused(jmap, {"data": [{"blobId": blob}] * (limit // 1_000_000 + 1)})
    assert error["type"] in {"tooLarge", "rateLimit"}
    assert jmap.fails("Blob/upload", create={f"k{n}": {"data": []} for n in range(600)})["type"] == "requestTooLarge"


def test_rfc9404_4_2_default_properties(jmap: JmapClient) -> None:
    assert got(jmap, jmap.upload(FOX.encode())) == {"data:asText": FOX, "size": len(FOX)}


def test_rfc9404_4_2_text_that_is_none(jmap: JmapClient) -> None:
    octets = b"The quick brown fox jumped over the \x81\x81 dog."
    blob = jmap.upload(octets)
    encoded = base64.b64encode(octets).decode()
    assert got(jmap, blob) == {"data:asBase64": encoded, "isEncodingProblem": True, "size": len(octets)}
    assert got(jmap, blob, "data:asText") == {"data:asText": None, "isEncodingProblem": True}
    assert got(jmap, blob, "data:asBase64") == {"data:asBase64": encoded}
    assert got(jmap, blob, "data:asText", offset=0, length=5) == {"data:asText": "The q"}
    truncated = got(jmap, blob, "data", offset=20, length=100)
    assert truncated == {
        "data:asBase64": base64.b64encode(octets[20:]).decode(), "isTruncated": True, "isEncodingProblem": True,
    }  # fmt: skip
    assert got(jmap, blob, "data", "size", offset=500) == {"data:asText": "", "isTruncated": True, "size": len(octets)}


def test_rfc9404_4_2_text_that_json_may_not_hold_is_given_as_it_is(jmap: JmapClient) -> None:
    octets = "a\ufffeb".encode()
    found = got(jmap, jmap.upload(octets))
    assert base64.b64decode(found["data:asBase64"]) == octets


@pytest.mark.parametrize(("name", "algorithm"), [("sha", "sha1"), ("sha-256", "sha256"), ("sha-512", "sha512")])
def test_rfc9404_4_2_digests_of_the_range(jmap: JmapClient, name: str, algorithm: str) -> None:
    blob = jmap.upload(FOX.encode())
    for start, end in ((0, len(FOX)), (4, 9)):
        wanted = base64.b64encode(hashlib.new(algorithm, FOX[start:end].encode()).digest()).decode()
        found = got(jmap, blob, f"digest:{name}", "size", offset=start, length=end - start)
        assert found == {f"digest:{name}": wanted, "size": len(FOX)}


def test_rfc9404_4_2_blobs_that_are_not_there(jmap: JmapClient, jmap_other: JmapClient) -> None:
    blob, theirs = jmap.upload(b"x"), jmap_other.upload(b"y")
    found = jmap.call("Blob/get", ids=[blob, "not-a-blob", theirs, "#never"], properties=["size"])
    assert found["list"] == [{"id": blob, "size": 1}]
    assert found["notFound"] == ["not-a-blob", theirs, "#never"]


def test_rfc9404_4_2_messages_and_parts(jmap: JmapClient) -> None:
    email = jmap.get(jmap.mail(body="Hello\r\n"), "blobId", "size", "textBody")
    assert got(jmap, email["blobId"], "size") == {"size": email["size"]}
    part = email["textBody"][0]
    assert got(jmap, part["blobId"]) == {"data:asText": "Hello\r\n", "size": part["size"]}


def test_rfc9404_4_2_arguments_that_are_none(jmap: JmapClient) -> None:
    for arguments in (
        {"ids": None}, {}, {"ids": ["x"], "properties": ["digest:crc"]}, {"ids": [], "properties": ["data:other"]},
        {"ids": [], "offset": -1}, {"ids": [], "length": "1"},
    ):  # fmt: skip
        assert jmap.fails("Blob/get", **arguments)["type"] == "invalidArguments", arguments
    assert jmap.fails("Blob/get", ids=[f"U{number + 1}" for number in range(600)])["type"] == "requestTooLarge"


def test_rfc9404_4_3_lookup(jmap: JmapClient) -> None:
    email = jmap.get(jmap.mail(), "id", "threadId", "blobId", "mailboxIds", "textBody")
    part = email["textBody"][0]["blobId"]
    upload = jmap.upload(b"x")
    found = jmap.call(
        "Blob/lookup",
        typeNames=["Mailbox", "Thread", "Email"],
        ids=[email["blobId"], part, upload, "B9999999", f"{part}00"],
    )
    wanted = {"Mailbox": list(email["mailboxIds"]), "Thread": [email["threadId"]], "Email": [email["id"]]}
    assert found["list"] == [
        {"id": email["blobId"], "matchedIds": wanted},
        {"id": part, "matchedIds": wanted},
        {"id": upload, "matchedIds": {"Mailbox": [], "Thread": [], "Email": []}},
    ]
    assert found["notFound"] == ["B9999999", f"{part}00"]
    only = jmap.call("Blob/lookup", typeNames=["Email"], ids=[part])["list"]
    assert only == [{"id": part, "matchedIds": {"Email": [email["id"]]}}]


def test_rfc9404_4_3_lookup_of_types_that_are_unknown(jmap: JmapClient) -> None:
    assert jmap.fails("Blob/lookup", typeNames=["Email", "Dream"], ids=[])["type"] == "unknownDataType"
    call = ["Blob/lookup", {"accountId": jmap.account, "typeNames": ["Email"], "ids": []}, "c"]
    assert jmap.responses(call, using=(CORE, BLOB))[0][1]["type"] == "unknownDataType"
    assert jmap.fails("Blob/lookup", ids=[])["type"] == "invalidArguments"


def test_rfc9404_4_1_created_blob_is_attached_in_the_same_request(jmap: JmapClient) -> None:
    email = {
        "mailboxIds": {jmap.mailbox("drafts"): True}, "attachments": [{"blobId": "#b", "type": "text/plain", "name": "n.txt"}],
    }  # fmt: skip
    responses = jmap.responses(
        ["Blob/upload", {"accountId": jmap.account, "create": {"b": {"data": [{"data:asText": "note"}]}}}, "0"],
        ["Email/set", {"accountId": jmap.account, "create": {"d": email}}, "1"],
    )
    (part,) = jmap.get(responses[1][1]["created"]["d"]["id"], "attachments")["attachments"]
    assert jmap.download(part["blobId"]).content == b"note"
