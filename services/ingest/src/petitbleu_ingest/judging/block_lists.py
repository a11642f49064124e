"""Block lists in the DNS (RFC 5782): whether one of those that the operator chose has the client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Final

from petitbleu_mail.auth.resolver import NoSuchNameError, Resolver, TemporaryDnsError, unmapped

# RFC 5782 §2.1: answers are in 127.0.0.0/8; others are of a list that is gone, and sold to somebody
_ANSWERS: Final = IPv4Network("127.0.0.0/8")
# what lists say to those that they do not serve
_ERRORS: Final = IPv4Network("127.255.255.0/24")


def list_name(client: IPv4Address | IPv6Address, zone: str) -> str:
    """Return the name that a list is asked for (RFC 5782 §2.1, §2.4)."""
    return f"{unmapped(client).reverse_pointer.rpartition('.')[0].rpartition('.')[0]}.{zone}"


async def listed_by(resolver: Resolver, client: IPv4Address | IPv6Address, zones: Sequence[str]) -> tuple[str, ...]:
    """Return the zones that have the client; one that does not answer has it not. Never raises; a query a zone."""
    answers = await asyncio.gather(*[_has(resolver, list_name(client, zone)) for zone in zones])
    return tuple([zone for zone, has in zip(zones, answers, strict=True) if has])


async def _has(resolver: Resolver, name: str) -> bool:
    try:
        found = await resolver.a(name)
    except (NoSuchNameError, TemporaryDnsError):
        return False
    return any(one in _ANSWERS and one not in _ERRORS for one in found)
