"""Run the store: `python -m petitbleu_store`."""

from __future__ import annotations

from petitbleu_kit.lifecycle import run_service
from petitbleu_store.bootstrap import SERVICE, serve
from petitbleu_store.config import StoreSettings


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = StoreSettings.read_or_exit(SERVICE)
    run_service(SERVICE, settings.log_level, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    main()
