"""What messages are sorted by (RFC 8621 §4.4.2), read out of the record that `encode_meta` made."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from petitbleu_mail.address_list import EmailAddress
from petitbleu_mail.structure import META_VERSION, MetaError
from petitbleu_mail.threading import bare_subject


class _Beginning(msgspec.Struct, array_like=True, gc=False):
    """The first members of a `ParsedMessage`; those behind them are not looked at."""

    root: msgspec.Raw
    size: int
    subject: str | None = None
    from_: list[EmailAddress] | None = None
    to: list[EmailAddress] | None = None


_BEGINNING_DECODER = msgspec.msgpack.Decoder(_Beginning)


class SortedBy(NamedTuple):
    """The strings that messages are sorted by (RFC 8621 §4.4.2), empty where there is nothing."""

    from_: str
    to: str
    subject: str


def decode_sorted_by(data: bytes | memoryview) -> SortedBy:
    """Read what messages are sorted by out of a record, at a fifth of the cost of all of it. Raises `MetaError`."""
    if not data or data[0] != META_VERSION:
        raise MetaError("not a record of this version")
    try:
        found = _BEGINNING_DECODER.decode(memoryview(data)[1:])
    except msgspec.MsgspecError:
        raise MetaError("damaged record") from None
    return SortedBy(_first(found.from_), _first(found.to), bare_subject(found.subject or ""))


def _first(addresses: list[EmailAddress] | None) -> str:
    # RFC 8621 §4.4.2: the name of the first address, or its email where the name is null or empty
    return (addresses[0].name or addresses[0].email) if addresses else ""
