"""kill -9 of delivery while mail goes out: no recipient is lost, and none gets a message twice but what was in flight (RFC 1047)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.delivery_world import DeliveryWorld
from tests.ports import free_port, offset_of

from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc
from petitbleu_dev.stack import Stack

OFFSET = offset_of(440)
SOAK = os.environ.get("PETITBLEU_SOAK") == "1"
KILLS, MESSAGES = (50, 20_000) if SOAK else (2, 600)
CONNECTIONS = 20
DESTINATIONS = 12


class RecordingSink:
    """The sink's process, and what it has written down."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._file = folder / "taken.txt"
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("recording_sink.py")), str(self.port), str(self._file)]
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def taken(self) -> Counter[str]:
        """How often each message was taken."""
        if not self._file.exists():
            return Counter()
        whole = self._file.read_text().rpartition("\n")[0]
        return Counter(line.partition(" ")[0] for line in whole.splitlines())

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def outbound_sink(tmp_path: Path) -> Iterator[RecordingSink]:
    sink = RecordingSink(tmp_path)
    yield sink
    sink.stop()


@pytest.fixture
def outbound_stack(tmp_path_factory: pytest.TempPathFactory, outbound_sink: RecordingSink) -> Iterator[Stack]:
    environment = {
        "PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{outbound_sink.port}", "PETITBLEU_OUTBOUND_SILENT_SECONDS": "3",
        "PETITBLEU_OUTBOUND_FIRST_RETRY_SECONDS": "2", "PETITBLEU_OUTBOUND_CONNECTIONS": str(CONNECTIONS),
    }  # fmt: skip
    only = "backends,store,accounts,delivery,junior-guard"
    stack = Stack(tmp_path_factory.mktemp("kills") / "data", OFFSET, only=only, environment=environment)
    try:
        stack.start()
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


async def _submit(
    world: DeliveryWorld, sender: str, account_id: int, tokens: list[str], *, to: str = "r"
) -> None:  # fmt: skip
    """Accept messages as the submission door does, in commits of a hundred."""
    for start in range(0, len(tokens), 100):
        items = [
            accept_pb2.AcceptItem(
                idempotency_key=hashlib.sha256(token.encode()).digest(), mail_from=sender, header_from=sender,
                recipients=[accept_pb2.AcceptRecipient(address=f"{to}@d{hash(token) % DESTINATIONS}.test", tenant_id=1)],
                trace=b"Received: by us; Sun, 22 Nov 2026 00:00:00 +0000\r\n",
                body=f"From: <{sender}>\r\nSubject: {token}\r\nMessage-ID: <{token}@route.test>\r\n\r\nHello\r\n".encode(),
                verdicts=accept_pb2.AuthenticationVerdicts(from_authenticated=True), origin=accept_pb2.ORIGIN_SUBMITTED,
                submitter_account_id=account_id, submitter_tenant_id=world._tenants[account_id],
            )
            for token in tokens[start : start + 100]
        ]  # fmt: skip
        request = accept_pb2.AcceptRequest(items=items)
        done = await world.call("store", "ingest", accept_pb2_grpc.AcceptServiceStub, "Accept", request)
        assert all(one.status == accept_pb2.ACCEPT_STATUS_OK for one in done.results)


@contextmanager
def second_delivery(stack: Stack, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process of delivery on the same database and bus."""
    environment = {
        **os.environ, **stack.environment("delivery"), "PETITBLEU_LISTEN": f"unix:{folder / 'second.sock'}",
        "PETITBLEU_HEALTH_PORT": str(free_port()),
    }  # fmt: skip
    with (folder / "second.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "petitbleu_delivery"], env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(30)


async def _taken(sink: RecordingSink, count: int, seconds: float) -> None:
    """Wait until so many different messages came."""
    deadline = time.monotonic() + seconds
    while len(found := sink.taken()) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} messages came"
        await asyncio.sleep(0.01)


async def test_a_process_that_stood_still_sends_nothing_that_another_has_taken(
    outbound_stack: Stack, outbound_sink: RecordingSink, tmp_path: Path
) -> None:
    """A process is stopped for longer than others wait for it, with a queue in hand, and goes on: what it has in hand is not its own."""
    world = DeliveryWorld(outbound_stack)
    await world.prepare()
    sender, account_id = await world.person()
    first = outbound_stack.pid("delivery")
    assert first is not None
    pauses, part = (6, 2_000) if SOAK else (2, 800)
    with second_delivery(outbound_stack, tmp_path) as second:
        tokens = [f"p{number}" for number in range(pauses * part)]
        for number in range(pauses):
            mine = tokens[number * part : (number + 1) * part]
            await _submit(world, sender, account_id, mine)
            await _taken(outbound_sink, number * part + 30, 60)
            stopped = (first, second.pid)[number % 2]
            os.kill(stopped, signal.SIGSTOP)
            try:
                await asyncio.sleep(7)  # three seconds of silence are enough for the other one
            finally:
                os.kill(stopped, signal.SIGCONT)
            await _taken(outbound_sink, len(tokens[: (number + 1) * part]), 120)
        await asyncio.sleep(5)
    taken = outbound_sink.taken()
    doubled = [token for token, count in taken.items() if count > 1]
    print(f"{pauses} pauses, {len(tokens)} messages: {len(doubled)} were in flight at a pause and came twice")
    assert taken.keys() == set(tokens)
    assert len(doubled) <= pauses * CONNECTIONS
    assert max(taken.values()) <= 2
    await world.close()


async def test_killing_delivery_loses_nothing_and_doubles_only_what_was_in_flight(
    outbound_stack: Stack, outbound_sink: RecordingSink
) -> None:
    chooser = random.Random(5)
    world = DeliveryWorld(outbound_stack)
    await world.prepare()
    sender, account_id = await world.person()
    tokens = [f"t{number}" for number in range(MESSAGES)]
    part = MESSAGES // KILLS
    for number in range(KILLS):
        await _submit(world, sender, account_id, tokens[number * part : (number + 1) * part])
        if not SOAK:  # few kills: each in the middle of it
            before = sum(outbound_sink.taken().values())
            deadline = time.monotonic() + 30
            while sum(outbound_sink.taken().values()) < before + 20:
                assert time.monotonic() < deadline, "nothing goes out"
                await asyncio.sleep(0.01)
        await asyncio.sleep(chooser.random() * (1.5 if SOAK else 0.1))
        outbound_stack.kill("delivery")
        await asyncio.to_thread(outbound_stack.wait_ready, name="delivery")
    deadline = time.monotonic() + (600 if SOAK else 120)
    while len(outbound_sink.taken()) < MESSAGES:
        assert time.monotonic() < deadline, f"{MESSAGES - len(outbound_sink.taken())} messages never came"
        await asyncio.sleep(0.5)
    await asyncio.sleep(5)  # whatever would come twice has come by then: the dead process is silent for three seconds
    taken = outbound_sink.taken()
    doubled = {token: count for token, count in taken.items() if count > 1}
    print(f"{KILLS} kills, {MESSAGES} messages: {len(doubled)} were in flight at a kill and came twice")
    assert taken.keys() == set(tokens)
    assert len(doubled) <= KILLS * CONNECTIONS
    assert max(taken.values()) <= 2
    await world.close()


async def test_killing_delivery_tells_of_each_refusal_once(outbound_stack: Stack) -> None:
    world = DeliveryWorld(outbound_stack)
    await world.prepare()
    sender, account_id = await world.person()
    chooser = random.Random(3461)
    kills, messages = (10, 900) if SOAK else (3, 150)
    part = messages // kills
    told = 0
    for number in range(kills):
        tokens = [f"n{number}-{at}" for at in range(part)]
        await _submit(world, sender, account_id, tokens, to="nobody")
        deadline = time.monotonic() + 60
        while len(await world.messages(account_id)) < told + 5:
            assert time.monotonic() < deadline, "nobody is told"
            await asyncio.sleep(0.01)
        await asyncio.sleep(chooser.random() * 0.2)
        outbound_stack.kill("delivery")
        await asyncio.to_thread(outbound_stack.wait_ready, name="delivery")
        told = len(await world.messages(account_id))
    deadline = time.monotonic() + 120
    while len(await world.messages(account_id)) < messages:
        assert time.monotonic() < deadline, f"{len(await world.messages(account_id))} of {messages} are told"
        await asyncio.sleep(0.5)
    await asyncio.sleep(20)  # what was kept and not told is told again after fifteen seconds
    texts = [await world.text(account_id, one) for one in await world.messages(account_id)]
    about = Counter(re.findall(r"^Subject: (n\d+-\d+)\r$", "".join(text.decode() for text in texts), re.MULTILINE))
    assert len(about) == messages
    assert set(about.values()) == {1}
    await world.close()
