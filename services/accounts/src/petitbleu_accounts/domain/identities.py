"""Identities that a person writes under (RFC 8621 §6): what they may say, and what becomes of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from petitbleu_accounts.domain.addresses import wanted

MAX_IDENTITIES: Final = 100
MAX_NAME: Final = 200
MAX_EMAIL: Final = 320
MAX_ADDRESSES: Final = 50
MAX_TEXT_OCTETS: Final = 16 << 10
MAX_HTML_OCTETS: Final = 64 << 10


class Outcome(Enum):
    """What became of one change; the values are the contract's."""

    OK = 1
    NOT_FOUND = 2
    FORBIDDEN_FROM = 3
    FORBIDDEN = 4
    INVALID = 5
    TOO_LARGE = 6
    TOO_MANY = 7


class Refusal(Exception):  # noqa: N818 — an outcome of one change of several
    """One change that is not made."""

    def __init__(self, outcome: Outcome, *properties: str) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome
        self.properties = properties


@dataclass(frozen=True, slots=True)
class Address:
    """An address with the name that is shown, if there is one (RFC 8621 §4.1.2.3)."""

    name: str | None
    email: str


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity. `own` when it was made for an address of the person, `gone` when it is destroyed."""

    identity_id: int
    created_modseq: int
    modseq: int
    own: bool
    gone: bool
    email: str
    name: str = ""
    reply_to: tuple[Address, ...] | None = None
    bcc: tuple[Address, ...] | None = None
    text_signature: str = ""
    html_signature: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be changed of an identity; None leaves it, no addresses is none."""

    name: str | None = None
    reply_to: tuple[Address, ...] | None = None
    bcc: tuple[Address, ...] | None = None
    text_signature: str | None = None
    html_signature: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose identities they are. `addresses` are those of the person in canonical form, the main one first."""

    account_id: int
    partition: int
    tenant_id: int
    display_name: str
    guarded: bool
    addresses: tuple[str, ...]

    def may_write_as(self, email: str) -> bool:
        """Whether the person may write under an address: one of theirs, or one with a detail (RFC 5233) behind it."""
        want = wanted(email)
        return (
            want is not None and bool(want.domain) and (want.address in self.addresses or want.base in self.addresses)
        )

    def may_destroy(self, identity: Identity) -> bool:
        """Whether an identity may go; that of the main address stays (RFC 8621 §6, `mayDelete`)."""
        return not (identity.own and self.addresses and identity.email == self.addresses[0])


@dataclass(slots=True)
class Book:
    """All identities of an account, those that are gone with them, and how far their state is."""

    owner: Owner
    modseq: int
    last_id: int
    identities: dict[int, Identity]
    touched: set[int] = field(default_factory=set)

    def living(self) -> list[Identity]:
        """Those that are not gone, by id."""
        return [one for _, one in sorted(self.identities.items()) if not one.gone]

    def settled(self) -> bool:
        """Whether `settle` has nothing to do."""
        return not self._missing() and not self._lost() and not self._leading_away()

    def settle(self) -> None:
        """Make the identity of each new address of the person, and let those go whose address is no longer theirs.

        Those of a guarded person lose where answers and copies would go, set before the account was guarded.
        """
        for one in self._lost():
            # if the address comes back, so does its identity
            self._put(replace(_emptied(one), own=False, email=""))
        for one in self._leading_away():
            self._put(replace(one, reply_to=None, bcc=None))
        for address in self._missing():
            self._new(Identity(0, 0, 0, True, False, address, self.owner.display_name))

    def _missing(self) -> list[str]:
        known = {one.email for one in self.identities.values() if one.own}
        room = MAX_IDENTITIES - len(self.living())
        return [address for address in self.owner.addresses if address not in known][: max(0, room)]

    def _lost(self) -> list[Identity]:
        return [one for one in self.living() if not self.owner.may_write_as(one.email)]

    def _leading_away(self) -> list[Identity]:
        return [one for one in self.living() if self.owner.guarded and (one.reply_to or one.bcc)]

    def _put(self, identity: Identity) -> Identity:
        self.modseq += 1
        kept = replace(identity, modseq=self.modseq)
        self.identities[kept.identity_id] = kept
        self.touched.add(kept.identity_id)
        return kept

    def _new(self, identity: Identity) -> Identity:
        self.last_id += 1
        return self._put(replace(identity, identity_id=self.last_id, created_modseq=self.modseq + 1))

    def create(self, email: str, wish: Wish) -> Identity:
        """Make an identity. Raises `Refusal`."""
        # RFC 8621 §6.3
        if len(email) > MAX_EMAIL or wanted(email) is None:
            raise Refusal(Outcome.INVALID, "email")
        if not self.owner.may_write_as(email):
            raise Refusal(Outcome.FORBIDDEN_FROM)
        if len(self.living()) >= MAX_IDENTITIES:
            raise Refusal(Outcome.TOO_MANY)
        name = self.owner.display_name if self.owner.guarded else ""
        blank = Identity(0, 0, 0, False, False, email, name)
        return self._new(self._changed(blank, wish))

    def change(self, identity_id: int, wish: Wish) -> Identity:
        """Change an identity. Raises `Refusal`."""
        known = self._known(identity_id)
        changed = self._changed(known, wish)
        return known if changed == known else self._put(changed)

    def destroy(self, identity_id: int) -> None:
        """Destroy an identity. Raises `Refusal`."""
        known = self._known(identity_id)
        if not self.owner.may_destroy(known):
            raise Refusal(Outcome.FORBIDDEN)
        self._put(_emptied(known))

    def _known(self, identity_id: int) -> Identity:
        found = self.identities.get(identity_id)
        if found is None or found.gone:
            raise Refusal(Outcome.NOT_FOUND)
        return found

    def _changed(self, identity: Identity, wish: Wish) -> Identity:
        _check(wish)
        changed = replace(
            identity,
            name=identity.name if wish.name is None else wish.name,
            reply_to=identity.reply_to if wish.reply_to is None else wish.reply_to or None,
            bcc=identity.bcc if wish.bcc is None else wish.bcc or None,
            text_signature=identity.text_signature if wish.text_signature is None else wish.text_signature,
            html_signature=identity.html_signature if wish.html_signature is None else wish.html_signature,
        )
        if self.owner.guarded and (changed.name, changed.reply_to, changed.bcc) != (
            identity.name, identity.reply_to, identity.bcc,
        ):  # fmt: skip
            # a child is who it is, and its answers and copies go nowhere that its guardians do not know of
            raise Refusal(Outcome.FORBIDDEN)
        return changed


def _emptied(identity: Identity) -> Identity:
    return replace(
        identity, gone=True, email=identity.email if identity.own else "", name="", reply_to=None, bcc=None,
        text_signature="", html_signature="",
    )  # fmt: skip


def _check(wish: Wish) -> None:
    wrong = []
    if wish.name is not None and not _is_name(wish.name):
        wrong.append("name")
    for name, addresses in (("replyTo", wish.reply_to), ("bcc", wish.bcc)):
        if addresses is not None and not _are_addresses(addresses):
            wrong.append(name)
    for name, text in (("textSignature", wish.text_signature), ("htmlSignature", wish.html_signature)):
        if text is not None and "\0" in text:
            wrong.append(name)
    if wrong:
        raise Refusal(Outcome.INVALID, *wrong)
    for text, most in ((wish.text_signature, MAX_TEXT_OCTETS), (wish.html_signature, MAX_HTML_OCTETS)):
        if text is not None and len(text.encode()) > most:
            raise Refusal(Outcome.TOO_LARGE)


def _is_name(text: str) -> bool:
    """Whether a text may stand as a name in a header field: short, and no control character, so no line of its own."""
    return len(text) <= MAX_NAME and not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text)


def _are_addresses(addresses: Sequence[Address]) -> bool:
    return len(addresses) <= MAX_ADDRESSES and all(
        (one.name is None or _is_name(one.name)) and len(one.email) <= MAX_EMAIL and _is_address(one.email)
        for one in addresses
    )


def _is_address(text: str) -> bool:
    found = wanted(text)
    return found is not None and bool(found.domain)


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed between two states (RFC 8620 §5.2)."""

    created: list[int]
    updated: list[int]
    destroyed: list[int]
    upto: int
    more: bool


def changes(identities: Iterable[Identity], since: int, now: int, most: int) -> Changes:
    """Return what changed after `since`, at most so many ids (0: all); what came and went between is not told."""
    steps: list[tuple[int, str, int]] = []
    for one in identities:
        fresh = one.created_modseq > since
        if one.modseq <= since or (fresh and one.gone):
            continue
        kind = "created" if fresh else "destroyed" if one.gone else "updated"
        # by its creation, so that a window that ends before its last change does not leave it unknown
        steps.append((one.created_modseq if fresh else one.modseq, kind, one.identity_id))
    steps.sort()
    more = bool(most) and len(steps) > most
    told: Collection[tuple[int, str, int]] = steps[:most] if more else steps
    lists: dict[str, list[int]] = {"created": [], "updated": [], "destroyed": []}
    for _, kind, identity_id in told:
        lists[kind].append(identity_id)
    return Changes(lists["created"], lists["updated"], lists["destroyed"], steps[most - 1][0] if more else now, more)
