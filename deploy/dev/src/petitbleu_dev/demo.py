"""The demo tenant, loaded once a data directory by the operator's command line."""

from __future__ import annotations

import importlib.util
import sys

from petitbleu_dev import credentials, services
from petitbleu_dev.backends.context import Context
from petitbleu_dev.layout import GRPC_SERVICES

CLI = "petitbleu_cli"


def accounts() -> list[str]:
    """What a person needs to know to try the demo tenant."""
    return [
        "demo accounts      alice@demo.test  bob@demo.test  zoe@demo.test  admin@demo.test",
        "their password     petit-bleu-demo",
    ]


async def load(context: Context) -> list[str]:
    """Load the demo tenant unless it was; what the command said, then or now."""
    marker = context.layout.demo_marker
    if not marker.exists():
        if importlib.util.find_spec(CLI) is None:
            return [f"not installed here, left out: {CLI}, so the demo tenant is not loaded"]
        status, output = await context.offspring.run(
            (sys.executable, "-m", CLI, "demo", "load"),
            {
                **context.environment,
                **services.peers(context, GRPC_SERVICES),
                "PETITBLEU_DATA": str(context.layout.data),
                "PETITBLEU_RUN_DIR": str(context.layout.run),
                "PETITBLEU_PORT_OFFSET": str(context.ports.offset),
                "PETITBLEU_OPERATOR_TOKEN": credentials.operator_token(context.layout.operator_token),
                "PETITBLEU_OPERATOR_TOKEN_FILE": str(context.layout.operator_token),
            },
        )
        lines = [line for line in output.splitlines() if line.strip()]
        if status != 0:
            return [f"the demo tenant was not loaded: {(lines or ['no reason given'])[-1]}; the next start tries again"]
        credentials.write_private(marker, output.encode())
    return [line for line in marker.read_text(encoding="utf-8").splitlines() if line.strip()]
