"""Logs hold ids and codes; the text of an exception, which may quote a mail, stays out."""

import json
import logging

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
