"""What people are told when their sending, or that of somebody in their tenant, is slowed or suspended: French and English."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, NamedTuple

from petitbleu_delivery.domain.conduct import Sign, Stage


class _Texts(NamedTuple):
    sender: str
    subjects: dict[Stage, str]
    own: dict[Stage, str]
    others: dict[Stage, str]
    why: str
    signs: dict[str, str]
    own_advice: str
    advice: str


_FRENCH: Final = _Texts(
    "Service de messagerie",
    {Stage.SLOWED: "Envois ralentis : {address}", Stage.SUSPENDED: "Envois suspendus : {address}"},
    {
        Stage.SLOWED: "Les envois de votre compte {address} sont ralentis pour un jour : peu de destinataires par heure.",
        Stage.SUSPENDED: "Les envois de votre compte {address} sont suspendus. Vous recevez toujours votre courrier.",
    },
    {
        Stage.SLOWED: "Les envois du compte {address} sont ralentis pour un jour.",
        Stage.SUSPENDED: "Les envois du compte {address} sont suspendus jusqu'à ce que l'exploitant les rétablisse.",
    },
    "Raisons :",
    {
        Sign.NEW_RECIPIENTS: "beaucoup plus de nouveaux destinataires que d'habitude",
        Sign.BOUNCES: "beaucoup d'adresses qui n'existent pas",
        Sign.COMPLAINTS: "des destinataires ont signalé ces messages comme indésirables",
        Sign.SPAM: "des messages reconnus comme indésirables",
    },
    "Si ces envois ne sont pas les vôtres, changez votre mot de passe. Sinon, parlez-en à votre administrateur.",
    "Si la personne n'a rien envoyé de tel, son mot de passe est sans doute connu d'autrui : changez-le.",
)
_ENGLISH: Final = _Texts(
    "Mail delivery",
    {Stage.SLOWED: "Sending slowed: {address}", Stage.SUSPENDED: "Sending suspended: {address}"},
    {
        Stage.SLOWED: "Sending from your account {address} is slowed for a day: few recipients an hour.",
        Stage.SUSPENDED: "Sending from your account {address} is suspended. You still receive your mail.",
    },
    {
        Stage.SLOWED: "Sending from the account {address} is slowed for a day.",
        Stage.SUSPENDED: "Sending from the account {address} is suspended until the operator lifts it.",
    },
    "Reasons:",
    {
        Sign.NEW_RECIPIENTS: "many more new recipients than usual",
        Sign.BOUNCES: "many addresses that do not exist",
        Sign.COMPLAINTS: "recipients called these messages unwanted",
        Sign.SPAM: "messages that were recognized as spam",
    },
    "If it was not you who sent this, change your password. Otherwise, speak to your administrator.",
    "If this person sent nothing of the kind, somebody else probably knows the password: change it.",
)


def account_mail(
    stage: Stage, signs: Sequence[str], address: str, language: str, to: str, host: str, name: str, now: datetime
) -> bytes:
    """Return the mail to the account, in its language (English where it is none of ours), CRLF ended; `name` is unique."""
    texts = _FRENCH if language.lower().partition("-")[0] == "fr" else _ENGLISH
    text = _paragraph(texts, texts.own[stage], signs, address, texts.own_advice)
    return _mail(texts, stage, text, address, to, host, name, now)


def administrator_mail(
    stage: Stage, signs: Sequence[str], address: str, language: str, to: str, host: str, name: str, now: datetime
) -> bytes:
    """Return the mail to the administrators of the tenant: in both languages, for they may be several."""
    first, second = (_FRENCH, _ENGLISH) if language.lower().partition("-")[0] == "fr" else (_ENGLISH, _FRENCH)
    text = "\n\n".join(_paragraph(one, one.others[stage], signs, address, one.advice) for one in (first, second))
    return _mail(first, stage, text, address, to, host, name, now)


def _paragraph(texts: _Texts, first: str, signs: Sequence[str], address: str, advice: str) -> str:
    reasons = [f"  - {texts.signs.get(sign, sign)}" for sign in signs]
    return "\n".join([first.format(address=address), "", texts.why, *reasons, "", advice])


def _mail(
    texts: _Texts, stage: Stage, text: str, address: str, to: str, host: str, name: str, now: datetime
) -> bytes:  # fmt: skip
    mail = EmailMessage(SMTP.clone(utf8=not (to.isascii() and address.isascii())))
    mail["From"] = f"{texts.sender} <mailer-daemon@{host}>"
    mail["To"] = f"<{to}>"
    mail["Subject"] = texts.subjects[stage].format(address=address)
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{name}@{host}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5
    mail.set_content(text + "\n", cte="quoted-printable")
    return mail.as_bytes()
