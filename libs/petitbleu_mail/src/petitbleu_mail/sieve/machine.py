"""The evaluation of one script for one message: variables, costs, and what is wanted so far."""

from __future__ import annotations

from datetime import datetime

from petitbleu_mail.sieve.faults import Fault, Limits, Place, SieveRuntimeError
from petitbleu_mail.sieve.grammar import Block, Test
from petitbleu_mail.sieve.message import Envelope, HeaderView, MessageView
from petitbleu_mail.sieve.surroundings import Surroundings
from petitbleu_mail.sieve.texts import Text, Variable, expand
from petitbleu_mail.sieve.wishes import Wishes

_NODE_COST = 10


class Machine:
    """What commands and tests run on. `captured` are the match variables, `flags` the flags of RFC 5232 §2's internal variable."""

    def __init__(
        self, message: MessageView, envelope: Envelope, around: Surroundings, now: datetime, limits: Limits
    ) -> None:
        self.message = message
        self.header = HeaderView(message.fields())
        self.envelope = envelope
        self.around = around
        self.now = now
        self.limits = limits
        self.wishes = Wishes(self)
        self.cost = 0
        self.place = Place(1, 1)
        self.variables: dict[str, str] = {}
        self.global_variables: dict[str, str] = {}
        self.global_names: set[str] = set()
        """Local names that stand for global variables (RFC 6609 §3.4.1)."""
        self.captured: list[str] = []
        self.flags: list[str] = []
        self.included: set[tuple[str, bool]] = set()
        self.including: list[tuple[str, bool]] = []
        self.inclusions = 0

    def fail(self, reason: str) -> SieveRuntimeError:
        """Return the error that ends the evaluation here (RFC 5228 §2.10.6)."""
        return SieveRuntimeError(Fault(self.place, reason))

    def spend(self, cost: int) -> None:
        """Count what something costs. Raises `SieveRuntimeError` once it is too much."""
        self.cost += cost
        if self.cost > self.limits.cost:
            raise self.fail("the script takes too long for this message")

    def run(self, block: Block) -> None:
        """Run the commands of a block."""
        for command in block:
            self.place = command.place
            self.spend(_NODE_COST)
            command.run(self)

    def check(self, test: Test) -> bool:
        """Make a test."""
        self.place = test.place
        self.spend(_NODE_COST)
        return test.check(self)

    def expand(self, text: Text) -> str:
        """Return the value of a string (RFC 5229 §3)."""
        value = expand(text, self._lookup)
        if len(text.parts) > 1:
            self.spend(len(value) // 16)
            # RFC 5229 §6: a value that grows without bounds is cut
            value = value[: self.limits.variable_chars * 2]
        return value

    def expand_all(self, texts: tuple[Text, ...]) -> list[str]:
        """Return the values of a list of strings."""
        return [self.expand(text) for text in texts]

    def _lookup(self, variable: Variable) -> str:
        if variable.is_match:  # RFC 5229 §3.2: one that is not set is empty
            index = int(variable.name)
            return self.captured[index] if index < len(self.captured) else ""
        return self.variable(variable)

    def variable(self, variable: Variable) -> str:
        """Return a variable's value, empty when it has none (RFC 5229 §3)."""
        if variable.is_global or variable.name in self.global_names:
            return self.global_variables.get(variable.name, "")
        return self.variables.get(variable.name, "")

    def set_variable(self, variable: Variable, value: str) -> None:
        """Set a variable; what is too long is cut (RFC 5229 §4)."""
        shared = variable.is_global or variable.name in self.global_names
        known = self.global_variables if shared else self.variables
        if variable.name not in known and len(self.variables) + len(self.global_variables) >= self.limits.variables:
            raise self.fail(f"the script has more than {self.limits.variables} variables")
        self.spend(len(value) // 16)
        known[variable.name] = value[: self.limits.variable_chars]

    def is_listed(self, uri: str, value: str) -> bool:
        """Whether a value is in a list (RFC 6134 §2.2); a list that is not known ends the script (§2.6)."""
        self.spend(_NODE_COST)
        if not self.around.list_exists(uri):
            raise self.fail("the script names a list that does not exist")
        return self.around.list_contains(uri, value)
