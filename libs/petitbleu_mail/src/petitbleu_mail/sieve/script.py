"""A script: compiled once, evaluated for each message. Both are pure; `Outcome` says what is wanted, delivery does it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from petitbleu_mail.sieve.actions import Action, Keep, Remember
from petitbleu_mail.sieve.catalog import CATALOG
from petitbleu_mail.sieve.compiler import Catalog, Compiler
from petitbleu_mail.sieve.control import Returned, Stopped
from petitbleu_mail.sieve.faults import LIMITS, Fault, Limits, SieveRuntimeError
from petitbleu_mail.sieve.grammar import Block
from petitbleu_mail.sieve.lexer import read_source
from petitbleu_mail.sieve.machine import Machine
from petitbleu_mail.sieve.message import Envelope, MessageView
from petitbleu_mail.sieve.surroundings import NoSurroundings, Surroundings
from petitbleu_mail.sieve.syntax import parse


@dataclass(frozen=True, slots=True)
class Script:
    """A compiled script. It holds nothing of any message, so one serves many at a time."""

    block: Block
    requires: frozenset[str]
    includes: tuple[tuple[str, bool], ...] = ()
    """The names of scripts that it may include, and whether each is a global one (RFC 6609 §3.2)."""


class Outcome(NamedTuple):
    """What a script wants.

    `fault` is why the implicit keep took the place of all else (RFC 5228 §2.10.6). `remember` is to be recorded once the actions
    are done (RFC 7352 §3.1). `cost` is in the units of `Limits.cost`.
    """

    actions: tuple[Action, ...]
    fault: Fault | None = None
    remember: tuple[Remember, ...] = ()
    cost: int = 0


def compile_script(script: str | bytes, *, limits: Limits = LIMITS, catalog: Catalog = CATALOG) -> Script:
    """Compile a script. Raises `SieveSyntaxError` with the place and reason of each fault."""
    source = read_source(script, limits)
    compiler = Compiler(source, catalog, limits)
    block = compiler.script(parse(source, limits))
    return Script(block, frozenset(compiler.requires), tuple(dict.fromkeys(compiler.includes)))


def evaluate(
    script: Script,
    message: MessageView,
    envelope: Envelope,
    *,
    around: Surroundings | None = None,
    now: datetime | None = None,
    limits: Limits = LIMITS,
) -> Outcome:
    """Evaluate a script for a message. Raises nothing but what `around` raises; `now` is aware of its zone, by default UTC's."""
    machine = Machine(message, envelope, around or NoSurroundings(), now or datetime.now(UTC), limits)
    try:
        with suppress(Stopped, Returned):
            machine.run(script.block)
        flags = machine.flags if "imap4flags" in script.requires or machine.flags else None
        actions = machine.wishes.finish(flags)
    except SieveRuntimeError as error:
        # RFC 5228 §2.10.6: as nothing was done yet, nothing of the script remains
        return Outcome((Keep(),), error.fault, cost=machine.cost)
    return Outcome(actions, None, tuple(machine.wishes.remember), machine.cost)
