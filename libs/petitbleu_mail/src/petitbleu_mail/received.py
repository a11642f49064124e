"""The lines that we write on top of a message: Received, Return-Path, Delivered-To (RFC 5321 §4.4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from petitbleu_mail.addresses import Mailbox

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# What a client calls itself is copied only as far as it can do no harm in a header: no blanks, comments or specials.
_UNSAFE = re.compile(r"[^A-Za-z0-9.:_\[\]\u0080-\U0010ffff-]")
_MAX_WORD = 255


def protocol(*, extended: bool, tls: bool = False, auth: bool = False, utf8: bool = False, lmtp: bool = False) -> str:
    """Return the word behind `with`: ESMTPSA and its kin (RFC 3848 §2), UTF8SMTPSA and its kin (RFC 6531 §4.3)."""
    if lmtp:
        stem = "UTF8LMTP" if utf8 else "LMTP"
    elif utf8:
        stem = "UTF8SMTP"
    elif extended:
        stem = "ESMTP"
    else:
        return "SMTP"
    return stem + ("S" if tls else "") + ("A" if auth else "")


def rfc5322_date(when: datetime) -> str:
    """Return a date-time in English (RFC 5322 §3.3), whatever the locale. A naive `when` is UTC."""
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    offset = when.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset else 0
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    return (
        f"{_DAYS[when.weekday()]}, {when.day} {_MONTHS[when.month - 1]} {when.year:04d} "
        f"{when.hour:02d}:{when.minute:02d}:{when.second:02d} {sign}{hours:02d}{rest:02d}"
    )


def _word(text: str) -> str:
    return _UNSAFE.sub("?", text)[:_MAX_WORD] or "unknown"


def received_line(
    *,
    helo: str,
    peer: str,
    peer_name: str | None,
    by: str,
    with_protocol: str,
    queue_id: str,
    when: datetime | str,
    tls: str | None = None,
    recipients: tuple[Mailbox, ...] = (),
) -> bytes:
    """Build the Received header field of a message just taken, folded, with its CRLF (RFC 5321 §4.4).

    `peer` is the client's IP address, `peer_name` its verified reverse name, `tls` such as `TLSv1.3:TLS_AES_256_GCM_SHA384`;
    `when` may be a date made by `rfc5322_date` already, which a busy server needs only once a second.
    `for` is written only when there is exactly one recipient, so that no one learns of another (RFC 5321 §7.2).
    """
    # RFC 5321 §4.4: Extended-Domain = Domain / (Domain FWS "(" TCP-info ")")
    literal = _literal(peer)
    tcp = f"{_word(peer_name)} {literal}" if peer_name else literal
    cipher = f" ({_word(tls)})" if tls else ""
    utf8 = with_protocol.startswith("UTF8")
    name = _word(helo) if utf8 else _word(helo).encode("ascii", "replace").decode("ascii")
    tail = f"\r\n\tby {_word(by)} with {_word(with_protocol)}{cipher} id {_word(queue_id)}"
    if len(recipients) == 1 and (utf8 or not recipients[0].needs_utf8):
        tail += f"\r\n\tfor <{recipients[0].address}>"
    return f"Received: from {name} ({tcp}){tail};\r\n\t{when if isinstance(when, str) else rfc5322_date(when)}\r\n".encode()


@lru_cache(maxsize=4096)
def _literal(peer: str) -> str:
    try:
        return f"[{IPv4Address(peer)}]"
    except ValueError:
        pass
    try:
        address = IPv6Address(peer.partition("%")[0])
    except ValueError:
        return "[unknown]"
    # a socket that serves both families shows IPv4 peers as ::ffff:a.b.c.d
    return f"[{address.ipv4_mapped}]" if address.ipv4_mapped else f"[IPv6:{address}]"


def return_path(sender: Mailbox | None) -> bytes:
    """Build the Return-Path line of final delivery; None is the null path (RFC 5321 §4.4)."""
    return f"Return-Path: <{sender.address if sender else ''}>\r\n".encode()


def delivered_to(recipient: Mailbox) -> bytes:
    """Build the Delivered-To line (RFC 9228 §2), by which forwarding loops are found."""
    return f"Delivered-To: {recipient.address}\r\n".encode()
