"""A full disk and a clock that jumps, under the same stream and the same reckoning. Each needs what not every machine has."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.mailstream import MailStream, read_all, reckon
from tests.live_stack import LiveStack
from tests.ports import offset_of
from tests.small_disk import filled, mounted

OFFSET = offset_of(310)
DISK_MIB = 700
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
JUMPS = ("+3d", "-2h", "+40d")
INSTANTS = int(os.environ.get("PETITBLEU_FAULT_INSTANTS", "2"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data directory on a file system of its own, small enough to be filled."""
    with mounted(tmp_path / "disk", DISK_MIB) as place:
        yield place


def _reckoned(stack: LiveStack, stream: MailStream, login: str, least: int) -> None:
    stack.wait_settled()
    result = reckon(stream.mails, read_all(stack.http_port, login, stack.password))
    print(f"{result.acknowledged} acknowledged, all there once; unknown and there {result.unknown_present}")
    assert result.clean(), result
    assert result.acknowledged >= least


def test_a_full_disk_refuses_and_loses_nothing(small_disk: Path) -> None:
    stack = LiveStack(small_disk / "data", OFFSET)
    try:
        stack.begin()
        login = stack.new_account()
        stream = MailStream(stack.smtp_port, login, random.SystemRandom().randrange(1 << 40))
        stream.start()
        try:
            for _ in range(INSTANTS):
                stream.wait_flowing()
                with filled(small_disk):
                    time.sleep(3)
                    before = stream.acknowledged()
                    time.sleep(3)
                    # A few may still fit in what PostgreSQL had set aside; a stream may not.
                    assert stream.acknowledged() < before + 200, "the disk was not full"
                stack.wait_ready()
            stream.wait_flowing()
        finally:
            stream.stop()
        _reckoned(stack, stream, login, 8 * (INSTANTS + 1))
    finally:
        stack.stop()


@pytest.mark.parametrize("service", ["ingest", "store", "delivery"])
def test_a_clock_that_jumps_on_one_service_loses_nothing(fault_stack: LiveStack, service: str, tmp_path: Path) -> None:
    if not FAKETIME.exists():
        pytest.skip("NO LIBFAKETIME: the clock of one service cannot be moved")
    chooser = random.Random(service)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    login = fault_stack.new_account()
    fault_stack.stop_process(service)
    fault_stack.start_process(service, environment=environment)
    stream = MailStream(fault_stack.smtp_port, login, chooser.randrange(1 << 48))
    stream.start()
    try:
        for instant in range(INSTANTS):
            stream.wait_flowing()
            clock.write_text(JUMPS[instant % len(JUMPS)])
            time.sleep(1 + chooser.random() * 2)
            clock.write_text("+0")
            stream.wait_flowing()
    finally:
        stream.stop()
        fault_stack.stop_process(service)
        fault_stack.start_process(service)
    fault_stack.wait_ready()
    _reckoned(fault_stack, stream, login, 32)
