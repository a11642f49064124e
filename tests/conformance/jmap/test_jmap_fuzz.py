"""Whatever a client sends, the gateway answers by the book: no 5xx, no `serverFail`, and it lives on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_client import BLOB, CORE, MAIL, JmapClient

METHODS = {
    "Mailbox/get": ["ids", "properties"],
    "Mailbox/changes": ["sinceState", "maxChanges"],
    "Mailbox/query": ["filter", "sort", "position", "anchor", "anchorOffset", "limit", "calculateTotal", "sortAsTree", "filterAsTree"],
    "Mailbox/queryChanges": ["filter", "sort", "sinceQueryState", "maxChanges", "upToId", "calculateTotal", "sortAsTree", "filterAsTree"],
    "Mailbox/set": ["ifInState", "create", "update", "destroy", "onDestroyRemoveEmails"],
    "Thread/get": ["ids", "properties"],
    "Thread/changes": ["sinceState", "maxChanges"],
    "Email/get": ["ids", "properties", "bodyProperties", "fetchTextBodyValues", "fetchHTMLBodyValues", "fetchAllBodyValues",
                  "maxBodyValueBytes"],
    "Email/query": ["filter", "sort", "position", "anchor", "anchorOffset", "limit", "calculateTotal", "collapseThreads"],
    "Email/changes": ["sinceState", "maxChanges"],
    "Email/set": ["ifInState", "create", "update", "destroy"],
    "Email/import": ["ifInState", "emails"],
    "Email/copy": ["fromAccountId", "ifFromInState", "ifInState", "create", "onSuccessDestroyOriginal", "destroyFromIfInState"],
    "Email/parse": ["blobIds", "properties", "bodyProperties", "fetchAllBodyValues", "maxBodyValueBytes"],
    "Blob/copy": ["fromAccountId", "blobIds"],
    "Blob/upload": ["create"],
    "Blob/get": ["ids", "properties", "offset", "length"],
    "Blob/lookup": ["typeNames", "ids"],
}  # fmt: skip
WORDS = st.sampled_from(
    ["M1", "M2", "F1", "F2", "T1", "B1", "B1-1", "#k", "id", "subject", "from", "header:X:asText", "header:From:asAddresses:all", "keywords",
     "keywords/$seen", "mailboxIds", "mailboxIds/F1", "bodyStructure", "textBody", "htmlBody", "attachments", "bodyValues", "partId", "blobId",
     "type", "text/plain", "multipart/mixed", "subParts", "value", "name", "email", "receivedAt", "size", "data", "data:asText", "digest:sha", "property", "isAscending", "operator",
     "AND", "NOT", "conditions", "inMailbox", "before", "minSize", "hasKeyword", "2025-07-01T10:00:00Z", "0", "1", "/list/*/id", "headers",
     "sentAt", "hasAttachment", "charset", "disposition", "cid", "language", "a@b.example", "\u0000", "é", "", "resultOf", "path"]
)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, -1, 5, 2**31, 2**53, 2**63, -(2**63), 2**64, 1.5, 1e300])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=8))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
PART = st.fixed_dictionaries({}, optional={"partId": st.just("t"), "blobId": WORDS, "type": WORDS, "name": SCALARS, "cid": SCALARS,
                                           "language": VALUES, "header:X-A:asText": SCALARS, "disposition": SCALARS})  # fmt: skip
DRAFT = st.fixed_dictionaries(
    {"mailboxIds": st.just({"F2": True})},
    optional={"subject": SCALARS, "from": VALUES, "to": st.lists(st.fixed_dictionaries({"name": SCALARS, "email": SCALARS}), max_size=2),
              "keywords": VALUES, "receivedAt": SCALARS, "textBody": st.lists(PART, max_size=2), "attachments": st.lists(PART, max_size=2),
              "bodyStructure": PART | VALUES, "bodyValues": st.just({"t": {"value": "x"}}) | VALUES, "sentAt": SCALARS, "messageId": VALUES,
              "header:X-B": SCALARS, "header:X-C:asGroupedAddresses": VALUES},
)  # fmt: skip


BLOBS = st.sampled_from(["B1", "B1-1", "B2", "B1-1-1", "U1", "#a", "#b"])
SOURCE = st.fixed_dictionaries(
    {}, optional={"data:asText": SCALARS, "data:asBase64": st.sampled_from(["", "YQ==", "YQ", "="]) | SCALARS, "blobId": BLOBS | WORDS,
                  "offset": NUMBERS, "length": NUMBERS},
)  # fmt: skip
MADE = st.fixed_dictionaries({}, optional={"data": st.lists(SOURCE, max_size=3) | VALUES, "type": WORDS | SCALARS})
IMPORTED = st.fixed_dictionaries(
    {"blobId": BLOBS | WORDS, "mailboxIds": st.just({"F1": True})}, optional={"keywords": VALUES, "receivedAt": SCALARS}
)

BOX = st.fixed_dictionaries(
    {}, optional={"name": WORDS | SCALARS, "parentId": st.sampled_from(["#a", "#b", "F1", "F64", "F65", None]) | SCALARS, "sortOrder": SCALARS,
                  "role": st.sampled_from([None, "important", "all", "inbox"]) | SCALARS, "isSubscribed": SCALARS, "id": WORDS, "myRights": VALUES},
)  # fmt: skip
BOXES = st.sampled_from(["F1", "F64", "F65", "F66", "#a", "#b", "a", "b"])


@st.composite
def calls(draw: st.DrawFn) -> list[Any]:
    method = draw(st.sampled_from(sorted(METHODS)))
    chosen = draw(st.lists(st.sampled_from(METHODS[method]), unique=True, max_size=4))
    arguments = {name: draw(VALUES) for name in chosen}
    if method == "Email/set" and draw(st.booleans()):
        arguments["create"] = {"k": draw(DRAFT)}
    if method == "Email/import" and draw(st.booleans()):
        arguments["emails"] = draw(st.dictionaries(st.sampled_from(["a", "b"]), IMPORTED, max_size=2))
    if method == "Blob/upload" and draw(st.booleans()):
        arguments["create"] = draw(st.dictionaries(st.sampled_from(["a", "b"]), MADE, max_size=2))
    if method in {"Blob/get", "Blob/lookup"} and draw(st.booleans()):
        arguments["ids"] = draw(st.lists(BLOBS, max_size=3))
    if method == "Email/parse" and draw(st.booleans()):
        arguments["blobIds"] = draw(st.lists(BLOBS, max_size=3))
    if method == "Mailbox/set" and draw(st.booleans()):
        arguments["create"] = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), BOX, max_size=3))
        arguments["update"] = draw(st.dictionaries(BOXES, BOX, max_size=3))
        arguments["destroy"] = draw(st.lists(BOXES, max_size=3))
    if draw(st.integers(0, 9)) == 0:
        arguments["#ids"] = draw(VALUES)
    return [method, {"accountId": None, **arguments}, "c"]


@pytest.fixture(scope="module")
def fuzzed(server: JmapServer) -> Iterator[JmapClient]:
    client = server.newcomer()
    client.mail()
    client.mail()
    yield client
    client.http.close()


def sent(client: JmapClient, requests: list[Any]) -> None:
    for request in requests:
        if request[1].get("accountId", 0) is None:
            request[1]["accountId"] = client.account
    answer = client.post({"using": [CORE, MAIL, BLOB], "methodCalls": requests})
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 200:
        for name, result, _ in answer.json()["methodResponses"]:
            assert name != "error" or result["type"] not in {"serverFail", "serverPartialFail", "serverUnavailable"}, (
                requests,
                result,
            )
            for refused in ("notCreated", "notUpdated", "notDestroyed"):
                assert all(error["type"] for error in (result.get(refused) or {}).values())


FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@given(st.lists(calls(), min_size=1, max_size=4))
def test_jmap_fuzz_arguments(fuzzed: JmapClient, requests: list[Any]) -> None:
    sent(fuzzed, json.loads(json.dumps(requests)))


@FUZZ
@given(DRAFT)
def test_jmap_fuzz_drafts(fuzzed: JmapClient, draft: Any) -> None:
    sent(fuzzed, [["Email/set", {"accountId": None, "create": {"k": draft}}, "c"]])


@FUZZ
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_jmap_fuzz_bodies(fuzzed: JmapClient, body: bytes) -> None:
    answer = fuzzed.post(body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@FUZZ
@given(VALUES)
def test_jmap_fuzz_requests(fuzzed: JmapClient, value: Any) -> None:
    assert fuzzed.post(value).status_code == 400
    assert fuzzed.post({"using": [CORE], "methodCalls": value}).status_code in {200, 400}
    pointer = [
        ["Core/echo", {"a": value}, "a"],
        ["Core/echo", {"#x": value, "#y": {"resultOf": "a", "name": "Core/echo", "path": "/a/*"}}, "b"],
    ]
    assert fuzzed.post({"using": [CORE], "methodCalls": pointer}).status_code == 200


@FUZZ
@given(st.text(max_size=30).map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="")))
def test_jmap_fuzz_download_names(fuzzed: JmapClient, name: str) -> None:
    for path in (f"{fuzzed.account}/B1/{name}", f"{fuzzed.account}/{name}/x", f"{name}/B1/x"):
        answer = fuzzed.http.get(f"/jmap/download/{path}")
        assert answer.status_code in {200, 404}, answer.text
