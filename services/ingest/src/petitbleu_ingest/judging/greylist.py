"""Greylisting (RFC 6647): mail of which nothing is authenticated is asked to come again, once for each triplet that is not known."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, Protocol

from petitbleu_ingest import metrics
from petitbleu_ingest.judging.findings import Findings, from_authenticated
from petitbleu_mail.auth.resolver import unmapped
from petitbleu_mail.auth.spf import SpfResult

# Senders of one house share a network: a repeat may come from another address of it (RFC 6647 §5)
_IPV4_BITS: Final = 24
_IPV6_BITS: Final = 64


class GreyBook(Protocol):
    """Remembers triplets."""

    async def wait(self, key: bytes) -> int | None:
        """Return the seconds until a triplet may pass, 0 when it does now; None where nothing is known. Never raises."""
        ...

    async def close(self) -> None:
        """End the connections."""
        ...


def unauthenticated(found: Findings) -> bool:
    """Whether nothing is authenticated: no SPF pass, no signature that holds, no author who is known."""
    passed = found.spf is not None and found.spf.result is SpfResult.PASS
    return not passed and not found.signers and not from_authenticated(found)


def network_of(client: IPv4Address | IPv6Address) -> str:
    """Return the network that a client stands for: /24 of IPv4, /64 of IPv6."""
    address = unmapped(client)
    bits = _IPV4_BITS if isinstance(address, IPv4Address) else _IPV6_BITS
    return str(ip_network((address, bits), strict=False))


class Greylist:
    """Greylisting at the final dot.

    Args:
        book: Where triplets are remembered.
        secret: Triplets are known by hashes under it alone.
        exempt: Networks that never wait.
    """

    def __init__(
        self, book: GreyBook, secret: bytes, exempt: Collection[IPv4Network | IPv6Network] = ()
    ) -> None:  # fmt: skip
        self._book = book
        self._key = sha256(b"petitbleu greylist v1" + secret).digest()
        self._exempt = exempt

    async def waits(
        self, found: Findings, client: IPv4Address | IPv6Address | None, mail_from: str, recipient: str
    ) -> bool:
        """Say whether a message must come again; `recipient` is its first. While nothing is known, none must."""
        if client is None or not unauthenticated(found):
            return False
        address = unmapped(client)
        if any(address in network for network in self._exempt):
            return False
        wait = await self._book.wait(self._hash(client, mail_from, recipient))
        metrics.greylisted.labels("unknown" if wait is None else "waits" if wait else "passes").inc()
        return bool(wait)

    async def close(self) -> None:
        """Remember nothing more."""
        await self._book.close()

    def _hash(self, client: IPv4Address | IPv6Address, mail_from: str, recipient: str) -> bytes:
        # RFC 6647 §5: client, sender and first recipient; the length of each in front, so that no two triplets look alike
        parts = [one.encode("utf-8", "replace") for one in (network_of(client), mail_from.lower(), recipient.lower())]
        told = b"".join([b"%d:%b" % (len(one), one) for one in parts])
        return hmac.digest(self._key, told, "sha256")
