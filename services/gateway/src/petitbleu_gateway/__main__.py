"""`python -m petitbleu_gateway`: run the gateway."""

from __future__ import annotations

import functools
import sys

from pydantic import ValidationError

from petitbleu_gateway.bootstrap import serve
from petitbleu_gateway.config import GatewaySettings
from petitbleu_kit.lifecycle import run_service


def main() -> None:
    """Read the settings and serve until told to stop."""
    try:
        settings = GatewaySettings()
    except ValidationError as error:
        fields = ", ".join(str(entry["loc"][0]) for entry in error.errors() if entry["loc"])
        print(f"gateway: bad settings: {fields}", file=sys.stderr)  # noqa: T201 — the one clear line
        sys.exit(1)
    run_service("gateway", settings.log_level, functools.partial(serve, settings))


if __name__ == "__main__":
    main()
