"""RFC 8887 on the wire: requests and pushed changes over one WebSocket."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from tests.conformance.jmap_client import JmapClient, basic
from tests.conformance.jmap_push import ask, hear, request, tell, web_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

ENABLE = {"@type": "WebSocketPushEnable", "dataTypes": None}
ERROR = "urn:ietf:params:jmap:error:"


def handshake(jmap: JmapClient, **changed: str | None) -> httpx.Response:
    """Ask for an upgrade with changed headers; return what is not a 101."""
    headers: dict[str, str | None] = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "jmap",
    }  # fmt: skip
    headers.update({name.replace("_", "-"): value for name, value in changed.items()})
    return jmap.http.get("/jmap/ws", headers={name: value for name, value in headers.items() if value is not None})


def test_rfc8887_3_capability_names_a_url_that_is_there(jmap: JmapClient) -> None:
    capability = jmap.session["capabilities"]["urn:ietf:params:jmap:websocket"]
    assert capability["url"].startswith("ws")
    assert capability["supportsPush"] is True
    with web_socket(jmap) as socket:
        assert socket.subprotocol == "jmap"


def test_rfc8887_4_1_the_handshake_is_authenticated(jmap: JmapClient) -> None:
    url = jmap.session["capabilities"]["urn:ietf:params:jmap:websocket"]["url"]
    for headers in ({}, basic(jmap.login, "wrong")):
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(url, subprotocols=["jmap"], additional_headers=headers),  # type: ignore[list-item]
        ):
            pass
        assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Upgrade": None, "Connection": None}, 426), ({"Upgrade": "h2c"}, 426), ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Key": "short"}, 400), ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Protocol": None}, 400), ({"Sec_WebSocket_Protocol": "xmpp, soap"}, 400),
        ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
    ],
)  # fmt: skip
def test_rfc8887_4_2_a_handshake_that_is_none_is_refused(
    jmap: JmapClient, changed: dict[str, str | None], status: int
) -> None:
    answer = handshake(jmap, **changed)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_rfc8887_4_2_our_own_pages_may_open_it(jmap: JmapClient) -> None:
    with web_socket(jmap, **basic(jmap.login, jmap.password), Origin=jmap.url) as socket:
        assert ask(socket, request(id="o"))["requestId"] == "o"


def test_rfc8887_4_3_2_a_request_is_answered_with_its_id(jmap: JmapClient) -> None:
    with web_socket(jmap) as socket:
        found = ask(socket, request(["Core/echo", {"hello": True}, "b3ff"], id="R1"))
        assert found == {
            "@type": "Response", "requestId": "R1", "methodResponses": [["Core/echo", {"hello": True}, "b3ff"]],
            "sessionState": found["sessionState"],
        }  # fmt: skip
        found = ask(socket, request(["Email/get", {"accountId": jmap.account, "ids": []}, "c"], createdIds={"a": "M1"}))
        assert "requestId" not in found
        assert found["createdIds"] == {"a": "M1"}
        assert found["methodResponses"][0][0] == "Email/get"


def test_rfc8887_4_3_3_every_request_of_many_is_answered(jmap: JmapClient) -> None:
    with web_socket(jmap) as socket:
        for number in range(100):
            tell(socket, request(["Core/echo", {"n": number}, "c"], id=str(number)))
        found = {hear(socket)["requestId"] for _ in range(100)}
        assert found == {str(number) for number in range(100)}


@pytest.mark.parametrize(
    ("message", "kind", "request_id"),
    [
        ("The quick brown fox", "notJSON", None), ('{"@type":"Request","@type":"Request"}', "notJSON", None),
        ('{"a":1}', "notRequest", None), ("[]", "notRequest", None), ("null", "notRequest", None),
        ('{"@type":"Nothing","id":"x"}', "notRequest", "x"), ('{"@type":"Request","id":"x"}', "notRequest", "x"),
        ('{"@type":"Request","id":3,"using":[],"methodCalls":[]}', "notRequest", None),
        ('{"@type":"Request","id":"x","using":["urn:nothing"],"methodCalls":[]}', "unknownCapability", "x"),
        ('{"@type":"WebSocketPushEnable","dataTypes":"Email"}', "notRequest", None),
        ('{"@type":"WebSocketPushEnable","dataTypes":null,"pushState":7}', "notRequest", None),
    ],
)  # fmt: skip
def test_rfc8887_4_3_4_errors_of_requests(jmap: JmapClient, message: str, kind: str, request_id: str | None) -> None:
    with web_socket(jmap) as socket:
        found = ask(socket, message)
        assert found["@type"] == "RequestError"
        assert found["requestId"] == request_id
        assert found["type"] == ERROR + kind
        assert found["status"] == 400
        assert ask(socket, request(id="next"))["requestId"] == "next"  # the connection goes on


def test_rfc8887_4_3_4_limits_are_those_of_the_session_object(jmap: JmapClient) -> None:
    core = jmap.session["capabilities"]["urn:ietf:params:jmap:core"]
    with web_socket(jmap) as socket:
        calls = [["Core/echo", {}, "c"]] * (core["maxCallsInRequest"] + 1)
        found = ask(socket, request(*calls, id="many"))
        assert (found["type"], found["limit"]) == (ERROR + "limit", "maxCallsInRequest")
        assert found["requestId"] == "many"
        with pytest.raises(ConnectionClosed) as closed:
            ask(socket, " " * (core["maxSizeRequest"] + 1))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize(("message", "code"), [(b"{}", 1003), ("\xff", 1007)])
def test_rfc8887_4_3_1_what_is_no_text_ends_the_connection(jmap: JmapClient, message: Any, code: int) -> None:
    with web_socket(jmap) as socket:
        if isinstance(message, str):
            with socket.send_context():
                socket.protocol.send_text(message.encode("latin-1"))
        else:
            socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code


def test_rfc6455_5_4_a_message_may_come_in_pieces_and_pings_between(jmap: JmapClient) -> None:
    with web_socket(jmap) as socket:
        text = json.dumps(request(["Core/echo", {"é": "ü"}, "c"], id="p"), ensure_ascii=False)
        socket.send(iter([text[:5], text[5:40], text[40:]]))
        assert socket.ping().wait(10)
        assert hear(socket)["requestId"] == "p"


def test_rfc6455_5_4_a_message_in_very_many_pieces_is_refused(jmap: JmapClient) -> None:
    with web_socket(jmap) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.send(iter([" "] * 3000))
        hear(socket)
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1008


def test_rfc8887_4_3_5_2_changes_are_pushed_once_that_is_enabled(jmap: JmapClient) -> None:
    email = jmap.mail()
    with web_socket(jmap) as socket:
        tell(socket, {"@type": "WebSocketPushEnable", "dataTypes": ["Email", "Nothing"]})
        assert ask(socket, request(id="x"))["@type"] == "Response"  # nothing was missed, so nothing is pushed
        jmap.call("Email/set", update={email: {"keywords/$seen": True}})
        found = hear(socket)
        assert found["@type"] == "StateChange"
        assert found["changed"] == {jmap.account: {"Email": jmap.call("Email/get", ids=[])["state"]}}
        assert found["pushState"]
        # the same connection may change what it is told of
        tell(socket, ENABLE)
        jmap.mail()
        assert set(hear(socket)["changed"][jmap.account]) == {
            "Email", "Mailbox", "Thread", "EmailDelivery", "Quota", "ShareNotification",
        }  # fmt: skip


def test_rfc8887_4_3_5_1_push_state_resumes(jmap: JmapClient) -> None:
    with web_socket(jmap) as socket:
        tell(socket, ENABLE)
        assert ask(socket, request(id="x"))["@type"] == "Response"
        jmap.mail()
        state = hear(socket)["pushState"]
    email = jmap.mail()
    with web_socket(jmap) as socket:
        found = ask(socket, {**ENABLE, "pushState": state})
        assert found["changed"][jmap.account]["Email"] == jmap.call("Email/get", ids=[email])["state"]
        tell(socket, {**ENABLE, "pushState": found["pushState"]})
        assert ask(socket, request(id="x"))["@type"] == "Response"


def test_rfc8887_4_3_5_3_disabled_push_is_silent(jmap: JmapClient) -> None:
    with web_socket(jmap) as socket:
        tell(socket, ENABLE)
        tell(socket, {"@type": "WebSocketPushDisable"})
        assert ask(socket, request(id="x"))["@type"] == "Response"
        jmap.mail()
        time.sleep(3)
        assert ask(socket, request(id="y"))["requestId"] == "y"


def test_rfc8887_4_1_the_end_of_a_session_closes_its_socket(jmap: JmapClient) -> None:
    token = jmap.http.post("/api/session", json={"label": "socket"}).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    with web_socket(jmap, **bearer) as socket:
        assert ask(socket, request(id="x"))["requestId"] == "x"
        assert httpx.delete(f"{jmap.url}/api/session", headers=bearer).status_code == 204
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
