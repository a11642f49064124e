"""Pushed changes before a real bus: how soon they are told, what becomes of them when it goes away, and of readers that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import nats
import pytest
from google.protobuf.message import Message
from tests.conformance import jmap_peers
from tests.conformance.jmap_client import JmapClient
from tests.conformance.jmap_peers import PASSWORD, JmapPeers, running_gateway
from tests.conformance.jmap_push import hear, listening, request, tell, web_socket
from tests.ports import free_port
from websockets.frames import Frame, Opcode

from petitbleu.events.v1 import events_pb2
from petitbleu_dev import binaries
from petitbleu_kit.ids import partition_of_account

MESSAGE = b"From: Anna <anna@x.example>\r\nSubject: Hello\r\n\r\nHello\r\n"
STALL_SECONDS = 3


@dataclass
class Bus:
    """A bus that can go away and come back at its place."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(binaries.nats_server()), "-a", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError("no bus")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def say(self, subject: str, account_id: int, event: Message) -> None:
        """Publish one event, heard by the server when this returns."""

        async def publish() -> None:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            await client.publish(f"{subject}.v1.{partition_of_account(account_id)}", event.SerializeToString())
            await client.flush()
            await client.close()

        asyncio.run(publish())


@dataclass
class Pushing:
    """A gateway before a bus, and people of it."""

    peers: JmapPeers
    bus: Bus
    url: str
    health_port: int
    clients: list[JmapClient] = field(default_factory=list)

    def newcomer(self) -> tuple[JmapClient, int]:
        number = 1000 + len(jmap_peers.PEOPLE)
        jmap_peers.PEOPLE[f"push{number}@demo.test"] = number
        self.clients.append(JmapClient(self.url, f"push{number}@demo.test", PASSWORD))
        return self.clients[-1], number

    def file(self, number: int, *, quiet: bool = False) -> None:
        """Put a message in somebody's mailbox, and say so unless `quiet`."""
        person = self.peers.store.person(number)
        message_id = person.file(MESSAGE).message_id
        if not quiet:
            event = events_pb2.MessageFiled(account_id=number, modseq=person.modseq, message_ids=[message_id])
            self.bus.say("mail.message.filed", number, event)

    def metric(self, name: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{self.health_port}/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@pytest.fixture(scope="module")
def pushing() -> Iterator[Pushing]:
    bus = Bus()
    bus.start()
    try:
        with tempfile.TemporaryDirectory(prefix="pbp") as name:
            peers = JmapPeers(Path(name))
            peers.start()
            port, health = free_port(), free_port()
            environment = {
                **peers.environment(port, health), "PETITBLEU_NATS_URL": f"nats://127.0.0.1:{bus.port}",
                "PETITBLEU_HTTP_STALL_SECONDS": str(STALL_SECONDS),
            }  # fmt: skip
            try:
                with running_gateway(environment, Path(name) / "gateway.log"):
                    time.sleep(3)  # from now on nothing is asked of store for minutes, so all that is told the bus told
                    found = Pushing(peers, bus, f"http://127.0.0.1:{port}", health)
                    yield found
                    for client in found.clients:
                        client.http.close()
            finally:
                peers.stop()
    finally:
        bus.stop()


def test_an_event_of_the_bus_is_told_at_once(pushing: Pushing) -> None:
    jmap, number = pushing.newcomer()
    with listening(jmap, ping="5") as stream:
        for _ in range(3):
            pushing.file(number)
            found = stream.next()
            assert found is not None
            assert found.kind == "state"  # sooner than the first ping


def test_changes_that_are_no_mail_are_told_and_are_no_delivery(pushing: Pushing) -> None:
    jmap, number = pushing.newcomer()
    with web_socket(jmap) as web:
        tell(web, {"@type": "WebSocketPushEnable", "dataTypes": None})
        tell(web, request(id="x"))
        hear(web)
        pushing.bus.say("mail.account.changed", number, events_pb2.AccountChanged(account_id=number, modseq=77))
        found = hear(web)["changed"][jmap.account]
        assert {"Email", "Mailbox", "Thread", "Quota"} <= found.keys()
        assert set(found.values()) == {"77"}
        assert "EmailDelivery" not in found
        pushing.bus.say(
            "mail.account.changed", number, events_pb2.AccountChanged(account_id=number, modseq=78, last_id=9)
        )
        assert hear(web)["changed"][jmap.account]["EmailDelivery"] == "9"


def test_what_changed_while_the_bus_was_away_is_told(pushing: Pushing) -> None:
    jmap, number = pushing.newcomer()
    with listening(jmap) as stream:
        pushing.bus.stop()
        pushing.file(number, quiet=True)
        assert stream.next() is not None  # store was asked
        pushing.file(number, quiet=True)
        pushing.bus.start()
        assert stream.next() is not None  # by asking, or by comparing
        time.sleep(4)
        with listening(jmap, ping="5") as other:
            pushing.file(number)
            found = other.next()
            assert found is not None
            assert found.kind == "state"  # and the bus is heard again


def test_a_credential_that_the_directory_changed_ends_its_streams(pushing: Pushing) -> None:
    jmap, number = pushing.newcomer()
    other, _ = pushing.newcomer()
    with listening(jmap) as stream, listening(other, ping="5") as unconcerned:
        jmap_peers.PEOPLE[jmap.login] = 0  # accounts knows them no longer
        began = time.monotonic()
        event = events_pb2.DirectoryChanged(tenant_id=3, account_ids=[number])
        pushing.bus.say("accounts.directory.changed", number, event)
        assert stream.next() is None
        assert time.monotonic() - began < 5
        found = unconcerned.next()
        assert found is not None
        assert found.kind == "ping"


def test_a_reader_that_does_not_read_is_cut_and_its_place_given_back(pushing: Pushing) -> None:
    jmap, _ = pushing.newcomer()
    open_before = pushing.metric("petitbleu_push_streams{")
    credential = jmap.http.headers["authorization"]
    message = json.dumps(request(["Core/echo", {"x": "y" * 500_000}, "c"])).encode()
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(STALL_SECONDS + 20)
        raw.connect(("127.0.0.1", int(pushing.url.rpartition(":")[2])))
        raw.sendall(
            f"GET /jmap/ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: {credential}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: jmap\r\n\r\n".encode()
        )
        assert raw.recv(12) == b"HTTP/1.1 101"
        frame = Frame(Opcode.TEXT, message).serialize(mask=True)
        began = time.monotonic()
        with pytest.raises(ConnectionError):  # no more is read of who does not read, and then nothing at all
            for _ in range(1000):
                raw.sendall(frame)
        assert time.monotonic() - began < STALL_SECONDS + 15
    deadline = time.monotonic() + 5
    while pushing.metric("petitbleu_push_streams{") > open_before:
        assert time.monotonic() < deadline, "the place is not given back"
        time.sleep(0.1)
    again, number = pushing.newcomer()
    with listening(again, ping="5") as stream:
        pushing.file(number)
        found = stream.next()
        assert found is not None
        assert found.kind == "state"
