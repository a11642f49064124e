"""Where an address leads: pure rules over what the directory holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

import msgspec

from petitbleu_accounts.domain.people import State

MAX_ALIAS_DEPTH: Final = 5


class AddressStatus(IntEnum):
    """What an address is here; the numbers are those of the contract."""

    LOCAL = 1
    UNKNOWN = 2
    DISABLED = 3
    REMOTE = 4


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One row of the directory: an address of an account, or an alias (`alias_id` is set)."""

    address: str
    domain_id: int
    alias_id: int | None
    account_id: int | None
    tenant_id: int | None
    state: int | None
    guarded: bool | None


class HostedDomain(msgspec.Struct, frozen=True, gc=False):
    """A hosted domain."""

    domain_id: int
    tenant_id: int
    name: str
    catch_all_account_id: int | None
    sign_up: bool = False


class Target(msgspec.Struct, frozen=True, gc=False):
    """One account that an address reaches."""

    account_id: int
    tenant_id: int
    guarded: bool
    detail: str
    via_id: int


class Resolution(msgspec.Struct, frozen=True, gc=False):
    """Where one address leads."""

    status: AddressStatus
    targets: tuple[Target, ...]
    domain_id: int
    tenant_id: int


REMOTE: Final = Resolution(AddressStatus.REMOTE, (), 0, 0)
NOWHERE: Final = Resolution(AddressStatus.UNKNOWN, (), 0, 0)


def reached(entry: Entry, members: Mapping[int, Sequence[Entry]], depth: int = MAX_ALIAS_DEPTH) -> list[Entry]:
    """Return the accounts that an entry reaches, each once, in order; loops are cut, what lies deeper is left out.

    Args:
        entry: Where to start.
        members: Alias id → its members' entries.
        depth: Aliases one behind the other.
    """
    if entry.alias_id is None:
        return [entry]
    found: dict[int, Entry] = {}
    seen = {entry.alias_id}
    level = [entry.alias_id]
    for _ in range(depth):
        below: list[int] = []
        for alias_id in level:
            for member in members.get(alias_id, ()):
                if member.alias_id is None:
                    if member.account_id is not None:
                        found.setdefault(member.account_id, member)
                elif member.alias_id not in seen:
                    seen.add(member.alias_id)
                    below.append(member.alias_id)
        level = below
        if not level:
            break
    return list(found.values())


def resolution(domain: HostedDomain, entries: Sequence[Entry], detail: str, via_id: int) -> Resolution:
    """Return the answer for an address that reaches `entries`; an account of another tenant is never reached."""
    targets = []
    disabled = False
    for entry in entries:
        if entry.account_id is None or entry.tenant_id != domain.tenant_id:
            continue
        if entry.state == State.ACTIVE:
            targets.append(Target(entry.account_id, entry.tenant_id, bool(entry.guarded), detail, via_id))
        elif entry.state == State.DISABLED:
            disabled = True
    status = AddressStatus.LOCAL if targets else AddressStatus.DISABLED if disabled else AddressStatus.UNKNOWN
    return Resolution(status, tuple(targets), domain.domain_id, domain.tenant_id)
