"""What a message is, from its structure: signed, encrypted, an invitation, a report, a forwarded message, winmail.dat.

`recognise` looks at the tree of parts; with the octets also at the first lines of the bodies that need it, at most
`WINDOW` of each and of `MAX_LOOKS` parts. Nothing is verified or decrypted: a signature that is recognised is one that is claimed.
Messages within the message are told and not looked into.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator

import msgspec

from petitbleu_mail.headers import Blob
from petitbleu_mail.mime import Part
from petitbleu_mail.transfer import decode_transfer

# Octets of a body that are looked at. Inline PGP stands at the top, below a greeting at most; METHOD among a calendar's first lines.
WINDOW = 8192
# Bodies looked at of one message
MAX_LOOKS = 100


class Kind(enum.StrEnum):
    """Structures that a reader treats in a way of their own."""

    SMIME_SIGNED = "smime-signed"
    SMIME_ENCRYPTED = "smime-encrypted"
    SMIME_COMPRESSED = "smime-compressed"
    SMIME_CERTIFICATES = "smime-certificates"
    SMIME_UNKNOWN = "smime-unknown"
    PGP_SIGNED = "pgp-signed"
    PGP_ENCRYPTED = "pgp-encrypted"
    PGP_KEYS = "pgp-keys"
    PGP_INLINE_SIGNED = "pgp-inline-signed"
    PGP_INLINE_ENCRYPTED = "pgp-inline-encrypted"
    PGP_INLINE_KEYS = "pgp-inline-keys"
    CALENDAR = "calendar"
    MESSAGE = "message"
    DELIVERY_REPORT = "delivery-report"
    DISPOSITION_REPORT = "disposition-report"
    FEEDBACK_REPORT = "feedback-report"
    TNEF = "tnef"
    PARTIAL = "partial"
    EXTERNAL_BODY = "external-body"


class Finding(msgspec.Struct, frozen=True):
    """One structure and the part that makes it: the multipart, or the part itself.

    `content` is the part that a reader takes next: what is signed, the ciphertext, the machine-readable part of a report.
    `method` is that of a calendar part in capitals (RFC 5546 §1.4), None when none is told.
    """

    kind: Kind
    part: Part
    content: Part | None = None
    method: str | None = None


_PKCS7 = {"application/pkcs7-mime", "application/x-pkcs7-mime"}
_PKCS7_SIGNATURE = {"application/pkcs7-signature", "application/x-pkcs7-signature"}
_CALENDAR = {"text/calendar", "application/ics"}
_TNEF = {"application/ms-tnef", "application/vnd.ms-tnef", "application/x-tnef"}
_MESSAGES = {"message/rfc822", "message/global"}
_GENERIC = "application/octet-stream"
# RFC 2046 §5.2.2, §5.2.3: what is not here as a whole
_PIECES = {"message/partial": Kind.PARTIAL, "message/external-body": Kind.EXTERNAL_BODY}
# RFC 8551 §3.2.2
_SMIME_TYPES = {
    "signed-data": Kind.SMIME_SIGNED,
    "enveloped-data": Kind.SMIME_ENCRYPTED,
    "authenveloped-data": Kind.SMIME_ENCRYPTED,
    "compressed-data": Kind.SMIME_COMPRESSED,
    "certs-only": Kind.SMIME_CERTIFICATES,
}
# RFC 5652 §5.1, §6.1, RFC 3274 §1.1, RFC 5083 §2.1: the object identifiers, as DER has them
_CONTENT_TYPES = {
    bytes.fromhex("06092a864886f70d010702"): Kind.SMIME_SIGNED,
    bytes.fromhex("06092a864886f70d010703"): Kind.SMIME_ENCRYPTED,
    bytes.fromhex("060b2a864886f70d0109100109"): Kind.SMIME_COMPRESSED,
    bytes.fromhex("060b2a864886f70d0109100117"): Kind.SMIME_ENCRYPTED,
}
# Where the identifier of a ContentInfo can begin: behind a tag and up to five octets of length
_OID_WITHIN = 32
# RFC 3464 §2, RFC 6533 §4, RFC 8098 §3, RFC 6533 §5, RFC 5965 §2
_REPORTS = {
    "message/delivery-status": Kind.DELIVERY_REPORT,
    "message/global-delivery-status": Kind.DELIVERY_REPORT,
    "message/disposition-notification": Kind.DISPOSITION_REPORT,
    "message/global-disposition-notification": Kind.DISPOSITION_REPORT,
    "message/feedback-report": Kind.FEEDBACK_REPORT,
}
# RFC 9580 §6.2: armour headers stand at the start of a line
_ARMOUR = re.compile(
    rb"(?:\A|\n)-----BEGIN PGP (MESSAGE|SIGNED MESSAGE|PUBLIC KEY BLOCK)(?:, PART [0-9/]{1,20})?-----[ \t]*+\r?(?:\n|\Z)"
)
_ARMOURED = {
    b"MESSAGE": Kind.PGP_INLINE_ENCRYPTED,
    b"SIGNED MESSAGE": Kind.PGP_INLINE_SIGNED,
    b"PUBLIC KEY BLOCK": Kind.PGP_INLINE_KEYS,
}
# RFC 5545 §3.7.2
_METHOD = re.compile(rb"\nMETHOD(?:;[^:\n]{0,200}+)?:[ \t]*+([A-Za-z0-9-]{1,40}+)[ \t]*+\r?\n", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9-]{1,40}")


def recognise(root: Part, blob: Blob | None = None) -> list[Finding]:
    """Return what is recognised in a message, in the order of its parts.

    Without `blob` inline PGP, and what only the octets tell (S/MIME without a type, a calendar without method), stay unknown.
    """
    return _Recogniser(blob).run(root)


def is_tnef_part(part: Part) -> bool:
    """Whether a part is said to be a TNEF stream ([MS-OXTNEF])."""
    return part.type in _TNEF or (part.type == _GENERIC and (part.name or "").lower() == "winmail.dat")


def needs_octets(part: Part) -> bool:
    """Whether the first octets of a leaf's body may tell what it is."""
    if part.type in {"text/plain", "text/html"}:
        return part.disposition != "attachment"
    return part.type in _CALENDAR or _is_smime(part)


def kinds(root: Part, blob: Blob | None = None) -> frozenset[Kind]:
    """Return the kinds of structures that are in a message."""
    return frozenset(finding.kind for finding in recognise(root, blob))


class _Recogniser:
    def __init__(self, blob: Blob | None) -> None:
        self.blob = blob
        self.looks = 0

    def run(self, root: Part) -> list[Finding]:
        found: list[Finding] = []
        waiting = [root]
        while waiting:
            part = waiting.pop()
            found += self._of_multipart(part) if part.is_multipart else self._of_leaf(part)
            waiting += reversed(part.parts)
        return found

    def _of_multipart(self, part: Part) -> Iterator[Finding]:
        protocol = _parameter(part, "protocol").lower()
        children = part.parts
        types = [child.type for child in children]
        if part.type == "multipart/signed":
            # RFC 8551 §3.5.3.2, RFC 3156 §5; the second part tells when the parameter does not
            said = {protocol, *types[1:2]}
            if said & _PKCS7_SIGNATURE:
                yield Finding(Kind.SMIME_SIGNED, part, children[0] if children else None)
            elif "application/pgp-signature" in said:
                yield Finding(Kind.PGP_SIGNED, part, children[0] if children else None)
        elif "application/pgp-encrypted" in types[:2] or (
            part.type == "multipart/encrypted" and protocol == "application/pgp-encrypted"
        ):
            # RFC 3156 §4; servers that add a part make a multipart/mixed of it, which is still readable
            content = next((child for child in children if child.type == _GENERIC), None)
            if content is not None or part.type == "multipart/encrypted":
                yield Finding(Kind.PGP_ENCRYPTED, part, content)
        elif part.type == "multipart/report":
            # RFC 6522 §3: the second part is the machine-readable one, and its type is what report-type says
            for child in children:
                if child.type in _REPORTS:
                    yield Finding(_REPORTS[child.type], part, child)
                    return

    def _of_leaf(self, part: Part) -> Iterator[Finding]:
        if part.type in _MESSAGES:
            yield Finding(Kind.MESSAGE, part, part.message)
        elif part.type in _CALENDAR:
            yield Finding(Kind.CALENDAR, part, part, self._method(part))
        elif part.type in _PIECES:
            yield Finding(_PIECES[part.type], part)
        elif is_tnef_part(part):
            yield Finding(Kind.TNEF, part, part)
        elif part.type == "application/pgp-keys":  # RFC 3156 §7
            yield Finding(Kind.PGP_KEYS, part, part)
        elif _is_smime(part):
            yield Finding(self._smime(part), part, part)
        elif part.type in {"text/plain", "text/html"} and part.disposition != "attachment":
            armour = _ARMOUR.search(self._beginning(part))
            if armour is not None:
                yield Finding(_ARMOURED[armour[1]], part, part)

    def _smime(self, part: Part) -> Kind:
        said = _SMIME_TYPES.get(_parameter(part, "smime-type").lower())
        if said is not None:
            return said
        if (part.name or "").lower().endswith(".p7c"):
            return Kind.SMIME_CERTIFICATES
        head = self._beginning(part)[:_OID_WITHIN]
        return next((kind for oid, kind in _CONTENT_TYPES.items() if oid in head), Kind.SMIME_UNKNOWN)

    def _method(self, part: Part) -> str | None:
        """Return a calendar's method: of the type (RFC 6047 §2.4), else of its first lines."""
        said = _parameter(part, "method")
        if _TOKEN.fullmatch(said):
            return said.upper()
        found = _METHOD.search(self._beginning(part))
        return found[1].decode("ascii").upper() if found else None

    def _beginning(self, part: Part) -> bytes:
        """Return the first octets of a part's decoded body."""
        self.looks += 1
        if self.blob is None or self.looks > MAX_LOOKS:
            return b""
        raw = self.blob[part.body_start : min(part.body_end, part.body_start + WINDOW)]
        return decode_transfer(raw, part.encoding)[0]


def _is_smime(part: Part) -> bool:
    # RFC 8551 §3.10: octet-streams with these names are S/MIME too
    named = part.type == _GENERIC and (part.name or "").lower().endswith((".p7m", ".p7z", ".p7c"))
    return part.type in _PKCS7 or named


def _parameter(part: Part, name: str) -> str:
    return (part.params or {}).get(name, "").strip()
