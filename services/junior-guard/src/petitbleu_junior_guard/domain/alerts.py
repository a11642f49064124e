"""What guardians are told by mail, in their language: addresses, plain words, dates and numbers. No subject, body or display name."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from enum import IntEnum
from typing import Final

import msgspec


class NewsKind(IntEnum):
    """What there is to tell."""

    WAITS = 1
    NEWCOMER = 2
    ADDED = 3
    ASKED = 4
    WAITS_STILL = 5
    PENDING = 6


COUNTED: Final = frozenset({NewsKind.WAITS, NewsKind.WAITS_STILL})
"""What is told only while something waits, with the number of messages."""


class Told(msgspec.Struct, frozen=True):
    """One thing to tell of one child (by its address); `messages` counts where something waits."""

    child: str
    kind: NewsKind
    address: str
    authenticated: bool
    looks_alike: bool
    since: datetime
    messages: int = 0


class _Texts(msgspec.Struct, frozen=True):
    sender: str
    subject: str
    several: str
    for_child: str
    heads: dict[NewsKind, str]
    confirmed: str
    unconfirmed: str
    alike: str
    counted: str
    since: str
    end: str


_ENGLISH: Final = _Texts(
    sender="Petit Bleu",
    subject="Mail for {child}",
    several="Mail for your children",
    for_child="For {child}",
    heads={
        NewsKind.WAITS: "waits for your decision",
        NewsKind.WAITS_STILL: "still waits for your decision",
        NewsKind.NEWCOMER: "is new, and was delivered",
        NewsKind.ADDED: "was added by your child",
        NewsKind.ASKED: "is whom your child would like to write with",
        NewsKind.PENDING: "is to be let in (a number: the level that is to be set), asked for from a new device or with a new password: it is done within 24 hours unless a guardian cancels it",
    },
    confirmed="it does come from this address",
    unconfirmed="nothing shows that it comes from this address",
    alike="this address looks like a correspondent's, and is another one",
    counted="messages: {number}",
    since="since {date}",
    end="Sign in to decide. What nobody decides on within 30 days is destroyed. The sender is told nothing.\n"
    "You are written to about this once an hour at most.",
)
_FRENCH: Final = _Texts(
    sender="Petit Bleu",
    subject="Courrier pour {child}",
    several="Courrier pour vos enfants",
    for_child="Pour {child}",
    heads={
        NewsKind.WAITS: "attend votre décision",
        NewsKind.WAITS_STILL: "attend toujours votre décision",
        NewsKind.NEWCOMER: "écrit pour la première fois, et a été remis",
        NewsKind.ADDED: "a été ajouté par votre enfant",
        NewsKind.ASKED: "est la personne à qui votre enfant aimerait écrire",
        NewsKind.PENDING: "doit pouvoir entrer (un nombre : le niveau voulu), demandé d'un nouvel appareil ou avec un nouveau mot de passe : ce sera fait dans les 24 heures si aucun parent ne l'annule",
    },
    confirmed="cela vient bien de cette adresse",
    unconfirmed="rien ne montre que cela vient de cette adresse",
    alike="cette adresse ressemble à celle d'un correspondant, mais c'en est une autre",
    counted="messages : {number}",
    since="depuis le {date}",
    end="Connectez-vous pour décider. Ce dont personne ne décide en 30 jours est détruit. L'expéditeur n'en sait rien.\n"
    "On vous écrit à ce sujet une fois par heure au plus.",
)


def texts_of(language: str) -> _Texts:
    """Return the texts of a language (BCP 47); English where it is none of ours."""
    return _FRENCH if language.lower().partition("-")[0] == "fr" else _ENGLISH


def plain(address: str) -> str:
    """Return an address with signs that are not seen, or turn the line round, as question marks."""
    return "".join(["?" if unicodedata.category(c)[0] in "CZ" else c for c in address])


def alert(
    told: Sequence[Told], language: str, to: str, sender: str, message_id: str, now: datetime,
    links: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Return the mail, CRLF ended.

    Args:
        told: At least one thing.
        language: The guardian's, BCP 47.
        to: The guardian's address.
        sender: The address that it comes from.
        message_id: Without angle brackets.
        now: Its date.
        links: Where each child's page is, by its address.
    """
    texts = texts_of(language)
    children = list(dict.fromkeys(plain(one.child) for one in told))
    mail = EmailMessage(SMTP.clone(utf8=not (to.isascii() and sender.isascii())))
    mail["From"] = f"{texts.sender} <{sender}>"
    mail["To"] = f"<{to}>"
    mail["Subject"] = texts.subject.format(child=children[0]) if len(children) == 1 else texts.several
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message_id}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5
    lines = []
    for child in children:
        lines += [texts.for_child.format(child=child), ""]
        lines += [_line(one, texts) for one in told if plain(one.child) == child]
        lines += [f"  {link}" for link in [(links or {}).get(child, "")] if link]
        lines.append("")
    mail.set_content("\n".join([*lines, texts.end, ""]), cte="quoted-printable")
    return mail.as_bytes()


def _line(one: Told, texts: _Texts) -> str:
    facts = [texts.since.format(date=one.since.strftime("%Y-%m-%d"))]
    if one.kind in COUNTED:
        facts.append(texts.counted.format(number=one.messages))
        facts.append(texts.confirmed if one.authenticated else texts.unconfirmed)
    if one.looks_alike:
        facts.append(texts.alike)
    return f"  {plain(one.address)} {texts.heads[one.kind]} ({'; '.join(facts)})"
