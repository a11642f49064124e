"""The tree of a Sieve script (RFC 5228 §8.2): commands, tests, arguments, without regard to what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field

from petitbleu_mail.sieve.faults import LIMITS, Limits, SieveSyntaxError
from petitbleu_mail.sieve.lexer import Kind, Source, Token, tokens


@dataclass(frozen=True, slots=True)
class TagArgument:
    """A tag such as `:copy`; `name` is without the colon and in lower case."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class NumberArgument:
    """A number, its quantifier applied."""

    value: int
    at: int


@dataclass(frozen=True, slots=True)
class StringsArgument:
    """One string, or a list of them in brackets; `ats` are their offsets."""

    values: tuple[str, ...]
    ats: tuple[int, ...]
    bracketed: bool
    at: int


Argument = TagArgument | NumberArgument | StringsArgument


@dataclass(slots=True)
class Node:
    """A command or a test. `block` is None where a semicolon ends the command, and for a test."""

    name: str
    at: int
    arguments: list[Argument] = field(default_factory=list)
    tests: list[Node] = field(default_factory=list)
    listed: bool = False
    """Whether the tests stand in parentheses."""
    block: list[Node] | None = None


def parse(source: Source, limits: Limits = LIMITS) -> list[Node]:
    """Return the commands of a script. Raises `SieveSyntaxError` with the first fault."""
    return _Parser(source, limits).script()


class _Parser:
    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.tokens = tokens(source)
        self.index = 0
        self.nodes = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def script(self) -> list[Node]:
        commands = self._commands(0)
        if self.token.kind is not Kind.END:
            raise self._fault(
                "there is no block that this } could close" if self._is("}") else self._instead("a command")
            )
        return commands

    def _commands(self, depth: int) -> list[Node]:
        if depth > self.limits.nesting:
            raise self._fault(f"more than {self.limits.nesting} blocks stand within each other")
        commands = []
        while self.token.kind is Kind.NAME:
            commands.append(self._command(depth))
        return commands

    def _command(self, depth: int) -> Node:
        node = self._head(0)
        if self._is(";"):
            self.index += 1
            return node
        if not self._is("{"):
            raise self._fault(self._instead(f"a semicolon or a block behind {node.name}"))
        opening = self.token.at
        self.index += 1
        node.block = self._commands(depth + 1)
        if not self._is("}"):
            if self.token.kind is Kind.END:
                raise self.source.fault(opening, "the block that begins here has no }")
            raise self._fault(self._instead("a command or a }"))
        self.index += 1
        return node

    def _head(self, depth: int) -> Node:
        """Read a name, its arguments and its tests (RFC 5228 §8.2, `arguments`)."""
        if depth > self.limits.nesting:
            raise self._fault(f"more than {self.limits.nesting} tests stand within each other")
        self.nodes += 1
        if self.nodes > self.limits.nodes:
            raise self._fault(f"the script has more than {self.limits.nodes} commands and tests")
        node = Node(self.token.text, self.token.at)
        self.index += 1
        while (argument := self._argument()) is not None:
            node.arguments.append(argument)
        if self.token.kind is Kind.NAME:
            node.tests.append(self._head(depth + 1))
        elif self._is("("):
            node.listed = True
            self._test_list(node, depth)
        return node

    def _test_list(self, node: Node, depth: int) -> None:
        while True:
            self.index += 1
            if self.token.kind is not Kind.NAME:
                raise self._fault(self._instead("a test"))
            node.tests.append(self._head(depth + 1))
            if self._is(")"):
                self.index += 1
                return
            if not self._is(","):
                raise self._fault(self._instead("a comma or a )"))

    def _argument(self) -> Argument | None:
        kind, text, at = self.token
        if kind is Kind.TAG:
            self.index += 1
            return TagArgument(text, at)
        if kind is Kind.NUMBER:
            self.index += 1
            return NumberArgument(int(text), at)
        if kind is Kind.STRING:
            self.index += 1
            return StringsArgument((text,), (at,), bracketed=False, at=at)
        return self._string_list(at) if self._is("[") else None

    def _string_list(self, at: int) -> StringsArgument:
        found: list[Token] = []
        while True:
            self.index += 1
            if self.token.kind is not Kind.STRING:
                raise self._fault(self._instead("a string"))
            found.append(self.token)
            self.index += 1
            if self._is("]"):
                self.index += 1
                return StringsArgument(
                    tuple(one.text for one in found), tuple(one.at for one in found), bracketed=True, at=at
                )
            if not self._is(","):
                raise self._fault(self._instead("a comma or a ]"))

    def _is(self, mark: str) -> bool:
        return self.token.kind is Kind.MARK and self.token.text == mark

    def _instead(self, wanted: str) -> str:
        kind, text, _ = self.token
        here = {Kind.MARK: text, Kind.NAME: text, Kind.TAG: f":{text}"}.get(kind, kind.value)
        return f"{wanted} was expected, but here is {here}"

    def _fault(self, reason: str) -> SieveSyntaxError:
        return self.source.fault(self.token.at, reason)
