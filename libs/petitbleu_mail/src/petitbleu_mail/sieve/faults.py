"""What can be wrong with a Sieve script, told with its place and in words for the person who wrote it; and the bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple


class Place(NamedTuple):
    """Where something stands in a script; both count from 1, columns in characters."""

    line: int
    column: int


class Fault(NamedTuple):
    """One thing that is wrong. `reason` may quote the script, so it is for its owner and never for a log."""

    place: Place
    reason: str

    def __str__(self) -> str:
        return f"line {self.place.line}, column {self.place.column}: {self.reason}"


class SieveError(ValueError):
    """Raised for a script that cannot be compiled or carried on with."""


class SieveSyntaxError(SieveError):
    """A script that does not compile (RFC 5228 §2.10.5 has it refused before it is active); `faults` in their order."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


class SieveRuntimeError(SieveError):
    """A script that cannot go on with this message: the implicit keep takes its place (RFC 5228 §2.10.6)."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Limits:
    """What a script may take. Beyond a limit at compile time it is refused, at run time the message is kept.

    `cost` is in units of about 100 ns of one core of 2024: ten for each command and test, the rest for what is compared.
    """

    script_octets: int = 131_072
    nesting: int = 32
    """Blocks within each other, and tests within each other; RFC 5228 §2.10.5 wants at least 15 for both."""
    nodes: int = 4_096
    """Commands and tests of one script."""
    faults: int = 20
    """Faults that are told of one script."""
    actions: int = 32
    redirects: int = 4
    """RFC 5228 §10 wants such a limit; mail loops multiply by it."""
    notifications: int = 4
    edits: int = 64
    """Header fields added and removed (RFC 5293)."""
    cost: int = 5_000_000
    variables: int = 256
    """RFC 5229 §6 wants at least 128."""
    variable_name: int = 64
    """RFC 5229 §6 wants at least 32."""
    variable_chars: int = 8_192
    """RFC 5229 §6 wants at least 4,000; what is longer is cut (RFC 5229 §4)."""
    flags: int = 100
    """IMAP keywords of one message."""
    includes: int = 30
    """Scripts that one evaluation takes in (RFC 6609 §3.1)."""
    include_depth: int = 10
    """RFC 6609 §3.1 wants at least 3."""


LIMITS: Final = Limits()
