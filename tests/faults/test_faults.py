"""Kill, wipe, refuse and fill while mail streams in: what was acknowledged is there exactly once, byte for byte.

Each scenario is repeated at random instants of one stream: twice in `make test`, twenty times in `make soak`
(`PETITBLEU_FAULT_INSTANTS`). The seed is printed, and `PETITBLEU_FAULT_SEED` repeats it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.faults.mailstream import MailStream, read_all, reckon
from tests.live_stack import LiveStack

INSTANTS = int(os.environ.get("PETITBLEU_FAULT_INSTANTS", "2"))
SEED = int(os.environ.get("PETITBLEU_FAULT_SEED", str(random.SystemRandom().randrange(1 << 32))))
S3_REFUSES_SECONDS = float(os.environ.get("PETITBLEU_FAULT_S3_SECONDS", "4"))

Fault = Callable[[LiveStack, random.Random], None]


@dataclass(frozen=True)
class Scenario:
    name: str
    fault: Fault


def _killed(name: str) -> Scenario:
    def fault(stack: LiveStack, chooser: random.Random) -> None:
        stack.kill(name, signal.SIGKILL)

    return Scenario(f"kill-{name}", fault)


def _restarted(name: str) -> Scenario:
    def fault(stack: LiveStack, chooser: random.Random) -> None:
        stack.restart(name)

    return Scenario(f"restart-{name}", fault)


def _wiped_bus(stack: LiveStack, chooser: random.Random) -> None:
    stack.stop_process("nats")
    shutil.rmtree(stack.data / "nats", ignore_errors=True)
    stack.start_process("nats")


def _s3_refuses(stack: LiveStack, chooser: random.Random) -> None:
    stack.stop_process("seaweedfs")
    stack.pack_quietly()  # a packer that meets the refusal must lose nothing
    time.sleep(S3_REFUSES_SECONDS)
    stack.start_process("seaweedfs")


def _killed_while_packing(stack: LiveStack, chooser: random.Random) -> None:
    packing = stack.pack_in_background()
    time.sleep(chooser.random() * 0.3)
    stack.kill("store", signal.SIGKILL)
    packing.join(30)


def _doubled_and_shuffled_events(stack: LiveStack, chooser: random.Random) -> None:
    stack.replay_events(chooser)


SCENARIOS = [
    *(_killed(name) for name in ("ingest", "store", "delivery", "junior-guard", "accounts", "gateway")),
    *(_killed(name) for name in ("postgres", "nats", "seaweedfs", "redis")),
    *(_restarted(name) for name in ("postgres", "nats", "store", "delivery")),
    Scenario("wiped-jetstream", _wiped_bus),
    Scenario("s3-refuses", _s3_refuses),
    Scenario("kill-store-while-packing", _killed_while_packing),
    Scenario("doubled-and-shuffled-events", _doubled_and_shuffled_events),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_acknowledged_is_lost_doubled_or_altered(
    fault_stack: LiveStack, scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    chooser = random.Random(f"{SEED}-{scenario.name}")
    login = fault_stack.new_account()
    stream = MailStream(fault_stack.smtp_port, login, chooser.randrange(1 << 48))
    stream.start()
    try:
        for _ in range(INSTANTS):
            stream.wait_flowing()
            time.sleep(chooser.random() * 0.8)
            scenario.fault(fault_stack, chooser)
            fault_stack.wait_ready()
        stream.wait_flowing()
    finally:
        stream.stop()
    fault_stack.wait_settled()
    result = reckon(stream.mails, read_all(fault_stack.http_port, login, fault_stack.password))
    print(
        f"seed {SEED} {scenario.name}: {result.acknowledged} acknowledged, all there once; never acknowledged and there "
        f"{result.unknown_present}, not there {result.unknown_absent}"
    )
    record_property("acknowledged", result.acknowledged)
    assert result.clean(), (
        f"seed {SEED}: lost {result.lost} doubled {result.doubled} altered {result.altered} strangers {result.strangers}"
    )
    assert result.acknowledged >= 8 * (INSTANTS + 1)
