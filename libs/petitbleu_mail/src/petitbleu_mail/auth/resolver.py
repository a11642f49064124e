"""What evaluation asks of the DNS: a small port, the two ways in which an answer can fail to come, and names fit to be asked for.

An answer without records (NODATA) is an empty tuple. Time limits, caching and the number of queries are the implementation's;
what is evaluated here bounds its queries by itself (RFC 7208 §4.6.4, RFC 9989 §4.10).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, Protocol

from petitbleu_mail.addresses import AddressError, canonical_domain

# RFC 1035 §2.3.4, as text without the final dot
MAX_NAME = 253
# What can be asked for: labels of ASCII without controls. SPF looks up names that no host may have (RFC 7208 §4.3, §7.1).
_LABELS = re.compile(r"[ -\-/-~]{1,63}+(?:\.[ -\-/-~]{1,63}+)*+")


class TemporaryDnsError(Exception):
    """No answer for now: time-out, SERVFAIL, refusal, or a limit of the resolver."""


class NoSuchNameError(Exception):
    """The name does not exist, nor does anything below it: NXDOMAIN (RFC 8020 §2)."""


class MailExchanger(NamedTuple):
    """One MX record (RFC 1035 §3.3.9); the exchange of a null MX is "" (RFC 7505 §3)."""

    preference: int
    exchange: str


class Resolver(Protocol):
    """Answers look-ups; names are ASCII, without a final dot, and `askable`. CNAMEs are followed (RFC 1034 §3.6.2).

    Each raises `NoSuchNameError` or `TemporaryDnsError`.
    """

    async def txt(self, name: str) -> tuple[bytes, ...]:
        """The TXT records, each with its character-strings joined without anything between them (RFC 7208 §3.3)."""

    async def a(self, name: str) -> tuple[IPv4Address, ...]:
        """The A records."""

    async def aaaa(self, name: str) -> tuple[IPv6Address, ...]:
        """The AAAA records."""

    async def mx(self, name: str) -> tuple[MailExchanger, ...]:
        """The MX records, the most preferred first."""

    async def ptr(self, address: IPv4Address | IPv6Address) -> tuple[str, ...]:
        """The names of an address, without final dots (RFC 1035 §3.5, RFC 3596 §2.5)."""


def askable(name: str) -> bool:
    """Whether a name can be put into a query at all (RFC 1035 §2.3.4); one that cannot is taken as one that does not exist."""
    return len(name) <= MAX_NAME and _LABELS.fullmatch(name) is not None


def ascii_domain(domain: str) -> str:
    """Return a domain in lower case and A-labels (RFC 8616 §4); what is none comes back such that nothing is asked for it."""
    name = domain.removesuffix(".")
    try:
        return canonical_domain(name)
    except AddressError:
        return name.lower() if name.isascii() else ""


async def addresses_of(
    resolver: Resolver, name: str, client: IPv4Address | IPv6Address
) -> tuple[IPv4Address | IPv6Address, ...]:
    """Look up the addresses of a name in the client's family (RFC 7208 §5.3). Raises what the resolver does."""
    if client.version == 4:
        return await resolver.a(name)
    return await resolver.aaaa(name)


def unmapped(client: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address of an IPv4-mapped one (RFC 7208 §5), any other as it is."""
    mapped = client.ipv4_mapped if isinstance(client, IPv6Address) else None
    return client if mapped is None else mapped


class ClientNames(NamedTuple):
    """The names of an address: those that were looked at, those of them that lead back to it, and whether one could not be asked."""

    names: tuple[str, ...]
    validated: tuple[str, ...]
    uncertain: bool


async def names_of_client(resolver: Resolver, client: IPv4Address | IPv6Address, most: int) -> ClientNames:
    """Look at the first `most` names of an address (RFC 7208 §5.5, RFC 8601 §3), by 1 + `most` queries at most.

    Raises what the look-up of the PTR records raises; where that of a name's addresses fails, the name is skipped.
    """
    found = [name.lower() for name in await resolver.ptr(client)]
    names = [name for name in dict.fromkeys(found) if askable(name)][:most]
    good = []
    uncertain = False
    for name in names:
        try:
            if client in await addresses_of(resolver, name, client):
                good.append(name)
        except NoSuchNameError:
            continue
        except TemporaryDnsError:
            uncertain = True
    return ClientNames(tuple(names), tuple(good), uncertain)
