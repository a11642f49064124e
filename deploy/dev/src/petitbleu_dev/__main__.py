"""`python -m petitbleu_dev`: the embedded stack from the command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from petitbleu_dev import preflight
from petitbleu_dev.console import Console
from petitbleu_dev.control import ControlError, ask
from petitbleu_dev.errors import StackError
from petitbleu_dev.layout import Layout, Ports
from petitbleu_dev.supervisor import Options, Supervisor


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="petitbleu_dev", description="The embedded stack of Petit Bleu.")
    commands = top.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the stack and stay in front until Ctrl-C")
    up.add_argument("--port-offset", type=int, help="added to every port (PETITBLEU_PORT_OFFSET)")
    up.add_argument("--no-demo", action="store_true", help="do not load the demo tenant")
    up.add_argument(
        "--only",
        default="backends,services",
        help="names of programs, or `backends` and `services`, separated by commas",
    )
    down = commands.add_parser("down", help="stop the stack that runs on this data directory")
    status = commands.add_parser("status", help="one line for each program")
    for command in (up, down, status):
        command.add_argument("--data", type=Path, help="data directory (PETITBLEU_DATA, default .data)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    chosen = parser().parse_args(arguments)
    layout = Layout((chosen.data or Path(os.environ.get("PETITBLEU_DATA") or ".data")).absolute())
    try:
        if chosen.command == "up":
            return _up(layout, chosen)
        return _down(layout) if chosen.command == "down" else _status(layout)
    except (StackError, ControlError) as error:
        sys.stderr.write(f"petit bleu: {error}\n")
        return 1


def _up(layout: Layout, chosen: argparse.Namespace) -> int:
    preflight.check_python(Path(sys.prefix))
    offset = chosen.port_offset if chosen.port_offset is not None else os.environ.get("PETITBLEU_PORT_OFFSET") or 0
    try:
        ports = Ports(int(offset))
    except ValueError:
        raise StackError(f"PETITBLEU_PORT_OFFSET={offset} is not a number") from None
    only = frozenset(name.strip() for name in str(chosen.only).split(",") if name.strip())
    options = Options(layout, ports, only=only, load_demo=not chosen.no_demo)
    asyncio.run(Supervisor(options, Console()).run())
    return 0


def _down(layout: Layout) -> int:
    try:
        ask(layout.control_socket, "shutdown")
    except OSError:
        raise StackError(f"no stack runs on {layout.data}") from None
    return 0


def _status(layout: Layout) -> int:
    try:
        answer = ask(layout.control_socket, "status")
    except OSError:
        raise StackError(f"no stack runs on {layout.data}") from None
    for name, row in answer["processes"].items():
        print(f"{name:<14} {row['state']:<10} pid {row['pid'] or '-':<8} restarts {row['restarts']}")
    return 0 if answer["ready"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
