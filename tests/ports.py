"""Ports of the stacks that tests start: several stacks in one run, in several workers (pytest-xdist), in several runs at a time."""

from __future__ import annotations

import os
import socket
from typing import Final

WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# Meets no port of a stack of another worker (`test_ports.py`), and stays below the ports that connections are given.
STEP: Final = 1375
FIRST: Final = int(os.environ.get("PETITBLEU_TEST_OFFSET", "0"))
"""Several runs on one machine need one each."""


def offset_of(own: int, worker: int = WORKER) -> int:
    """Return what a stack adds to its ports, so that it meets no other: `own` tells it from other stacks of its worker."""
    return FIRST + own + STEP * worker


def free_port() -> int:
    """Return a port of the loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
