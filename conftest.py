"""What every tier shares: lengths of the property tests, and the end of a test that hangs.

Property tests run a sample in `make test`, far more examples in `make soak`.
"""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

from petitbleu_kit.postgres import STATEMENT_LOG

SLOW_MACHINES = (HealthCheck.too_slow,)

# Continuous integration draws the same examples each time, so that what it says of a commit stays so; others draw new ones.
settings.register_profile(
    "sample", max_examples=100, deadline=None, suppress_health_check=SLOW_MACHINES, derandomize="CI" in os.environ
)
settings.register_profile("soak", max_examples=2_000, deadline=None, suppress_health_check=SLOW_MACHINES)
settings.load_profile("soak" if os.environ.get("PETITBLEU_SOAK") else "sample")

# A test that hangs fails, with the stacks of its threads and tasks, and the others run. Far above what any test takes: this
# is no assertion about time. A clean-up that hangs as well is ended in its turn, again and again.
HANGS_AFTER_SECONDS = float(os.environ.get("PETITBLEU_TEST_SECONDS", "420"))
_AGAIN_SECONDS = 60.0
# A run that would be cut off without a word stops by itself before, and says what it saw; 0 is no limit.
RUN_SECONDS = float(os.environ.get("PETITBLEU_RUN_SECONDS", "0"))
_STARTED = time.monotonic()


# Every statement that a service or a test executes is appended here, by all workers of a run; test_statements, which comes
# last, reads it.
if STATEMENT_LOG not in os.environ:
    _statements = Path(tempfile.gettempdir()) / f"petitbleu-statements-{os.getpid()}.jsonl"
    os.environ[STATEMENT_LOG] = str(_statements)
    atexit.register(_statements.unlink, missing_ok=True)


def _tell_and_fail(_signum: int, _frame: FrameType | None) -> None:
    stderr = sys.__stderr__ or sys.stderr
    faulthandler.dump_traceback(file=stderr, all_threads=True)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        for task in asyncio.all_tasks(loop):
            task.print_stack(file=stderr)
    pytest.fail(f"hangs: not over after {HANGS_AFTER_SECONDS:.0f} s")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Give the test, its set-up and its clean-up their time."""
    if RUN_SECONDS and time.monotonic() - _STARTED > RUN_SECONDS:
        item.session.shouldfail = f"the run took more than {RUN_SECONDS:.0f} s: the tests from here on did not run"
    before = signal.signal(signal.SIGALRM, _tell_and_fail)
    signal.setitimer(signal.ITIMER_REAL, HANGS_AFTER_SECONDS, _AGAIN_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what looks at all that ran at the end."""
    items.sort(key=lambda item: item.path.name == "test_statements.py")
