"""Names that people choose for themselves: which may be, which are kept for offices, and which look alike."""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from typing import Final

from petitbleu_mail.look_alikes import address_skeleton

MIN_CHOSEN: Final = 2
MAX_CHOSEN: Final = 40
# ASCII: mail to other names needs SMTPUTF8 (RFC 6531) at every host on its way, so a person could not be written to from everywhere
_NAME: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
# RFC 2142 §3-§6, RFC 5321 §4.5.1, RFC 2219, RFC 6186 and what is taken for the platform itself
_KEPT: Final = (
    "abuse", "account", "accounts", "admin", "administrateur", "administration", "administrator", "amavis", "autoconfig", "autodiscover",
    "billing", "bounce", "bounces", "cert", "compte", "contact", "daemon", "dmarc", "dns", "facturation", "ftp", "guest", "help",
    "hostmaster", "imap", "info", "isatap", "ldap", "legal", "mail", "mailerdaemon", "mailer-daemon", "marketing", "mdmarc",
    "moderator", "mx", "news", "newsletter", "nobody", "noc", "no-reply", "noreply", "ns", "ns1", "ns2", "nntp", "ntp", "null", "office",
    "operator", "parent", "parents", "paiement", "password", "payment", "petitbleu", "pop", "pop3", "postmaster", "privacy", "prof",
    "root", "sales", "securite", "security", "service", "services", "smtp", "ssl", "ssladmin", "ssladministrator", "sslwebmaster",
    "subscribe", "support", "sysadmin", "system", "tls", "tlsrpt", "unsubscribe", "usenet", "uucp", "webmail", "webmaster", "wpad", "www",
)  # fmt: skip
# RFC 2142 §6, and what lists and bounces are addressed by
_KEPT_PARTS: Final = re.compile(
    r"(?:.*-(?:request|bounces?|owner|admin|subscribe|unsubscribe)|(?:owner|bounces?|return|srs[01]?|prvs|btv1)-.*)"
)


class NameFault(Enum):
    """Why a name may not be chosen."""

    NONE = 0
    BAD = 1
    RESERVED = 2


def _look(local: str) -> str:
    """Return what a local part looks like at a glance: dots, hyphens and underscores are not seen."""
    text = address_skeleton(f"{local}@a.test").rpartition("@")[0]
    return text.replace(".", "").replace("_", "")


_KEPT_LOOKS: Final = frozenset(map(_look, _KEPT))


def judge_local(local: str) -> NameFault:
    """Say whether what stands before the @ may be chosen: 2 to 40 of a-z, 0-9 and single dots, hyphens and underscores between them."""
    if not MIN_CHOSEN <= len(local) <= MAX_CHOSEN or not _NAME.fullmatch(local):
        return NameFault.BAD
    if _KEPT_PARTS.fullmatch(local) or _look(local) in _KEPT_LOOKS:
        return NameFault.RESERVED
    return NameFault.NONE


def alike_digest(address: str) -> bytes:
    """Return 32 octets that are the same for addresses in canonical form that people take for one another (in the manner of UTS 39 §4)."""
    local, _, domain = address.rpartition("@")
    text = f"{_look(local)}@{address_skeleton(f'a@{domain}').rpartition('@')[2]}"
    return hashlib.sha256(b"alike" + text.encode("utf-8", "surrogatepass")).digest()
