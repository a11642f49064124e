"""The built-in scorer: marks of spam and phishing that a header and its verdicts show, each with points; pure, and in linear time.

It stands in where no rspamd is configured. What people call spam by its words is for the word models of their accounts, which `store` has;
here are the lies: names that are others' addresses, domains that look like ours, senders that are not who they say.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from enum import Enum
from functools import lru_cache
from typing import Final

from petitbleu_ingest.judging.findings import ClientFindings, Findings, from_authenticated
from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.auth.author import AuthorFault
from petitbleu_mail.auth.client import HeloForm, IprevResult
from petitbleu_mail.auth.dmarc import DmarcResult
from petitbleu_mail.auth.resolver import ascii_domain
from petitbleu_mail.auth.spf import SpfResult
from petitbleu_mail.header_values import as_date, as_text
from petitbleu_mail.headers import Headers
from petitbleu_mail.look_alikes import skeleton

# Octets of the beginning of a message in which the test pattern is looked for.
_SAMPLE: Final = 64 << 10
# A clock or a queue may be some days wrong (RFC 5321 §4.5.4.1: four to five days of tries).
_MOST_DAYS: Final = 7
_DAY: Final = 86_400
_GTUBE: Final = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
_ADDRESS: Final = re.compile(r"[^\s<>@\"'(),:;]{1,64}@((?:[\w-]{1,63}\.){1,8}[\w-]{2,63})")
_LEAST_LABEL: Final = 6
_MAX_NAME: Final = 300


class Mark(Enum):
    """What was seen; `value` is a word and its points in hundredths."""

    TEST_PATTERN = ("test-pattern", 1000)
    NAME_IS_OUR_ADDRESS = ("name-is-our-address", 500)
    NAME_IS_ANOTHER_ADDRESS = ("name-is-another-address", 300)
    LOOKS_LIKE_US = ("looks-like-us", 400)
    NEARLY_US = ("nearly-us", 200)
    BEGINS_LIKE_US = ("begins-like-us", 300)
    SAYS_IT_IS_US = ("says-it-is-us", 300)
    NO_AUTHOR = ("no-author", 200)
    UNCLEAR_AUTHOR = ("unclear-author", 250)
    DMARC_FAILS = ("dmarc-fails", 200)
    SPF_FAILS = ("spf-fails", 150)
    SPF_SOFTLY_FAILS = ("spf-softly-fails", 80)
    NO_REVERSE_NAME = ("no-reverse-name", 80)
    FALSE_HELLO = ("false-hello", 80)
    ANSWERS_GO_ELSEWHERE = ("answers-go-elsewhere", 80)
    NO_DATE = ("no-date", 80)
    WRONG_DATE = ("wrong-date", 120)
    NO_MESSAGE_ID = ("no-message-id", 80)
    SHOUTS = ("shouts", 60)
    TO_NOBODY = ("to-nobody", 60)

    @property
    def points(self) -> int:
        """Points in hundredths."""
        return self.value[1]


def header_marks(headers: Headers, message: bytes, ours: Collection[str], now: float | None) -> set[Mark]:
    """Return what a header shows; `ours` are the domains of the recipients, as A-labels.

    `now` is in seconds since 1970, None for not to look at the date.
    """
    marks = set()
    if _GTUBE in message[:_SAMPLE]:
        marks.add(Mark.TEST_PATTERN)
    date = headers.first(b"date")
    sent = as_date(date) if date is not None else None
    if sent is None:
        marks.add(Mark.NO_DATE)
    elif now is not None and abs(sent.seconds - now) > _MOST_DAYS * _DAY:
        marks.add(Mark.WRONG_DATE)
    if headers.first(b"message-id") is None:
        marks.add(Mark.NO_MESSAGE_ID)
    if not any(headers.count(name) for name in (b"to", b"cc")):
        marks.add(Mark.TO_NOBODY)
    subject = headers.first(b"subject")
    if subject is not None and _shouts(as_text(subject)):
        marks.add(Mark.SHOUTS)
    return marks | _author_marks(headers, frozenset(ours))


def _shouts(subject: str) -> bool:
    letters = [c for c in subject[:_MAX_NAME] if c.isalpha()]
    return len(letters) > 10 and all(c.isupper() for c in letters)


def _author_marks(headers: Headers, ours: frozenset[str]) -> set[Mark]:
    values = headers.all(b"from")
    authors = as_addresses(values[0])[:4] if len(values) == 1 else []
    marks = set()
    domains = {ascii_domain(author.email.rpartition("@")[2]) for author in authors} - {""}
    for author in authors:
        marks |= _name_marks(author.name or "", domains, ours)
    for domain in domains - ours:
        marks |= resemblance(domain, ours)
    if domains and not headers.count(b"list-id"):
        reply = headers.first(b"reply-to")
        back = (
            {ascii_domain(one.email.rpartition("@")[2]) for one in as_addresses(reply)[:4]}
            if reply is not None
            else set()
        )
        if back and not any(_related(one, domain) for one in back for domain in domains):
            marks.add(Mark.ANSWERS_GO_ELSEWHERE)
    return marks


def _name_marks(name: str, domains: Collection[str], ours: Collection[str]) -> set[Mark]:
    """Look for an address in a display name that is not the author's."""
    marks = set()
    plain = unicodedata.normalize("NFKC", name[:_MAX_NAME])
    for found in _ADDRESS.finditer(plain):
        shown = ascii_domain(found[1])
        if shown and not any(_related(shown, domain) for domain in domains):
            marks.add(Mark.NAME_IS_OUR_ADDRESS if shown in ours else Mark.NAME_IS_ANOTHER_ADDRESS)
    return marks


def _related(one: str, other: str) -> bool:
    """Whether two domains are the same, one below the other, or have their last two labels in common and one more."""
    return one == other or one.endswith("." + other) or other.endswith("." + one) or _tail(one, 3) == _tail(other, 3)


def _tail(domain: str, labels: int) -> str:
    return ".".join(domain.split(".")[-labels:])


@lru_cache(maxsize=4096)
def resemblance(domain: str, ours: frozenset[str]) -> frozenset[Mark]:
    """Return how a domain that is not ours may be taken for one that is; both as A-labels."""
    marks = set()
    for own in ours:
        if domain.endswith("." + own):  # below ours
            continue
        if domain.startswith((own + ".", own.replace(".", "-") + ".")):
            marks.add(Mark.BEGINS_LIKE_US)
        labels = own.count(".") + 1
        tail = _tail(domain, labels)
        if tail == own:
            continue
        if skeleton(tail) == skeleton(own):
            marks.add(Mark.LOOKS_LIKE_US)
        elif tail.rpartition(".")[2] == own.rpartition(".")[2]:
            mine, theirs = own.rpartition(".")[0], tail.rpartition(".")[0]
            if len(mine) >= _LEAST_LABEL and _one_apart(skeleton(mine), skeleton(theirs)):
                marks.add(Mark.NEARLY_US)
    return frozenset(marks)


def _one_apart(one: str, other: str) -> bool:
    """Whether one letter more, less, other, or two exchanged make one word of the other."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    short, long = sorted((one, other), key=len)
    at = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    exchanged = short[at + 1 : at + 2] + short[at : at + 1] + short[at + 2 :]
    return short[at + 1 :] == long[at + 1 :] or exchanged == long[at:]


def sender_marks(found: Findings, ours: Collection[str]) -> set[Mark]:
    """Return what the verdicts show."""
    marks = set()
    if found.author.fault is AuthorFault.MISSING:
        marks.add(Mark.NO_AUTHOR)
    elif found.author.fault is not None:
        marks.add(Mark.UNCLEAR_AUTHOR)
    authenticated = from_authenticated(found)
    if not authenticated and any(domain in ours for domain in found.author.domains):
        marks.add(Mark.SAYS_IT_IS_US)
    if found.dmarc.result is DmarcResult.FAIL:
        marks.add(Mark.DMARC_FAILS)
    if found.spf is not None and not authenticated:
        if found.spf.result is SpfResult.FAIL:
            marks.add(Mark.SPF_FAILS)
        elif found.spf.result is SpfResult.SOFTFAIL:
            marks.add(Mark.SPF_SOFTLY_FAILS)
    return marks | (_client_marks(found.client) if found.client is not None else set())


def _client_marks(client: ClientFindings) -> set[Mark]:
    marks = set()
    if client.iprev.result in {IprevResult.FAIL, IprevResult.PERMERROR}:
        marks.add(Mark.NO_REVERSE_NAME)
    if client.name.form is HeloForm.INVALID or client.name.resolves is False:
        marks.add(Mark.FALSE_HELLO)
    return marks


def score_of(marks: Collection[Mark]) -> int:
    """Return the points of all, in hundredths."""
    return sum([mark.points for mark in set(marks)])
