"""One client that polls in a loop, one that does not read and one that sends everything at once disturb nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.conformance import jmap_peers
from tests.conformance.jmap_client import CORE, MAIL, JmapClient, basic
from tests.conformance.jmap_peers import JmapPeers, running_gateway
from tests.conformance.jmap_push import web_socket
from tests.ports import free_port
from websockets.exceptions import ConnectionClosed

Opener = Callable[..., contextlib.AbstractContextManager["Server"]]


class Server:
    """A gateway with limits of its own, and people at it."""

    def __init__(self, url: str, peers: JmapPeers) -> None:
        self.url = url
        self.peers = peers
        self.clients: list[JmapClient] = []

    def person(self) -> JmapClient:
        number = 1000 + len(jmap_peers.PEOPLE)
        login = f"person{number}@demo.test"
        jmap_peers.PEOPLE[login] = number
        person = self.peers.store.person(number)
        client = JmapClient(self.url, login, jmap_peers.PASSWORD)
        client.put = lambda raw: f"M{person.file(raw).message_id}"
        self.clients.append(client)
        return client


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[Opener]:
    """Runs a gateway with the settings that are given."""
    short = Path(tempfile.gettempdir()) / f"pbi{os.getpid()}"
    short.symlink_to(tmp_path)  # sun_path is short
    peers = JmapPeers(short)
    peers.start()

    @contextlib.contextmanager
    def make(**told: object) -> Iterator[Server]:
        port = free_port()
        environment = peers.environment(port, free_port())
        environment |= {f"PETITBLEU_{name.upper()}": str(value) for name, value in told.items()}
        with running_gateway(environment, tmp_path / "gateway.log"):
            server = Server(f"http://127.0.0.1:{port}", peers)
            yield server
            for client in server.clients:
                client.http.close()

    try:
        yield make
    finally:
        peers.stop()
        short.unlink()


def echo(client: JmapClient, calls: int = 1) -> httpx.Response:
    return client.post({"using": [CORE], "methodCalls": [["Core/echo", {}, "c"]] * calls})


def test_rfc8620_3_6_1_who_calls_too_fast_is_told_of_the_limit(open_server: Opener) -> None:
    with open_server(jmap_rate=1, jmap_burst=10, jmap_patience=0) as server:
        hog, quiet = server.person(), server.person()
        answers = [echo(hog) for _ in range(12)]
        assert [answer.status_code for answer in answers[:10]] == [200] * 10
        refused = answers[-1]
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:ietf:params:jmap:error:limit"
        assert refused.json()["limit"] == "requestRate"
        assert int(refused.headers["retry-after"]) >= 1
        assert echo(quiet, calls=10).status_code == 200, "nobody else is slowed"
        assert echo(quiet).status_code == 429, "a request counts by its calls"


def test_rfc8620_3_6_1_too_many_requests_at_once_name_their_limit(open_server: Opener) -> None:
    with open_server(jmap_max_concurrent_requests=4) as server:
        hog, quiet = server.person(), server.person()
        waiting = [half_request(hog) for _ in range(4)]
        try:
            for _ in range(300):  # the four are in their places, their password hashed, once one more is refused
                refused = echo(hog)
                if refused.status_code == 429:
                    break
                # one that came while the question had the last place was refused itself: it comes again
                for one in select.select(waiting, [], [], 0.1)[0]:
                    waiting.remove(one)
                    one.close()
                    waiting.append(half_request(hog))
            assert refused.status_code == 429
            assert refused.json()["type"] == "urn:ietf:params:jmap:error:limit"
            assert refused.json()["limit"] == "maxConcurrentRequests"
            assert "retry-after" in refused.headers
            assert echo(quiet).status_code == 200
        finally:
            for one in waiting:
                one.close()
        for _ in range(300):
            if echo(hog).status_code == 200:
                break
            time.sleep(0.1)
        assert echo(hog).status_code == 200


def half_request(client: JmapClient) -> socket.socket:
    """A request that has not all of its body."""
    found = urlsplit(client.session["apiUrl"])
    assert found.hostname
    assert found.port
    one = socket.create_connection((found.hostname, found.port), timeout=10)
    fields = basic(client.login, client.password) | {
        "Host": found.netloc, "Content-Type": "application/json", "Content-Length": "1000",
    }  # fmt: skip
    head = f"POST {found.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    one.sendall(head.encode() + b"\r\n{")
    return one


def large(client: JmapClient) -> bytes:
    """A request of 4 MB whose answer has 16 MB."""
    again = {"#x": {"resultOf": "0", "name": "Core/echo", "path": "/x"}}
    calls = [["Core/echo", {"x": "y" * 4_000_000}, "0"], *[["Core/echo", again, str(number)] for number in (1, 2, 3)]]
    data = json.dumps({"using": [CORE], "methodCalls": calls}).encode()
    found = urlsplit(client.session["apiUrl"])
    fields = basic(client.login, client.password) | {
        "Host": found.netloc, "Content-Type": "application/json", "Content-Length": str(len(data)),
    }  # fmt: skip
    head = f"POST {found.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + data


def test_an_account_s_unread_answers_take_its_share_of_the_memory_only(open_server: Opener) -> None:
    with open_server(http_octets_in_flight=64 << 20, http_octets_account=24 << 20) as server:
        hog, quiet = server.person(), server.person()
        found = urlsplit(hog.session["apiUrl"])
        with socket.create_connection((found.hostname or "", found.port or 0), timeout=30) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(large(hog))
            assert slow.recv(12) == b"HTTP/1.1 200"  # and no more of it is read
            names = [
                (name, result.get("type"))
                for name, result, _ in hog.responses(["Core/echo", {"x": "y" * 6_000_000}, "c"])
            ]
            assert names == [("error", "serverUnavailable")], "what its unread answer has left is not enough"
            assert echo(hog).status_code == 200
            (answer,) = quiet.responses(["Core/echo", {"x": "y" * 6_000_000}, "c"])
            assert answer[0] == "Core/echo", "the others' share is theirs"
        for _ in range(50):
            (answer,) = hog.responses(["Core/echo", {"x": "y" * 6_000_000}, "c"])
            if answer[0] == "Core/echo":
                break
        assert answer[0] == "Core/echo", "what was given up is given back"


def test_messages_that_web_sockets_do_not_finish_take_an_account_s_share_only(open_server: Opener) -> None:
    with open_server(http_octets_in_flight=8 << 20, http_octets_account=4 << 20) as server:
        hog, quiet = server.person(), server.person()
        stop = threading.Event()

        def unfinished() -> Iterator[str]:
            yield "x" * 3_000_000
            stop.wait(30)

        def send() -> bool:
            """Whether the server let it stand."""
            with web_socket(hog) as one, contextlib.suppress(ConnectionClosed):
                one.send(unfinished())
            return True

        with ThreadPoolExecutor(2) as pool:
            working = [pool.submit(send) for _ in range(2)]
            try:
                body = {"using": [CORE], "methodCalls": [["Core/echo", {"x": "y" * 2_000_000}, "c"]]}
                for _ in range(100):
                    refused = hog.post(body)
                    if refused.status_code != 200:
                        break
                    time.sleep(0.1)
                assert refused.status_code == 503, "its share is taken"
                assert quiet.post(body).status_code == 200, "the others' share is theirs"
            finally:
                stop.set()
            assert all(one.result() for one in working)


def test_who_synchronises_everything_at_once_is_answered_behind_its_own(open_server: Opener) -> None:
    with open_server(jmap_turns=2, jmap_turns_account=1, jmap_rate=0) as server:
        hog, quiet = server.person(), server.person()
        ids = [hog.mail() for _ in range(50)]
        calls = [["Email/get", {"accountId": hog.account, "ids": ids}, "c"]] * 16
        stop = threading.Event()

        def synchronise(_: int) -> int:
            done = 0
            with httpx.Client(headers=basic(hog.login, hog.password), timeout=60) as client:
                while not done or not stop.is_set():
                    answer = client.post(hog.session["apiUrl"], json={"using": [CORE, MAIL], "methodCalls": calls})
                    assert answer.status_code == 200, answer.text
                    done += 1
            return done

        with ThreadPoolExecutor(6) as pool:
            working = [pool.submit(synchronise, number) for number in range(6)]
            try:
                for _ in range(20):
                    assert quiet.call("Mailbox/get", ids=None)["list"]
            finally:
                stop.set()
            assert sum(one.result() for one in working) >= 6, "all of it is done"
