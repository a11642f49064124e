"""Several processes on one port (SO_REUSEPORT): a supervisor that starts them, starts them again, and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from typing import Final

from petitbleu_ingest.config import IngestSettings
from petitbleu_kit.lifecycle import StartupError
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_PR_SET_PDEATHSIG: Final = 1
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
# A worker that lived this long did not die of its start.
_HEALTHY_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 3.0


def die_with(supervisor: int) -> None:
    """Have the kernel end this worker when its supervisor is gone; raises `StartupError` when it is already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:
        raise StartupError("the supervisor is gone")


async def _keep(index: int, settings: IngestSettings, stop: asyncio.Event) -> None:
    pause = _FIRST_PAUSE
    loop = asyncio.get_running_loop()
    environment = {
        **os.environ,
        "PETITBLEU_INGEST_WORKER": str(index),
        "PETITBLEU_INGEST_SUPERVISOR": str(os.getpid()),
    }
    while not stop.is_set():
        begun = loop.time()
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "petitbleu_ingest", env=environment)
        ended = asyncio.ensure_future(process.wait())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.is_set():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(ended, settings.smtp_drain_seconds + _GRACE_SECONDS)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            return
        if loop.time() - begun > _HEALTHY_SECONDS:
            pause = _FIRST_PAUSE
        _log.error("worker died", worker=index, status=process.returncode, pause=pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def supervise(settings: IngestSettings, stop: asyncio.Event) -> None:
    """Keep `ingest_workers` processes running until `stop`, then let each drain."""
    await asyncio.gather(*(_keep(index, settings, stop) for index in range(settings.ingest_workers)))
