"""PushSubscription/get and /set (RFC 8620 §7.2), and what is posted, held to RFC 8030, 8188, 8291, 8292 and 9749 by a push service."""

from __future__ import annotations

import base64
import datetime as dt
import time
from typing import Any

import httpx
import pytest
from tests.conformance.jmap_client import CORE, JmapClient
from tests.push_service import PushService, UserAgent, octets_of

MESSAGE = b"From: Anna <anna@x.example>\r\nTo: you@demo.test\r\nSubject: Hello\r\n\r\nHello\r\n"
ELSEWHERE = "https://push.example/x"


def utc(seconds: float) -> str:
    return dt.datetime.fromtimestamp(time.time() + seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_until(date: str) -> float:
    return dt.datetime.fromisoformat(date).timestamp() - time.time()


def run(jmap: JmapClient, method: str, **arguments: Any) -> dict[str, Any]:
    name, result, _ = jmap.responses([f"PushSubscription/{method}", arguments, "c"], using=(CORE,))[0]
    assert name == f"PushSubscription/{method}", result
    found: dict[str, Any] = result
    return found


def fails(jmap: JmapClient, method: str, **arguments: Any) -> str:
    name, result, _ = jmap.responses([f"PushSubscription/{method}", arguments, "c"], using=(CORE,))[0]
    assert name == "error", result
    return str(result["type"])


def new(url: str = ELSEWHERE, **properties: Any) -> dict[str, Any]:
    return {"deviceClientId": "a-device", "url": url, **properties}


def create(jmap: JmapClient, **properties: Any) -> dict[str, Any]:
    answer = run(jmap, "set", create={"c": new(**properties)})
    assert answer["notCreated"] is None, answer
    found: dict[str, Any] = answer["created"]["c"]
    return found


def not_created(jmap: JmapClient, given: Any) -> dict[str, Any]:
    answer = run(jmap, "set", create={"c": given})
    assert answer["created"] is None
    found: dict[str, Any] = answer["notCreated"]["c"]
    return found


def not_updated(jmap: JmapClient, one: str, patch: dict[str, Any]) -> dict[str, Any]:
    answer = run(jmap, "set", update={one: patch})
    assert answer["updated"] is None
    found: dict[str, Any] = answer["notUpdated"][one]
    return found


def get(jmap: JmapClient, one: str) -> dict[str, Any]:
    (found,) = run(jmap, "get", ids=[one])["list"]
    result: dict[str, Any] = found
    return result


def verify(jmap: JmapClient, agent: UserAgent, one: str) -> None:
    said = agent.next().body
    assert said["pushSubscriptionId"] == one
    answer = run(jmap, "set", update={one: {"verificationCode": said["verificationCode"]}})
    assert answer["updated"] == {one: None}, answer


def subscribed(jmap: JmapClient, service: PushService, **properties: Any) -> tuple[UserAgent, str]:
    agent = service.subscribe(server_key(jmap))
    one = create(jmap, url=agent.url, keys=agent.keys, **properties)["id"]
    verify(jmap, agent, one)
    return agent, one


def server_key(jmap: JmapClient) -> str:
    return str(jmap.session["capabilities"]["urn:ietf:params:jmap:webpush-vapid"]["applicationServerKey"])


# PushSubscription/set: creations


def test_rfc8620_7_2_a_subscription_is_made_with_what_the_client_did_not_say(jmap: JmapClient) -> None:
    made = create(jmap)
    assert set(made) == {"id", "keys", "types", "verificationCode", "expires"}
    assert (made["keys"], made["types"], made["verificationCode"]) == (None, None, None)
    assert 6 * 86_400 < seconds_until(made["expires"]) <= 7 * 86_400 + 5


def test_rfc8620_7_2_2_set_has_no_account_and_no_state(jmap: JmapClient) -> None:
    answer = run(jmap, "set", create={"c": new()})
    assert set(answer) == {"created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed"}
    assert fails(jmap, "set", accountId=jmap.account, create={"c": new()}) == "invalidArguments"
    assert fails(jmap, "set", ifInState="0", create={"c": new()}) == "invalidArguments"


@pytest.mark.parametrize("given", [-60, 3600, 30 * 86_400])
def test_rfc8620_7_2_expires_is_kept_or_brought_nearer(jmap: JmapClient, given: int) -> None:
    if given < 0:
        assert not_created(jmap, new(expires=utc(given)))["properties"] == ["expires"]
        return
    date = utc(given)
    made = create(jmap, expires=date)
    shown = get(jmap, made["id"])["expires"]
    if given == 3600:
        assert "expires" not in made
        assert shown == date
    else:
        assert made["expires"] == shown
        assert seconds_until(shown) <= 7 * 86_400 + 5


@pytest.mark.parametrize(
    ("change", "properties"),
    [
        ({"url": "http://push.example/x"}, ["url"]),
        ({"url": "push.example/x"}, ["url"]),
        ({"url": "https://user:word@push.example/x"}, ["url"]),
        ({"url": "https://127.1/"}, ["url"]),
        ({"url": ""}, ["url"]),
        ({"url": None}, ["url"]),
        ({"url": 5}, ["url"]),
        ({"deviceClientId": None}, ["deviceClientId"]),
        ({"deviceClientId": ""}, ["deviceClientId"]),
        ({"deviceClientId": "x" * 300}, ["deviceClientId"]),
        ({"keys": {}}, ["keys"]),
        ({"keys": "x"}, ["keys"]),
        ({"keys": {"p256dh": "BBBB", "auth": "AAAAAAAAAAAAAAAAAAAAAA"}}, ["keys"]),
        ({"expires": "tomorrow"}, ["expires"]),
        ({"expires": "2999-01-01T00:00:00+01:00"}, ["expires"]),
        ({"expires": 5}, ["expires"]),
        ({"types": "Email"}, ["types"]),
        ({"types": [5]}, ["types"]),
        ({"types": [""]}, ["types"]),
        ({"verificationCode": "made up"}, ["verificationCode"]),
        ({"id": "P1"}, ["id"]),
        ({"colour": "blue"}, ["colour"]),
        ({"url": "x", "types": 1, "expires": 1}, ["url", "expires", "types"]),
    ],
)
def test_rfc8620_7_2_what_is_invalid_is_named(jmap: JmapClient, change: dict[str, Any], properties: list[str]) -> None:
    error = not_created(jmap, {**new(), **change})
    assert (error["type"], error["properties"]) == ("invalidProperties", properties)


def test_rfc8291_3_2_keys_that_are_none_are_refused(jmap: JmapClient) -> None:
    agent = UserAgent("https://x.example/")
    point, auth = agent.keys["p256dh"], agent.keys["auth"]
    off_the_curve = base64.urlsafe_b64encode(b"\x04" + b"\x01" * 64).decode().rstrip("=")
    for keys in (
        {"p256dh": off_the_curve, "auth": auth},
        {"p256dh": point, "auth": auth[:-4]},
        {"p256dh": point},
        {"p256dh": point, "auth": "+/" + auth[2:]},
        {"p256dh": point, "auth": auth, "more": ""},
        {"p256dh": 5, "auth": auth},
    ):
        assert not_created(jmap, new(keys=keys))["properties"] == ["keys"]
    create(jmap, keys=agent.keys)
    create(jmap, keys={"p256dh": point + "=", "auth": auth + "=="})  # padded, as some libraries do


def test_rfc8620_8_6_an_account_has_a_bound_of_subscriptions(jmap: JmapClient) -> None:
    answer = run(jmap, "set", create={f"c{number}": new() for number in range(40)})
    assert len(answer["created"]) == 32
    assert {error["type"] for error in answer["notCreated"].values()} == {"overQuota"}
    made = [one["id"] for one in answer["created"].values()]
    assert sorted(run(jmap, "set", destroy=made)["destroyed"]) == sorted(made)


# PushSubscription/get


def test_rfc8620_7_2_1_get_has_no_account_and_no_state(jmap: JmapClient) -> None:
    made = create(jmap, types=["Email", "Unheard"])
    answer = run(jmap, "get", ids=None)
    assert set(answer) == {"list", "notFound"}
    (found,) = answer["list"]
    assert set(found) == {"id", "deviceClientId", "verificationCode", "expires", "types"}
    assert (found["id"], found["deviceClientId"], found["types"]) == (made["id"], "a-device", ["Email", "Unheard"])
    assert found["verificationCode"] is None
    assert run(jmap, "get")["list"] == answer["list"]
    assert fails(jmap, "get", accountId=jmap.account) == "invalidArguments"


def test_rfc8620_7_2_1_url_and_keys_are_never_given_back(jmap: JmapClient) -> None:
    one = create(jmap)["id"]
    for name in ("url", "keys"):
        assert fails(jmap, "get", ids=[one], properties=["id", name]) == "forbidden"
    assert fails(jmap, "get", ids=[one], properties=["colour"]) == "invalidArguments"
    assert run(jmap, "get", ids=[one], properties=["types"])["list"] == [{"id": one, "types": None}]


def test_rfc8620_7_2_1_unknown_ids_are_not_found(jmap: JmapClient, jmap_other: JmapClient) -> None:
    theirs = create(jmap_other)["id"]
    wanted = ["P1", "P0", "P01", "Q7", "", "P" + "9" * 30, "P\u0663", theirs]
    assert run(jmap, "get", ids=wanted) == {"list": [], "notFound": wanted}
    limit = jmap.session["capabilities"][CORE]["maxObjectsInGet"]
    assert fails(jmap, "get", ids=["P1"] * (limit + 1)) == "requestTooLarge"


def test_rfc8620_7_2_subscriptions_are_of_the_credential_that_made_them(jmap: JmapClient) -> None:
    mine = create(jmap)["id"]
    token = jmap.http.post("/api/session").json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}

    def as_session(method: str, **arguments: Any) -> Any:
        body = {"using": [CORE], "methodCalls": [[f"PushSubscription/{method}", arguments, "c"]]}
        answer = httpx.post(f"{jmap.url}/jmap/api", json=body, headers=bearer, timeout=30)
        return answer.json()["methodResponses"][0][1]

    assert as_session("get")["list"] == []
    assert as_session("set", destroy=[mine])["notDestroyed"] == {mine: {"type": "notFound"}}
    theirs = as_session("set", create={"c": new()})["created"]["c"]["id"]
    assert [one["id"] for one in run(jmap, "get")["list"]] == [mine]
    assert run(jmap, "set", update={theirs: {"types": None}})["notUpdated"] == {theirs: {"type": "notFound"}}


# PushSubscription/set: changes


def test_rfc8620_7_2_2_end_and_types_can_be_changed(jmap: JmapClient) -> None:
    one = create(jmap)["id"]
    date = utc(7200)
    assert run(jmap, "set", update={one: {"expires": date, "types": ["Email"]}})["updated"] == {one: None}
    assert (get(jmap, one)["expires"], get(jmap, one)["types"]) == (date, ["Email"])
    answer = run(jmap, "set", update={one: {"expires": utc(90 * 86_400), "types": None}})
    assert seconds_until(answer["updated"][one]["expires"]) <= 7 * 86_400 + 5
    assert get(jmap, one)["types"] is None
    answer = run(jmap, "set", update={one: {"expires": None}})
    assert seconds_until(answer["updated"][one]["expires"]) > 6 * 86_400


def test_rfc8620_7_2_2_url_and_keys_are_immutable(jmap: JmapClient) -> None:
    one = create(jmap)["id"]
    for patch in ({"url": "https://x.example/"}, {"keys": None}, {"deviceClientId": "other"}, {"id": "P5"}, {"x": 1}):
        error = not_updated(jmap, one, patch)
        assert (error["type"], error["properties"]) == ("invalidProperties", list(patch))
    assert run(jmap, "set", update={one: {"deviceClientId": "a-device", "id": one}})["updated"] == {one: None}
    assert not_updated(jmap, one, {"types/0": "Email"})["type"] == "invalidPatch"


def test_rfc8620_7_2_2_wrong_codes_are_refused(jmap: JmapClient) -> None:
    one = create(jmap)["id"]
    for code in ("wrong", "", 5, "\u00e9"):
        error = not_updated(jmap, one, {"verificationCode": code, "types": ["Email"]})
        assert (error["type"], error["properties"]) == ("invalidProperties", ["verificationCode"])
    assert (get(jmap, one)["verificationCode"], get(jmap, one)["types"]) == (None, None)


def test_rfc8620_5_3_a_whole_subscription_may_be_passed_back(jmap: JmapClient, push_service: PushService) -> None:
    agent = push_service.subscribe(server_key(jmap))
    one = create(jmap, url=agent.url, keys=agent.keys)["id"]
    assert run(jmap, "set", update={one: {**get(jmap, one), "types": ["Email"]}})["updated"] == {one: None}
    assert (get(jmap, one)["verificationCode"], get(jmap, one)["types"]) == (None, ["Email"])
    code = agent.next().body["verificationCode"]
    run(jmap, "set", update={one: {"verificationCode": code}})
    assert run(jmap, "set", update={one: {**get(jmap, one), "types": ["Thread"]}})["updated"] == {one: None}
    assert not_updated(jmap, one, {"verificationCode": None})["properties"] == ["verificationCode"]
    assert (get(jmap, one)["verificationCode"], get(jmap, one)["types"]) == (code, ["Thread"])


def test_rfc8620_5_3_creation_ids_reach_the_rest_of_the_call(jmap: JmapClient) -> None:
    answer = run(
        jmap, "set", create={"a": new(), "b": new()}, update={"#a": {"types": ["Email"]}, "#b": {"types": []}},
        destroy=["#b", "P7", "rubbish"],
    )  # fmt: skip
    a, b = (answer["created"][name]["id"] for name in "ab")
    assert answer["updated"] == {a: None}
    assert answer["notUpdated"]["#b"]["type"] == "willDestroy"
    assert answer["destroyed"] == [b]
    assert {name: error["type"] for name, error in answer["notDestroyed"].items()} == {
        "P7": "notFound",
        "rubbish": "notFound",
    }
    limit = jmap.session["capabilities"][CORE]["maxObjectsInSet"]
    assert fails(jmap, "set", destroy=["P1"] * (limit + 1)) == "requestTooLarge"


# what is posted


def test_rfc9749_3_the_session_tells_the_key_of_the_application_server(jmap: JmapClient) -> None:
    public = octets_of(server_key(jmap))
    assert (len(public), public[0]) == (65, 4)


def test_rfc8620_7_2_2_a_verification_is_posted_at_once_and_once(jmap: JmapClient, push_service: PushService) -> None:
    agent = push_service.subscribe(server_key(jmap))
    one = create(jmap, url=agent.url, keys=agent.keys)["id"]
    message = agent.next(5)
    assert set(message.body) == {"@type", "pushSubscriptionId", "verificationCode"}
    assert (message.body["@type"], message.body["pushSubscriptionId"]) == ("PushVerification", one)
    assert len(message.body["verificationCode"]) == 32
    jmap.put(MESSAGE)
    assert agent.silent(6)  # nothing more before it is verified
    code = message.body["verificationCode"]
    assert not_updated(jmap, one, {"verificationCode": code[::-1] + "x"})["type"] == "invalidProperties"
    assert run(jmap, "set", update={one: {"verificationCode": code}})["updated"] == {one: None}
    assert get(jmap, one)["verificationCode"] == code
    change = agent.next()  # what came since it was made
    assert change.body["@type"] == "StateChange"
    assert run(jmap, "set", update={one: {"verificationCode": code}})["updated"] == {one: None}
    assert agent.posts == 2


def test_rfc8620_7_2_changes_are_posted_to_verified_subscriptions(jmap: JmapClient, push_service: PushService) -> None:
    agent, _ = subscribed(jmap, push_service)
    email = jmap.put(MESSAGE)
    message = agent.next()
    changed = message.body["changed"]
    assert set(changed) == {jmap.account}
    assert {"Email", "Mailbox", "Thread", "EmailDelivery"} <= set(changed[jmap.account])
    assert changed[jmap.account]["Email"] == jmap.call("Email/get", ids=[], properties=["id"])["state"]
    # RFC 8030 §5: how long it is kept, how much it matters, what it replaces
    assert 0 < int(message.headers["ttl"]) <= 7 * 86_400
    assert message.headers["urgency"] == "normal"
    assert 1 <= len(message.headers["topic"]) <= 32
    assert message.headers["content-type"] == "application/json"
    assert message.headers["content-encoding"] == "aes128gcm"
    jmap.call("Email/set", update={email: {"keywords/$seen": True}})
    flags = agent.next()
    assert "EmailDelivery" not in flags.body["changed"][jmap.account]
    assert flags.headers["urgency"] == "low"
    assert flags.headers["topic"] != message.headers["topic"]  # it must not replace what tells more


def test_rfc8620_7_2_only_types_of_interest_are_posted(jmap: JmapClient, push_service: PushService) -> None:
    agent, one = subscribed(jmap, push_service, types=["EmailDelivery", "Unheard"])
    email = jmap.put(MESSAGE)
    assert set(agent.next().body["changed"][jmap.account]) == {"EmailDelivery"}
    jmap.call("Email/set", update={email: {"keywords/$seen": True}})
    assert agent.silent(6)
    run(jmap, "set", update={one: {"types": ["Mailbox"]}})
    jmap.call("Email/set", update={email: {"keywords/$seen": None}})
    assert set(agent.next().body["changed"][jmap.account]) == {"Mailbox"}


def test_rfc8620_7_2_without_keys_it_is_posted_in_clear(jmap: JmapClient, push_service: PushService) -> None:
    agent = push_service.subscribe(encrypted=False)
    one = create(jmap, url=agent.url)["id"]
    message = agent.next()
    assert message.body["pushSubscriptionId"] == one
    assert "content-encoding" not in message.headers


def test_rfc8030_7_3_a_subscription_that_is_gone_is_destroyed(jmap: JmapClient, push_service: PushService) -> None:
    for status in (404, 410):
        agent, one = subscribed(jmap, push_service)
        agent.answers.append((status, {}))
        jmap.put(MESSAGE)
        deadline = time.monotonic() + 20
        while run(jmap, "get", ids=[one])["list"]:
            assert time.monotonic() < deadline, "it is still there"
            time.sleep(0.2)


def test_rfc8030_8_4_a_push_service_that_wants_less_is_asked_later(jmap: JmapClient, push_service: PushService) -> None:
    agent, one = subscribed(jmap, push_service)
    posts = agent.posts
    agent.answers.append((429, {"Retry-After": "3600"}))
    jmap.put(MESSAGE)
    deadline = time.monotonic() + 20
    while agent.posts == posts:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    jmap.put(MESSAGE)
    assert agent.silent(6)
    assert agent.posts == posts + 1
    assert get(jmap, one)["id"] == one


def test_rfc8620_7_2_changes_that_come_together_are_posted_together(
    jmap: JmapClient, push_service: PushService
) -> None:
    agent, _ = subscribed(jmap, push_service)
    posts = agent.posts
    drafts = jmap.mailbox("drafts")
    for number in range(20):
        jmap.call("Email/set", create={"d": {"mailboxIds": {drafts: True}, "subject": f"{number}"}})
    state = jmap.call("Email/get", ids=[], properties=["id"])["state"]
    deadline = time.monotonic() + 30
    while agent.next().body["changed"][jmap.account].get("Email") != state:
        assert time.monotonic() < deadline
    assert agent.posts - posts <= 8
    assert agent.silent(4)  # and never back


def test_rfc8620_7_2_one_slow_device_holds_up_no_other_person(
    jmap: JmapClient, jmap_other: JmapClient, push_service: PushService
) -> None:
    slow, _ = subscribed(jmap, push_service)
    fast, _ = subscribed(jmap_other, push_service)
    slow.stall = 40
    jmap.put(MESSAGE)
    time.sleep(2.5)
    began = time.monotonic()
    jmap_other.put(MESSAGE)
    fast.next()
    assert time.monotonic() - began < 30  # before the slow one has answered


def test_rfc8620_7_2_2_a_destroyed_subscription_is_posted_to_no_more(
    jmap: JmapClient, push_service: PushService
) -> None:
    agent, one = subscribed(jmap, push_service)
    assert run(jmap, "set", destroy=[one])["destroyed"] == [one]
    jmap.put(MESSAGE)
    assert agent.silent(6)
    assert run(jmap, "get", ids=[one])["notFound"] == [one]


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "https://10.0.0.1/x", "https://[::1]/", "https://localhost/"])
def test_rfc8620_8_6_places_inside_are_not_posted_to(jmap: JmapClient, url: str) -> None:
    one = create(jmap, url=url)["id"]
    assert get(jmap, one)["verificationCode"] is None
