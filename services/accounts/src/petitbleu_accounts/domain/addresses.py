"""Addresses as the directory knows them."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from petitbleu_mail.addresses import AddressError, canonical_domain, canonical_mailbox

# RFC 2142 §5 and RFC 5321 §4.5.1: these reach somebody at every hosted domain.
OFFICES: Final = frozenset({"postmaster", "abuse"})


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """An address to look up; `base` is the address without its detail, the same when there is none."""

    address: str
    domain: str
    local: str
    base: str
    detail: str


# RFC 5321 §4.5.1: a recipient of just "postmaster" is ours whatever the domain.
BARE_POSTMASTER: Final = Wanted("postmaster", "", "postmaster", "postmaster", "")


def wanted(text: str) -> Wanted | None:
    """Return an address, as received or typed, in the form for look-up; None when it is no address at all."""
    try:
        found = canonical_mailbox(text)
    except AddressError:
        return BARE_POSTMASTER if text.lower() == "postmaster" else None
    address = f"{found.local}@{found.domain}"
    if found.detail is None:
        return Wanted(address, found.domain, found.local, address, "")
    return Wanted(address, found.domain, found.local, f"{found.base}@{found.domain}", found.detail)


def hosted_domain(text: str) -> str | None:
    """Return a domain that may be hosted, as A-labels; None for rubbish and address literals."""
    try:
        name = canonical_domain(text.strip().removesuffix("."))
    except AddressError:
        return None
    return None if not name or name.startswith("[") else name


def retired_digest(address: str) -> bytes:
    """Return what stays of the address of a closed account."""
    return hashlib.sha256(address.encode()).digest()
