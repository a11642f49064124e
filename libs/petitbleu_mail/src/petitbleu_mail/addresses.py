"""Mail addresses of the envelope: RFC 5321 §4.1.2 with the UTF-8 of RFC 6531, and their canonical form for look-up.

All parsing is by possessive regular expressions, so its time is linear in the length of the input. The addresses of
header fields follow another grammar; see `petitbleu_mail.address_list`.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import msgspec

# RFC 5321 §4.5.3.1.1: 64 octets is what every host must take, and what we take for a recipient.
MAX_LOCAL = 64
# RFC 5321 §4.5.3.1 asks for no limit where possible, and return addresses made by machines (VERP, SRS, BATV) do pass 64.
MAX_REVERSE_LOCAL = 128
# RFC 5321 §4.5.3.1.2
MAX_DOMAIN = 255
# RFC 5321 §4.5.3.1.3, angle brackets included
MAX_PATH = 256
# RFC 1035 §2.3.4
MAX_LABEL = 63


class AddressFault(Enum):
    """Why an address was refused."""

    SYNTAX = "not an address"
    LOCAL_TOO_LONG = "local part too long"
    DOMAIN_TOO_LONG = "domain too long"
    PATH_TOO_LONG = "path too long"
    BAD_DOMAIN = "not a domain name"
    BAD_LITERAL = "not an address literal"
    BAD_UTF8 = "not UTF-8"
    NEEDS_UTF8 = "needs SMTPUTF8"


class AddressError(ValueError):
    """Raised for an address that cannot be used; `fault` says why. Its text never holds the address."""

    def __init__(self, fault: AddressFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Canonical(msgspec.Struct, frozen=True):
    """The form under which an address is looked up: everything in lower case, the domain as A-labels.

    `local` is the whole local part. Where it is `base+detail` (RFC 5233 §1, with "+"), `base` and `detail` are the two
    sides; else `base` is `local` and `detail` is None.
    """

    local: str
    domain: str
    base: str
    detail: str | None

    @property
    def address(self) -> str:
        """The address in canonical form, unquoted."""
        return f"{self.local}@{self.domain}" if self.domain else self.local


_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]"
_DOT_STRING = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]++)*+"
)


class Mailbox(msgspec.Struct, frozen=True):
    """An address: `local` without quoting, `domain` as it was written. Only `<postmaster>` has no domain."""

    local: str
    domain: str

    @property
    def is_literal(self) -> bool:
        """Whether the domain is an address literal such as `[192.0.2.1]`."""
        return self.domain.startswith("[")

    @property
    def needs_utf8(self) -> bool:
        """Whether the address can only travel with SMTPUTF8 (RFC 6531 §3.2)."""
        return not (self.local.isascii() and self.domain.isascii())

    @property
    def address(self) -> str:
        """The address as it stands in a path, its local part quoted where it must be (RFC 5321 §4.1.2)."""
        local = self.local
        if not _DOT_STRING.fullmatch(local):
            local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{local}@{self.domain}" if self.domain else local

    def __str__(self) -> str:
        return self.address

    def canonical(self) -> Canonical:
        """Return the form for look-up. Raises `AddressError` for a domain that has no A-label form."""
        return _canonical(canonical_local(self.local), self.domain)


def _canonical(local: str, domain: str) -> Canonical:
    """Take a canonical local part apart at its first plus (RFC 5233 §1); the domain is brought to its canonical form."""
    base, plus, detail = local.partition("+")
    if not base or not plus:
        return Canonical(local, canonical_domain(domain), local, None)
    return Canonical(local, canonical_domain(domain), base, detail)


# One path (RFC 5321 §4.1.2). A source route is accepted and dropped (RFC 5321 §4.1.1.3, appendix C). The octets above
# 0x7f stand for the UTF8-non-ascii of RFC 6531 §3.3; that they are UTF-8 is checked by decoding them.
_LOCAL = rb"(?:%(atext)s++(?:\.%(atext)s++)*+|\"(?:[\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\x20-\x7e])*+\")" % {
    b"atext": _ATEXT.encode("latin-1")
}
# An underscore is no letter of a host name, but senders of real mail have it; Postfix takes it too.
_DOMAIN = rb"(?:[A-Za-z0-9_\x80-\xff-]++(?:\.[A-Za-z0-9_\x80-\xff-]++)*+|\[[^\[\]\\\s\x00-\x20\x7f]*+\])"
_PATH = re.compile(
    rb"<(?:(?P<route>@%(domain)s(?:,@%(domain)s)*+):)?(?P<local>%(local)s)@(?P<domain>%(domain)s)>"
    % {b"local": _LOCAL, b"domain": _DOMAIN}
)
_MAILBOX = re.compile(rb"(?P<local>%(local)s)@(?P<domain>%(domain)s)" % {b"local": _LOCAL, b"domain": _DOMAIN})
_POSTMASTER = re.compile(rb"(?i)<postmaster>")
_PLAIN_DOMAIN = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*+"
)
_ESCAPE = re.compile(r"\\(.)")
# A dot-string at a name, both in ASCII and lower case: what nearly every address is.
_PLAIN = re.compile(
    r"([a-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]++)*+)@([a-z0-9_-]++(?:\.[a-z0-9_-]++)*+)"
)


def scan_path(data: bytes, start: int = 0, *, max_local: int = MAX_LOCAL) -> tuple[Mailbox | None, int]:
    """Parse the path that begins at `start`; return it and the offset behind its `>`. None is the null path `<>`.

    Local parts may be in UTF-8 here; a caller without SMTPUTF8 asks `Mailbox.needs_utf8`. `<postmaster>` is accepted
    (RFC 5321 §4.1.1.3), with an empty domain. Raises `AddressError`.
    """
    if data.startswith(b"<>", start):
        return None, start + 2
    found = _PATH.match(data, start)
    if found is None:
        if _POSTMASTER.match(data, start):
            return Mailbox("postmaster", ""), start + 12
        raise AddressError(AddressFault.SYNTAX)
    local, domain = found.group("local", "domain")
    if len(local) + len(domain) + 3 > MAX_PATH:
        raise AddressError(AddressFault.PATH_TOO_LONG)
    return _mailbox(local, domain, max_local), found.end()


def parse_path(data: bytes, *, utf8: bool = True, max_local: int = MAX_LOCAL) -> Mailbox | None:
    """Parse a whole path in angle brackets; None is the null path. Raises `AddressError`."""
    path, end = scan_path(data, max_local=max_local)
    if end != len(data):
        raise AddressError(AddressFault.SYNTAX)
    if path is not None and not utf8 and path.needs_utf8:
        raise AddressError(AddressFault.NEEDS_UTF8)
    return path


def parse_mailbox(text: str | bytes, *, utf8: bool = True, max_local: int = MAX_LOCAL) -> Mailbox:
    """Parse an address without angle brackets, such as one that a person typed. Raises `AddressError`."""
    try:
        data = text.encode("utf-8") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise AddressError(AddressFault.BAD_UTF8) from None
    found = _MAILBOX.fullmatch(data)
    if found is None:
        raise AddressError(AddressFault.SYNTAX)
    mailbox = _mailbox(found["local"], found["domain"], max_local)
    if not utf8 and mailbox.needs_utf8:
        raise AddressError(AddressFault.NEEDS_UTF8)
    return mailbox


def canonical_mailbox(text: str) -> Canonical:
    """Return `parse_mailbox(text).canonical()`, for less where the address is a plain one. Raises `AddressError`."""
    found = _PLAIN.fullmatch(text.lower()) if text.isascii() else None
    if found is None:
        return parse_mailbox(text).canonical()
    local, domain = found.groups()
    if len(local) > MAX_LOCAL:  # RFC 5321 §4.5.3.1.1
        raise AddressError(AddressFault.LOCAL_TOO_LONG)
    return _canonical(local, domain)


def _mailbox(raw_local: bytes, raw_domain: bytes, max_local: int) -> Mailbox:
    if len(raw_local) > max_local:  # RFC 5321 §4.5.3.1.1
        raise AddressError(AddressFault.LOCAL_TOO_LONG)
    if len(raw_domain) > MAX_DOMAIN:  # RFC 5321 §4.5.3.1.2
        raise AddressError(AddressFault.DOMAIN_TOO_LONG)
    try:
        local = raw_local.decode("utf-8")
        domain = raw_domain.decode("utf-8")
    except UnicodeDecodeError:
        raise AddressError(AddressFault.BAD_UTF8) from None
    if local[0] == '"':
        # RFC 5321 §4.1.2: a quoted pair means its second octet, and "a" is the same mailbox as a
        local = _ESCAPE.sub(r"\1", local[1:-1])
        if not local:
            raise AddressError(AddressFault.SYNTAX)
    canonical_domain(domain)
    return Mailbox(local, domain)


def canonical_local(local: str) -> str:
    """Return a local part in lower case and NFC (RFC 6532 §3.1), the form under which our own are looked up."""
    if local.isascii():
        return local.lower()
    # lower-casing may leave what NFC composes, and composing gives nothing that has a lower case of its own
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())


@lru_cache(maxsize=8192)
def canonical_domain(domain: str) -> str:
    """Return a domain as lower-case A-labels, or an address literal in its shortest form.

    Non-ASCII labels are mapped as UTS 46 does without its transitional part (so that ß stays ß, as IDNA 2008 wants),
    then encoded by Punycode (RFC 3492, RFC 5891 §4). Raises `AddressError`.
    """
    if not domain:
        return ""
    if domain[0] == "[":
        return _canonical_literal(domain)
    if len(domain) > MAX_DOMAIN:  # before Punycode, whose time grows with the square of a label's length
        raise AddressError(AddressFault.DOMAIN_TOO_LONG)
    ascii_domain = domain if domain.isascii() else ".".join(map(_a_label, _mapped(domain).split(".")))
    if not _PLAIN_DOMAIN.fullmatch(ascii_domain):
        raise AddressError(AddressFault.BAD_DOMAIN)
    if len(ascii_domain) > MAX_DOMAIN or max(map(len, ascii_domain.split("."))) > MAX_LABEL:
        raise AddressError(AddressFault.DOMAIN_TOO_LONG)
    return ascii_domain.lower()


def _canonical_literal(literal: str) -> str:
    inner = literal[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            if "%" in inner:  # a zone is of this host only
                raise AddressError(AddressFault.BAD_LITERAL)
            return f"[IPv6:{IPv6Address(inner[5:])}]"
        return f"[{IPv4Address(inner)}]"
    except AddressValueError:
        # RFC 5321 §4.1.3: a general literal needs a registered tag, and IPv6 is the only one
        raise AddressError(AddressFault.BAD_LITERAL) from None


_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")


def _mapped(domain: str) -> str:
    # letter by letter, since the final sigma of str.lower() would make two names of one
    lowered = "".join([c.lower() for c in unicodedata.normalize("NFKC", domain.translate(_DOTS))])
    return unicodedata.normalize("NFKC", lowered)


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    if unicodedata.category(label[0]).startswith("M"):  # RFC 5891 §4.2.3.2
        raise AddressError(AddressFault.BAD_DOMAIN)
    for c in label:
        # RFC 5892 §2.1 (LetterDigits) and the joiners and middle dots that context allows (RFC 5892 appendix A)
        if c not in "-\u00b7\u0375\u05f3\u05f4\u30fb\u200c\u200d" and unicodedata.category(c) not in {
            "Ll",
            "Lo",
            "Lm",
            "Mn",
            "Mc",
            "Nd",
        }:
            raise AddressError(AddressFault.BAD_DOMAIN)
    if label[0] == "-" or label[-1] == "-" or label[2:4] == "--":  # RFC 5891 §4.2.3.1
        raise AddressError(AddressFault.BAD_DOMAIN)
    return "xn--" + label.encode("punycode").decode("ascii")


def unicode_domain(domain: str) -> str:
    """Return a canonical domain with its A-labels as U-labels, for people's eyes; a label that is none stays as it is."""
    if "xn--" not in domain:
        return domain
    return ".".join(map(_u_label, domain.split(".")))


def _u_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        return decoded if _a_label(_mapped(decoded)) == label else label
    except (UnicodeError, AddressError, OverflowError, IndexError):
        return label
