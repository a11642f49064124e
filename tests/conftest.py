"""What the tiers above unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.live_stack import LiveStack
from tests.ports import offset_of
from tests.push_service import PushService

OFFSET = offset_of(320)


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
