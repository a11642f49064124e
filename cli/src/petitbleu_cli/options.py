"""The command line's grammar."""

from __future__ import annotations

import argparse
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

Run = Callable[[Any, argparse.Namespace], Awaitable[int | None]]
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Commands:
    """Adds commands to a parser, each with `--json` and the coroutine that runs it."""

    def __init__(self, parser: argparse.ArgumentParser, title: str) -> None:
        self._all = parser.add_subparsers(title=title, metavar="<command>", required=True)

    def group(self, name: str, text: str) -> Commands:
        """Add a group of commands."""
        parser = self._all.add_parser(name, help=text, description=text, allow_abbrev=False)
        _add_json(parser)
        return Commands(parser, "commands")

    def add(self, name: str, text: str, run: Run) -> argparse.ArgumentParser:
        """Add a command and return its parser for its arguments."""
        parser = self._all.add_parser(name, help=text, description=text, allow_abbrev=False)
        _add_json(parser)
        parser.set_defaults(run=run)
        return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="answer in JSON")


def octets(text: str) -> int:
    """Return a size: octets, or with K, M, G, T (powers of 1,024); 0 and `none` mean without limit."""
    if text.lower() == "none":
        return 0
    found = re.fullmatch(r"(\d+)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None or int(found[1]) * _UNITS[found[2]] >= 1 << 63:
        raise argparse.ArgumentTypeError("a size is a number of octets, or one with K, M, G or T")
    return int(found[1]) * _UNITS[found[2]]


def count(text: str) -> int:
    """Return a number of things: 1 to 10,000,000."""
    if not text.isdecimal() or not 1 <= int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError("a number from 1 to 10000000 is needed")
    return int(text)


def limit_of(text: str) -> int:
    """Return a limit: a number of things, or 0 for `none`."""
    return 0 if text == "none" else count(text)


def accepted_id(text: str) -> bytes:
    """Return the 16 octets of an accepted message's id."""
    try:
        return UUID(text).bytes
    except ValueError:
        raise argparse.ArgumentTypeError("an accepted message's id is a UUID") from None


def traced_message(text: str) -> bytes:
    """Return the accepted message's id of what a trace prints: the id, a slash, the recipient's number; or the id alone."""
    return recipient(text)[0] if "/" in text else accepted_id(text)


def recipient(text: str) -> tuple[bytes, int]:
    """Return a recipient: the accepted message's id, a slash, the recipient's number."""
    found, _, number = text.partition("/")
    if not number.isdecimal() or int(number) > 1_000_000:
        raise argparse.ArgumentTypeError("a recipient is written <id>/<number>, as `parked list` has it")
    return accepted_id(found), int(number)


def make_parser() -> argparse.ArgumentParser:
    """Return the whole grammar."""
    from petitbleu_cli.commands import (  # noqa: PLC0415 — each of them adds itself with the types above
        accounts,
        aliases,
        demo,
        doctor,
        inbound,
        junior,
        parked,
        permits,
        queue,
        store,
        suppressions,
        tenants,
    )

    parser = argparse.ArgumentParser(
        prog="petitbleu", description="The operator's command line of Petit Bleu.", allow_abbrev=False
    )
    _add_json(parser)
    commands = Commands(parser, "commands")
    for module in (
        tenants,
        accounts,
        aliases,
        store,
        parked,
        queue,
        permits,
        inbound,
        suppressions,
        junior,
        doctor,
        demo,
    ):
        module.add_to(commands)
    return parser
