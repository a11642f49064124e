"""PROXY protocol version 2: the binary header by which a load balancer tells whom it speaks for.

The specification is HAProxy's `doc/proxy-protocol.txt`, section 2.2. Version 1, the text form, is not taken: two forms on one port
are one more thing to confuse, and every balancer that speaks the first speaks the second.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

import msgspec

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16
# Room for the addresses and more TLVs (a client's certificate name, a VPC id) than balancers send; they are skipped unread.
MAX_HEADER: Final = _FIXED + 4096
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_TCP4: Final = 0x11
_TCP6: Final = 0x21


class ProxyError(ValueError):
    """Not a header of version 2."""


class ProxyHeader(msgspec.Struct, frozen=True):
    """A header: `size` octets on the wire, and the client's address and port, None when the proxy speaks for itself."""

    size: int
    source: tuple[str, int] | None


def proxy_octets_wanted(data: bytes) -> int:
    """Return how many octets are missing from the header that begins with `data`, at least one: its fixed part first, then the rest."""
    if len(data) < _FIXED:
        return _FIXED - len(data)
    return max(1, _FIXED + int.from_bytes(data[14:16], "big") - len(data))


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Parse the header that a connection begins with; None when more octets are needed. Raises `ProxyError`."""
    if not data.startswith(SIGNATURE):
        if SIGNATURE.startswith(data):
            return None
        raise ProxyError
    if len(data) < _FIXED:
        return None
    command, family = data[12], data[13]
    size = _FIXED + int.from_bytes(data[14:16], "big")
    if command not in {_LOCAL, _PROXY} or size > MAX_HEADER:
        raise ProxyError
    if len(data) < size:
        return None
    # LOCAL is a health check: the connection's own addresses count, whatever follows is skipped
    return ProxyHeader(size, _source(family, data[_FIXED:size]) if command == _PROXY else None)


def _source(family: int, body: bytes) -> tuple[str, int] | None:
    """Return the client's address and port; None for UNSPEC, where the connection's own count."""
    if family == 0:
        return None
    if family == _TCP4 and len(body) >= 12:
        return str(IPv4Address(body[:4])), int.from_bytes(body[8:10], "big")
    if family == _TCP6 and len(body) >= 36:
        return str(IPv6Address(body[:16])), int.from_bytes(body[32:34], "big")
    raise ProxyError  # too short; or UDP and unix sockets, which have no place here
