"""Tests of what is outside of script and message: mailboxes (RFC 5490, RFC 8579), duplicates (RFC 7352), lists (RFC 6134)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petitbleu_mail.sieve.actions import Remember
from petitbleu_mail.sieve.disposition import mailbox_path
from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call, TagSpec, Want
from petitbleu_mail.sieve.header_tests import FIELD_NAME
from petitbleu_mail.sieve.texts import Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

_DAY: Final = 86_400
# RFC 7352 §3: the default is the implementation's; a mail that comes again after a week is meant
DEFAULT_SECONDS: Final = 7 * _DAY
MAX_SECONDS: Final = 90 * _DAY
_MOST_REMEMBERED: Final = 10
_MAX_ID: Final = 998
_COST: Final = 20

DUPLICATE_TAGS: Final = {
    "handle": TagSpec(Want.STRING),
    "header": TagSpec(Want.STRING, group="unique id"),
    "uniqueid": TagSpec(Want.STRING, group="unique id"),
    "seconds": TagSpec(Want.NUMBER),
    "last": TagSpec(),
}


@dataclass(frozen=True, slots=True)
class MailboxExists:
    """`mailboxexists` (RFC 5490 §3.1)."""

    place: Place
    names: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether all the mailboxes are there."""
        for name in machine.expand_all(self.names):
            machine.spend(_COST)
            path = mailbox_path(name)
            if path is None or not machine.around.mailbox_exists(path):
                return False
        return True


@dataclass(frozen=True, slots=True)
class MailboxIdExists:
    """`mailboxidexists` (RFC 9042 §6)."""

    place: Place
    mailbox_ids: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether there are mailboxes with all these ids."""
        for mailbox_id in machine.expand_all(self.mailbox_ids):
            machine.spend(_COST)
            if not machine.around.mailbox_id_exists(mailbox_id):
                return False
        return True


@dataclass(frozen=True, slots=True)
class SpecialUseExists:
    """`specialuse_exists` (RFC 8579 §3)."""

    place: Place
    mailbox: Text | None
    uses: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether the mailbox has all these uses, or there is one for each."""
        mailbox = None
        if self.mailbox is not None:
            mailbox = mailbox_path(machine.expand(self.mailbox))
            if mailbox is None:
                return False
        for use in machine.expand_all(self.uses):
            machine.spend(_COST)
            if not machine.around.special_use_exists(use, mailbox):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Duplicate:
    """`duplicate` (RFC 7352 §3)."""

    place: Place
    handle: Text | None
    header: Text
    unique_id: Text | None
    seconds: int
    last: bool

    def check(self, machine: Machine) -> bool:
        """Whether the id was seen before. A message without one is no duplicate."""
        machine.spend(_COST)
        if self.unique_id is not None:
            unique = machine.expand(self.unique_id)
        else:
            # RFC 7352 §3.1: a field that stands there more than once says nothing certain; its first one counts
            unique = next(iter(machine.header.values(machine.expand(self.header))), "")
        if not unique:
            return False
        handle = "" if self.handle is None else machine.expand(self.handle)[:_MAX_ID]
        known = machine.around.is_duplicate(handle, unique[:_MAX_ID])
        if not known or self.last:
            remember = Remember(handle, unique[:_MAX_ID], self.seconds, self.last)
            if remember not in machine.wishes.remember:
                if len(machine.wishes.remember) >= _MOST_REMEMBERED:
                    raise machine.fail(f"a script may look for {_MOST_REMEMBERED} duplicates")
                machine.wishes.remember.append(remember)
        return known


@dataclass(frozen=True, slots=True)
class ValidExtList:
    """`valid_ext_list` (RFC 6134 §2.7)."""

    place: Place
    uris: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether all the lists are there."""
        machine.spend(_COST * len(self.uris))
        return all(machine.around.list_exists(uri) for uri in machine.expand_all(self.uris))


def make_mailboxexists(call: Call) -> MailboxExists:
    """RFC 5490 §3.1."""
    return MailboxExists(call.place, call.texts(0))


def make_mailboxidexists(call: Call) -> MailboxIdExists:
    """RFC 9042 §6."""
    return MailboxIdExists(call.place, call.texts(0))


def make_specialuse_exists(call: Call) -> SpecialUseExists:
    """RFC 8579 §3."""
    return SpecialUseExists(call.place, call.text(0) if call.has(0) else None, call.texts(1))


def make_duplicate(call: Call) -> Duplicate:
    """RFC 7352 §3."""
    header = call.tag_text("header") or Text(("Message-ID",), call.place)
    if header.constant is not None and not FIELD_NAME.fullmatch(header.constant):
        raise call.fault(f"{header.constant[:60]!r} can be no name of a header field", header.place)
    seconds = call.tag_number("seconds")
    return Duplicate(
        call.place,
        call.tag_text("handle"),
        header,
        call.tag_text("uniqueid"),
        DEFAULT_SECONDS if seconds is None else min(seconds, MAX_SECONDS),
        "last" in call.tags,
    )


def make_valid_ext_list(call: Call) -> ValidExtList:
    """RFC 6134 §2.7."""
    return ValidExtList(call.place, call.texts(0))
