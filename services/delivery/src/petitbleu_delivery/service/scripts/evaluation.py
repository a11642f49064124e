"""One evaluation: a script over one message, begun again when it asked for what was not read yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Final

from petitbleu_delivery.domain.answers import plain_address
from petitbleu_delivery.domain.rules import Ruling, role_of, ruling_of
from petitbleu_delivery.service.scripts.rulebook import Rules
from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.mailbox_rules import mailbox_number
from petitbleu_mail.sieve.actions import Keep
from petitbleu_mail.sieve.catalog import DELIVERED
from petitbleu_mail.sieve.message import Envelope, HeaderView, ParsedView
from petitbleu_mail.sieve.script import Script, compile_script, evaluate

_MOST_QUESTIONS: Final = 24
"""A script may look for ten duplicates, and for mailboxes, which are read at once."""


CONTACT_LISTS: Final = frozenset({"urn:ietf:params:sieve:addrbook:default", ":addrbook:default"})
"""The default address book, whole and abbreviated: what values are looked up in (RFC 6134 §2.2)."""


_NAMING: Final = ("from", "sender", "reply-to", "to", "cc")
_MOST_FIELDS: Final = 4
_MOST_NAMED: Final = 90


class View(ParsedView):
    """A message of which the beginning alone may have been read; its size is that of all of it."""

    def __init__(self, octets: bytes, size: int) -> None:
        super().__init__(octets)
        self._octets = max(size, len(octets))

    @property
    def size(self) -> int:
        """Octets of the whole message (RFC 5228 §5.9)."""
        return self._octets


class _Wanted(Exception):  # noqa: N818 — no error: a question
    """The script asks for what is not known yet: the mailboxes, (with a key) whether an id was seen, or whether an address is known."""

    def __init__(self, handle: str = "", unique_id: str | None = None, address: str | None = None) -> None:
        super().__init__()
        self.handle = handle
        self.unique_id = unique_id
        self.address = address


class _Around:
    """The surroundings as far as they are known; for what is not, an evaluation ends with the question."""

    def __init__(self, sources: dict[str, bytes]) -> None:
        self._sources = sources
        self._compiled: dict[str, Script] = {}
        self.folders: Sequence[tuple[str, str, int]] | None = None
        self.seen: dict[tuple[str, str], bool] = {}
        self.contacts: dict[str, bool] = {}

    def script(self, name: str, is_global: bool, /) -> Script | None:
        if is_global or name not in self._sources:
            return None
        if name not in self._compiled:
            self._compiled[name] = compile_script(self._sources[name], catalog=DELIVERED)
        return self._compiled[name]

    def _folders(self) -> Sequence[tuple[str, str, int]]:
        if self.folders is None:
            raise _Wanted
        return self.folders

    def mailbox_exists(self, name: str, /) -> bool:
        if name.upper() == "INBOX":
            return True
        lower = name.lower()
        return any(name == path or (role and lower == role) for path, role, _ in self._folders())

    def mailbox_id_exists(self, mailbox_id: str, /) -> bool:
        number = mailbox_number(mailbox_id)
        return number is not None and any(number == known for _, _, known in self._folders())

    def special_use_exists(self, attribute: str, mailbox: str | None, /) -> bool:
        role = role_of(attribute)
        return any(role == known and mailbox in {None, path} for path, known, _ in self._folders())

    def is_duplicate(self, handle: str, unique_id: str, /) -> bool:
        if (handle, unique_id) not in self.seen:
            raise _Wanted(handle, unique_id)
        return self.seen[handle, unique_id]

    def list_exists(self, uri: str, /) -> bool:
        return uri.lower() in CONTACT_LISTS

    def list_contains(self, _uri: str, value: str, /) -> bool:
        address = plain_address(value)
        if "@" not in address:
            return False
        if address not in self.contacts:
            raise _Wanted(address=address)
        return self.contacts[address]


async def _meet(
    around: _Around,
    view: View,
    envelope: Envelope,
    asked: str,
    contacts: Callable[[Collection[str]], Awaitable[Collection[str]]],
) -> None:
    """Find out whether an address is known, and whether the others of the message are: whoever asks for one asks for more."""
    header = HeaderView(view.fields())
    named = [one.email for name in _NAMING for raw in header.raw(name)[:_MOST_FIELDS] for one in as_addresses(raw)]
    forms: dict[str, set[str]] = {asked: {asked}}
    for address in [envelope.sender, *named[:_MOST_NAMED]]:
        forms.setdefault(plain_address(address), set()).update((address, plain_address(address)))
    known = set(await contacts([one for group in forms.values() for one in group]))
    around.contacts.update({plain: not known.isdisjoint(group) for plain, group in forms.items()})


async def ruled(
    rules: Rules, view: View, envelope: Envelope, *, junk: bool,
    folders: Callable[[], Awaitable[Sequence[tuple[str, str, int]]]], seen: Callable[[str, str], Awaitable[bool]],
    contacts: Callable[[Collection[str]], Awaitable[Collection[str]]],
) -> Ruling:  # fmt: skip
    """Return what an account's script makes of a message, in a thread: it may take half a second of CPU.

    Args:
        rules: The account's, with a script.
        view: The message.
        envelope: Its envelope.
        junk: It was found to be Junk.
        folders: Reads path, role and number of the account's mailboxes.
        seen: Says whether an id was seen under a handle.
        contacts: Says which of some addresses the account knows.
    """
    script = rules.script
    assert script is not None  # noqa: S101 — the caller's promise
    around = _Around(rules.sources or {})
    for _ in range(_MOST_QUESTIONS):
        now = datetime.now(UTC)
        try:
            outcome = await asyncio.to_thread(evaluate, script, view, envelope, around=around, now=now)
        except _Wanted as wanted:
            if wanted.address is not None:
                await _meet(around, view, envelope, wanted.address, contacts)
            elif wanted.unique_id is None:
                around.folders = await folders()
            else:
                around.seen[wanted.handle, wanted.unique_id] = await seen(wanted.handle, wanted.unique_id)
            continue
        fault = "" if outcome.fault is None else str(outcome.fault)
        return ruling_of(outcome.actions, outcome.remember, fault, junk=junk)
    return ruling_of((Keep(),), (), "the script asks for too much", junk=junk)
