"""What a bounce says of the recipients of the message that it is about, and of nobody else (RFC 3464 §2): pure, bounded, never raising."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from petitbleu_delivery.domain.outbound import Reply, destination_of
from petitbleu_mail.delivery_status import DeliveryStatus, RecipientStatus, read_delivery_status
from petitbleu_mail.reports import find_report
from petitbleu_mail.transfer import decode_transfer

READ_OCTETS: Final = 256 << 10
"""Octets of a bounce that are looked at: the machine's part stands before the message that came back."""
_STATUS_OCTETS: Final = 128 << 10
_TEXT: Final = 400
_KIND: Final = "delivery-status"
# RFC 3464 §2.3.6: what the server answered, code first
_ANSWER: Final = re.compile(r"([245][0-9]{2})[ -]*(?:[245]\.[0-9]{1,3}\.[0-9]{1,3}\b)?[ -]*(.{0,400})")


class Spoken(NamedTuple):
    """What is said of a recipient: whether it has the message, its status (RFC 3463), and the answer of the server that knows."""

    delivered: bool
    status: str
    reply: Reply


def concerned(addresses: Sequence[str], first_no: int) -> dict[str, list[int]]:
    """Return the recipients of one unit, numbers by folded address: those behind `first_no` at its destination."""
    found: dict[str, list[int]] = {}
    if not 0 <= first_no < len(addresses):
        return found
    destination = destination_of(addresses[first_no])
    for number in range(first_no, len(addresses)):
        if destination_of(addresses[number]) == destination:
            found.setdefault(folded(addresses[number]), []).append(number)
    return found


def read_bounce(octets: bytes, recipients: Mapping[str, Sequence[int]]) -> dict[int, Spoken] | None:
    """Return what a mail says of recipients, by number; None when it is no report of deliveries.

    Args:
        octets: The mail, or its beginning.
        recipients: Numbers by folded address, as `concerned` has them: of others nothing is returned, whatever is said of them.
    """
    report = find_report(octets)
    if report is None or report.kind != _KIND:
        return None
    part = report.machine
    content, _ = decode_transfer(octets[part.body_start : part.body_end][: 2 * _STATUS_OCTETS], part.encoding)
    status = read_delivery_status(content[:_STATUS_OCTETS])
    return None if status is None else _spoken(status, recipients)


def _spoken(report: DeliveryStatus, recipients: Mapping[str, Sequence[int]]) -> dict[int, Spoken]:
    found: dict[int, Spoken] = {}
    for one in report.recipients:
        delivered = one.action == "delivered"
        if not delivered and (one.action != "failed" or one.status.startswith("2")):
            continue
        said = Spoken(delivered, one.status, _reply(one))
        for number in _numbers(one, recipients):
            if number not in found or found[number].delivered:  # that it failed goes before all
                found[number] = said
    return found


def _numbers(one: RecipientStatus, recipients: Mapping[str, Sequence[int]]) -> Sequence[int]:
    """Return whom a group is about: by the address that we gave, where the next server says it (RFC 3464 §2.3.1), else by its own."""
    given = one.original_recipient
    numbers = recipients.get(folded(given.address), ()) if given is not None else ()
    return numbers or recipients.get(folded(one.final_recipient.address), ())


def folded(address: str) -> str:
    """Return an address as it is compared: without brackets, in lower case, its domain as A-labels."""
    text = address.strip().removeprefix("<").removesuffix(">")
    return f"{text.rpartition('@')[0].lower()}@{destination_of(text)}"


def _reply(one: RecipientStatus) -> Reply:
    said = one.diagnostic_code
    code, text = 0, ""
    if said is not None:
        answer = _ANSWER.match(said.value) if said.kind in {"smtp", ""} else None
        code, text = (int(answer[1]), answer[2]) if answer is not None else (0, said.value)
    host = one.remote_mta.value if one.remote_mta is not None else ""
    return Reply(code, one.status, _printable(text)[:_TEXT], _printable(host)[:255])


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
