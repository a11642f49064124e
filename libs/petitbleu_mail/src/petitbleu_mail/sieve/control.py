"""Control (RFC 5228 §3) and the tests that join others (§5.2, §5.3, §5.6, §5.8, §5.10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Block, Call, Test

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine


class Stopped(Exception):  # noqa: N818 - no error: how `stop` leaves all blocks
    """Raised by `stop`."""


class Returned(Exception):  # noqa: N818 - no error: how `return` leaves a script
    """Raised by `return`."""


@dataclass(slots=True)
class If:
    """`if` with its `elsif` and `else`, whose test is None (RFC 5228 §3.1)."""

    place: Place
    branches: list[tuple[Test | None, Block]] = field(default_factory=list)

    def run(self, machine: Machine) -> None:
        """Run the first branch whose test is true."""
        for test, block in self.branches:
            if test is None or machine.check(test):
                machine.run(block)
                return


@dataclass(frozen=True, slots=True)
class Stop:
    """`stop` (RFC 5228 §3.3)."""

    place: Place

    def run(self, _machine: Machine, /) -> None:
        """End the evaluation."""
        raise Stopped


@dataclass(frozen=True, slots=True)
class AllOf:
    """`allof` (RFC 5228 §5.2)."""

    place: Place
    tests: tuple[Test, ...]

    def check(self, machine: Machine) -> bool:
        """Whether all tests are true; those behind a false one are not made."""
        return all(machine.check(test) for test in self.tests)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`anyof` (RFC 5228 §5.3)."""

    place: Place
    tests: tuple[Test, ...]

    def check(self, machine: Machine) -> bool:
        """Whether one of the tests is true; those behind it are not made."""
        return any(machine.check(test) for test in self.tests)


@dataclass(frozen=True, slots=True)
class Not:
    """`not` (RFC 5228 §5.8)."""

    place: Place
    test: Test

    def check(self, machine: Machine) -> bool:
        """Whether the test is false."""
        return not machine.check(self.test)


@dataclass(frozen=True, slots=True)
class Constant:
    """`true` and `false` (RFC 5228 §5.10, §5.6)."""

    place: Place
    value: bool

    def check(self, _machine: Machine, /) -> bool:
        """Whether it is true."""
        return self.value


def make_stop(call: Call) -> Stop:
    """RFC 5228 §3.3."""
    return Stop(call.place)


def make_allof(call: Call) -> AllOf:
    """RFC 5228 §5.2."""
    return AllOf(call.place, tuple(call.tests))


def make_anyof(call: Call) -> AnyOf:
    """RFC 5228 §5.3."""
    return AnyOf(call.place, tuple(call.tests))


def make_not(call: Call) -> Not:
    """RFC 5228 §5.8."""
    return Not(call.place, call.tests[0])


def make_constant(call: Call) -> Constant:
    """RFC 5228 §5.6, §5.10."""
    return Constant(call.place, call.name == "true")
