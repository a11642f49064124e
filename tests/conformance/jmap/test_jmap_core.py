"""RFC 8620 §1 and §3: requests, limits, request-level and method-level errors, creation ids."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.conformance.held_post import held_post
from tests.conformance.jmap_client import CORE, MAIL, JmapClient

LIMIT = "urn:ietf:params:jmap:error:limit"
NOT_JSON = "urn:ietf:params:jmap:error:notJSON"
NOT_REQUEST = "urn:ietf:params:jmap:error:notRequest"


def problem(answer: httpx.Response, kind: str) -> dict[str, Any]:
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == kind
    assert body["status"] == 400
    return body


def test_rfc8620_4_echo(jmap: JmapClient) -> None:
    arguments = {"hello": True, "high": [5, {"é": None}], "text": "ça va \U0001f600", "number": 1.5}
    assert jmap.responses(["Core/echo", arguments, "c1"]) == [["Core/echo", arguments, "c1"]]


def test_rfc8620_3_3_responses_keep_order_and_ids(jmap: JmapClient) -> None:
    calls = [["Core/echo", {"n": n}, f"id{n % 2}"] for n in range(6)]
    assert jmap.responses(*calls) == calls


def test_rfc8620_3_3_content_type_must_be_json(jmap: JmapClient) -> None:
    body = json.dumps({"using": [CORE], "methodCalls": []}).encode()
    problem(jmap.post(body, "text/plain"), NOT_JSON)
    assert jmap.post(body, "application/json; charset=utf-8").status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[", b"nonsense", b'{"a":1,}', b"\xff\xfe{}", b'{"using":["\xc3"],"methodCalls":[]}', b"NaN", b"[1e999]",
     b"[" * 100_000, b'{"a":' * 5000, b"\x00"],
)  # fmt: skip
def test_rfc8620_3_6_1_not_json(jmap: JmapClient, body: bytes) -> None:
    problem(jmap.post(body), NOT_JSON)


def test_rfc8620_1_3_a_whole_number_is_an_int_however_it_is_written(jmap: JmapClient) -> None:
    def query(number: bytes) -> Any:
        form = b'{"using":["%s","%s"],"methodCalls":[["Email/query",{"accountId":"%s","limit":%s},"c"]]}'
        body = form % (CORE.encode(), MAIL.encode(), jmap.account.encode(), number)
        return jmap.post(body).json()["methodResponses"][0][:2]

    for number in (b"1.0", b"10e-1", b"0.1E1", b"-0.0"):
        assert query(number)[0] == "Email/query"
    for number in (b"1.5", b"-1.0", b"9007199254740992.0", b"1e300", b"1e-1"):
        assert query(number)[1]["type"] == "invalidArguments"


def test_rfc8620_1_1_i_json_refuses_a_name_twice(jmap: JmapClient) -> None:
    problem(jmap.post(b'{"using":[],"using":[],"methodCalls":[]}'), NOT_JSON)
    problem(
        jmap.post(b'{"using":["%s"],"methodCalls":[["Core/echo",{"a":1,"\\u0061":2},"c"]]}' % CORE.encode()), NOT_JSON
    )


def test_rfc8620_1_1_i_json_refuses_lone_surrogates(jmap: JmapClient) -> None:
    for text in (rb'"\ud800"', rb'{"\udc00":1}', rb'"\uD83D x"'):
        problem(
            jmap.post(b'{"using":["%s"],"methodCalls":[["Core/echo",{"a":%s},"c"]]}' % (CORE.encode(), text)), NOT_JSON
        )
    good = jmap.post(b'{"using":["%s"],"methodCalls":[["Core/echo",{"a":"\\ud83d\\ude00"},"c"]]}' % CORE.encode())
    assert good.json()["methodResponses"][0][1] == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    "text", ['"\ufdd0"', '"\uffff"', '{"\U0001fffe":1}', r'"\uFDEF"', r'"\ufffe"', r'{"\udbff\udfff":1}']
)
def test_rfc8620_1_1_i_json_refuses_noncharacters(jmap: JmapClient, text: str) -> None:
    body = f'{{"using":["{CORE}"],"methodCalls":[["Core/echo",{{"a":{text}}},"c"]]}}'
    problem(jmap.post(body.encode()), NOT_JSON)


def test_rfc8620_1_1_answers_are_i_json(jmap: JmapClient) -> None:
    fields = b"Subject: s\xef\xb7\x90\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    email = jmap.put(fields + b"\xef\xbf\xbe \xf4\x8f\xbf\xbf \xef\xb7\xb0 \xf0\x9f\xbf\xbd\r\n")
    found = jmap.get(email, "subject", "bodyValues", fetchTextBodyValues=True)
    assert found["subject"] == "s\ufffd"
    assert [value["value"] for value in found["bodyValues"].values()] == ["\ufffd \ufffd \ufdf0 \U0001fffd\n"]


def test_rfc8620_3_2_call_ids_are_any_string(jmap: JmapClient) -> None:
    for call_id in ("", "é \u0000", "x" * 5000):
        assert jmap.responses(["Core/echo", {}, call_id]) == [["Core/echo", {}, call_id]]


@pytest.mark.parametrize(
    "body",
    [None, [], 5, {}, {"using": []}, {"methodCalls": []}, {"using": "x", "methodCalls": []}, {"using": [], "methodCalls": {}},
     {"using": [], "methodCalls": [["Core/echo", {}]]}, {"using": [], "methodCalls": [["Core/echo", [], "c"]]},
     {"using": [], "methodCalls": [["Core/echo", {}, 5]]}, {"using": [], "methodCalls": [["Core/echo", {}, "c", 1]]},
     {"using": [], "methodCalls": [], "createdIds": []}, {"using": [5], "methodCalls": []},
     {"using": [], "methodCalls": [], "createdIds": None}, {"using": [], "methodCalls": [], "createdIds": {"a b": "M1"}},
     {"using": [], "methodCalls": [], "createdIds": {"k": "M1\n"}}, {"using": [], "methodCalls": [], "createdIds": {"": "M1"}}],
)  # fmt: skip
def test_rfc8620_3_6_1_not_request(jmap: JmapClient, body: Any) -> None:
    problem(jmap.post(body), NOT_REQUEST)


def test_rfc8620_3_6_1_unknown_capability(jmap: JmapClient) -> None:
    kind = "urn:ietf:params:jmap:error:unknownCapability"
    problem(jmap.post({"using": [CORE, "urn:example:none"], "methodCalls": []}), kind)


def test_rfc8620_3_6_1_limit_of_calls(jmap: JmapClient) -> None:
    most = jmap.session["capabilities"][CORE]["maxCallsInRequest"]
    calls = [["Core/echo", {}, str(n)] for n in range(most)]
    assert len(jmap.responses(*calls)) == most
    body = problem(jmap.post({"using": [CORE], "methodCalls": [*calls, calls[0]]}), LIMIT)
    assert body["limit"] == "maxCallsInRequest"


def test_rfc8620_3_6_1_limit_of_size(jmap: JmapClient) -> None:
    most = jmap.session["capabilities"][CORE]["maxSizeRequest"]
    frame = json.dumps({"using": [CORE], "methodCalls": [["Core/echo", {"a": "@"}, "c"]]}).encode()
    fitting = frame.replace(b"@", b"x" * (most - len(frame) + 1))
    assert len(fitting) == most
    assert jmap.post(fitting).status_code == 200
    assert problem(jmap.post(fitting + b" "), LIMIT)["limit"] == "maxSizeRequest"


def test_rfc8620_3_6_1_limit_of_size_of_chunked_bodies(jmap: JmapClient) -> None:
    def pieces() -> Any:
        for _ in range(11):
            yield b" " * 1_000_000

    headers = {"Content-Type": "application/json"}
    answer = httpx.post(jmap.session["apiUrl"], content=pieces(), headers={**dict(jmap.http.headers), **headers})
    assert problem(answer, LIMIT)["limit"] == "maxSizeRequest"


def test_rfc8620_3_6_1_limit_of_concurrent_requests(jmap: JmapClient) -> None:
    most = jmap.session["capabilities"][CORE]["maxConcurrentRequests"]
    go = threading.Event()

    def slow() -> int:
        headers = {**dict(jmap.http.headers), "Content-Type": "application/json"}
        begin = b'{"using":["%s"],' % CORE.encode()
        return held_post(jmap.session["apiUrl"], headers, go, first=begin, more=b" ", last=b'"methodCalls":[]}')

    with ThreadPoolExecutor(most) as pool:
        running = [pool.submit(slow) for _ in range(most)]
        try:
            for _ in range(200):  # until all of them have their places
                answer = jmap.post({"using": [CORE], "methodCalls": []})
                if answer.status_code != 200:
                    break
                time.sleep(0.05)
        finally:
            go.set()
        statuses = [one.result(60) for one in running]
    assert answer.status_code == 429
    assert (answer.json()["type"], answer.json()["limit"]) == (LIMIT, "maxConcurrentRequests")
    assert statuses == [200] * most
    assert jmap.post({"using": [CORE], "methodCalls": []}).status_code == 200


def test_rfc8620_3_6_2_unknown_method_does_not_stop_the_others(jmap: JmapClient) -> None:
    found = jmap.responses(["Foo/bar", {}, "a"], ["Core/echo", {"x": 1}, "b"])
    assert found == [["error", {"type": "unknownMethod"}, "a"], ["Core/echo", {"x": 1}, "b"]]


def test_rfc8620_3_3_methods_need_their_capability(jmap: JmapClient) -> None:
    calls = ["Mailbox/get", {"accountId": jmap.account}, "a"]
    assert jmap.responses(calls, using=(CORE,))[0][1]["type"] == "unknownMethod"
    assert jmap.responses(calls, using=(MAIL,))[0][0] == "Mailbox/get"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("Mailbox/get", {"ids": "F1"}), ("Mailbox/get", {"ids": [1]}), ("Email/get", {"ids": {}}), ("Email/query", {"limit": -1}),
     ("Email/query", {"limit": "5"}), ("Email/query", {"position": 1.5}), ("Email/query", {"calculateTotal": "yes"}),
     ("Email/query", {"filter": []}), ("Email/changes", {}), ("Email/changes", {"sinceState": 5}),
     ("Email/changes", {"sinceState": "1", "maxChanges": 0}), ("Email/set", {"create": []}), ("Email/set", {"destroy": "M1"}),
     ("Thread/get", {"ids": ["T1", None]}), ("Email/get", {"ids": [], "unknown": 1}), ("Email/get", {"ids": [], "maxBodyValueBytes": -1}),
     ("Email/get", {"ids": [], "properties": ["nonsense"]}), ("Mailbox/get", {"properties": ["nonsense"]}),
     ("Email/get", {"ids": [], "bodyProperties": None}), ("Email/get", {"ids": [], "fetchAllBodyValues": None}),
     ("Email/query", {"position": None}), ("Email/query", {"collapseThreads": None}), ("Email/set", {"create": {"a b": {}}}),
     ("Email/set", {"create": {"": {}}}), ("Email/set", {"create": {"x" * 256: {}}}), ("Email/set", {"update": {"M1": None}})],
)  # fmt: skip
def test_rfc8620_3_6_2_invalid_arguments(jmap: JmapClient, method: str, arguments: dict[str, Any]) -> None:
    assert jmap.fails(method, **arguments)["type"] == "invalidArguments"


def test_rfc8620_3_6_2_account_id_is_required(jmap: JmapClient) -> None:
    assert jmap.responses(["Email/get", {"ids": []}, "a"])[0][1]["type"] == "invalidArguments"


@pytest.mark.parametrize("method", ["Mailbox/get", "Email/get", "Email/query", "Email/set"])
def test_rfc8620_3_6_2_account_not_found(jmap: JmapClient, method: str) -> None:
    for account in ("amq", "a", "zzz", "", "A" * 300, jmap.account.upper(), jmap.account + "a"):
        assert jmap.fails(method, accountId=account)["type"] == "accountNotFound"


def test_rfc8620_3_6_2_strangers_accounts_do_not_exist(jmap: JmapClient, jmap_other: JmapClient) -> None:
    assert jmap.fails("Mailbox/get", accountId=jmap_other.account)["type"] == "accountNotFound"


def test_rfc8620_3_6_2_request_too_large(jmap: JmapClient) -> None:
    core = jmap.session["capabilities"][CORE]
    many = [f"M{n}" for n in range(1, core["maxObjectsInGet"] + 2)]
    assert jmap.fails("Email/get", ids=many)["type"] == "requestTooLarge"
    assert jmap.fails("Mailbox/get", ids=many)["type"] == "requestTooLarge"
    assert jmap.fails("Thread/get", ids=many)["type"] == "requestTooLarge"
    assert len(jmap.call("Email/get", ids=many[:-1])["notFound"]) == core["maxObjectsInGet"]
    few = core["maxObjectsInSet"] - 1
    assert jmap.fails("Email/set", destroy=many[:few], update={"M1": {}, "M2": {}})["type"] == "requestTooLarge"


def test_rfc8620_4_echo_keeps_numbers_that_are_no_integers(jmap: JmapClient) -> None:
    numbers = [0.5, -2.25, 1e-7, 3e300, -1.0, (1 << 53) - 1, -(1 << 53) + 1]
    assert jmap.call("Core/echo", numbers=numbers)["numbers"] == numbers


def test_rfc8620_3_4_created_ids_are_given_back(jmap: JmapClient) -> None:
    assert "createdIds" not in jmap.run(["Core/echo", {}, "c"])
    found = jmap.run(["Core/echo", {}, "c"], createdIds={"k": "M5"})
    assert found["createdIds"] == {"k": "M5"}


def test_rfc8620_5_3_creation_ids_are_used_by_later_calls(jmap: JmapClient) -> None:
    drafts = jmap.mailbox("drafts")
    found = jmap.run(
        ["Email/set", {"accountId": jmap.account, "create": {"k": {"mailboxIds": {"#box": True}, "subject": "x"}}}, "0"],
        ["Email/get", {"accountId": jmap.account, "ids": ["#k"], "properties": ["subject", "mailboxIds"]}, "1"],
        ["Email/set", {"accountId": jmap.account, "destroy": ["#k"]}, "2"],
        createdIds={"box": drafts},
    )  # fmt: skip
    email_id = found["methodResponses"][0][1]["created"]["k"]["id"]
    assert found["createdIds"] == {"box": drafts, "k": email_id}
    assert found["methodResponses"][1][1]["list"][0]["mailboxIds"] == {drafts: True}
    assert found["methodResponses"][2][1]["destroyed"] == [email_id]


@pytest.mark.parametrize(
    "bad", ["", "M0", "M-1", "M01", "M9999999999999999999999", "F1", "x", "M1 ", "#none", "é", "M\u0661", "0", "m1"]
)
def test_rfc8620_1_2_ids_that_are_none_are_not_found(jmap: JmapClient, bad: str) -> None:
    assert jmap.call("Email/get", ids=[bad])["notFound"] == [bad]
    assert jmap.call("Mailbox/get", ids=[f"{bad}!"])["notFound"] == [f"{bad}!"]
    assert jmap.call("Thread/get", ids=[bad])["notFound"] == [bad]
    assert jmap.call("Email/set", destroy=[bad])["notDestroyed"][bad]["type"] == "notFound"
    assert jmap.call("Email/set", update={bad: {"keywords/$seen": True}})["notUpdated"][bad]["type"] == "notFound"
