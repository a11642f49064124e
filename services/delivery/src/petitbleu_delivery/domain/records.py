"""What stands in the DNS for a hosted domain, and what should: the words in which it is told, and the zone file's forms."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, Generic, TypeVar

import msgspec

from petitbleu_mail.mta_sts import StsPolicy

Record = TypeVar("Record")

# RFC 1035 §3.3: a character-string has 255 octets at most
_STRING_OCTETS: Final = 255
# Of a stranger's text, as much is shown.
_SHOWN: Final = 500


class RecordState(IntEnum):
    """How a record is; the number is that of the contract."""

    RIGHT = 1
    WRONG = 2
    MISSING = 3
    UNKNOWN = 4


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `found` and `wanted` are lines of a zone file; `wanted` is empty when nothing needs to change."""

    kind: str
    name: str
    type: str
    state: RecordState
    required: bool = True
    found: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    note: str = ""


class Answer(msgspec.Struct, Generic[Record], frozen=True):
    """The answer to one question: records, of which there may be none; `failed` when the DNS did not say; `proven` by DNSSEC."""

    records: tuple[Record, ...] = ()
    failed: bool = False
    proven: bool = False


class Expected(msgspec.Struct, frozen=True):
    """What the operator says of the platform; what is empty is not known, and then not held against anybody.

    Attributes:
        mx: Names of its MX hosts, the most preferred first.
        spf: The mechanism that lets its hosts send, such as `mx` or `include:_spf.example.net`.
        policy: The MTA-STS policy that it serves for the domain, None for none.
        certificate: SHA-256 of the public key of its MX hosts' certificate (the data of a TLSA record 3 1 1).
        host: Name under which clients reach it.
        policy_host: Name of the host that serves policies.
    """

    mx: tuple[str, ...] = ()
    spf: str = "mx"
    policy: StsPolicy | None = None
    certificate: bytes = b""
    host: str = ""
    policy_host: str = ""


def zone_txt(name: str, text: str) -> str:
    """Return a TXT record as a zone file has it, a long text in several strings (RFC 1035 §3.3, RFC 6376 §3.6.2.2)."""
    pieces = [text[at : at + _STRING_OCTETS] for at in range(0, len(text), _STRING_OCTETS)] or [""]
    return f"{name}. IN TXT " + " ".join(
        '"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces
    )


def shown_txt(name: str, records: Sequence[bytes]) -> tuple[str, ...]:
    """Return TXT records that were found, as text fit to be shown: a stranger wrote them."""
    return tuple(zone_txt(name, shown(record)) for record in records[:10])


def shown(record: bytes) -> str:
    """Return a stranger's octets as printable ASCII, the rest as `?`, cut where they are long."""
    text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "?" for octet in record[:_SHOWN])
    return text + ("…" if len(record) > _SHOWN else "")


def unknown(kind: str, name: str, kind_of_record: str, *, required: bool = True) -> Finding:
    """Return the finding of a question that was not answered."""
    return Finding(kind, name, kind_of_record, RecordState.UNKNOWN, required, note="The DNS did not answer.")
