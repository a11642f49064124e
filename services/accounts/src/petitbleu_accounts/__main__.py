"""`python -m petitbleu_accounts`."""

from __future__ import annotations

from petitbleu_accounts.bootstrap import SERVICE, run
from petitbleu_accounts.config import Settings
from petitbleu_kit.lifecycle import run_service


def main() -> None:
    """Run the service."""
    settings = Settings.read_or_exit(SERVICE)
    run_service(SERVICE, settings.log_level, lambda stop: run(settings, stop))


if __name__ == "__main__":
    main()
