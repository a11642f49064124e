"""DKIM signatures made (RFC 6376 §5, RFC 8301, RFC 8463): relaxed/relaxed, oversigned, by RSA or Ed25519.

A domain that has keys of both kinds signs twice over one body hash; receivers that know no Ed25519 use the other (RFC 8463 §3).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from petitbleu_mail.auth.canonical import BodyDigest, BodyHashes, relaxed_field
from petitbleu_mail.auth.dkim_record import MIN_RSA_BITS
from petitbleu_mail.auth.fields import Fields

# One mention more than there are such fields, be it of a field that is not there: nobody can add one (RFC 6376 §5.4, §8.15).
_ALWAYS = (b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to")
# The same, but only where there is one: gateways may add the first of these without bad intent (RFC 6376 §5.4.1).
_IF_PRESENT = (
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"in-reply-to",
    b"references",
    b"sender",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"auto-submitted",
    b"feedback-id",
)
# As often as they are there: mailing lists that send a message on put their own beside them.
_AS_IT_IS = (
    b"resent-from", b"resent-to", b"resent-date", b"resent-cc", b"resent-message-id",
    b"list-id", b"list-help", b"list-subscribe", b"list-post", b"list-owner", b"list-archive",
)  # fmt: skip
# Lines of the field that is made are folded to this (RFC 5322 §2.1.1).
_WIDTH = 76
LINE = 72  # of a value that goes over several lines

_SHA256 = SHA256()
_PREHASHED = Prehashed(_SHA256)
_PADDING = PKCS1v15()


class SigningKey:
    """A private key of a domain, loaded, with the selector under which its public half is published.

    Kept and used again: loading costs more than the rest of a signature. Raises `ValueError` for an RSA key that is too short.
    """

    __slots__ = ("_key", "algorithm", "domain", "selector")

    def __init__(self, domain: str, selector: str, key: RSAPrivateKey | Ed25519PrivateKey) -> None:
        if isinstance(key, RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
            raise ValueError("RSA keys have at least 1024 bits")  # RFC 8301 §3.2
        self.domain = domain
        self.selector = selector
        self.algorithm = "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256"
        self._key = key

    def sign(self, digest: bytes) -> bytes:
        """Sign data with this SHA-256 digest, as `PublicKey.verifies` wants it."""
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(digest, _PADDING, _PREHASHED)
        return self._key.sign(digest)  # RFC 8463 §3: the digest is the message


def names_to_sign(fields: Fields) -> list[bytes]:
    """Return the names for h=, in a fixed order: what a reader sees, each oversigned (RFC 6376 §5.4)."""
    names: list[bytes] = []
    for name in _ALWAYS:
        names += [name] * (len(fields.indexes(name)) + 1)
    for name in _IF_PRESENT:
        count = len(fields.indexes(name))
        names += [name] * (count + 1) if count else []
    for name in _AS_IT_IS:
        names += [name] * len(fields.indexes(name))
    return names


def signing_body(hashes: BodyHashes) -> BodyDigest:
    """Ask for the one body hash that all signatures of a message share."""
    return hashes.want("relaxed")


def signature_field(
    fields: Fields,
    body: BodyDigest,
    key: SigningKey,
    now: int,
    *,
    lifetime: int | None = None,
    identity: str | None = None,
) -> bytes:
    """Return a DKIM-Signature field with its CRLF, to be put on top of the message.

    `body` is finished; `now` and `lifetime` (x=, none by default) are in seconds; `identity` (i=) is an address in the domain.
    """
    tags = [("v", "1"), ("a", key.algorithm), ("c", "relaxed/relaxed"), ("d", key.domain), ("s", key.selector)]
    if identity is not None:
        tags.append(("i", identity))
    tags.append(("t", str(now)))
    if lifetime is not None:
        tags.append(("x", str(now + lifetime)))
    names = names_to_sign(fields)
    tags.append(("h", b":".join(names).decode("ascii")))
    tags.append(("bh", base64.b64encode(body.digest()).decode()))
    tags.append(("b", ""))
    return signed_field(b"DKIM-Signature", tags, fields, names, key)


def signed_field(
    name: bytes,
    tags: Sequence[tuple[str, str]],
    fields: Fields,
    names: Sequence[bytes],
    key: SigningKey,
    *,
    line: int = LINE,
) -> bytes:
    """Write a field of these tags, one of which is an empty b=, and sign the named fields and it (RFC 6376 §3.7).

    `line` is how much of b= stands on a line. The field ends with CRLF.
    """
    digest = hashlib.sha256()
    for index in fields.select(names):
        digest.update(fields.relaxed(index))
        digest.update(b"\r\n")
    digest.update(relaxed_field(folded(name, tags)))
    return filled(name, tags, key.sign(digest.digest()), line=line)


def filled(name: bytes, tags: Sequence[tuple[str, str]], signature: bytes, *, line: int = LINE) -> bytes:
    """Return the field with its b= filled in and its CRLF. In the relaxed form nothing else of it changes."""
    text = base64.b64encode(signature).decode()
    return folded(name, [(tag, text if tag == "b" else value) for tag, value in tags], line=line) + b"\r\n"


def folded(name: bytes, tags: Sequence[tuple[str, str]], *, line: int = LINE) -> bytes:
    """Write a tag list as a field without its last CRLF; folds stand behind semicolons and within h= and b= (RFC 6376 §3.2).

    Whether a tag comes on a line of its own does not change the relaxed form: before each tag there is one blank or one fold.
    """
    out = [name + b":"]
    width = len(name) + 1
    last = len(tags) - 1
    for at, (tag, value) in enumerate(tags):
        text = f"{tag}={value}{'' if at == last else ';'}".encode()
        if width + 1 + len(text) <= _WIDTH:
            out.append(b" " + text)
            width += 1 + len(text)
            continue
        pieces = _broken(tag, text, line)
        out.append(b"\r\n " + b"\r\n ".join(pieces))
        width = 1 + len(pieces[-1])
    return b"".join(out)


def _broken(tag: str, text: bytes, line: int) -> list[bytes]:
    """Break the text of a long b= or h= into lines (RFC 5322 §2.1.1); other values have no place for a fold (RFC 6376 §3.2).

    A fold within b= is left out of what is signed; one within h= is part of it, so it depends on nothing but the names.
    """
    if tag == "b":
        return [text[at : at + line] for at in range(0, len(text), line)]
    if tag != "h" or len(text) < _WIDTH:
        return [text]
    lines, words = [], b""
    for word in text.split(b":"):
        if words and len(words) + len(word) + 1 > LINE:
            lines.append(words + b":")
            words = word
        else:
            words = words + b":" + word if words else word
    return [*lines, words]
