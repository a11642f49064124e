"""Accounts as this service thinks of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final


class State(IntEnum):
    """State of an account; the numbers are those of the table and, but for PENDING, of the contract."""

    PENDING = 0
    ACTIVE = 1
    DISABLED = 2
    CLOSING = 3


class Role(IntEnum):
    """What a person may do; the numbers are those of the contract."""

    PERSON = 1
    CHILD = 2
    GUARDIAN = 3
    TENANT_ADMIN = 4
    TEACHER = 5

    @property
    def claim(self) -> str:
        """The role's name in a principal."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account with what others may know of it."""

    account_id: int
    tenant_id: int
    address: str
    display_name: str
    state: State
    roles: tuple[Role, ...]
    quota_octets: int
    guarded: bool
    other_addresses: tuple[str, ...]
    language: str


@dataclass(frozen=True, slots=True)
class Child:
    """What a guardian says of a child whose account it opens: year and month of birth, and its level (0 for the default)."""

    birth_year: int
    birth_month: int
    level: int


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account that somebody asks for; the address is as typed.

    A person who opens it chose the address (it may look like no other), and has the code of a digest; nobody else's account is like that.
    """

    address: str
    display_name: str = ""
    password: str = field(default="", repr=False)
    quota_octets: int = 0
    guarded: bool = False
    roles: tuple[int, ...] = ()
    language: str = ""
    guardians: tuple[str, ...] = ()
    chosen: bool = False
    recovery_digest: bytes | None = field(default=None, repr=False)
    child: Child | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An account checked and ready to be written."""

    account_id: int
    partition: int
    tenant_id: int
    domain_id: int
    address: str
    display_name: str
    language: str
    quota_octets: int
    guarded: bool
    roles: tuple[Role, ...]
    guardian_ids: tuple[int, ...]
    password_hash: str | None = field(default=None, repr=False)
    chosen: bool = False
    recovery_digest: bytes | None = field(default=None, repr=False)
    child: Child | None = None

    def info(self) -> AccountInfo:
        """The account as it is once made."""
        return AccountInfo(
            self.account_id, self.tenant_id, self.address, self.display_name, State.ACTIVE, self.roles,
            self.quota_octets, self.guarded, (), self.language,
        )  # fmt: skip


MAX_NAME: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
# RFC 5646 §2.1 in the small: a language and a few subtags
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")


def is_name(text: str) -> bool:
    """Whether a text may name a tenant or a mark: 1-64 letters, digits, dots and hyphens."""
    return _NAME.fullmatch(text) is not None


def is_language(text: str) -> bool:
    """Whether a text looks like a language tag (RFC 5646 §2.1)."""
    return _LANGUAGE.fullmatch(text) is not None


def is_display_name(text: str) -> bool:
    """Whether a text may be shown as a name: at most 200 characters, none of control."""
    return len(text) <= MAX_NAME and text.isprintable()


def roles_for(guarded: bool, extra: tuple[int, ...]) -> tuple[Role, ...] | None:
    """Roles of a new account, or None when those asked for do not go together (a child administers nothing)."""
    try:
        asked = {Role(number) for number in extra}
    except ValueError:
        return None
    if guarded and asked - {Role.CHILD}:
        return None
    if not guarded and Role.CHILD in asked:
        return None
    return tuple(sorted(asked | {Role.CHILD if guarded else Role.PERSON}))
