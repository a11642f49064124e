"""Logs hold ids and codes; the text of an exception, which may quote a mail, stays out."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from petitbleu_kit.logs import configure_logging, get_logger

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def _restore() -> object:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger().handlers.clear()


def test_exception_text_is_left_out(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure_logging("store")
    try:
        raise ValueError(CANARY)
    except ValueError:
        get_logger("x").warning("work failed", exc_info=True)
    line = json.loads(capfdbinary.readouterr().err.splitlines()[-1])
    assert CANARY not in json.dumps(line)
    assert line["error_type"] == "ValueError"
    assert line["service"] == "store"
    assert "test_kit_logs.py" in line["error_at"][-1]


def test_library_messages_lose_their_text(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure_logging("store")
    logging.getLogger("somelib").error("refused %s", CANARY)
    raw = capfdbinary.readouterr().err
    assert CANARY.encode() not in raw
    assert json.loads(raw.splitlines()[-1])["logger"] == "somelib"


FULL_DISK = """
import asyncio
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import configure_logging

tries = 0

async def work():
    global tries
    tries += 1
    raise ConnectionError

async def main():
    running = asyncio.ensure_future(forever("work", 0.001, work))
    await asyncio.wait([running], timeout=1)
    print(running.done(), tries)
    running.cancel()

configure_logging("store")
asyncio.run(main())
"""


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    """What fails is told in a log line: on a full disk the line fails as well, and the loop goes on."""
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run([sys.executable, "-c", FULL_DISK], stdout=subprocess.PIPE, stderr=full, check=False)
    done, tries = ran.stdout.split()
    assert done == b"False"
    assert int(tries) > 3
