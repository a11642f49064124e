"""The grammar of SMTP commands: RFC 5321 §4.1 with SIZE, 8BITMIME, SMTPUTF8, CHUNKING, DSN and AUTH.

`parse_command` takes one line without its CRLF and returns one of the command structures below, or a `Fault`: a named
refusal with its reply. Whether a command fits the state of the session is the session's business, not the grammar's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from petitbleu_mail.addresses import (
    MAX_LOCAL,
    MAX_REVERSE_LOCAL,
    AddressError,
    AddressFault,
    Mailbox,
    scan_path,
)
from petitbleu_mail.smtp_faults import Fault
from petitbleu_mail.smtp_parameters import (
    BODIES,
    MAIL_PARAMETERS,
    MAX_ENVID,
    MAX_ORCPT,
    RCPT_PARAMETERS,
    Body,
    Notify,
    Ret,
    read_parameters,
)

__all__ = [
    "MAX_AUTH_LINE",
    "MAX_COMMAND_LINE",
    "MAX_ENVID",
    "MAX_MAIL_LINE",
    "MAX_ORCPT",
    "MAX_RCPT_LINE",
    "Auth",
    "Bdat",
    "Body",
    "Command",
    "Fault",
    "Helo",
    "Mail",
    "Notify",
    "Plain",
    "Rcpt",
    "Ret",
    "parse_command",
]

# RFC 5321 §4.5.3.1.4: 512 octets with the CRLF; each extension adds its own, for MAIL and RCPT.
MAX_COMMAND_LINE = 512
# SIZE +26 (RFC 1870 §3), BODY +17 (RFC 6152 §2), SMTPUTF8 +10 (RFC 6531 §3.1), AUTH +500 (RFC 4954 §3),
# RET and ENVID +117 (RFC 3461 §4.3, §4.4 with 100 octets of xtext), HOLDUNTIL with a fraction and an offset +47 (RFC 4865)
MAX_MAIL_LINE = MAX_COMMAND_LINE + 26 + 17 + 10 + 500 + 117 + 47
# NOTIFY and ORCPT +548 (RFC 3461 §4.1, §4.2)
MAX_RCPT_LINE = MAX_COMMAND_LINE + 548
# RFC 4954 §4: a base64 line of AUTH holds up to 12,288 octets
MAX_AUTH_LINE = 12288


class Helo(msgspec.Struct, frozen=True):
    """HELO or EHLO with what the client calls itself; `well_formed` says whether that is a domain or literal at all."""

    name: str
    extended: bool
    well_formed: bool


class Mail(msgspec.Struct, frozen=True):
    """MAIL FROM. `sender` None is the null path; `size` in octets, 0 when not declared; `auth` as RFC 4954 §5 decoded.

    `hold_for` are seconds, `hold_until_ms` Unix milliseconds (RFC 4865 §5); one of them at most is there.
    """

    sender: Mailbox | None
    size: int = 0
    body: Body | None = None
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    hold_for: int | None = None
    hold_until_ms: int | None = None


class Rcpt(msgspec.Struct, frozen=True):
    """RCPT TO. `orcpt` is (address type in lower case, decoded address)."""

    recipient: Mailbox
    notify: Notify = Notify(0)
    orcpt: tuple[str, str] | None = None


class Bdat(msgspec.Struct, frozen=True):
    """BDAT: `size` octets follow; `last` ends the message (RFC 3030 §2)."""

    size: int
    last: bool


class Auth(msgspec.Struct, frozen=True):
    """AUTH with its mechanism in capitals; `initial` is the base64 initial response, "" for `=` (RFC 4954 §4)."""

    mechanism: str
    initial: bytes | None


class Plain(msgspec.Struct, frozen=True):
    """A command without structure: DATA, RSET, NOOP, QUIT, STARTTLS, VRFY, EXPN, HELP; `argument` may be empty."""

    verb: str
    argument: str


Command = Helo | Mail | Rcpt | Bdat | Auth | Plain

# The shape of nearly all traffic. The groups are ASCII by construction, so nothing is left to check but lengths.
_ATOMS = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+"
_NAME = rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*+"
_COMMON_MAIL = re.compile(
    rb"(?i:MAIL FROM):<(%s)@(%s)>(?: (?i:SIZE)=([0-9]{1,20}))?(?: (?i:BODY)=((?i:8BITMIME|7BIT)))?" % (_ATOMS, _NAME)
)
_COMMON_RCPT = re.compile(rb"(?i:RCPT TO):<(%s)@(%s)>" % (_ATOMS, _NAME))
_COMMON_PATH = 190  # well under every limit of RFC 5321 §4.5.3.1 for a domain; the local part is looked at on its own

_NOT_TEXT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HELO_NAME = re.compile(
    rb"[A-Za-z0-9_\x80-\xff](?:[A-Za-z0-9_.\x80-\xff-]*+)|\[(?:[0-9.]++|(?i:IPv6):[0-9A-Fa-f:.]++)\]"
)
_BDAT = re.compile(rb"([0-9]{1,20})(?: ++([Ll][Aa][Ss][Tt]))?")
_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: ++([A-Za-z0-9+/]++={0,2}|=))?")


def parse_command(line: bytes, *, utf8: bool = False) -> Command | Fault:
    """Parse a command line without its CRLF.

    `utf8` says that the current mail transaction is under SMTPUTF8, so that RCPT may hold UTF-8 (RFC 6531 §3.4). The
    line's length is limited by whoever reads it, with the figures of this module.
    """
    found = _COMMON_RCPT.fullmatch(line)
    if found is not None and len(line) < _COMMON_PATH and found.end(1) - found.start(1) <= MAX_LOCAL:
        return Rcpt(Mailbox(found[1].decode("ascii"), found[2].decode("ascii")))
    found = _COMMON_MAIL.fullmatch(line)
    if found is not None and len(line) < _COMMON_PATH and found.end(1) - found.start(1) <= MAX_REVERSE_LOCAL:
        local, domain, size, body = found.groups()
        return Mail(
            Mailbox(local.decode("ascii"), domain.decode("ascii")),
            int(size) if size else 0,
            BODIES[body.upper()] if body else None,
        )
    # RFC 5321 §4.1.1: trailing white space is tolerated, verbs are in any case (RFC 5321 §2.4)
    line = line.rstrip(b" \t")
    verb, _, argument = line.partition(b" ")
    parser = _VERBS.get(verb.upper())
    if _NOT_TEXT.search(line):
        return Fault.NOT_ASCII
    if parser is None:
        return Fault.UNKNOWN_COMMAND
    return parser(verb.upper().decode("ascii"), argument.lstrip(b" "), utf8)


def _helo(verb: str, argument: bytes, _utf8: bool) -> Command | Fault:
    if not argument or b" " in argument or b"\t" in argument or len(argument) > 255:
        return Fault.HELO_SYNTAX
    try:
        name = argument.decode("utf-8")
    except UnicodeDecodeError:
        return Fault.HELO_SYNTAX
    # RFC 5321 §4.1.4: what is said here may be wrong in many ways, and is no reason to refuse
    return Helo(name, verb == "EHLO", _HELO_NAME.fullmatch(argument) is not None)


_PATH_FAULTS = {
    b"FROM:": (Fault.MAIL_SYNTAX, Fault.SENDER_SYNTAX, Fault.SENDER_TOO_LONG),
    b"TO:": (Fault.RCPT_SYNTAX, Fault.RECIPIENT_SYNTAX, Fault.RECIPIENT_TOO_LONG),
}


def _path(argument: bytes, keyword: bytes, max_local: int) -> tuple[Mailbox | None, bytes] | Fault:
    """Parse what MAIL and RCPT have in common; return the path and the octets of the parameters."""
    misformed, bad, too_long = _PATH_FAULTS[keyword]
    size = len(keyword)
    if argument[:size].upper() != keyword:
        return misformed
    # RFC 5321 §3.3: no space after the colon; many clients send one, and nothing else could be meant
    rest = argument[size:].lstrip(b" ")
    try:
        path, end = scan_path(rest, max_local=max_local)
    except AddressError as error:
        return too_long if error.fault in _TOO_LONG else bad
    return path, rest[end:]


def _mail(_verb: str, argument: bytes, _utf8: bool) -> Command | Fault:
    parts = _path(argument, b"FROM:", MAX_REVERSE_LOCAL)
    if isinstance(parts, Fault):
        return parts
    sender, rest = parts
    if sender is not None and not sender.domain:
        return Fault.SENDER_SYNTAX  # RFC 5321 §4.1.1.3: only a recipient may be <postmaster>
    values = read_parameters(rest, MAIL_PARAMETERS)
    if isinstance(values, Fault):
        return values
    if sender is not None and sender.needs_utf8 and "smtputf8" not in values:
        return Fault.SENDER_NEEDS_UTF8  # RFC 6531 §3.5
    if "hold_for" in values and "hold_until_ms" in values:  # RFC 4865 §5
        return Fault.HOLD_TWICE
    return Mail(sender, **values)


def _rcpt(_verb: str, argument: bytes, utf8: bool) -> Command | Fault:
    parts = _path(argument, b"TO:", MAX_LOCAL)
    if isinstance(parts, Fault):
        return parts
    recipient, rest = parts
    if recipient is None:
        return Fault.RECIPIENT_SYNTAX
    values = read_parameters(rest, RCPT_PARAMETERS)
    if isinstance(values, Fault):
        return values
    if recipient.needs_utf8 and not utf8:
        return Fault.RECIPIENT_NEEDS_UTF8
    return Rcpt(recipient, **values)


_TOO_LONG = {AddressFault.LOCAL_TOO_LONG, AddressFault.DOMAIN_TOO_LONG, AddressFault.PATH_TOO_LONG}


def _bdat(_verb: str, argument: bytes, _utf8: bool) -> Command | Fault:
    found = _BDAT.fullmatch(argument)
    return Bdat(int(found[1]), found[2] is not None) if found else Fault.BDAT_SYNTAX


def _auth(_verb: str, argument: bytes, _utf8: bool) -> Command | Fault:
    found = _AUTH.fullmatch(argument)
    if found is None:
        return Fault.AUTH_SYNTAX
    initial = found[2]
    return Auth(found[1].decode("ascii").upper(), b"" if initial == b"=" else initial)


def _bare(verb: str, argument: bytes, _utf8: bool) -> Command | Fault:
    # RFC 5321 §4.1.1.5, §4.1.1.10; RFC 3207 §4: no argument
    return Fault.NO_ARGUMENT if argument else Plain(verb, "")


def _free(verb: str, argument: bytes, _utf8: bool) -> Command | Fault:
    # RFC 5321 §4.1.1.9: NOOP's argument is ignored; HELP's may be anything
    return Plain(verb, argument.decode("utf-8", "replace"))


def _needed(verb: str, argument: bytes, _utf8: bool) -> Command | Fault:
    # RFC 5321 §4.1.1.6, §4.1.1.7
    return Plain(verb, argument.decode("utf-8", "replace")) if argument else Fault.ARGUMENT_MISSING


_VERBS: dict[bytes, Callable[[str, bytes, bool], Command | Fault]] = {
    b"HELO": _helo,
    b"EHLO": _helo,
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"BDAT": _bdat,
    b"AUTH": _auth,
    b"DATA": _bare,
    b"RSET": _bare,
    b"QUIT": _bare,
    b"STARTTLS": _bare,
    b"NOOP": _free,
    b"HELP": _free,
    b"VRFY": _needed,
    b"EXPN": _needed,
}
