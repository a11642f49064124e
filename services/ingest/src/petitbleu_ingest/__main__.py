"""`python -m petitbleu_ingest`: the MX."""

from __future__ import annotations

import asyncio

from petitbleu_ingest import bootstrap, workers
from petitbleu_ingest.config import IngestSettings
from petitbleu_kit.lifecycle import run_service


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = IngestSettings.read_or_exit("ingest")

    async def body(stop: asyncio.Event) -> None:
        if settings.ingest_worker >= 0:
            workers.die_with(settings.ingest_supervisor)
        elif settings.ingest_workers > 1:
            await workers.supervise(settings, stop)
            return
        await bootstrap.run(settings, stop)

    run_service("ingest", settings.log_level, body)


if __name__ == "__main__":
    main()
