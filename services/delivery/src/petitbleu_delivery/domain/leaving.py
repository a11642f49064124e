"""What leaves is looked at once more, as it leaves: behind every change of its octets, before it is signed (RFC 6409 §6.1).

The doors of submission check the same. This holds where one of them did not, or where what was kept became something else on its way.
"""

from __future__ import annotations

from typing import Final

from petitbleu.store.v1 import accept_pb2, outgoing_pb2
from petitbleu_delivery.domain.outbound import Reply, destination_of
from petitbleu_mail.headers import MAX_FIELDS, Headers, scan_headers
from petitbleu_mail.same_reading import oddity_of, same_mailboxes, whole_addresses

_NOT_THE_AUTHOR: Final = Reply(
    0, "5.6.0", "the author of the message is not the one that was checked when it was submitted", ""
)


def refusal_of(header: outgoing_pb2.AcceptedHeader, body: bytes) -> Reply | None:
    """Return why a message is not sent; None when it is.

    What was submitted must have one From field, with the very address of `header_from`, for whoever reads it; with several where that is
    empty (each was seen to be the submitter's). What a rule sends on is the word of whoever wrote it.

    Args:
        header: As it was accepted.
        body: As it would leave, its lines ending with CRLF.
    """
    if header.origin != accept_pb2.ORIGIN_SUBMITTED:
        return None
    oddity = oddity_of(body, MAX_FIELDS)
    if oddity is not None:
        return Reply(0, "5.6.0", oddity.value, "")
    headers = scan_headers(body)
    emails = _authors(headers)
    right = emails == [header.header_from] if header.header_from else len(emails) > 1
    return None if right else _NOT_THE_AUTHOR


def _authors(headers: Headers) -> list[str]:
    """Return the addresses of the one From field, if every reader finds the same in it; none else."""
    authors = whole_addresses(headers, b"from")
    if headers.count(b"from") != 1 or authors is None or not same_mailboxes(headers.all(b"from")[0]):
        return []
    return [one.email for one in authors]


def signing_domain(header: outgoing_pb2.AcceptedHeader, body: bytes) -> str:
    """Return the domain in whose name a message is signed, if it is hosted; empty for one that is not signed.

    A rule sends on what a stranger wrote under any name: that is signed only where its author was known to have written it,
    and where whoever reads it finds that author, and no other.

    Args:
        header: As it was accepted.
        body: As it would leave, its lines ending with CRLF.
    """
    if header.origin == accept_pb2.ORIGIN_RULE:
        known = header.from_authenticated and oddity_of(body, MAX_FIELDS) is None
        emails = [one.lower() for one in _authors(scan_headers(body))] if known else []
        if emails != [header.header_from.lower()]:
            return ""
    return destination_of(header.header_from)
