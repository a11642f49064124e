"""Whatever a client sends, the gateway answers by the book: no 5xx, no `serverFail`, no traceback, bounded time, and it lives on.

The methods and their arguments come from the registry, so a new method is tried without a word here. `make test` plays a
sample before the contract's servers, `make soak` (`PETITBLEU_FUZZ_SECONDS`) for an hour, before the whole stack too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.conformance import jmap_answers, jmap_grammar
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_client import CORE, JmapClient
from tests.conformance.jmap_grammar import DRAFT, VALUES

from petitbleu_gateway.jmap.envelope import CAPABILITIES

SECONDS = float(os.environ.get("PETITBLEU_FUZZ_SECONDS", "0"))
MOST_CPU_SECONDS = 3.0
"""Of all processes behind one request of some kilobytes; what was seen is some hundredths."""
ROUND = 300
FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass
class Watched:
    """A person at a server, and what the server's processes do meanwhile."""

    client: JmapClient
    logs: tuple[Path, ...]
    processes: list[psutil.Process]
    read: dict[Path, int] = field(default_factory=dict)
    slowest: list[tuple[float, Any]] = field(default_factory=list)
    cpu: float = 0.0
    requests: int = 0

    def spent(self) -> float:
        times = [process.cpu_times() for process in self.processes]
        return sum(one.user + one.system for one in times)

    def complaints(self) -> list[str]:
        """Lines of the logs since the last look that tell of something gone wrong."""
        found: list[str] = []
        for path in self.logs:
            with path.open("rb") as log:
                log.seek(self.read.get(path, 0))
                text = log.read().decode("utf-8", "replace")
                self.read[path] = log.tell()
            words = ("Traceback", '"level":"error"', '"level": "error"', "method failed", "store refused")
            found += [line for line in text.splitlines() if any(word in line for word in words)]
        return found

    def send(self, requests: list[Any]) -> None:
        for request in requests:
            if request[1].get("accountId", 0) is None:
                request[1]["accountId"] = self.client.account
        before = self.spent()
        answer = self.client.post({"using": sorted(CAPABILITIES), "methodCalls": requests, "createdIds": {}})
        cpu = self.spent() - before
        self.cpu += cpu
        self.requests += 1
        self.slowest = sorted([*self.slowest, (cpu, requests)], key=lambda one: -one[0])[:5]
        assert answer.status_code in {200, 400}, (requests, answer.text)
        body = answer.json()
        if answer.status_code == 400:
            jmap_answers.check_request_error(400, answer.headers["content-type"], body)
        else:
            assert set(body) == {"methodResponses", "sessionState", "createdIds"}
            methods = {call_id: method for method, _, call_id in requests}
            answered = [call_id for _, _, call_id in body["methodResponses"]]
            assert list(dict.fromkeys(answered)) == list(methods), body
            for name, result, call_id in body["methodResponses"]:
                try:
                    jmap_answers.check_response(methods[call_id], name, result)
                except (KeyError, TypeError) as error:
                    raise AssertionError(f"{methods[call_id]}: {error!r} in {result}") from error
        assert self.complaints() == [], requests
        assert cpu < MOST_CPU_SECONDS, requests


@pytest.fixture
def watch(server: JmapServer) -> Callable[[], Watched]:
    def begin() -> Watched:
        client = server.newcomer()
        client.mail(body="Hello\r\n")
        client.mail(
            fields="MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
            body="--b\r\n\r\nx\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n--b--\r\n",
        )
        client.upload(b"Subject: uploaded\r\n\r\nx\r\n")
        found = Watched(client, server.logs, [psutil.Process(pid) for pid in server.pids()])
        found.complaints()
        return found

    return begin


@pytest.fixture
def watched(watch: Callable[[], Watched]) -> Iterator[Watched]:
    found = watch()
    yield found
    found.client.http.close()


def test_jmap_fuzz_arguments(watched: Watched) -> None:
    @FUZZ
    @given(jmap_grammar.calls())
    def play(requests: list[Any]) -> None:
        watched.send(json.loads(json.dumps(requests)))

    play()


@pytest.mark.parametrize("method", sorted(jmap_grammar.REGISTRY))
def test_jmap_fuzz_method(watched: Watched, method: str) -> None:
    @settings(FUZZ, max_examples=40)
    @given(jmap_grammar.calls((method,)))
    def play(requests: list[Any]) -> None:
        watched.send(json.loads(json.dumps(requests)))

    play()


def fuzz_round(watched: Watched, number: int) -> None:
    @seed(number)
    @settings(FUZZ, max_examples=ROUND, database=None, phases=[Phase.generate, Phase.shrink])
    @given(jmap_grammar.calls())
    def play(requests: list[Any]) -> None:
        watched.send(json.loads(json.dumps(requests)))

    play()


@pytest.mark.skipif(not SECONDS, reason="an hour of it is part of `make soak`")
def test_jmap_soak_fuzz(watch: Callable[[], Watched], capsys: pytest.CaptureFixture[str]) -> None:
    """Fuzz until the time is over, with another person at times, and say what the processes spent."""
    began = time.monotonic()
    rounds = 0
    totals: list[Watched] = []
    while time.monotonic() - began < SECONDS:
        totals.append(watch())
        fuzz_round(totals[-1], time.time_ns() + rounds)
        totals[-1].client.http.close()
        rounds += 1
    requests = sum(one.requests for one in totals)
    slowest = sorted((slow for one in totals for slow in one.slowest), key=lambda slow: -slow[0])[:3]
    with capsys.disabled():
        print(
            f"\n{requests} requests of {rounds} people, {1000 * sum(one.cpu for one in totals) / requests:.1f} ms CPU each"
        )
        for cpu, calls in slowest:
            print(f"{1000 * cpu:.0f} ms CPU: {json.dumps(calls)[:300]}")


@pytest.fixture(scope="module")
def fuzzed(server: JmapServer) -> Iterator[JmapClient]:
    client = server.newcomer()
    client.mail()
    yield client
    client.http.close()


@FUZZ
@given(DRAFT)
def test_jmap_fuzz_drafts(fuzzed: JmapClient, draft: Any) -> None:
    answer = fuzzed.call("Email/set", create={"k": draft})
    assert (answer["created"] is None) != (answer["notCreated"] is None)


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
