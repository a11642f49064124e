"""Which addresses and URLs a service may go to when a person named them: pure rules, no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import quote, urlsplit

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_URL: Final = 4096
"""Characters of a URL; RFC 9110 §4.1 asks for at least 8,000 of servers, and nobody who is asked to fetch owes more than this."""

# The IANA special-purpose registry (RFC 6890) but what is globally reachable, multicast, the reserved class E, and Azure's
# metadata server, which alone among those of the clouds stands at a public address.
_REFUSED_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
    )
)  # fmt: skip
_GLOBAL_UNICAST: Final = IPv6Network(
    "2000::/3"
)  # RFC 4291 §2.4; what is mapped, translated (NAT64) or local is outside
# protocol assignments (Teredo, ORCHID, benchmarks), documentation, 6to4, documentation (RFC 9637)
_REFUSED_V6: Final = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214 §6.1: an IPv4 address inside, of any kind
_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_SAFE: Final = "%/:;=?@!$&'()*+,~-._[]|"


class Refusal(StrEnum):
    """Why nothing was fetched, or not all of it."""

    URL = "url"
    ADDRESS = "address"
    PORT = "port"
    REDIRECTS = "redirects"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TOO_LARGE = "too large"
    PROTOCOL = "protocol"


class EgressError(Exception):
    """The guard did not let it through, or the other side did not answer well; the text is a `Refusal` and names nobody."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class EgressRules:
    """Where a service may go.

    Attributes:
        allow: Networks that are open although they are not public, at any port; for tests and an operator's own services.
        refuse: Networks that are closed although they are public, such as the operator's own; `allow` goes first.
        ports: Ports that may be asked for.
    """

    allow: tuple[Network, ...] = ()
    refuse: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({80, 443})

    def check(self, address: Address, port: int) -> None:
        """Let an address and port pass.

        Raises:
            EgressError: ADDRESS or PORT.
        """
        if any(address in network for network in self.allow):
            return
        if not is_public(address) or any(address in network for network in self.refuse):
            raise EgressError(Refusal.ADDRESS)
        if port not in self.ports:
            raise EgressError(Refusal.PORT)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was read: where to connect (`host`, `port`), and what to ask for there (`path`, with its query)."""

    secure: bool
    host: str
    port: int
    path: bytes

    @property
    def origin(self) -> str:
        """The origin (RFC 6454 §6.2), without a default port."""
        scheme, default = ("https", 443) if self.secure else ("http", 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}" if self.port == default else f"{scheme}://{host}:{self.port}"


def networks(text: str) -> tuple[Network, ...]:
    """Read `cidr,cidr…`.

    Raises:
        ValueError: one is no network.
    """
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


def is_public(address: Address) -> bool:
    """Whether it is an address of one host on the public Internet, and holds no other address inside."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if address not in _GLOBAL_UNICAST or address.scope_id is not None:
        return False
    if any(address in network for network in _REFUSED_V6):
        return False
    return (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP


def literal(host: str) -> Address | None:
    """Return the address that a host is written as, None for a name; only the canonical spellings count."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def public_addresses(found: Sequence[str], rules: EgressRules, port: int) -> list[Address]:
    """Return those of a name's addresses that may be gone to, in their order.

    Raises:
        EgressError: none may; the first one's reason.
    """
    passed = []
    reason: EgressError | None = None
    for text in found:
        address = literal(text)
        if address is None:
            reason = reason or EgressError(Refusal.ADDRESS)
            continue
        try:
            rules.check(address, port)
        except EgressError as error:
            reason = reason or error
        else:
            passed.append(address)
    if not passed:
        raise reason or EgressError(Refusal.UNREACHABLE)
    return passed


def read_url(url: str, *, http: bool) -> Target:
    """Read a URL that a person gave.

    Args:
        url: The URL.
        http: Whether `http:` may be gone to; else `https:` only.

    Raises:
        EgressError: URL, when it is no absolute one of those, holds a user name or a password, a host in an odd spelling
            (numbers that are no dotted quad, escapes), or control characters.
    """
    if len(url) > MAX_URL or _FORBIDDEN.search(url):
        raise EgressError(Refusal.URL)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        raise EgressError(Refusal.URL) from None
    secure = parts.scheme == "https"
    if not (secure or (http and parts.scheme == "http")) or "@" in parts.netloc or port == 0:
        raise EgressError(Refusal.URL)
    path = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path += f"?{quote(parts.query, safe=_SAFE)}"
    return Target(secure, _host(host, bracketed="[" in parts.netloc), port or (443 if secure else 80), path.encode())


def _host(host: str, *, bracketed: bool) -> str:
    if bracketed:
        address = literal(host)
        if not isinstance(address, IPv6Address) or address.scope_id is not None:
            raise EgressError(Refusal.URL)
        return str(address)
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise EgressError(Refusal.URL) from None
    name = host.lower().removesuffix(".")
    if not _HOST.fullmatch(name):
        raise EgressError(Refusal.URL)
    # what ends in a number is an address to many resolvers: 127.1, 0x7f000001, 017700000001
    if _NUMBER.fullmatch(name.rpartition(".")[2]) and literal(name) is None:
        raise EgressError(Refusal.URL)
    return name
