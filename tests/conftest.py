"""What the tiers above unit tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.live_stack import LiveStack
from tests.push_service import PushService

OFFSET = int(os.environ.get("PETITBLEU_TEST_OFFSET", "320"))
"""Of the ports of the stack; several runs on one machine need one each."""


@pytest.fixture(scope="session")
def push_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PushService]:
    """A push service on this machine."""
    service = PushService(tmp_path_factory.mktemp("push"))
    yield service
    service.stop()


@pytest.fixture(scope="session")
def live_stack(tmp_path_factory: pytest.TempPathFactory, push_service: PushService) -> Iterator[LiveStack]:
    """The whole embedded stack, started once for all tests that break nothing."""
    stack = LiveStack(tmp_path_factory.mktemp("live") / "data", OFFSET, push_service.environment())
    try:
        stack.begin()
        yield stack
    finally:
        stack.stop()
