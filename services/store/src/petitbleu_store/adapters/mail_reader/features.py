"""What of a message tells junk from wanted mail: its words, by where they stand; who writes; where its links lead; what it is made of.

Each becomes a 32-bit keyed hash (BLAKE2b, RFC 7693, under a key of the account), so that a model of them tells a thief nothing.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from petitbleu_mail.mime import Part, part_beginning
from petitbleu_mail.structure import ParsedMessage, decode_meta
from petitbleu_store.adapters.mail_reader.requests import Mail
from petitbleu_store.adapters.mail_reader.texts import body_texts, header_texts
from petitbleu_text.searchable import Field, Searchable
from petitbleu_text.words import analyse

_MOST: Final = 1500
"""Features of one message; who writes, subject and links stand before the body."""
_MOST_LINKS: Final = 60
_LINK_OCTETS: Final = 256 << 10
_MAX_PARTS: Final = 20
_LONGEST: Final = 120
# RFC 3986 §3.2.2: of a host what DNS can hold, behind whatever stands for the user
_HOST: Final = re.compile(
    r"https?://(?:[^\s/?#\"'<>@]{0,200}@)?([0-9A-Za-z\u00a1-\uffff](?:[0-9A-Za-z.\-\u00a1-\uffff]{0,252}))",
    re.IGNORECASE,
)


def features(key: bytes, mail: Mail) -> bytes:
    """Return the features of a message, packed big-endian, sorted, each once.

    Args:
        key: 16 to 64 octets of the account's.
        mail: The message; without octets only its header is looked at.
    """
    message = decode_meta(mail.meta)
    found = dict.fromkeys(islice(_spelled(message, mail.blob), _MOST))
    hashed = sorted({_hashed(key, one) for one in found})
    return struct.pack(f">{len(hashed)}I", *hashed)


def _hashed(key: bytes, feature: str) -> int:
    digest = hashlib.blake2b(feature[:_LONGEST].encode("utf-8", "surrogatepass"), key=key, digest_size=4).digest()
    return int.from_bytes(digest, "big")


def _spelled(message: ParsedMessage, blob: bytes | None) -> Iterator[str]:
    for one in message.from_ or ():
        address = (one.email or "").lower()
        yield f"from:{address}"
        yield f"domain:{address.rpartition('@')[2]}"
    texts = header_texts(message)
    if blob is not None:
        texts[Field.BODY] = body_texts(message.root, blob)
    whole = Searchable(texts)
    yield from _words(whole, Field.SUBJECT, "subject")
    parts = list(islice(_leaves(message.root), _MAX_PARTS))
    yield from _make(parts)
    if blob is not None:
        yield from _links(parts, blob)
        yield from _words(whole, Field.BODY, "body")


def _make(parts: Sequence[Part]) -> Iterator[str]:
    """Give what a message is made of."""
    for part in parts:
        yield f"type:{part.type}"
        if part.name and "." in part.name:
            yield f"file:{part.name.rpartition('.')[2].lower()}"
    if not any(part.type == "text/plain" for part in parts):
        yield "made:without-text"


def _links(parts: Sequence[Part], blob: bytes) -> Iterator[str]:
    """Give where links lead: hosts, and the two last labels of each, under which somebody may have many."""
    hosts: dict[str, None] = {}
    for part in parts:
        if part.type.startswith("text/"):
            found = _HOST.finditer(part_beginning(blob, part, _LINK_OCTETS))
            hosts.update(dict.fromkeys(one[1].lower().strip(".-") for one in islice(found, _MOST_LINKS)))
    for host in islice(hosts, _MOST_LINKS):
        yield f"link:{host}"
        above = ".".join(host.split(".")[-2:])
        if above != host:
            yield f"link:{above}"


def _words(message: Searchable, field: Field, tag: str) -> Iterator[str]:
    for runs in message.runs(field):
        for run in runs:
            for word in analyse(run):
                yield f"{tag}:{word.text}"


def _leaves(root: Part) -> Iterator[Part]:
    """Give the parts that hold something, those of messages within left out."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.parts:
            waiting.extend(reversed(part.parts))
        else:
            yield part
