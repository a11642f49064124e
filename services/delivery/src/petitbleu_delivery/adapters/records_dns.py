"""The DNS as the records of hosted domains are looked at: always fresh, every question with an end."""

from __future__ import annotations

import asyncio
import contextlib
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdatatype import RdataType

from petitbleu_delivery.domain.records_client import Service
from petitbleu_delivery.domain.records_transport import Association
from petitbleu_kit.egress_names import server_of
from petitbleu_mail.auth.resolver import MailExchanger, NoSuchNameError, TemporaryDnsError, askable

# RFC 9715 §3.1: largest answer by UDP; a longer one comes by TCP
_UDP_OCTETS: Final = 1232
_TRY_SECONDS: Final = 2.0
_SECONDS: Final = 5.0
_AT_ONCE: Final = 32


class RecordLookups:
    """Asks a resolver (`address:port`, the machine's own when empty); implements `petitbleu_mail.auth.resolver.Resolver`.

    Each question raises `NoSuchNameError` or `TemporaryDnsError`.
    """

    def __init__(self, server: str = "") -> None:
        self._resolver = _made(server)
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, name: str, kind: RdataType) -> tuple[list[Any], bool]:
        """Return the records of a name, and whether the resolver says that DNSSEC proves them (RFC 4035 §3.2.3)."""
        if not askable(name):
            raise NoSuchNameError
        absolute = dns.name.Name([*[label.encode("ascii") for label in name.lower().split(".")], b""])
        try:
            async with self._turns, asyncio.timeout(_SECONDS):
                answer = await self._resolver.resolve(
                    absolute, kind, raise_on_no_answer=False, search=False, backend=self._backend
                )
        except dns.resolver.NXDOMAIN:
            raise NoSuchNameError from None
        except (dns.exception.DNSException, OSError, ValueError, TimeoutError):
            raise TemporaryDnsError from None
        return list(answer.rrset or ()), bool(answer.response.flags & dns.flags.AD)

    async def txt(self, name: str) -> tuple[bytes, ...]:
        """The TXT records."""
        return tuple(b"".join(rdata.strings) for rdata in (await self.ask(name, dns.rdatatype.TXT))[0])

    async def a(self, name: str) -> tuple[IPv4Address, ...]:
        """The A records."""
        return tuple(IPv4Address(rdata.address) for rdata in (await self.ask(name, dns.rdatatype.A))[0])

    async def aaaa(self, name: str) -> tuple[IPv6Address, ...]:
        """The AAAA records."""
        return tuple(IPv6Address(rdata.address) for rdata in (await self.ask(name, dns.rdatatype.AAAA))[0])

    async def mx(self, name: str) -> tuple[MailExchanger, ...]:
        """The MX records, the most preferred first."""
        found, _ = await self.ask(name, dns.rdatatype.MX)
        return tuple(sorted(MailExchanger(rdata.preference, name_text(rdata.exchange)) for rdata in found))

    async def ptr(self, address: IPv4Address | IPv6Address) -> tuple[str, ...]:
        """The names of an address."""
        return tuple(
            name_text(rdata.target) for rdata in (await self.ask(address.reverse_pointer, dns.rdatatype.PTR))[0]
        )

    async def srv(self, name: str) -> tuple[Service, ...]:
        """The SRV records, the most preferred first."""
        found, _ = await self.ask(name, dns.rdatatype.SRV)
        return tuple(
            sorted(Service(rdata.priority, rdata.weight, rdata.port, name_text(rdata.target)) for rdata in found)
        )

    async def tlsa(self, name: str) -> tuple[tuple[Association, ...], bool]:
        """The TLSA records, and whether DNSSEC proves them."""
        found, proven = await self.ask(name, dns.rdatatype.TLSA)
        return tuple(
            Association(rdata.usage, rdata.selector, rdata.mtype, bytes(rdata.cert)) for rdata in found
        ), proven


def _made(server: str) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    address = server_of(server)
    if address is not None:
        resolver.nameservers, resolver.port = [address[0]], address[1]
    else:
        with contextlib.suppress(dns.resolver.NoResolverConfiguration):  # then there is no answer to anything
            resolver = dns.asyncresolver.Resolver()
    resolver.timeout, resolver.lifetime = _TRY_SECONDS, _SECONDS
    resolver.use_edns(0, 0, _UDP_OCTETS)
    resolver.flags = dns.flags.RD | dns.flags.AD  # RFC 6840 §5.7: AD in the question asks for AD in the answer
    return resolver


def name_text(name: dns.name.Name) -> str:
    """Return a name as text in lower case; "" for the root, and for one that text with dots between cannot stand for."""
    labels = [label for label in name.labels if label]
    if any(b"." in label or not label.isascii() for label in labels):
        return ""
    return b".".join(labels).decode("ascii").lower()
