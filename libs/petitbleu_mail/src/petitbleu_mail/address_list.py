"""Address lists of header fields (RFC 5322 §3.4 and §4.4), read tolerantly: groups, comments, obsolete and broken forms.

The reading takes linear time and gives at most `MAX_ADDRESSES`. The names are decoded (RFC 2047), as in RFC 8621 §4.1.2.3.
"""

from __future__ import annotations

import re

import msgspec

from petitbleu_mail.comments import without_comments
from petitbleu_mail.encoded_words import decode_words
from petitbleu_mail.header_values import to_text
from petitbleu_mail.headers import unfold

MAX_ADDRESSES = 1000


class EmailAddress(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A mailbox of a header: its display name, decoded, and its addr-spec as written."""

    name: str | None
    email: str


class AddressGroup(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A group (RFC 5322 §3.4), or, with `name` None, a run of addresses outside of any."""

    name: str | None
    addresses: list[EmailAddress]


# One address in the shapes that nearly all mail has, and the comma behind it. A list of others goes to the tokens.
_ITEM = re.compile(
    r'[ \t]*+(?:(?:"([^"\\]*+)"[ \t]*+|([^"<>,;:@()\[\]\\]*+))<([^<>,;:@()\[\]\\"\s]++@[^<>,;:@()\[\]\\"\s]++)>'
    r'|([^<>,;:@()\[\]\\"\s]++@[^<>,;:@()\[\]\\"\s]++))[ \t]*+(?:(,)|\Z)'
)
_TOKEN = re.compile(
    r'"(?P<quoted>(?:[^"\\]|\\.)*+)"?'
    r'|<(?P<angle>(?:[^<>"]++|"(?:[^"\\]|\\.)*+")*+)>?'
    r"|(?P<word>=\?[^?\s]{1,64}+\?[BbQq]\?[^?]*+\?=)"
    r"|(?P<literal>\[[^\]\s]*+\]?)"
    r"|(?P<special>[,;:(])"
    r"|(?P<blank>\s++)"
    r'|(?P<atom>[^\s,;:<"(\[]++)',
    re.DOTALL,
)
_PAREN = re.compile(r"[()]|\\.", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MOST_WORDS = 64  # of something that could still be one name and address
_BLANKS = re.compile(r"\s+")


def as_addresses(raw: bytes) -> list[EmailAddress]:
    """The Addresses form (RFC 8621 §4.1.2.3): all mailboxes in order, group names dropped."""
    text = to_text(unfold(raw))
    out: list[EmailAddress] = []
    at = 0
    while len(out) < MAX_ADDRESSES:
        found = _ITEM.match(text, at)
        if found is None:
            break
        quoted, phrase, email, bare, comma = found.groups()
        name = quoted.strip() if quoted else (phrase.rstrip() if phrase else None)
        if name and "=?" in name:
            name = decode_words(name)
        out.append(EmailAddress(name or None, email or bare))
        if comma is None:
            return out
        at = found.end()
    return [address for group in _Reader(text).read() for address in group.addresses]


def as_grouped_addresses(raw: bytes) -> list[AddressGroup]:
    """The GroupedAddresses form (RFC 8621 §4.1.2.4)."""
    return _Reader(to_text(unfold(raw))).read()


class _Reader:
    """Reads one list from left to right; `phrase` holds the words of the mailbox or group name that is being read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.groups: list[AddressGroup] = []
        self.group: AddressGroup | None = None
        self.total = 0
        self.comments = True
        self._clear()

    def _clear(self) -> None:
        self.phrase: list[str] = []  # each word unquoted, a blank as " "
        self.source: list[str] = []  # the same as written, for a bare addr-spec
        self.angle: str | None = None
        self.comment: str | None = None

    def read(self) -> list[AddressGroup]:
        at = 0
        size = len(self.text)
        while at < size and self.total < MAX_ADDRESSES:
            found = _TOKEN.match(self.text, at)
            if found is None:  # cannot be: every character begins some token
                at += 1
                continue
            at = found.end()
            kind = found.lastgroup
            if kind == "special":
                at = self._special(found[0], at)
            elif kind == "angle":
                self._angle(found["angle"])
            elif kind == "quoted":
                self._add(_ESCAPE.sub(r"\1", found["quoted"]), found[0])
            elif kind == "blank":
                self._add(" ", " ")
            else:
                self._add(found[0], found[0])
        self._flush()
        return [group for group in self.groups if group.addresses or group.name is not None]

    def _add(self, word: str, source: str) -> None:
        if self.angle is not None and word != " ":
            self._flush()  # text behind an angle-addr: the comma is missing
        if word == " " and self.phrase and self.phrase[-1] == " ":
            return  # a comment stood between them
        self.phrase.append(word)
        self.source.append(source)

    def _angle(self, inside: str) -> None:
        if self.angle is not None:
            self._flush()
        self.angle = inside

    def _special(self, char: str, at: int) -> int:
        if char == ",":
            self._flush()
        elif char == ";":
            self._flush()
            self.group = None
        elif char == ":":
            if self.group is None and self.angle is None and not any("@" in word for word in self.source):
                name = _words(self.phrase)
                self.group = AddressGroup(name or "", [])
                self.groups.append(self.group)
                self._clear()
            else:
                self._add(":", ":")
        else:
            return self._comment(at)
        return at

    def _comment(self, at: int) -> int:
        """Read a comment (RFC 5322 §3.2.2), nested as it may be; one without an end is text."""
        depth = 1
        if self.comments:
            for found in _PAREN.finditer(self.text, at):
                if found[0] == "(":
                    depth += 1
                elif found[0] == ")":
                    depth -= 1
                    if depth == 0:
                        if found.start() > at:
                            self.comment = self.text[at : found.start()]
                        return found.end()
            self.comments = False  # never search in vain twice: the time stays linear
        self._add("(", "(")
        return at

    def _flush(self) -> None:
        address = self._mailbox()
        self._clear()
        if address is None or self.total >= MAX_ADDRESSES:
            return
        if self.group is None and (not self.groups or self.groups[-1].name is not None):
            self.groups.append(AddressGroup(None, []))
        (self.group or self.groups[-1]).addresses.append(address)
        self.total += 1

    def _mailbox(self) -> EmailAddress | None:
        if self.angle is not None:
            name = _words(self.phrase)
            email = _addr_spec(self.angle)
        else:
            name, email = _bare("".join(self.source))
            name = _tidy(name)
        if not name and self.comment is not None:
            # RFC 8621 §4.1.2.3: a comment behind the address stands for a name that is missing
            name = _tidy(_ESCAPE.sub(r"\1", self.comment))
        if not email and (not name or self.angle is None):
            return None
        return EmailAddress(name or None, email)


def _bare(source: str) -> tuple[str, str]:
    """Split what stands without angle brackets into name and addr-spec (RFC 5322 §4.4 allows blanks in the latter)."""
    words = _glued(source.split())
    if len(words) < 2:
        return "", words[0] if words else ""
    full = [word for word in words if "@" in word and word[0] != "@" and word[-1] != "@"]
    if len(full) == 1 and '"' not in source:
        return " ".join([word for word in words if word is not full[0]]), full[0]
    if "@" in source:
        return "", source.strip() if '"' in source else "".join(words)
    return "", " ".join(words)


def _glued(words: list[str]) -> list[str]:
    """Join the words of an addr-spec with blanks around its "@", or around dots of its domain."""
    if len(words) > _MOST_WORDS:
        return words
    out: list[str] = []
    for word in words:
        last = out[-1] if out else ""
        if last and (word[0] == "@" or last[-1] == "@" or ("@" in last and (word[0] == "." or last[-1] == "."))):
            out[-1] = last + word
        else:
            out.append(word)
    return out


def _addr_spec(angle: str) -> str:
    email = angle.strip()
    if email.startswith("@") and ":" in email:
        email = email.partition(":")[2]  # RFC 5322 §4.4: the route of obs-angle-addr
    if '"' not in email:
        email = _BLANKS.sub("", without_comments(email))
    return email


def _words(phrase: list[str]) -> str:
    """Return a display name; blanks within quotes are the sender's (RFC 8621 §4.1.2.3)."""
    return decode_words("".join(phrase).strip())


def _tidy(name: str) -> str:
    return decode_words(_BLANKS.sub(" ", name).strip())
