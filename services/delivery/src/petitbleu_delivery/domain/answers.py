"""Who is answered automatically, and what such a mail looks like (RFC 3834, RFC 5230, RFC 5429)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, NamedTuple

from petitbleu_delivery.domain.vacation import Vacation as Away
from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.addresses import AddressError, canonical_mailbox
from petitbleu_mail.delivery_status import DeliveryStatus, RecipientStatus, write_delivery_status
from petitbleu_mail.html_text import text_of_html
from petitbleu_mail.report_fields import Typed, recipient
from petitbleu_mail.reports import write_report
from petitbleu_mail.sieve.actions import Notify, Vacation
from petitbleu_mail.sieve.message import HeaderView
from petitbleu_mail.sieve.notifying import Mailto

DEFAULT_SECONDS: Final = 7 * 86_400
"""RFC 5230 §4.1: the default between two answers to one sender."""
DEFAULT_TEXT: Final = "I am away at the moment, and will read your message later.\n"
_MAX_SUBJECT: Final = 500
_MAX_REFERENCES: Final = 20
_RECIPIENT_FIELDS: Final = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
# RFC 3834 §2, RFC 5230 §4.6: who never reads an answer, or sends it on to many
_MACHINES: Final = re.compile(
    r"(?:mailer-daemon|postmaster|listserv|majordomo|no-?reply|do-?not-?reply|bounces?|owner-.*|.*-(?:request|owner|bounces?))\Z",
    re.IGNORECASE,
)
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")
_HEADER: Final = re.compile(rb"\r\n\r\n")
_FIELD: Final = re.compile(r"(content-)?[!-9;-~]*[ \t]*:", re.IGNORECASE)


class Owner(NamedTuple):
    """Whose rules they are: the account's address, the name shown, and the address that the message came to."""

    address: str
    name: str
    recipient: str


def plain_address(text: str) -> str:
    """Return an address as it is compared: its detail taken away (RFC 5233), in one case and form; as it is when it is none."""
    try:
        found = canonical_mailbox(text)
    except AddressError:
        return text.casefold()
    return f"{found.local.partition('+')[0]}@{found.domain}"


def may_be_answered(header: HeaderView, sender: str, own: Collection[str]) -> bool:
    """Whether a message is one that an automatic answer may go to (RFC 5230 §4.5, §4.6, RFC 3834 §2).

    Args:
        header: Its header.
        sender: Its envelope sender, empty for the null path.
        own: All addresses that are its reader's.
    """
    if not sender or _MACHINES.match(sender.rpartition("@")[0]):
        return False
    mine = {plain_address(address) for address in own}
    if plain_address(sender) in mine:
        return False
    if any(value.partition(";")[0].strip().lower() != "no" for value in header.values("auto-submitted")):
        return False  # RFC 3834 §2
    if any(value.lower() in {"bulk", "list", "junk"} for value in header.values("precedence")):
        return False
    if header.has("x-auto-response-suppress") or any(name.startswith("list-") for name in header.names()):
        return False  # RFC 2369, RFC 2919
    named = (one.email for name in _RECIPIENT_FIELDS for raw in header.raw(name) for one in as_addresses(raw))
    return any(plain_address(address) in mine for address in named)  # RFC 5230 §4.5


def away_answer(away: Away) -> Vacation:
    """Return the answer of RFC 8621 §8 as the action of a script, for its place in the order of things."""
    return Vacation(reason="", subject=away.subject, handle="\0away")


def vacation_mail(
    answer: Vacation, owner: Owner, header: HeaderView, sender: str, mark: bytes, away: Away | None = None
) -> bytes:
    """Return the answer to a message (RFC 5230 §5).

    Args:
        answer: What the script wants said.
        owner: Who answers.
        header: The header of the message that is answered.
        sender: Who is answered.
        mark: Makes its Message-ID, so that the same answer made again has the same.
        away: What its owner set instead of a script's text (RFC 8621 §8).
    """
    mail = _begun(owner, sender, mark)
    _name_sender(mail, answer.sender, owner)
    subject = answer.subject
    if subject is None:  # RFC 5230 §4.4
        subject = "Auto: " + " ".join(next(iter(header.values("subject")), "").split())
    mail["Subject"] = subject[:_MAX_SUBJECT]
    _refer(mail, header)
    mail["Auto-Submitted"] = "auto-replied (vacation)"  # RFC 3834 §5.1.1, RFC 5230 §5.7
    if away is not None:
        _away_body(mail, away)
        return mail.as_bytes()
    if answer.is_mime:  # RFC 5230 §4.7: the reason is a MIME entity, header and all
        mail["MIME-Version"] = "1.0"
        return _HEADER.split(mail.as_bytes(), maxsplit=1)[0] + b"\r\n" + _entity(answer.reason)
    mail.set_content(answer.reason or DEFAULT_TEXT, charset="utf-8")
    return mail.as_bytes()


def _entity(text: str) -> bytes:
    """Return a script's MIME entity as it may end a header that is ours: of its fields only those that say what its content is (RFC 2045 §9).

    Any other would stand beside ours, or name another author in a mail that is signed.
    """
    lines = text.splitlines()
    kept: list[str] = []
    keeps = False
    for at, line in enumerate(lines):
        field = _FIELD.match(line)
        if field is not None:
            keeps = field[1] is not None
        elif not line.startswith((" ", "\t")) or not at:
            break
        if keeps and line.strip():  # a line of blanks is the end of a header for some readers
            kept.append(line)
    else:
        at = len(lines)
    body = lines[at + 1 :] if at < len(lines) and not lines[at] else lines[at:]
    return "".join(f"{line}\r\n" for line in (*kept, "", *body)).encode("utf-8", "replace")


def _away_body(mail: EmailMessage, away: Away) -> None:
    html = away.html_body
    text = away.text_body or (text_of_html(html) if html else DEFAULT_TEXT)
    mail.set_content(text, charset="utf-8")
    if html:
        mail.add_alternative(html, subtype="html", charset="utf-8")


def rejection_mail(reason: str, owner: Owner, message: bytes, sender: str, host: str, mark: bytes) -> bytes:
    """Return the notice that a script refused a message (RFC 5429 §2.1): a delivery status notification (RFC 3464).

    Args:
        reason: The script's text.
        owner: Who refuses.
        message: The message, or its beginning; its header comes back with the notice.
        sender: Who is told.
        host: Who reports.
        mark: Makes its Message-ID.
    """
    mail = _begun(owner._replace(name="Mail Delivery System", address=f"mailer-daemon@{host}"), sender, mark)
    mail["Subject"] = "Undelivered: your message was refused"
    mail["Auto-Submitted"] = "auto-replied"
    told = "\n".join(reason.splitlines())
    text = f"Your message was refused by the rules of {owner.recipient}:\n\n{told}\n"
    refused = RecipientStatus(
        final_recipient=recipient(owner.recipient), action="failed", status="5.7.1",
        diagnostic_code=Typed("smtp", "550 5.7.1 refused by a rule of the recipient"),
    )  # fmt: skip
    machine = write_delivery_status(DeliveryStatus(reporting_mta=Typed("dns", host), recipients=(refused,)))
    kept = _HEADER.split(message, maxsplit=1)[0] + b"\r\n\r\n"
    report = write_report("delivery-status", text, machine, kept, header_only=True)
    return _HEADER.split(mail.as_bytes(), maxsplit=1)[0] + b"\r\n" + report


def may_be_told(header: HeaderView) -> bool:
    """Whether somebody may be told of a message: never of a notification, which would go in circles (RFC 5436 §2.6)."""
    return not any(value.lower().startswith("auto-notified") for value in header.values("auto-submitted"))


def notification_mail(notice: Notify, wanted: Mailto, to: str, owner: Owner, header: HeaderView, mark: bytes) -> bytes:
    """Return the mail that tells somebody of a message (RFC 5436 §2).

    Args:
        notice: What the script wants said.
        wanted: What its URI wants.
        to: One of the recipients.
        owner: Whose script it is.
        header: The header of the message.
        mark: Makes its Message-ID.
    """
    mail = _begun(owner, to, mark)
    _name_sender(mail, notice.sender, owner)  # RFC 5436 §2.4
    fields = dict(wanted.fields)
    subject = " ".join(next(iter(header.values("subject")), "").split())
    # RFC 5436 §2.3: the script's message goes before the URI's subject
    mail["Subject"] = (notice.message or fields.get("subject") or f"New mail: {subject}").replace("\n", " ")[
        :_MAX_SUBJECT
    ]
    mail["Auto-Submitted"] = "auto-notified"  # RFC 5436 §2.7.1
    mail["Importance"] = {1: "High", 3: "Low"}.get(notice.importance, "Normal")
    sender = next(iter(header.values("from")), "")
    mail.set_content(fields.get("body") or f"From: {sender}\nSubject: {subject}\n", charset="utf-8")
    return mail.as_bytes()


def fault_mail(fault: str, owner: Owner, mark: bytes) -> bytes:
    """Return what the owner of a script is told when it failed (RFC 5228 §2.10.6)."""
    mail = _begun(owner._replace(name="Petit Bleu"), owner.address, mark)
    mail["Subject"] = "A rule of your mailbox failed"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(
        "A message came for which your active Sieve script could not be carried on with. The message is in your inbox,\n"
        f"as if there were no script. You are told so once a day.\n\n{fault}\n",
        charset="utf-8",
    )
    return mail.as_bytes()


def _name_sender(mail: EmailMessage, sender: str | None, owner: Owner) -> None:
    """Let a script name who writes, if that is an address of its owner (RFC 5230 §4.3): nobody else's name is taken."""
    own = {plain_address(owner.address), plain_address(owner.recipient)}
    wanted = as_addresses((sender or "").encode("utf-8", "replace"))
    if wanted and plain_address(wanted[0].email) in own:
        mail.replace_header("From", _mailbox(wanted[0].name or "", wanted[0].email))


def _begun(owner: Owner, to: str, mark: bytes) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = _mailbox(owner.name, owner.address)
    mail["To"] = _mailbox("", to)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{mark.hex()[:40]}@{owner.address.rpartition('@')[2] or 'localhost'}>"
    return mail


def _mailbox(name: str, address: str) -> Address | str:
    shown = "".join(one if one.isprintable() else " " for one in name)
    try:
        return Address(shown, addr_spec=address)
    except (ValueError, IndexError):
        return "undisclosed-recipients:;"


def _refer(mail: EmailMessage, header: HeaderView) -> None:
    """Make it an answer in the thread (RFC 5230 §5.8, RFC 5322 §3.6.4)."""
    answered = _ids(header.values("message-id"))[:1]
    if answered:
        mail["In-Reply-To"] = answered[0]
        known = _ids(header.values("references")) or _ids(header.values("in-reply-to"))[:1]
        mail["References"] = " ".join([*known[-_MAX_REFERENCES:], answered[0]])


def _ids(values: Sequence[str]) -> list[str]:
    return [found for value in values[:1] for found in _MESSAGE_ID.findall(value)]
