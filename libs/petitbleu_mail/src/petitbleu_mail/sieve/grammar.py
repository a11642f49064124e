"""What commands and tests look like: their arguments, the extensions that they need, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from petitbleu_mail.sieve.faults import Fault, Limits, Place, SieveSyntaxError
from petitbleu_mail.sieve.texts import Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine


class Command(Protocol):
    """A command, ready to be run."""

    @property
    def place(self) -> Place:
        """Where it stands."""

    def run(self, machine: Machine, /) -> None:
        """Do what the command says. Raises `SieveRuntimeError`."""


class Test(Protocol):
    """A test, ready to be made."""

    @property
    def place(self) -> Place:
        """Where it stands."""

    def check(self, machine: Machine, /) -> bool:
        """Make the test. Raises `SieveRuntimeError`."""


Block = tuple[Command, ...]


class Want(Enum):
    """What an argument must be, as a fault calls it."""

    NUMBER = "a number"
    STRING = "a string"
    STRINGS = "a string or a list of strings"


@dataclass(frozen=True, slots=True)
class Strings:
    """One string or several, as an argument."""

    texts: tuple[Text, ...]
    place: Place


Value = int | Strings


@dataclass(frozen=True, slots=True)
class TagSpec:
    """A tag: the argument behind it, the group of which a command has but one, the extension that it needs."""

    wants: Want | None = None
    group: str = ""
    needs: str = ""


class Tests(Enum):
    """How many tests a command or test has."""

    NONE = 0
    ONE = 1
    MANY = 2


@dataclass(frozen=True, slots=True)
class Spec:
    """A command or test. `optional` are the positions, counted in `wants`, that may be left out."""

    make: Callable[[Call], Command] | Callable[[Call], Test]
    wants: tuple[Want, ...] = ()
    optional: int | None = None
    tags: Mapping[str, TagSpec] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    tests: Tests = Tests.NONE
    block: bool = False


@dataclass(slots=True)
class Call:
    """A command or test of a script with its arguments, known to fit its `Spec`. Values of left-out positions are None."""

    name: str
    place: Place
    requires: frozenset[str]
    limits: Limits
    values: list[Value | None]
    tags: dict[str, Value | None]
    tests: list[Test]
    block: Block
    resolve: Callable[[str, bool], object]
    """Tells the compiler of a script to include, and whether it is a global one."""

    def number(self, index: int) -> int:
        """Return a position's number; the spec says that it is one."""
        value = self.values[index]
        return value if isinstance(value, int) else 0

    def text(self, index: int) -> Text:
        """Return a position's string."""
        return self.texts(index)[0]

    def texts(self, index: int) -> tuple[Text, ...]:
        """Return a position's strings, none for one that is left out."""
        value = self.values[index]
        return value.texts if isinstance(value, Strings) else ()

    def has(self, index: int) -> bool:
        """Whether a position that may be left out is there."""
        return self.values[index] is not None

    def tag_number(self, tag: str) -> int | None:
        """Return the number behind a tag, None when the tag is not there."""
        value = self.tags.get(tag)
        return value if isinstance(value, int) else None

    def tag_texts(self, tag: str) -> tuple[Text, ...] | None:
        """Return the strings behind a tag, None when the tag is not there."""
        value = self.tags.get(tag)
        return value.texts if isinstance(value, Strings) else None

    def tag_text(self, tag: str) -> Text | None:
        """Return the string behind a tag, None when the tag is not there."""
        texts = self.tag_texts(tag)
        return texts[0] if texts else None

    def one_of(self, *tags: str) -> str | None:
        """Return which of several tags is there, in the order given."""
        return next((tag for tag in tags if tag in self.tags), None)

    def constant(self, text: Text, what: str) -> str:
        """Return the value of a string that may have no variables."""
        value = text.constant
        if value is None:
            raise self.fault(f"{what} must be given as it is, without variables", text.place)
        return value

    def fault(self, reason: str, place: Place | None = None) -> SieveSyntaxError:
        """Return the error to raise for this command or test."""
        return SieveSyntaxError((Fault(place or self.place, reason),))


MATCH_TAGS = {
    "comparator": TagSpec(Want.STRING),
    "is": TagSpec(group="match type"),
    "contains": TagSpec(group="match type"),
    "matches": TagSpec(group="match type"),
    "count": TagSpec(Want.STRING, group="match type", needs="relational"),
    "value": TagSpec(Want.STRING, group="match type", needs="relational"),
    "list": TagSpec(group="match type", needs="extlists"),
}
"""RFC 5228 §2.7, RFC 5231 §4, RFC 6134 §2.2."""

ADDRESS_TAGS = {
    "all": TagSpec(group="address part"),
    "localpart": TagSpec(group="address part"),
    "domain": TagSpec(group="address part"),
    "user": TagSpec(group="address part", needs="subaddress"),
    "detail": TagSpec(group="address part", needs="subaddress"),
}
"""RFC 5228 §2.7.4, RFC 5233 §4."""

INDEX_TAGS = {"index": TagSpec(Want.NUMBER, needs="index"), "last": TagSpec(needs="index")}
"""RFC 5260 §6."""
