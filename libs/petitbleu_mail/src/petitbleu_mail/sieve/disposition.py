"""What becomes of the message: keep, fileinto, redirect, discard (RFC 5228 §4), reject and ereject (RFC 5429)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petitbleu_mail.addresses import AddressError, parse_mailbox
from petitbleu_mail.mailbox_rules import MAX_DEPTH, normal_name
from petitbleu_mail.sieve.actions import FileInto, Keep, Redirect, Reject
from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.flags import FlagList, make_flag_list
from petitbleu_mail.sieve.grammar import Call
from petitbleu_mail.sieve.texts import Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine


def mailbox_path(name: str) -> str | None:
    """Return the name of a mailbox with its levels parted by `/`, each in Net-Unicode; None when it can be no mailbox's."""
    levels = [normal_name(level) for level in name.split("/")]
    if len(levels) > MAX_DEPTH or None in levels:
        return None
    return "/".join(level for level in levels if level is not None)


@dataclass(frozen=True, slots=True)
class KeepCommand:
    """`keep` (RFC 5228 §4.3)."""

    place: Place
    flags: FlagList

    def run(self, machine: Machine) -> None:
        """Want the message in the inbox."""
        machine.wishes.store(Keep(self.flags.of(machine), machine.wishes.edits))
        machine.wishes.implicit_keep = False


@dataclass(frozen=True, slots=True)
class FileIntoCommand:
    """`fileinto` (RFC 5228 §4.1), with `:copy`, `:flags`, `:create`, `:specialuse`, `:mailboxid`."""

    place: Place
    mailbox: Text
    flags: FlagList
    copy: bool
    create: bool
    special_use: Text | None
    mailbox_id: Text | None

    def run(self, machine: Machine) -> None:
        """Want the message in a mailbox."""
        name = mailbox_path(machine.expand(self.mailbox))
        if name is None:
            raise machine.fail("this can be no name of a mailbox")
        special_use = None if self.special_use is None else machine.expand(self.special_use)
        mailbox_id = None if self.mailbox_id is None else machine.expand(self.mailbox_id)
        machine.wishes.store(
            FileInto(name, self.flags.of(machine), self.create, special_use, machine.wishes.edits, mailbox_id)
        )
        if not self.copy:  # RFC 3894 §3
            machine.wishes.implicit_keep = False


@dataclass(frozen=True, slots=True)
class RedirectCommand:
    """`redirect` (RFC 5228 §4.2), with `:copy` and `:list`."""

    place: Place
    address: Text
    copy: bool
    is_list: bool

    def run(self, machine: Machine) -> None:
        """Want the message sent on."""
        address = machine.expand(self.address)
        if self.is_list:
            if not machine.around.list_exists(address):  # RFC 6134 §2.6
                raise machine.fail("the script redirects to a list that does not exist")
        elif not _is_address(address):
            raise machine.fail("this is no address to redirect to")
        machine.wishes.redirect(Redirect(address, self.is_list, machine.wishes.edits))
        if not self.copy:
            machine.wishes.implicit_keep = False


@dataclass(frozen=True, slots=True)
class DiscardCommand:
    """`discard` (RFC 5228 §4.4)."""

    place: Place

    def run(self, machine: Machine) -> None:
        """Want nothing but what is wanted elsewhere."""
        machine.wishes.implicit_keep = False


@dataclass(frozen=True, slots=True)
class RejectCommand:
    """`reject` and `ereject` (RFC 5429 §2.1, §2.2)."""

    place: Place
    reason: Text
    is_ereject: bool

    def run(self, machine: Machine) -> None:
        """Want the message refused."""
        machine.wishes.reject(Reject(machine.expand(self.reason), self.is_ereject))


def _is_address(text: str) -> bool:
    try:
        return bool(parse_mailbox(text).domain)
    except AddressError:
        return False


def make_keep(call: Call) -> KeepCommand:
    """RFC 5228 §4.3."""
    return KeepCommand(call.place, make_flag_list(call))


def make_fileinto(call: Call) -> FileIntoCommand:
    """RFC 5228 §4.1."""
    name = call.text(0)
    if name.constant is not None and mailbox_path(name.constant) is None:
        raise call.fault(f"{name.constant[:60]!r} can be no name of a mailbox", name.place)
    return FileIntoCommand(
        call.place, name, make_flag_list(call), "copy" in call.tags, "create" in call.tags, call.tag_text("specialuse"),
        call.tag_text("mailboxid"),
    )  # fmt: skip


def make_redirect(call: Call) -> RedirectCommand:
    """RFC 5228 §4.2."""
    address = call.text(0)
    is_list = "list" in call.tags
    if not is_list and address.constant is not None and not _is_address(address.constant):
        raise call.fault(f"{address.constant[:100]!r} is no address to redirect to", address.place)
    return RedirectCommand(call.place, address, "copy" in call.tags, is_list)


def make_discard(call: Call) -> DiscardCommand:
    """RFC 5228 §4.4."""
    return DiscardCommand(call.place)


def make_reject(call: Call) -> RejectCommand:
    """RFC 5429 §2.1, §2.2."""
    return RejectCommand(call.place, call.text(0), call.name == "ereject")
