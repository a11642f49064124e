"""Tests of header and envelope: address, envelope, exists, header, size (RFC 5228 §5), with `:index` (RFC 5260 §6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call
from petitbleu_mail.sieve.matching import Match, make_match
from petitbleu_mail.sieve.texts import Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

T = TypeVar("T")

# RFC 5228 §5.1: only fields that hold addresses
ADDRESS_FIELDS: Final = frozenset(
    {
        "from", "to", "cc", "bcc", "sender", "reply-to", "resent-from", "resent-to", "resent-cc", "resent-bcc", "resent-sender",
        "resent-reply-to", "return-path", "delivered-to", "x-original-to", "mail-followup-to", "mail-reply-to",
        "disposition-notification-to", "return-receipt-to", "errors-to", "abuse-reports-to", "x-complaints-to", "x-report-abuse-to",
        "list-post", "approved", "envelope-to", "x-envelope-to", "apparently-to", "x-admin", "x-sender",
    }
)  # fmt: skip
# RFC 5322 §3.6.8
FIELD_NAME: Final = re.compile(r"[!-9;-~]+")
_QUOTED: Final = re.compile(r'"(.*)"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Index:
    """Which of several fields of one name counts (RFC 5260 §6): the `number`th from the top, or from the bottom."""

    number: int
    last: bool

    def pick(self, values: Sequence[T]) -> Sequence[T]:
        """Return the one value, or none."""
        at = len(values) - self.number if self.last else self.number - 1
        return values[at : at + 1] if 0 <= at < len(values) else []


def make_index(call: Call) -> Index | None:
    """Read `:index` and `:last`. Raises `SieveSyntaxError`."""
    number = call.tag_number("index")
    if number is None:
        if "last" in call.tags:
            raise call.fault(":last counts from the bottom, and needs an :index to say which field")
        return None
    if number < 1:
        raise call.fault(":index counts from 1")
    return Index(number, "last" in call.tags)


def check_field_names(call: Call, names: Sequence[Text]) -> None:
    """Refuse what can be no name of a header field (RFC 5228 §2.4.2.2). Raises `SieveSyntaxError`."""
    for name in names:
        value = name.constant
        if value is not None and not FIELD_NAME.fullmatch(value):
            raise call.fault(f"{value[:60]!r} can be no name of a header field", name.place)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of an address that counts (RFC 5228 §2.7.4, RFC 5233 §4)."""

    name: str

    def of(self, address: str) -> str | None:
        """Return this part of `local@domain`; None where there is none."""
        if self.name == "all":
            return address
        local, at, domain = address.rpartition("@")
        if not at:
            local, domain = domain, ""
        if self.name == "domain":
            return domain
        quoted = _QUOTED.fullmatch(local)
        if quoted is not None:
            local = _ESCAPE.sub(r"\1", quoted[1])
        if self.name == "localpart":
            return local
        user, plus, detail = local.partition("+")
        if self.name == "user":
            return user
        # RFC 5233 §4: without a separator there is no detail, and the test is false
        return detail if plus else None


def make_part(call: Call) -> Part:
    """Read the tag of an address part."""
    return Part(call.one_of("all", "localpart", "domain", "user", "detail") or "all")


@dataclass(frozen=True, slots=True)
class HeaderTest:
    """`header` (RFC 5228 §5.7)."""

    place: Place
    match: Match
    index: Index | None
    names: tuple[Text, ...]
    keys: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether a field's value matches."""
        values: list[str] = []
        for name in machine.expand_all(self.names):
            found = machine.header.values(name)
            machine.spend(1 + len(found))
            values += self.index.pick(found) if self.index else found
        return self.match.any(machine, values, self.keys)


@dataclass(frozen=True, slots=True)
class AddressTest:
    """`address` (RFC 5228 §5.1)."""

    place: Place
    match: Match
    part: Part
    index: Index | None
    names: tuple[Text, ...]
    keys: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether an address matches. Of what is no address, only the whole is compared."""
        values: list[str] = []
        for name in machine.expand_all(self.names):
            fields = machine.header.raw(name)
            for raw in self.index.pick(fields) if self.index else fields:
                machine.spend(1 + len(raw) // 2)
                for address in as_addresses(raw):
                    if "@" in address.email or self.part.name == "all":
                        value = self.part.of(address.email)
                        if value is not None:
                            values.append(value)
        return self.match.any(machine, values, self.keys)


@dataclass(frozen=True, slots=True)
class EnvelopeTest:
    """`envelope` (RFC 5228 §5.4)."""

    place: Place
    match: Match
    part: Part
    names: tuple[Text, ...]
    keys: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether an address of the envelope matches."""
        values: list[str] = []
        for name in machine.expand_all(self.names):
            given = {
                "from": machine.envelope.sender,
                "to": machine.envelope.original or machine.envelope.recipient,
            }.get(name.lower())
            if given is not None:
                # RFC 5228 §5.4: the null path is the empty string, whatever the part
                value = self.part.of(given) if given else ""
                if value is not None:
                    values.append(value)
        return self.match.any(machine, values, self.keys)


@dataclass(frozen=True, slots=True)
class ExistsTest:
    """`exists` (RFC 5228 §5.5)."""

    place: Place
    names: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether all the fields are there."""
        return all(machine.header.has(name) for name in machine.expand_all(self.names))


@dataclass(frozen=True, slots=True)
class SizeTest:
    """`size` (RFC 5228 §5.9)."""

    place: Place
    over: bool
    limit: int

    def check(self, machine: Machine) -> bool:
        """Whether the message is larger or smaller; one of exactly that size is neither."""
        return machine.message.size > self.limit if self.over else machine.message.size < self.limit


def make_header(call: Call) -> HeaderTest:
    """RFC 5228 §5.7."""
    check_field_names(call, call.texts(0))
    return HeaderTest(call.place, make_match(call), make_index(call), call.texts(0), call.texts(1))


def make_address(call: Call) -> AddressTest:
    """RFC 5228 §5.1."""
    for name in call.texts(0):
        value = name.constant
        if value is not None and value.lower() not in ADDRESS_FIELDS:
            raise call.fault(f"{value[:60]!r} is no header field that holds addresses", name.place)
    return AddressTest(call.place, make_match(call), make_part(call), make_index(call), call.texts(0), call.texts(1))


def make_envelope(call: Call) -> EnvelopeTest:
    """RFC 5228 §5.4."""
    for name in call.texts(0):
        value = name.constant
        if value is not None and value.lower() not in {"from", "to"}:
            raise call.fault(f"{value[:60]!r} is no part of the envelope; there are from and to", name.place)
    return EnvelopeTest(call.place, make_match(call), make_part(call), call.texts(0), call.texts(1))


def make_exists(call: Call) -> ExistsTest:
    """RFC 5228 §5.5."""
    check_field_names(call, call.texts(0))
    return ExistsTest(call.place, call.texts(0))


def make_size(call: Call) -> SizeTest:
    """RFC 5228 §5.9."""
    kind = call.one_of("over", "under")
    if kind is None:
        raise call.fault("size takes :over or :under, and a number")
    return SizeTest(call.place, kind == "over", call.number(0))
