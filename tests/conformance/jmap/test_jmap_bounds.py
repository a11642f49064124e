"""What one request may cost: nothing small that a client sends becomes any number of octets or of steps here."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient

RESPONSE_OCTETS = 64 << 20


def _repeated(count: int, **part: Any) -> dict[str, Any]:
    return {"type": "multipart/mixed", "subParts": [{"type": "text/plain", **part}] * count}


def test_a_text_that_stands_in_a_draft_many_times_counts_as_often(jmap: JmapClient) -> None:
    values = {"t": {"value": "\u00e9" * 500_000}}
    error = jmap.refused(bodyValues=values, bodyStructure=_repeated(190, partId="t"))
    assert (error["type"], error["maxSize"]) == ("tooLarge", 25_000_000)
    assert jmap.draft(bodyValues=values, bodyStructure=_repeated(2, partId="t"))["size"] > 2_000_000


def test_a_blob_that_stands_in_a_draft_many_times_counts_as_often(jmap: JmapClient) -> None:
    blob = jmap.draft(textBody=[{"partId": "t"}], bodyValues={"t": {"value": "x " * 500_000}})["blobId"]
    assert jmap.refused(bodyStructure=_repeated(190, blobId=blob))["type"] == "tooLarge"
    assert jmap.draft(bodyStructure=_repeated(2, blobId=blob))["size"] > 2_000_000


def test_drafts_of_one_request_are_bounded_together(jmap: JmapClient) -> None:
    values = {"t": {"value": "x" * 200_000}}
    email = {
        "mailboxIds": {jmap.mailbox("drafts"): True}, "bodyValues": values, "bodyStructure": _repeated(120, partId="t"),
    }  # fmt: skip
    result = jmap.call("Email/set", create={f"k{number}": email for number in range(6)})
    assert len(result["created"]) == 2
    assert {error["type"] for error in result["notCreated"].values()} == {"tooLarge"}


@pytest.mark.parametrize("argument", ["properties", "bodyProperties"])
def test_header_properties_of_a_call_are_bounded(jmap: JmapClient, argument: str) -> None:
    email_id = jmap.mail("bounded")
    wanted = [f"header:X-{number}" for number in range(101)]
    assert jmap.fails("Email/get", ids=[email_id], **{argument: wanted})["type"] == "requestTooLarge"
    assert jmap.call("Email/get", ids=[email_id], **{argument: wanted[:100]})["list"]


def test_a_response_has_a_size_that_it_does_not_exceed(jmap: JmapClient) -> None:
    line = "y" * 900
    fields = "".join(f"X-{number}: {line}\r\n" for number in range(225))
    email_ids = [jmap.mail(f"bounded {number}", fields=fields) for number in range(4)]
    lists = ["headers", "bodyStructure", "textBody", "htmlBody", *[f"header:X-{number}" for number in range(100)]]
    wanted = {"accountId": jmap.account, "ids": email_ids, "properties": lists, "bodyProperties": ["headers"]}
    calls = [["Email/get", wanted, str(number)] for number in range(30)] + [["Core/echo", {"a": 1}, "last"]]
    answer = jmap.post({"using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"], "methodCalls": calls})
    assert answer.status_code == 200
    assert RESPONSE_OCTETS // 2 < len(answer.content) < RESPONSE_OCTETS + (64 << 10)
    responses = answer.json()["methodResponses"]
    names = [name for name, _, _ in responses]
    fits = names.index("error")
    assert names == ["Email/get"] * fits + ["error"] * (30 - fits) + ["Core/echo"], "what is small has room yet"
    assert {result["type"] for name, result, _ in responses if name == "error"} == {"requestTooLarge"}


def test_a_download_with_a_query_of_many_fields_is_answered(jmap: JmapClient) -> None:
    blob = jmap.get(jmap.mail("query"), "blobId")["blobId"]
    url = f"{jmap.url}/jmap/download/{jmap.account}/{blob}/x?" + "&".join(f"f{number}=1" for number in range(30))
    answer = jmap.http.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
