"""Web push when the gateway ends and begins again: what was not told is told late, and what is written down as told is not told twice."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import jmap_peers
from tests.conformance.jmap_client import CORE, JmapClient
from tests.conformance.jmap_peers import PASSWORD, JmapPeers, running_gateway
from tests.ports import free_port
from tests.push_service import PushService, UserAgent

from petitbleu_dev import credentials

MESSAGE = b"From: Anna <anna@x.example>\r\nSubject: Hello\r\n\r\nHello\r\n"


@dataclass
class World:
    """Accounts and store in memory, a push service, and a gateway that comes and goes."""

    peers: JmapPeers
    service: PushService
    environment: dict[str, str]
    url: str
    log: Path
    gateways: int = 0

    @contextlib.contextmanager
    def gateway(self, **more: str) -> Iterator[None]:
        self.gateways += 1
        log = self.log.with_name(f"gateway{self.gateways}.log")
        with running_gateway({**self.environment, **more}, log) as process:
            yield
            process.kill()  # it has no time to say anything to anybody
        text = log.read_text()
        assert "/push/" not in text, "where pushes go is in no log"

    def told(self, number: int) -> int:
        """The modseq that an account's subscriptions were told, as accounts has it."""
        return min(row.target.told.modseq for row in self.peers.push.rows.values() if row.target.account_id == number)

    def newcomer(self) -> tuple[JmapClient, int]:
        number = 1000 + len(jmap_peers.PEOPLE)
        jmap_peers.PEOPLE[f"wp{number}@demo.test"] = number
        return JmapClient(self.url, f"wp{number}@demo.test", PASSWORD), number


@pytest.fixture
def world(push_service: PushService) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="pbw") as name:
        folder = Path(name)
        peers = JmapPeers(folder)
        peers.start()
        port = free_port()
        environment = {
            **peers.environment(port, free_port()), **push_service.environment(),
            "PETITBLEU_VAPID_KEY": str(credentials.application_server_key(folder / "vapid.pem")),
        }  # fmt: skip
        try:
            yield World(peers, push_service, environment, f"http://127.0.0.1:{port}", folder / "log")
        finally:
            peers.stop()


def run(jmap: JmapClient, method: str, **arguments: Any) -> dict[str, Any]:
    name, result, _ = jmap.responses([f"PushSubscription/{method}", arguments, "c"], using=(CORE,))[0]
    assert name == f"PushSubscription/{method}", result
    found: dict[str, Any] = result
    return found


def subscribed(jmap: JmapClient, service: PushService) -> tuple[UserAgent, str]:
    vapid = jmap.session["capabilities"]["urn:ietf:params:jmap:webpush-vapid"]["applicationServerKey"]
    agent = service.subscribe(vapid)
    new = {"deviceClientId": "d", "url": agent.url, "keys": agent.keys}
    one = run(jmap, "set", create={"c": new})["created"]["c"]["id"]
    code = agent.next().body["verificationCode"]
    assert run(jmap, "set", update={one: {"verificationCode": code}})["updated"] == {one: None}
    return agent, one


def test_rfc8620_7_2_what_changed_while_nobody_was_there_to_post_is_posted(world: World) -> None:
    with world.gateway():
        jmap, number = world.newcomer()
        agent, _ = subscribed(jmap, world.service)
        person = world.peers.store.person(number)
        person.file(MESSAGE)
        assert agent.next().body["changed"][jmap.account]["Email"] == str(person.modseq)
        deadline = time.monotonic() + 10
        while world.told(number) < person.modseq:  # until it is written down, a push that was posted is posted again
            assert time.monotonic() < deadline
            time.sleep(0.05)
        jmap.http.close()
    with world.gateway():
        assert agent.silent(5)  # nothing is told twice
    person.file(MESSAGE)
    person.file(MESSAGE)
    with world.gateway():
        assert agent.next().body["changed"][jmap.account]["Email"] == str(person.modseq)
        assert agent.silent(4)


def test_rfc8620_7_2_a_push_service_that_was_away_is_posted_to_when_it_is_back(world: World) -> None:
    with world.gateway():
        jmap, number = world.newcomer()
        agent, _ = subscribed(jmap, world.service)
        agent.answers += [(500, {})]
        person = world.peers.store.person(number)
        person.file(MESSAGE)
        deadline = time.monotonic() + 15
        while agent.answers:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert agent.next(30).body["changed"][jmap.account]["Email"] == str(person.modseq)
        jmap.http.close()


def test_rfc9749_5_with_another_key_subscriptions_are_gone(world: World) -> None:
    with world.gateway():
        jmap, number = world.newcomer()
        agent, one = subscribed(jmap, world.service)
        state = jmap.session["state"]
        jmap.http.close()
    folder = world.log.parent
    with world.gateway(PETITBLEU_VAPID_KEY=str(credentials.application_server_key(folder / "other.pem"))):
        again = JmapClient(world.url, jmap.login, PASSWORD)
        assert again.session["state"] != state  # so that clients look, and see the new key
        assert run(again, "get", ids=[one])["notFound"] == [one]
        world.peers.store.person(number).file(MESSAGE)
        assert agent.silent(5)
        again.http.close()


def test_rfc8292_4_without_a_key_pushes_are_posted_by_nobody_in_particular(world: World) -> None:
    del world.environment["PETITBLEU_VAPID_KEY"]
    with world.gateway():
        jmap, _ = world.newcomer()
        assert "urn:ietf:params:jmap:webpush-vapid" not in jmap.session["capabilities"]
        agent = world.service.subscribe()
        new = {"deviceClientId": "d", "url": agent.url, "keys": agent.keys}
        run(jmap, "set", create={"c": new})
        assert "authorization" not in agent.next().headers
        jmap.http.close()
