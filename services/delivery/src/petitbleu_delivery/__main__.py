"""`python -m petitbleu_delivery`: settings from the environment, then run."""

from __future__ import annotations

from petitbleu_delivery.bootstrap import NAME, run
from petitbleu_delivery.config import DeliverySettings
from petitbleu_kit.lifecycle import run_service


def main() -> None:
    """Run delivery until SIGTERM."""
    settings = DeliverySettings.read_or_exit(NAME)
    run_service(NAME, settings.log_level, lambda stop: run(settings, stop))


if __name__ == "__main__":
    main()
