"""`petitbleu demo`."""

from __future__ import annotations

from argparse import Namespace

from petitbleu_cli.demo.load import load
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands


async def _load(office: Office, options: Namespace) -> None:
    await load(office, options.smtp or f"127.0.0.1:{2525 + office.settings.port_offset}")


def add_to(commands: Commands) -> None:
    """Add the commands."""
    demo = commands.group("demo", "the demo tenant")
    parser = demo.add("load", "make the tenant demo (demo.test) and send Alice her mail; may be repeated", _load)
    parser.add_argument("--smtp", default="", metavar="HOST:PORT", help="the SMTP door, 127.0.0.1:2525 unless given")
