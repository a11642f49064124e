"""`include`, `return` and `global` (RFC 6609)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petitbleu_mail.sieve.control import Returned
from petitbleu_mail.sieve.faults import Place, SieveSyntaxError
from petitbleu_mail.sieve.grammar import Call, TagSpec
from petitbleu_mail.sieve.texts import Variable
from petitbleu_mail.sieve.variables import variable_of

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine
    from petitbleu_mail.sieve.script import Script

INCLUDE_TAGS: Final = {
    "personal": TagSpec(group="place of scripts"),
    "global": TagSpec(group="place of scripts"),
    "once": TagSpec(),
    "optional": TagSpec(),
}
_MAX_NAME: Final = 512  # RFC 5804 §1.6


@dataclass(frozen=True, slots=True)
class Include:
    """`include` (RFC 6609 §3.2)."""

    place: Place
    name: str
    is_global: bool
    once: bool
    optional: bool

    def run(self, machine: Machine) -> None:
        """Run another script in this one's place."""
        key = (self.name, self.is_global)
        if self.once and key in machine.included:
            return
        if key in machine.including:
            raise machine.fail("the script includes itself")
        machine.inclusions += 1
        if machine.inclusions > machine.limits.includes or len(machine.including) >= machine.limits.include_depth:
            raise machine.fail("too many scripts are included")
        script = self._script(machine)
        if script is None:
            if self.optional:
                return
            raise machine.fail(f"there is no script {self.name[:60]!r} to include")
        machine.included.add(key)
        machine.including.append(key)
        # RFC 6609 §3.4: variables are of one script, unless it says that they are global
        outer = machine.variables, machine.global_names, machine.captured
        machine.variables, machine.global_names, machine.captured = {}, set(), []
        with suppress(Returned):
            machine.run(script.block)
        machine.variables, machine.global_names, machine.captured = outer
        machine.including.pop()

    def _script(self, machine: Machine) -> Script | None:
        try:
            return machine.around.script(self.name, self.is_global)
        except SieveSyntaxError:
            raise machine.fail(f"the script {self.name[:60]!r} to include has faults") from None


@dataclass(frozen=True, slots=True)
class Return:
    """`return` (RFC 6609 §3.3)."""

    place: Place

    def run(self, _machine: Machine, /) -> None:
        """End this script; the one that included it goes on."""
        raise Returned


@dataclass(frozen=True, slots=True)
class Global:
    """`global` (RFC 6609 §3.4.1)."""

    place: Place
    variables: tuple[Variable, ...]

    def run(self, machine: Machine) -> None:
        """Make names those of global variables."""
        for variable in self.variables:
            if variable.name in machine.variables:
                raise machine.fail(f"the variable {variable.name} is used before it is declared as global")
            machine.global_names.add(variable.name)


def make_include(call: Call) -> Include:
    """RFC 6609 §3.2: the name is known when the script is compiled."""
    text = call.text(0)
    name = call.constant(text, "the name of a script")
    if not name or len(name.encode()) > _MAX_NAME or "/" in name or not name.isprintable():
        raise call.fault("this can be no name of a script", text.place)
    call.resolve(name, "global" in call.tags)
    return Include(call.place, name, "global" in call.tags, "once" in call.tags, "optional" in call.tags)


def make_return(call: Call) -> Return:
    """RFC 6609 §3.3."""
    return Return(call.place)


def make_global(call: Call) -> Global:
    """RFC 6609 §3.4.1."""
    return Global(call.place, tuple(variable_of(call, text) for text in call.texts(0)))
