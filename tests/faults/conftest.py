"""A stack of their own for the fault tests, which break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.live_stack import LiveStack
from tests.ports import offset_of

OFFSET = offset_of(300)


@pytest.fixture(scope="session")
def fault_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    stack = LiveStack(tmp_path_factory.mktemp("faults") / "data", OFFSET)
    try:
        stack.begin()
        yield stack
    finally:
        stack.stop()
