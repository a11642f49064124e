"""RFC 8620 §7.1, §7.3 and RFC 8621 §1.5 on the wire: changes pushed as server-sent events."""

from __future__ import annotations

import contextlib
import time

import httpx
import pytest
from tests.conformance.jmap_client import CORE, MAIL, JmapClient
from tests.conformance.jmap_push import TYPES, event_url, listening

USING = (CORE, MAIL, "urn:ietf:params:jmap:quota", "urn:ietf:params:jmap:principals")


def state_of(jmap: JmapClient, name: str) -> str:
    """Return the state of a type as its /get tells it."""
    method, answer, _ = jmap.responses([f"{name}/get", {"accountId": jmap.account, "ids": []}, "c"], using=USING)[0]
    assert method == f"{name}/get", answer
    return str(answer["state"])


def test_rfc8620_7_1_state_change_holds_the_states_that_get_returns(jmap: JmapClient) -> None:
    with listening(jmap) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert "no-store" in stream.answer.headers["cache-control"]
        jmap.mail()
        found = stream.next()
        assert found is not None
        assert found.kind == "state"
        assert found.id
        assert found.data["@type"] == "StateChange"
        assert set(found.data["changed"]) == {jmap.account}
        changed = found.data["changed"][jmap.account]
        assert set(changed) == {*TYPES, "EmailDelivery"}
        for name in TYPES:
            assert changed[name] == state_of(jmap, name)


def test_rfc8620_7_3_state_event_comes_at_once(jmap: JmapClient) -> None:
    with listening(jmap) as stream:
        began = time.monotonic()
        jmap.mail()
        assert stream.next() is not None
        assert time.monotonic() - began < 10


def test_rfc8620_7_3_closeafter_state_ends_the_response(jmap: JmapClient) -> None:
    with listening(jmap, close_after="state") as stream:
        jmap.mail()
        found = stream.next()
        assert found is not None
        assert found.kind == "state"
        assert stream.next() is None


def test_rfc8620_7_3_closeafter_no_goes_on(jmap: JmapClient) -> None:
    email = jmap.mail()
    with listening(jmap, "Email") as stream:
        states = []
        for keyword in ("$seen", "$flagged"):
            jmap.call("Email/set", update={email: {f"keywords/{keyword}": True}})
            found = stream.next()
            assert found is not None
            states.append(found.data["changed"][jmap.account]["Email"])
        assert states[0] != states[1]


def test_rfc8620_7_3_only_the_types_that_were_asked_for(jmap: JmapClient) -> None:
    with listening(jmap, "Mailbox,Nothing") as stream:
        jmap.mail()
        found = stream.next()
        assert found is not None
        assert set(found.data["changed"][jmap.account]) == {"Mailbox"}


def test_rfc8621_1_5_email_delivery_changes_when_a_message_was_added_and_else_never(jmap: JmapClient) -> None:
    email = jmap.mail()
    with listening(jmap, "EmailDelivery", ping="5") as stream:
        jmap.call("Email/set", update={email: {"keywords/$seen": True}})
        jmap.call("Mailbox/set", create={"m": {"name": "No mail"}})
        found = stream.next()
        assert found is not None
        assert found.kind == "ping"
        jmap.mail()
        found = stream.next()
        while found is not None and found.kind == "ping":
            found = stream.next()
        assert found is not None
        assert set(found.data["changed"][jmap.account]) == {"EmailDelivery"}


def test_rfc8620_7_3_ping_tells_its_interval_and_has_no_id(jmap: JmapClient) -> None:
    with listening(jmap, ping="1") as stream:
        began = time.monotonic()
        found = stream.next()
        assert found is not None
        assert found.kind == "ping"
        assert found.id is None
        assert found.data == {"interval": 5}  # the least, which must not be more than 30
        assert 4 < time.monotonic() - began < 25


def test_rfc8620_7_3_changes_missed_since_the_last_event_id_are_sent_at_once(jmap: JmapClient) -> None:
    with listening(jmap, close_after="state") as stream:
        jmap.mail()
        first = stream.next()
    assert first is not None
    assert first.id is not None
    email = jmap.mail()
    with listening(jmap, close_after="state", last_event_id=first.id) as stream:
        second = stream.next()
    assert second is not None
    assert second.data["changed"][jmap.account]["Email"] == jmap.call("Email/get", ids=[email])["state"]
    assert second.id is not None
    with listening(jmap, ping="5", last_event_id=second.id) as stream:
        found = stream.next()
    assert found is not None
    assert found.kind == "ping"  # nothing was missed


@pytest.mark.parametrize("seen", ["nonsense", "a.1.1", "aaaa.99999.99999", "&;=", "-1", "a" * 300])
def test_rfc8620_7_3_a_last_event_id_of_others_has_seen_nothing(jmap: JmapClient, seen: str) -> None:
    jmap.mail()
    with listening(jmap, close_after="state", last_event_id=seen) as stream:
        found = stream.next()
    assert found is not None
    assert set(found.data["changed"]) == {jmap.account}


def test_rfc8620_7_3_a_change_of_another_account_is_not_told(jmap: JmapClient, jmap_other: JmapClient) -> None:
    with listening(jmap, ping="5") as stream:
        jmap_other.mail()
        found = stream.next()
        assert found is not None
        assert found.kind == "ping"


@pytest.mark.parametrize(
    "query",
    [
        "types=*&closeafter=never&ping=0", "types=*&closeafter=no&ping=-1", "types=*&closeafter=no&ping=1.5",
        "types=*&closeafter=no&ping=soon", "types=,&closeafter=no&ping=0", "types=Em%20ail&closeafter=no&ping=0",
        "types=*&types=Email&closeafter=no&ping=0", "types=%FF&closeafter=no&ping=0",
    ],
)  # fmt: skip
def test_rfc8620_7_3_variables_with_other_values_are_refused(jmap: JmapClient, query: str) -> None:
    url = jmap.session["eventSourceUrl"].partition("?")[0]
    answer = jmap.http.get(f"{url}?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_rfc8620_8_2_events_need_authentication(jmap: JmapClient) -> None:
    answer = httpx.get(event_url(jmap))
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


def test_rfc8620_7_3_the_end_of_a_session_ends_its_stream(jmap: JmapClient) -> None:
    made = jmap.http.post("/api/session", json={"label": "push"})
    bearer = f"Bearer {made.json()['token']}"
    with listening(jmap, Authorization=bearer) as stream, listening(jmap, ping="5") as other:
        assert httpx.delete(f"{jmap.url}/api/session", headers={"Authorization": bearer}).status_code == 204
        assert stream.next() is None
        found = other.next()  # that of another credential goes on
        assert found is not None
        assert found.kind == "ping"


def test_rfc8620_8_5_streams_of_an_account_are_limited(jmap: JmapClient, jmap_other: JmapClient) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(32):
            opened.enter_context(listening(jmap))
        answer = jmap.http.get(event_url(jmap))
        assert answer.status_code == 429
        assert answer.json()["type"] == "urn:ietf:params:jmap:error:limit"
        assert "retry-after" in answer.headers
        opened.enter_context(listening(jmap_other))
    deadline = time.monotonic() + 5
    while jmap.http.get(event_url(jmap, "Email", "state"), headers={"Last-Event-ID": "x"}).status_code == 429:
        assert time.monotonic() < deadline, "places of clients that left are not given back"
        time.sleep(0.1)
