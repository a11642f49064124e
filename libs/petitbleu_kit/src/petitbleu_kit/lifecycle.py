"""Start and stop of a service's process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import uvloop

from petitbleu_kit.logs import configure_logging, get_logger
from petitbleu_kit.telemetry import configure_tracing, shutdown_tracing

_CANCELLATIONS: Final = 3
_CANCEL_SECONDS: Final = 1.0
_SETTLED_SECONDS: Final = 5.0
_GC_THRESHOLDS: Final = (20_000, 20, 50)


class StartupError(Exception):
    """The service cannot start; its text is one clear line for the operator and holds no secret."""


async def _main(body: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settling = loop.call_later(_SETTLED_SECONDS, settle_memory)
    try:
        await body(stop)
    finally:
        settling.cancel()


def settle_memory() -> None:
    """Take what start-up left out of the garbage collector's sight, and let it look less often.

    A full collection of all modules and classes stops a service for tens of milliseconds, again and again; they live as long
    as the process. What is frozen is still freed when its last reference goes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def run_service(name: str, log_level: str, body: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a service until SIGTERM or SIGINT, then let it drain.

    Args:
        name: The service.
        log_level: Least level logged.
        body: Starts everything, awaits the event, and stops everything in the opposite order.
    """
    configure_logging(name, log_level)
    configure_tracing(name)
    log = get_logger(__name__)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(body))
    except StartupError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)  # noqa: T201 — the one clear line
        sys.exit(1)
    except Exception:
        log.critical("service crashed", exc_info=True)
        sys.exit(1)
    finally:
        shutdown_tracing()


@contextlib.asynccontextmanager
async def background(*tasks: Awaitable[None]) -> AsyncIterator[None]:
    """Run endless coroutines beside the body; at its end all are cancelled and awaited, for a few seconds at most.

    A library may swallow a cancellation while it reconnects; it is cancelled again, and in the end left to the process's end.
    """
    running = {asyncio.ensure_future(task) for task in tasks}
    try:
        yield
    finally:
        left = running
        for _ in range(_CANCELLATIONS):
            for task in left:
                task.cancel()
            if left:
                _, left = await asyncio.wait(left, timeout=_CANCEL_SECONDS)
        if left:
            get_logger(__name__).warning("background work does not end", tasks=len(left))
        for task in running - left:
            if not task.cancelled():
                task.exception()  # looked at, so that nobody reports it as forgotten


async def forever(name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do `work` every so many seconds; an error is logged and does not end it."""
    log = get_logger(name)
    while True:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.warning("periodic work failed", work=name, exc_info=True)
        await asyncio.sleep(seconds)


def remove_stale_socket(address: str) -> None:
    """Remove the unix socket that a killed predecessor left, so that the address can be bound; make its directory."""
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:").removeprefix("//"))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
