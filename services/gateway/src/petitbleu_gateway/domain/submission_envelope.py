"""Envelopes of submissions (RFC 8621 §7): as a client gives them, or as they follow from the message's own header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu_gateway.errors import SetError, SetFault, invalid
from petitbleu_mail.addresses import MAX_REVERSE_LOCAL, AddressError, Mailbox, parse_mailbox
from petitbleu_mail.future_release import held_until, interval_of, time_of
from petitbleu_mail.smtp_faults import Fault
from petitbleu_mail.smtp_parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, encode_xtext, read_parameters

MAX_RECIPIENTS: Final = 1_000
_MAX_PARAMETERS: Final = 20
_MAX_VALUE: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_MAIL: Final = frozenset({"RET", "ENVID", "SIZE", "BODY", "SMTPUTF8"})
_TLS: Final = "REQUIRETLS"
_HOLDS: Final = frozenset({"HOLDFOR", "HOLDUNTIL"})


@dataclass(slots=True)
class Envelope:
    """An envelope for delivery, and Unix milliseconds before which the mail is held, 0 for none."""

    message: pb.SubmissionEnvelope
    hold_until_ms: int = 0


def read_envelope(value: Any, now_ms: int) -> Envelope:
    """Return the envelope that a client gives.

    Raises:
        SetError: `invalidProperties`, `noRecipients`, `tooManyRecipients`, `invalidRecipients`, `forbiddenMailFrom`.
    """
    if not isinstance(value, dict) or set(value) - {"mailFrom", "rcptTo"} or not isinstance(value.get("rcptTo"), list):
        raise invalid("envelope")
    sender, parameters = _given(value.get("mailFrom"))
    try:
        # RFC 8621 §7: the empty string is the null path
        path = str(parse_mailbox(sender, max_local=MAX_REVERSE_LOCAL)) if sender else ""
    except AddressError:
        raise SetError(SetFault.FORBIDDEN_MAIL_FROM, "no address") from None
    found = Envelope(pb.SubmissionEnvelope(mail_from=_message(path, parameters)))
    _read_mail_parameters(found, parameters or {}, now_ms)
    _put_recipients(found.message, [_given(one) for one in value["rcptTo"]])
    return found


def derived_envelope(sender: str, recipients: Sequence[str]) -> Envelope:
    """Return the envelope of a message for which a client gives none.

    Raises:
        SetError: `noRecipients`, `tooManyRecipients`, `invalidRecipients`.
    """
    found = Envelope(pb.SubmissionEnvelope(mail_from=_message(sender, None)))
    _put_recipients(found.message, [(address, None) for address in recipients])
    return found


def too_many_recipients() -> SetError:
    """Return `tooManyRecipients` (RFC 8621 §7.5)."""
    return SetError(SetFault.TOO_MANY_RECIPIENTS, maxRecipients=MAX_RECIPIENTS)


def _given(value: Any) -> tuple[str, dict[str, str | None] | None]:
    """Read an Address object (RFC 8621 §7)."""
    if not isinstance(value, dict) or set(value) - {"email", "parameters"} or not isinstance(value.get("email"), str):
        raise invalid("envelope")
    parameters = value.get("parameters")
    if parameters is None:
        return value["email"], None
    if not isinstance(parameters, dict) or len(parameters) > _MAX_PARAMETERS:
        raise invalid("envelope", why="parameters")
    for name, given in parameters.items():
        good = given is None or (isinstance(given, str) and 0 < len(given) <= _MAX_VALUE)
        if not _NAME.fullmatch(name) or not good:
            raise invalid("envelope", why="parameters")
    if len({name.upper() for name in parameters}) != len(parameters):
        raise invalid("envelope", why="a parameter stands twice")
    return value["email"], parameters


def _message(address: str, parameters: Mapping[str, str | None] | None) -> pb.EnvelopeAddress:
    shown = pb.EnvelopeAddress(address=address, has_parameters=parameters is not None)
    for name, value in (parameters or {}).items():
        shown.parameters.add(name=name, value=value)
    return shown


def _read_mail_parameters(found: Envelope, given: Mapping[str, str | None], now_ms: int) -> None:
    values = {name.upper(): value for name, value in given.items()}
    if set(values) - _MAIL - _HOLDS - {_TLS}:
        raise invalid("envelope", why="a parameter that there is not")
    if values.get(_TLS) is not None:
        raise invalid("envelope", why="the value of a parameter")
    found.hold_until_ms = _held_until(values, now_ms)
    written = [_esmtp(name, value) for name, value in values.items() if name in _MAIL]
    read = read_parameters(b"".join(written), MAIL_PARAMETERS)
    if isinstance(read, Fault):
        raise invalid("envelope", why="the value of a parameter")
    message = found.message
    message.require_tls = _TLS in values  # RFC 8689 §2
    body = read.get("body")
    if body is not None and body.value == "BINARYMIME":
        raise invalid("envelope", why="BODY")
    message.eight_bit = body is not None and body.value == "8BITMIME"
    message.smtputf8 = bool(read.get("smtputf8")) or not message.mail_from.address.isascii()
    message.ret = read["ret"].value if "ret" in read else ""
    message.envid = read.get("envid", "")


def _esmtp(name: str, value: str | None) -> bytes:
    """Return a parameter as it stands in SMTP: RFC 8621 §7 has it decoded."""
    if value is None:
        return b" " + name.encode()
    if name == "ORCPT":
        kind, semicolon, address = value.partition(";")
        if not kind.isascii() or not kind.isprintable():
            raise invalid("envelope", why="ORCPT")
        return b" ORCPT=" + kind.encode() + semicolon.encode() + _xtext(address)
    if name == "ENVID":
        return b" ENVID=" + _xtext(value)
    if not value.isascii() or not value.isprintable() or " " in value or "=" in value:
        raise invalid("envelope", why="the value of a parameter")
    return b" " + name.encode() + b"=" + value.encode()


def _xtext(text: str) -> bytes:
    try:
        return encode_xtext(text)
    except UnicodeEncodeError:
        raise invalid("envelope", why="the value of a parameter") from None


def _held_until(values: Mapping[str, str | None], now_ms: int) -> int:
    """Return Unix milliseconds before which the mail is held (RFC 4865 §4)."""
    holds = [name for name in _HOLDS if name in values]
    if not holds:
        return 0
    text = values[holds[0]]
    if len(holds) > 1 or text is None:
        raise invalid("envelope", why="how long to hold")
    interval = interval_of(text) if holds[0] == "HOLDFOR" else None
    time = time_of(text) if holds[0] == "HOLDUNTIL" else None
    if interval is None and time is None:
        raise invalid("envelope", why=holds[0])
    until = held_until(interval, time, now_ms)
    if until is None:
        raise invalid("envelope", why="it cannot be held for so long")
    return until


def _put_recipients(
    message: pb.SubmissionEnvelope, given: Sequence[tuple[str, Mapping[str, str | None] | None]]
) -> None:
    if not given:
        raise SetError(SetFault.NO_RECIPIENTS)
    if len(given) > MAX_RECIPIENTS:
        raise too_many_recipients()
    wrong: list[str] = []
    seen: set[str] = set()
    for address, parameters in given:
        mailbox = _recipient(address)
        if mailbox is None:
            wrong.append(address)
            continue
        name = mailbox.canonical().address
        if name in seen:
            continue
        seen.add(name)
        message.recipients.append(_with_notices(_message(str(mailbox), parameters), parameters or {}))
        message.smtputf8 = message.smtputf8 or mailbox.needs_utf8
    if wrong:
        raise SetError(SetFault.INVALID_RECIPIENTS, invalidRecipients=wrong)


def _recipient(address: str) -> Mailbox | None:
    """Return a mailbox that mail can be sent to; None for anything else."""
    try:
        mailbox = parse_mailbox(address)
    except AddressError:
        return None
    return None if mailbox.is_literal else mailbox


def _with_notices(shown: pb.EnvelopeAddress, given: Mapping[str, str | None]) -> pb.EnvelopeAddress:
    values = {name.upper(): value for name, value in given.items()}
    if set(values) - {"NOTIFY", "ORCPT"}:
        raise invalid("envelope", why="a parameter that there is not")
    written = {name: _esmtp(name, value) for name, value in values.items()}
    if isinstance(read_parameters(b"".join(written.values()), RCPT_PARAMETERS), Fault):
        raise invalid("envelope", why="the value of a parameter")
    shown.notify = (values.get("NOTIFY") or "").upper()
    if "ORCPT" in written:
        shown.orcpt = written["ORCPT"].partition(b"=")[2].decode("ascii")
    return shown
