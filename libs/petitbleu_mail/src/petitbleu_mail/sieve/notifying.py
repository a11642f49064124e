"""`notify` and its tests (RFC 5435), by mail (RFC 5436)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from petitbleu_mail.addresses import AddressError, parse_mailbox
from petitbleu_mail.sieve.actions import Notify
from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call, TagSpec, Want
from petitbleu_mail.sieve.matching import Match, make_match
from petitbleu_mail.sieve.texts import Text
from petitbleu_mail.sieve.vacation import is_sender

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

NOTIFY_TAGS: Final = {
    "from": TagSpec(Want.STRING),
    "importance": TagSpec(Want.STRING),
    "options": TagSpec(Want.STRINGS),
    "message": TagSpec(Want.STRING),
}
MAX_URI: Final = 2_000
MAX_RECIPIENTS: Final = 4
MAX_MESSAGE: Final = 4_096
_COST: Final = 20
_RECIPIENT_FIELDS: Final = frozenset({"to", "cc", "bcc"})
# RFC 5436 §2.7: what a script may not decide, and what else is ignored
_KEPT_FIELDS: Final = frozenset({"subject", "body", "keywords", "comments", "importance", "x-priority"})


class Mailto(NamedTuple):
    """What a mailto URI asks for (RFC 6068): recipients, and header fields with lower-case names, `body` among them."""

    recipients: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]


def parse_mailto(uri: str) -> Mailto | None:
    """Read a `mailto:` URI (RFC 6068 §2); None for another URI or one that can go nowhere."""
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme.lower() != "mailto" or len(uri) > MAX_URI:
        return None
    addresses, _, query = rest.partition("?")
    recipients = [unquote(one) for one in addresses.split(",") if one]
    fields = []
    for pair in query.split("&") if query else []:
        name, equals, value = pair.partition("=")
        name, value = unquote(name).lower(), unquote(value)
        if not equals:
            return None
        if name in _RECIPIENT_FIELDS:
            recipients += [one.strip() for one in value.split(",") if one.strip()]
        elif name in _KEPT_FIELDS:
            # RFC 5436 §2.7: no line end gets into a header
            fields.append((name, value if name == "body" else " ".join(value.split())))
    if not 1 <= len(recipients) <= MAX_RECIPIENTS or not all(map(_is_address, recipients)):
        return None
    return Mailto(tuple(dict.fromkeys(recipients)), tuple(fields))


def _is_address(text: str) -> bool:
    try:
        return bool(parse_mailbox(text).domain)
    except AddressError:
        return False


@dataclass(frozen=True, slots=True)
class NotifyCommand:
    """`notify` (RFC 5435 §3)."""

    place: Place
    method: Text
    sender: Text | None
    importance: Text | None
    options: tuple[Text, ...]
    message: Text | None

    def run(self, machine: Machine) -> None:
        """Want somebody told. The implicit keep stays (RFC 5435 §3.8)."""
        machine.spend(_COST)
        method = machine.expand(self.method)
        if parse_mailto(method) is None:  # RFC 5435 §3.2
            raise machine.fail("this is no address to notify; there is mailto:, with a few recipients")
        sender = None if self.sender is None else machine.expand(self.sender)
        if sender is not None and not is_sender(sender):
            raise machine.fail("the :from of notify is no address")
        importance = "2" if self.importance is None else machine.expand(self.importance)
        if importance not in {"1", "2", "3"}:  # RFC 5435 §3.4
            raise machine.fail("the :importance of notify is 1, 2 or 3")
        machine.wishes.notify(
            Notify(
                method,
                sender,
                int(importance),
                tuple(machine.expand_all(self.options[:10])),
                None if self.message is None else machine.expand(self.message)[:MAX_MESSAGE],
            )
        )


@dataclass(frozen=True, slots=True)
class ValidNotifyMethod:
    """`valid_notify_method` (RFC 5435 §4)."""

    place: Place
    uris: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether all the URIs can be notified."""
        machine.spend(_COST * len(self.uris))
        return all(parse_mailto(uri) is not None for uri in machine.expand_all(self.uris))


@dataclass(frozen=True, slots=True)
class NotifyMethodCapability:
    """`notify_method_capability` (RFC 5435 §5)."""

    place: Place
    match: Match
    uri: Text
    capability: Text
    keys: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether a capability has a value. Of `online`, mail says that it may be (RFC 5436 §2.2)."""
        machine.spend(_COST)
        if parse_mailto(machine.expand(self.uri)) is None or machine.expand(self.capability).lower() != "online":
            return False
        return self.match.any(machine, ["maybe"], self.keys)


def make_notify(call: Call) -> NotifyCommand:
    """RFC 5435 §3."""
    method, importance, sender = call.text(0), call.tag_text("importance"), call.tag_text("from")
    if method.constant is not None and parse_mailto(method.constant) is None:
        raise call.fault("this is no address to notify; there is mailto:, with a few recipients", method.place)
    if importance is not None and importance.constant not in {None, "1", "2", "3"}:
        raise call.fault("the importance is 1, 2 or 3", importance.place)
    if sender is not None and sender.constant is not None and not is_sender(sender.constant):
        raise call.fault(f"{sender.constant[:100]!r} is no address", sender.place)
    return NotifyCommand(
        call.place, method, sender, importance, call.tag_texts("options") or (), call.tag_text("message")
    )


def make_valid_notify_method(call: Call) -> ValidNotifyMethod:
    """RFC 5435 §4."""
    return ValidNotifyMethod(call.place, call.texts(0))


def make_notify_method_capability(call: Call) -> NotifyMethodCapability:
    """RFC 5435 §5."""
    return NotifyMethodCapability(call.place, make_match(call), call.text(0), call.text(1), call.texts(2))
