"""What the tiers above unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.live_stack import LiveStack

OFFSET = 320


@pytest.fixture(scope="session")
def live_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The whole embedded stack, started once for all tests that break nothing."""
    stack = LiveStack(tmp_path_factory.mktemp("live") / "data", OFFSET)
    try:
        stack.begin()
        yield stack
    finally:
        stack.stop()
