"""From the tree of a script to commands that can be run: arguments checked against what each command takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from petitbleu_mail.sieve.comparators import ALWAYS_KNOWN
from petitbleu_mail.sieve.control import If
from petitbleu_mail.sieve.faults import LIMITS, Fault, Limits, SieveSyntaxError
from petitbleu_mail.sieve.grammar import Block, Call, Command, Spec, Strings, TagSpec, Test, Tests, Value, Want
from petitbleu_mail.sieve.lexer import Source
from petitbleu_mail.sieve.syntax import Argument, Node, NumberArgument, StringsArgument, TagArgument
from petitbleu_mail.sieve.texts import TextError, make_text


@dataclass(frozen=True, slots=True)
class Catalog:
    """The commands, tests and extensions that scripts may have."""

    commands: Mapping[str, Spec]
    tests: Mapping[str, Spec]
    extensions: frozenset[str]


@dataclass(slots=True)
class Compiler:
    """Compiles one script. Faults of single commands are gathered in `faults`, in order, as many as the limits allow."""

    source: Source
    catalog: Catalog
    limits: Limits = LIMITS
    requires: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    includes: list[tuple[str, bool]] = field(default_factory=list)
    """Scripts to include, and whether each is a global one."""

    def script(self, nodes: list[Node]) -> Block:
        """Compile a whole script. Raises `SieveSyntaxError`."""
        start = 0
        for node in nodes:  # RFC 5228 §3.2: require stands before all else
            if node.name != "require":
                break
            self._gather(self._require, node)
            start += 1
        block = self._block(nodes[start:])
        if self.faults:
            raise SieveSyntaxError(tuple(self.faults[: self.limits.faults]))
        return block

    def _gather(self, work: Callable[[Node], object], node: Node) -> None:
        try:
            work(node)
        except SieveSyntaxError as error:
            self.faults.extend(error.faults)

    def _require(self, node: Node) -> None:
        only = node.arguments[0] if len(node.arguments) == 1 else None
        if not isinstance(only, StringsArgument) or node.tests or node.block is not None:
            raise self._fault(node.at, "require takes a string or a list of strings, and a semicolon")
        for name, at in zip(only.values, only.ats, strict=True):
            known = name in self.catalog.extensions or name.removeprefix("comparator-") in ALWAYS_KNOWN
            if not known:  # RFC 5228 §3.2
                self.faults.append(Fault(self.source.place(at), f"the extension {name[:60]!r} is not known here"))
            self.requires.add(name)
            if name == "vacation-seconds":  # RFC 6131 §2: which brings vacation with it
                self.requires.add("vacation")

    def _block(self, nodes: list[Node]) -> Block:
        found: list[Command] = []
        chain: If | None = None  # to which an elsif or else may belong
        for node in nodes:
            if len(self.faults) >= self.limits.faults:
                break
            try:
                if node.name in {"if", "elsif", "else"}:
                    chain = self._branch(node, chain, found)
                else:
                    chain = None
                    found.append(self._command(node))
            except SieveSyntaxError as error:
                self.faults.extend(error.faults)
                if node.name == "if":
                    chain = If(self.source.place(node.at))  # its elsif is no fault of its own
        return tuple(found)

    def _branch(self, node: Node, chain: If | None, found: list[Command]) -> If | None:
        """Compile a branch of an `if` (RFC 5228 §3.1)."""
        if node.name == "if":
            chain = If(self.source.place(node.at))
            found.append(chain)
        elif chain is None:
            raise self._fault(node.at, f"there is no if before this {node.name}")
        if node.arguments or node.block is None or len(node.tests) != (node.name != "else") or node.listed:
            wants = "a block" if node.name == "else" else "one test and a block"
            raise self._fault(node.at, f"{node.name} takes {wants}, and nothing else")
        test = self._test(node.tests[0]) if node.tests else None
        chain.branches.append((test, self._block(node.block)))
        return None if test is None else chain

    def _command(self, node: Node) -> Command:
        spec = self.catalog.commands.get(node.name)
        if spec is None:
            if node.name == "require":
                raise self._fault(node.at, "require must stand before all other commands")
            raise self._fault(node.at, self._unknown(node.name, "command", self.catalog.tests, "test"))
        if node.block is not None and not spec.block:
            raise self._fault(node.at, f"{node.name} takes no block, but a semicolon")
        return cast(Command, spec.make(self._call(node, spec)))

    def _test(self, node: Node) -> Test:
        spec = self.catalog.tests.get(node.name)
        if spec is None:
            raise self._fault(node.at, self._unknown(node.name, "test", self.catalog.commands, "command"))
        return cast(Test, spec.make(self._call(node, spec)))

    def _unknown(self, name: str, what: str, others: Mapping[str, Spec], other: str) -> str:
        return f"{name[:60]} is a {other}, no {what}" if name in others else f"there is no {what} {name[:60]!r}"

    def _call(self, node: Node, spec: Spec) -> Call:
        missing = [name for name in spec.needs if name not in self.requires]
        if missing:
            raise self._fault(node.at, f'{node.name} needs require "{missing[0]}" at the beginning of the script')
        tags, rest = self._tags(node, spec)
        values = self._positions(node, spec, rest)
        if spec.tests is Tests.NONE and node.tests:
            raise self._fault(node.tests[0].at, f"{node.name} takes no test")
        if spec.tests is Tests.ONE and (len(node.tests) != 1 or node.listed):
            raise self._fault(node.at, f"{node.name} takes one test")
        if spec.tests is Tests.MANY and not node.listed:
            raise self._fault(node.at, f"{node.name} takes a list of tests in parentheses")
        return Call(
            name=node.name,
            place=self.source.place(node.at),
            requires=frozenset(self.requires),
            limits=self.limits,
            values=values,
            tags=tags,
            tests=[self._test(test) for test in node.tests],
            block=self._block(node.block or []),
            resolve=lambda name, is_global: self.includes.append((name, is_global)),
        )

    def _tags(self, node: Node, spec: Spec) -> tuple[dict[str, Value | None], list[Argument]]:
        """Take the tagged arguments, which come first (RFC 5228 §2.6.2), off the others."""
        tags: dict[str, Value | None] = {}
        groups: dict[str, str] = {}
        waiting = list(node.arguments)
        while waiting and isinstance(tag := waiting[0], TagArgument):
            del waiting[0]
            rule = self._tag_rule(node, spec, tag)
            if tag.name in tags:
                raise self._fault(tag.at, f":{tag.name} stands here twice")
            if rule.group:
                if rule.group in groups:
                    raise self._fault(
                        tag.at,
                        f":{tag.name} and :{groups[rule.group]} cannot stand together: both are the {rule.group}",
                    )
                groups[rule.group] = tag.name
            tags[tag.name] = None
            if rule.wants is not None:
                if not waiting:
                    raise self._fault(tag.at, f"{rule.wants.value} must follow :{tag.name}")
                tags[tag.name] = self._value(waiting.pop(0), rule.wants, f":{tag.name}")
        late = next((one for one in waiting if isinstance(one, TagArgument)), None)
        if late is not None:
            self._tag_rule(node, spec, late)
            raise self._fault(late.at, f":{late.name} must stand before the arguments without a colon")
        return tags, waiting

    def _tag_rule(self, node: Node, spec: Spec, tag: TagArgument) -> TagSpec:
        rule = spec.tags.get(tag.name)
        if rule is None:
            raise self._fault(tag.at, f"{node.name} takes no :{tag.name[:60]}")
        if rule.needs and rule.needs not in self.requires:
            raise self._fault(tag.at, f':{tag.name} needs require "{rule.needs}" at the beginning of the script')
        return rule

    def _positions(self, node: Node, spec: Spec, given: list[Argument]) -> list[Value | None]:
        wants = list(spec.wants)
        left_out = spec.optional if spec.optional is not None and len(given) == len(wants) - 1 else None
        if left_out is not None:
            del wants[left_out]
        if len(given) != len(wants):
            few = ", ".join(want.value for want in wants) or "nothing"
            raise self._fault(node.at, f"{node.name} takes {few} here; the number of arguments does not fit")
        values: list[Value | None] = [
            self._value(argument, want, node.name) for argument, want in zip(given, wants, strict=True)
        ]
        if left_out is not None:
            values.insert(left_out, None)
        return values

    def _value(self, argument: Argument, want: Want, of: str) -> Value:
        if isinstance(argument, NumberArgument) and want is Want.NUMBER:
            return argument.value
        if isinstance(argument, StringsArgument) and want is not Want.NUMBER:
            if want is Want.STRING and argument.bracketed:
                raise self._fault(argument.at, f"{of} takes one string here, no list")
            texts = []
            for value, at in zip(argument.values, argument.ats, strict=True):
                try:
                    texts.append(
                        make_text(
                            value,
                            self.source.place(at),
                            encoded="encoded-character" in self.requires,
                            variables="variables" in self.requires,
                            namespaces=frozenset({"global."} if "include" in self.requires else ()),
                        )
                    )
                except TextError as error:
                    raise self._fault(at, str(error)) from None
            return Strings(tuple(texts), self.source.place(argument.at))
        raise self._fault(argument.at, f"{of} takes {want.value} here")

    def _fault(self, at: int, reason: str) -> SieveSyntaxError:
        return SieveSyntaxError((Fault(self.source.place(at), reason),))
