"""One DKIM-Signature or ARC-Message-Signature, read and checked for sense before any key is asked for (RFC 6376 §3.5, §6.1.1)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from petitbleu_mail.addresses import AddressError, canonical_domain
from petitbleu_mail.auth.canonical import relaxed_field
from petitbleu_mail.auth.dkim_record import Result, SignatureError, algorithm_kind
from petitbleu_mail.auth.fields import Fields
from petitbleu_mail.auth.tags import TagError, TagList, parse_tags

# Names that h= may list: a signature of real mail lists some tens, oversigning included.
MAX_SIGNED = 1000

_FIELD_NAME = re.compile(r"[!-9;-~]*+")
_SELECTOR = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_FORMS = ("simple", "relaxed")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature claims.

    `index` is its field's place in the header, `kind` the kind of key, `forms` the canonical forms of header and body, `limit` the
    signed octets of the canonical body (l=) or None for all; `made` and `expires` are seconds since 1970 (t=, x=).
    """

    index: int
    source: bytes
    tags: TagList
    kind: str
    domain: str
    selector: str
    signature: bytes
    body_hash: bytes
    forms: tuple[str, str]
    signed: tuple[bytes, ...]
    limit: int | None
    made: int | None
    expires: int | None
    identity: str | None

    def digest(self, fields: Fields) -> bytes:
        """Return the SHA-256 that is signed: the chosen fields, then this one with its b= empty (RFC 6376 §3.7)."""
        relaxed = self.forms[0] == "relaxed"
        digest = hashlib.sha256()
        for index in fields.select(self.signed, self.index):
            digest.update(fields.relaxed(index) if relaxed else fields.raw[index])
            digest.update(b"\r\n")
        own = without_signature(fields.raw[self.index], self.tags)
        digest.update(relaxed_field(own) if relaxed else own)
        return digest.digest()


def without_signature(field: bytes, tags: TagList) -> bytes:
    """Return a signature's field with the value of its b= left out, the blanks around it included (RFC 6376 §3.5)."""
    behind = field.index(b":") + 1
    start, end = tags.spans["b"]
    return field[: behind + start] + field[behind + end :]


def read_dkim(fields: Fields, index: int) -> Signature:
    """Read the DKIM-Signature at a place of the header. Raises `SignatureError`."""
    return _read(fields, index, dkim=True)


def read_arc_message(fields: Fields, index: int) -> Signature:
    """Read the ARC-Message-Signature at a place of the header (RFC 8617 §4.1.2). Raises `SignatureError`.

    There i= is the instance, and there is no v=; what else differs is that h= need not name From, and never names ARC-Seal.
    """
    return _read(fields, index, dkim=False)


def _read(fields: Fields, index: int, *, dkim: bool) -> Signature:
    source = fields.value(index)
    try:
        tags = parse_tags(source)
        if dkim and tags.need("v") != "1":
            raise SignatureError(Result.NEUTRAL, "unknown version")  # RFC 6376 §6.1.1
        domain, selector = signer(tags)
        kind = algorithm_kind(tags.need("a"))
        methods = tags.words("q")
        if methods is not None and "dns/txt" not in methods:
            raise SignatureError(Result.NEUTRAL, "no way to the key that is known")
        made, expires = _times(tags)
        return Signature(
            index=index,
            source=source,
            tags=tags,
            kind=kind,
            domain=domain,
            selector=selector,
            signature=tags.octets("b"),
            body_hash=_body_hash(tags),
            forms=_forms(tags.get("c"), "simple/simple" if dkim else "relaxed/relaxed"),
            signed=_signed(tags, dkim=dkim),
            limit=tags.number("l"),
            made=made,
            expires=expires,
            identity=_identity(tags, domain) if dkim else None,
        )
    except TagError as error:
        raise SignatureError(Result.NEUTRAL, f"syntax: {error.args[0]}") from None


def signer(tags: TagList) -> tuple[str, str]:
    """Return domain and selector (d=, s=), the domain in lower-case A-labels (RFC 8616 §4). Raises `TagError`."""
    selector = tags.need("s")
    try:
        domain = canonical_domain(tags.need("d"))
        if not selector.isascii():
            selector = canonical_domain(selector)
    except AddressError:
        raise TagError("d= or s= is no domain name") from None
    if domain.startswith("[") or len(selector) > 255 or _SELECTOR.fullmatch(selector) is None:
        raise TagError("d= or s= is no domain name")
    return domain, selector


def _body_hash(tags: TagList) -> bytes:
    octets = tags.octets("bh")
    if len(octets) != 32:
        raise TagError("bh= is no SHA-256")
    return octets


def _times(tags: TagList) -> tuple[int | None, int | None]:
    made, expires = tags.number("t"), tags.number("x")
    if made is not None and expires is not None and expires <= made:
        raise TagError("x= is not after t=")  # RFC 6376 §3.5, x=
    return made, expires


def _forms(value: str | None, default: str) -> tuple[str, str]:
    """Return the canonical forms of header and body (c=); a body's that is not named is simple (RFC 6376 §3.5).

    RFC 8617 names no default of its own; its test suite takes a message signature without c= as relaxed.
    """
    header, slash, body = (default if value is None else value).partition("/")
    forms = (header, body if slash else "simple")
    if forms[0] not in _FORMS or forms[1] not in _FORMS:
        raise TagError("c= is unknown")
    return forms


def _signed(tags: TagList, *, dkim: bool) -> tuple[bytes, ...]:
    words = tags.words("h")
    if words is None:
        raise TagError("h= is missing")
    if len(words) > MAX_SIGNED:
        raise TagError("h= is too long")
    if any(_FIELD_NAME.fullmatch(word) is None for word in words):
        raise TagError("h= has what is no field name")
    names = tuple(word.lower().encode("ascii") for word in words)
    if dkim:
        if not all(names):
            raise TagError("h= has an empty name")
        if b"from" not in names:
            raise SignatureError(Result.PERMERROR, "From not signed")  # RFC 6376 §6.1.1
    elif b"arc-seal" in names:
        raise TagError("h= has ARC-Seal")  # RFC 8617 §4.1.2
    return names


def _identity(tags: TagList, domain: str) -> str:
    """Return the agent or user (i=) for whom it is signed: in the domain or below it (RFC 6376 §3.5, §6.1.1)."""
    value = tags.get("i")
    if value is None:
        return f"@{domain}"
    local, at, raw = value.rpartition("@")
    try:
        below = canonical_domain(raw)
    except AddressError:
        below = ""
    if not at or not below:
        raise TagError("i= is no identity")
    if below != domain and not below.endswith("." + domain):
        raise SignatureError(Result.PERMERROR, "i= is not in the domain")
    return f"{local}@{below}"
