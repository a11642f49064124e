"""What the DNS says of the client itself: its reverse name (iprev, RFC 8601 §3), and the name it gave in HELO (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv6Address

import msgspec

from petitbleu_mail.addresses import AddressError, canonical_domain
from petitbleu_mail.auth.resolver import (
    NoSuchNameError,
    Resolver,
    TemporaryDnsError,
    addresses_of,
    askable,
    names_of_client,
    unmapped,
)

# RFC 8601 §3 asks for a limit; RFC 7208 §4.6.4 has this one
MAX_NAMES = 10


class IprevResult(Enum):
    """RFC 8601 §2.7.3."""

    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class IprevOutcome(msgspec.Struct, frozen=True):
    """The result, the client's address as it was taken (an IPv4-mapped one as IPv4), and the validated names."""

    result: IprevResult
    client: str
    names: tuple[str, ...] = ()


async def check_iprev(resolver: Resolver, client: IPv4Address | IPv6Address) -> IprevOutcome:
    """Check that a name of the client leads back to its address (RFC 8601 §3). Never raises; at most 11 queries."""
    client = unmapped(client)
    try:
        found = await names_of_client(resolver, client, MAX_NAMES)
    except NoSuchNameError:
        return IprevOutcome(IprevResult.PERMERROR, str(client))
    except TemporaryDnsError:
        return IprevOutcome(IprevResult.TEMPERROR, str(client))
    if found.validated:
        return IprevOutcome(IprevResult.PASS, str(client), found.validated)
    if found.uncertain:
        return IprevOutcome(IprevResult.TEMPERROR, str(client))
    return IprevOutcome(IprevResult.FAIL if found.names else IprevResult.PERMERROR, str(client))


class HeloForm(Enum):
    """What was given as a name."""

    NAME = "name"
    LITERAL = "literal"
    INVALID = "invalid"


class HeloOutcome(msgspec.Struct, frozen=True):
    """The form of a HELO name, whether it has addresses, and whether the client's is one; None where the DNS did not say.

    No ground for refusal by itself (RFC 5321 §4.1.4).
    """

    form: HeloForm
    resolves: bool | None
    matches: bool | None


async def check_helo_name(resolver: Resolver, client: IPv4Address | IPv6Address, helo: str) -> HeloOutcome:
    """Compare a HELO name or literal with the client. Never raises; at most 2 queries."""
    client = unmapped(client)
    try:
        name = canonical_domain(helo.removesuffix("."))
    except AddressError:
        return HeloOutcome(HeloForm.INVALID, resolves=False, matches=False)
    if name.startswith("["):  # RFC 5321 §4.1.3
        return HeloOutcome(HeloForm.LITERAL, resolves=False, matches=_literal(name) == client)
    # RFC 5321 §2.3.5: fully qualified; digits alone at its end are an address without brackets
    if "." not in name or name.rpartition(".")[2].isdigit() or not askable(name):
        return HeloOutcome(HeloForm.INVALID, resolves=False, matches=False)
    try:
        found = await addresses_of(resolver, name, client)
        # a name of the other family only is a name as well
        resolves = bool(found) or bool(await (resolver.aaaa(name) if client.version == 4 else resolver.a(name)))
    except NoSuchNameError:
        return HeloOutcome(HeloForm.NAME, resolves=False, matches=False)
    except TemporaryDnsError:
        return HeloOutcome(HeloForm.NAME, resolves=None, matches=None)
    return HeloOutcome(HeloForm.NAME, resolves, client in found)


def _literal(name: str) -> IPv4Address | IPv6Address:
    inner = name[1:-1]
    return unmapped(IPv6Address(inner[5:])) if inner.startswith("IPv6:") else IPv4Address(inner)
