"""`python -m petitbleu_gateway`: run the gateway."""

from __future__ import annotations

import functools

from petitbleu_gateway.bootstrap import serve
from petitbleu_gateway.config import GatewaySettings
from petitbleu_kit.lifecycle import run_service


def main() -> None:
    """Read the settings and serve until told to stop."""
    settings = GatewaySettings.read_or_exit("gateway")
    run_service("gateway", settings.log_level, functools.partial(serve, settings))


if __name__ == "__main__":
    main()
