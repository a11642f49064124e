"""The record of SPF: found among the TXT records of a name, and parsed whole, so that an error anywhere is found (RFC 7208 §4.5, §4.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec

from petitbleu_mail.auth.macros import MacroError, MacroString, parse_domain_spec, parse_macro_string

# Octets of one record. RFC 7208 §3.4 asks senders to stay below 450; the longest of flattened records have some 4,000.
MAX_RECORD = 8192

_VERSION = re.compile(rb"(?i)v=spf1(?: |\Z)")
# RFC 7208 §4.6.1: the sign right behind the name decides; name and macro-string of a modifier
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._-]*+)=(.*+)")
_DIRECTIVE = re.compile(r"([+?~-]?)(all|include|ip4|ip6|a|mx|ptr|exists)((?:[:/].*)?)", re.IGNORECASE)
# RFC 7208 §5.3, §5.6: dual-cidr-length at the end of a term; no leading zeros
_DUAL_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_CIDR = re.compile(r"([^/]++)(?:/(0|[1-9][0-9]{0,2}))?")


class SpfSyntaxError(ValueError):
    """A record against the grammar: the result is "permerror" (RFC 7208 §4.6)."""


class Directive(msgspec.Struct, frozen=True):
    """A mechanism and its qualifier, one of `+-~?`.

    `domain` is its domain-spec, None for the current domain; `network` is of ip4 and ip6 only; `cidr4` and `cidr6` are the
    prefix lengths of a and mx.
    """

    qualifier: str
    mechanism: str
    domain: MacroString | None = None
    network: IPv4Network | IPv6Network | None = None
    cidr4: int = 32
    cidr6: int = 128

    def covers(self, found: IPv4Address | IPv6Address, client: IPv4Address | IPv6Address) -> bool:
        """Whether an address that was found is the client's, as far as the prefix length goes (RFC 7208 §5.3)."""
        if found.version != client.version:
            return False
        unlike = 32 - self.cidr4 if client.version == 4 else 128 - self.cidr6
        return int(found) >> unlike == int(client) >> unlike


class SpfRecord(msgspec.Struct, frozen=True):
    """A record without an error in it."""

    directives: tuple[Directive, ...]
    redirect: MacroString | None = None
    explanation: MacroString | None = None


def select_records(records: Iterable[bytes]) -> list[bytes]:
    """Return those TXT records that are of SPF (RFC 7208 §4.5); only a single one can be used."""
    return [record for record in records if _VERSION.match(record)]


def parse_record(raw: bytes) -> SpfRecord:
    """Parse a record that begins with its version (RFC 7208 §4.6, §12). Raises `SpfSyntaxError`."""
    if len(raw) > MAX_RECORD:
        raise SpfSyntaxError("record too long")
    if not raw.isascii():  # RFC 7208 §3.1
        raise SpfSyntaxError("record is not ASCII")
    if not _VERSION.match(raw):
        raise SpfSyntaxError("no version")
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in raw.decode("ascii").split(" ")[1:]:  # RFC 7208 §4.6.1: between terms are spaces and nothing else
        if not term:
            continue
        try:
            modifier = _MODIFIER.fullmatch(term)
            if modifier is None:
                directives.append(_directive(term))
            else:
                _modifier(modifiers, modifier[1].lower(), modifier[2])
        except MacroError as error:
            raise SpfSyntaxError(str(error)) from None
    return SpfRecord(tuple(directives), modifiers.get("redirect"), modifiers.get("exp"))


def _modifier(modifiers: dict[str, MacroString], name: str, value: str) -> None:
    if name not in {"redirect", "exp"}:
        parse_macro_string(
            value, explanation=False
        )  # RFC 7208 §6: what is not known is ignored, once it is well-formed
        return
    if name in modifiers:  # RFC 7208 §6
        raise SpfSyntaxError("modifier twice")
    modifiers[name] = parse_domain_spec(value)


def _directive(term: str) -> Directive:
    found = _DIRECTIVE.fullmatch(term)
    if found is None:
        raise SpfSyntaxError("unknown mechanism")
    qualifier, mechanism, argument = found[1] or "+", found[2].lower(), found[3]
    if mechanism == "all":  # RFC 7208 §5.1
        if argument:
            raise SpfSyntaxError("all takes no argument")
        return Directive(qualifier, mechanism)
    if mechanism in {"ip4", "ip6"}:
        return Directive(qualifier, mechanism, network=_network(mechanism, argument))
    if mechanism in {"a", "mx"}:
        return _with_cidr(qualifier, mechanism, argument)
    if not argument and mechanism == "ptr":  # RFC 7208 §5.5: of include and exists the domain-spec is no option
        return Directive(qualifier, mechanism)
    if not argument.startswith(":"):
        raise SpfSyntaxError("no domain-spec")
    return Directive(qualifier, mechanism, parse_domain_spec(argument[1:]))


def _with_cidr(qualifier: str, mechanism: str, argument: str) -> Directive:
    """Read what stands behind `a` and `mx`: a domain-spec and a dual-cidr-length, both optional (RFC 7208 §5.3, §5.4)."""
    at = len(argument)
    cidr4, cidr6 = 32, 128
    slash = argument.find("/", max(argument.rfind("."), argument.rfind("}"), argument.rfind("%")) + 1)
    if slash >= 0:
        found = _DUAL_CIDR.match(argument, slash)
        if found is None or found.end() == slash:
            raise SpfSyntaxError("bad prefix length")
        at = slash
        cidr4, cidr6 = int(found[1] or 32), int(found[2] or 128)
        if cidr4 > 32 or cidr6 > 128:
            raise SpfSyntaxError("bad prefix length")
    if not argument[:at]:
        return Directive(qualifier, mechanism, None, None, cidr4, cidr6)
    if argument[0] != ":":
        raise SpfSyntaxError("no domain-spec")
    return Directive(qualifier, mechanism, parse_domain_spec(argument[1:at]), None, cidr4, cidr6)


def _network(mechanism: str, argument: str) -> IPv4Network | IPv6Network:
    """Read the network of `ip4` and `ip6` (RFC 7208 §5.6)."""
    found = _CIDR.fullmatch(argument[1:])
    if found is None or argument[0] != ":" or "%" in argument:  # a zone index is of one host only
        raise SpfSyntaxError("bad network")
    try:
        if mechanism == "ip4":
            return IPv4Network((IPv4Address(found[1]), int(found[2] or 32)), strict=False)
        return IPv6Network((IPv6Address(found[1]), int(found[2] or 128)), strict=False)
    except ValueError:
        raise SpfSyntaxError("bad network") from None
