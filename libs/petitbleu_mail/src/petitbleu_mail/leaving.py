"""Links for readers who are to see where they go: the whole address beside the words, and a page of ours in between.

An address is written anew in one form that every parser reads alike: lower-case scheme, A-labels (RFC 5890 §2.3.2.1), the rest in
ASCII with percent-encoding (RFC 3986 §2.1). What hides where it leads has no such form: user information (RFC 3986 §3.2.1),
numbers instead of a name, a name without a dot, backslashes, more than `MAX_ADDRESS` characters.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final
from urllib.parse import quote

import msgspec

from petitbleu_mail.addresses import AddressError, canonical_domain

# Characters of an address in its one form; nobody reads longer ones, and the page is given it once more.
MAX_ADDRESS: Final = 2048
# Links of one message; newsletters have some hundred.
MAX_LINKS: Final = 500

_ADDRESS: Final = re.compile(
    r"(https?)://([^/?#\\@%\[\]]+?)(?::([0-9]{1,5}))?((?:[/?#].*)?)", re.IGNORECASE | re.DOTALL
)
# The last label of a name begins with a letter; that of a number in any of its spellings (127.1, 0x7f000001) does not.
_NAME: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*")
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 3986 §2.2, §2.3, and the percent sign of what is encoded already
_KEPT: Final = "/?#[]@!$&'()*+,;=:~-._%"
_LAST_PORT: Final = 65535
# No style of the letter hides the address or writes it in capitals: its own may not be outweighed (CSS Cascade 4 §6.4.3).
_PLAIN: Final = ";".join(
    f"{name}:{value} !important"
    for name, value in (
        ("display", "inline"), ("visibility", "visible"), ("color", "#1b2033"), ("background", "#ffffff"), ("font-size", "14px"),
        ("letter-spacing", "normal"), ("text-transform", "none"), ("direction", "ltr"), ("unicode-bidi", "isolate"),
    )
)  # fmt: skip
_HOST: Final = f"{_PLAIN};font-weight:bold !important"


class ShownAddress(msgspec.Struct, frozen=True):
    """A web address in its one form, in three pieces: up to the name, the name, what follows it."""

    before: str
    host: str
    after: str

    def __str__(self) -> str:
        """Return the address."""
        return f"{self.before}{self.host}{self.after}"


def shown_address(url: str) -> ShownAddress | None:
    """Return a web address in its one form; None for what is none, or hides where it leads."""
    if len(url) > MAX_ADDRESS:
        return None
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return None
    scheme, name, port, rest = found.groups()
    try:
        host = canonical_domain(name.removesuffix("."))
    except AddressError:
        return None
    if not _NAME.fullmatch(host) or (port and not 0 < int(port) <= _LAST_PORT):
        return None
    # a lone surrogate has no octets
    encoded = quote(_LONE_PERCENT.sub("%25", rest).encode("utf-8", "replace"), safe=_KEPT)
    shown = ShownAddress(f"{scheme.lower()}://", host, f"{f':{int(port)}' if port else ''}{encoded or '/'}")
    return shown if len(str(shown)) <= MAX_ADDRESS else None


class LeavePage:
    """The page that says where a link leads, for the links of one message.

    Args:
        begin: What addresses of the page begin with; the link's, percent-encoded, follows.
    """

    def __init__(self, begin: str) -> None:
        self._begin = begin
        self._left = MAX_LINKS

    def link(self, url: str) -> tuple[str, str] | None:
        """Return the address of the page for a link, and the HTML that shows where it leads; None when it is not to be followed."""
        shown = shown_address(url)
        if shown is None or self._left <= 0:
            return None
        self._left -= 1
        before, after = escape(shown.before), escape(shown.after)
        html = f'<bdi dir="ltr" style="{_PLAIN}">{before}<b style="{_HOST}">{shown.host}</b>{after}</bdi>'
        return f"{self._begin}{quote(str(shown), safe='')}", html
