"""`vacation` (RFC 5230), with `:seconds` (RFC 6131)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.sieve.actions import Vacation
from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call, TagSpec, Want
from petitbleu_mail.sieve.texts import Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

_DAY: Final = 86_400
# RFC 5230 §4.1 wants a maximum of at least seven days
MAX_SECONDS: Final = 365 * _DAY
MAX_REASON: Final = 65_536
"""Characters of an answer."""
MAX_ADDRESSES: Final = 100

VACATION_TAGS: Final = {
    "days": TagSpec(Want.NUMBER, group="time between two answers"),
    "seconds": TagSpec(Want.NUMBER, group="time between two answers", needs="vacation-seconds"),
    "subject": TagSpec(Want.STRING),
    "from": TagSpec(Want.STRING),
    "addresses": TagSpec(Want.STRINGS),
    "mime": TagSpec(),
    "handle": TagSpec(Want.STRING),
}


def is_sender(text: str) -> bool:
    """Whether a text is one address, with or without a name, as `:from` wants it (RFC 5230 §4.3)."""
    try:
        found = as_addresses(text.encode("utf-8"))
    except UnicodeEncodeError:
        return False
    return len(found) == 1 and "@" in found[0].email.strip("@") and not any(char in text for char in "\r\n\0")


@dataclass(frozen=True, slots=True)
class VacationCommand:
    """`vacation` (RFC 5230 §4)."""

    place: Place
    reason: Text
    seconds: int | None
    subject: Text | None
    sender: Text | None
    addresses: tuple[Text, ...]
    is_mime: bool
    handle: Text | None

    def run(self, machine: Machine) -> None:
        """Want the sender answered. The implicit keep stays (RFC 5230 §4.7)."""
        sender = None if self.sender is None else machine.expand(self.sender)
        if sender is not None and not is_sender(sender):
            raise machine.fail("the :from of vacation is no address")
        machine.wishes.answer(
            Vacation(
                reason=machine.expand(self.reason)[:MAX_REASON],
                # RFC 5230 §4.4: no line ends may come into a header
                subject=None if self.subject is None else " ".join(machine.expand(self.subject).split()),
                sender=sender,
                addresses=tuple(machine.expand_all(self.addresses[:MAX_ADDRESSES])),
                is_mime=self.is_mime,
                handle=None if self.handle is None else machine.expand(self.handle),
                seconds=self.seconds,
            )
        )


def make_vacation(call: Call) -> VacationCommand:
    """RFC 5230 §4, RFC 6131 §2."""
    days, seconds = call.tag_number("days"), call.tag_number("seconds")
    if days is not None:
        seconds = max(days, 1) * _DAY  # RFC 5230 §4.1: the minimum is a day
    sender = call.tag_text("from")
    if sender is not None and sender.constant is not None and not is_sender(sender.constant):
        raise call.fault(f"{sender.constant[:100]!r} is no address", sender.place)
    return VacationCommand(
        place=call.place,
        reason=call.text(0),
        seconds=None if seconds is None else min(seconds, MAX_SECONDS),
        subject=call.tag_text("subject"),
        sender=sender,
        addresses=call.tag_texts("addresses") or (),
        is_mime="mime" in call.tags,
        handle=call.tag_text("handle"),
    )
