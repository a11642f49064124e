"""The ARC sets of a header: which fields belong to which instance, and whether they make a chain (RFC 8617 §4, §5.2)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from petitbleu_mail.auth.canonical import relaxed_field
from petitbleu_mail.auth.dkim_record import SignatureError, algorithm_kind
from petitbleu_mail.auth.dkim_signature import Signature, read_arc_message, signer, without_signature
from petitbleu_mail.auth.fields import Fields
from petitbleu_mail.auth.tags import TagError, TagList, parse_tags

# RFC 8617 §4.2.1: instances go from 1 to 50
MAX_SETS = 50

RESULTS, MESSAGE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"

_INSTANCE = re.compile(r"0*([1-9][0-9]?)")
# RFC 8617 §4.1.1: `i=1;` comes before everything else; comments may stand around it
_COMMENTS = rb"(?:[ \t\r\n]|\([^()\\]*+\))*+"
_RESULTS_INSTANCE = re.compile(
    _COMMENTS + rb"i" + _COMMENTS + rb"=" + _COMMENTS + rb"([0-9]{1,4}+)" + _COMMENTS + rb";"
)


class ChainError(Exception):
    """Why the fields make no chain; `args[0]` says it in fixed words."""


@dataclass(frozen=True, slots=True)
class Seal:
    """An ARC-Seal, read (RFC 8617 §4.1.3). `status` is cv=, in lower case."""

    index: int
    tags: TagList
    kind: str
    domain: str
    selector: str
    signature: bytes
    status: str
    made: int | None


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One instance: the place of its ARC-Authentication-Results, its message signature and its seal."""

    instance: int
    results: int
    message: Signature
    seal: Seal


def instance_of(fields: Fields, name: bytes, index: int) -> int:
    """Return the instance that an ARC field names (i=), 1 to 50. Raises `ChainError`."""
    value = fields.value(index)
    if name == RESULTS:
        found = _RESULTS_INSTANCE.match(value)
        text = found[1].decode() if found else ""
    else:
        try:
            text = parse_tags(value).need("i")
        except TagError as error:
            raise ChainError(f"{_plain(name)}: {error.args[0]}") from None
    digits = _INSTANCE.fullmatch(text)
    if digits is None or int(digits[1]) > MAX_SETS:
        raise ChainError(f"{_plain(name)}: i= is no instance")
    return int(digits[1])


def _plain(name: bytes) -> str:
    return {RESULTS: "results", MESSAGE: "message signature", SEAL: "seal"}[name]


def places(fields: Fields) -> list[dict[bytes, int]]:
    """Return where the three fields of each instance stand, the first instance first; nothing for a message without ARC.

    Raises `ChainError` where an instance misses one or has one twice (RFC 8617 §5.2, step 3).
    """
    found: dict[int, dict[bytes, int]] = {}
    for name in (RESULTS, MESSAGE, SEAL):
        known = fields.indexes(name)
        if len(known) > MAX_SETS:
            raise ChainError("more than 50 sets")
        for index in known:
            of_instance = found.setdefault(instance_of(fields, name, index), {})
            if name in of_instance:
                raise ChainError(f"an instance has two of the {_plain(name)}")
            of_instance[name] = index
    if any(instance not in found for instance in range(1, len(found) + 1)):
        raise ChainError("an instance is missing")
    chain = [found[instance] for instance in range(1, len(found) + 1)]
    if any(len(of_instance) != 3 for of_instance in chain):
        raise ChainError("an instance is not complete")
    return chain


def read_seal(fields: Fields, index: int) -> Seal:
    """Read the ARC-Seal at a place of the header. Raises `ChainError`."""
    try:
        tags = parse_tags(fields.value(index))
        if "h" in tags:
            raise ChainError("seal: h= is not allowed")  # RFC 8617 §4.1.3
        domain, selector = signer(tags)
        return Seal(
            index=index,
            tags=tags,
            kind=algorithm_kind(tags.need("a")),
            domain=domain,
            selector=selector,
            signature=tags.octets("b"),
            status=tags.need("cv").lower(),
            made=tags.number("t"),
        )
    except TagError as error:
        raise ChainError(f"seal: {error.args[0]}") from None
    except SignatureError as error:
        raise ChainError(f"seal: {error.reason}") from None


def read_sets(fields: Fields, chain: list[dict[bytes, int]]) -> list[ArcSet]:
    """Read the sets of a chain whose places are known. Raises `ChainError`."""
    sets = []
    for instance, of_instance in enumerate(chain, 1):
        seal = read_seal(fields, of_instance[SEAL])
        # RFC 8617 §5.2, step 3: the first says none, every other one pass
        if seal.status != ("none" if instance == 1 else "pass"):
            raise ChainError("seal: cv= does not fit")
        try:
            message = read_arc_message(fields, of_instance[MESSAGE])
        except SignatureError as error:
            raise ChainError(f"message signature: {error.reason}") from None
        sets.append(ArcSet(instance, of_instance[RESULTS], message, seal))
    return sets


class SealHash:
    """What seals sign: the sets so far, in the relaxed form, the own seal at the end with its b= empty (RFC 8617 §5.1.1)."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._hash = hashlib.sha256()

    def add_set(self, one: ArcSet) -> bytes:
        """Take the next set; return the digest that its seal signs."""
        for index in (one.results, one.message.index):
            self.add_field(self._fields.relaxed(index))
        digest = self.last(relaxed_field(without_signature(self._fields.raw[one.seal.index], one.seal.tags)))
        self.add_field(self._fields.relaxed(one.seal.index))
        return digest

    def add_field(self, relaxed: bytes) -> None:
        """Take a field that is there, in the relaxed form without CRLF."""
        self._hash.update(relaxed)
        self._hash.update(b"\r\n")

    def last(self, relaxed: bytes) -> bytes:
        """Return the digest with this field at its end, which goes on without it."""
        digest = self._hash.copy()
        digest.update(relaxed)
        return digest.digest()
