"""`python -m petitbleu_junior_guard`: settings from the environment, then run."""

from __future__ import annotations

from petitbleu_junior_guard.bootstrap import NAME, run
from petitbleu_junior_guard.config import JuniorGuardSettings
from petitbleu_kit.lifecycle import run_service


def main() -> None:
    """Run junior-guard until SIGTERM."""
    settings = JuniorGuardSettings.read_or_exit(NAME)
    run_service(NAME, settings.log_level, lambda stop: run(settings, stop))


if __name__ == "__main__":
    main()
