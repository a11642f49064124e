"""One embedded stack for the fault tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults.fault_stack import OFFSET, FaultStack


@pytest.fixture(scope="session")
def fault_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    stack = FaultStack(tmp_path_factory.mktemp("faults") / "data", OFFSET)
    stack.start()
    try:
        stack.wait_ready()
        stack.cli("tenant", "create", "fault")
        stack.cli("domain", "create", "fault.test", "--tenant", "fault")
        yield stack
    finally:
        stack.stop()
