"""Mail as people write it, in French and English, with attachments, and what people look for in it."""

from __future__ import annotations

import random
from email.message import EmailMessage
from typing import Any

from services.store.tests.attachment_files import docx, odt, pdf

from petitbleu.store.v1 import mailbox_pb2 as pb

FRENCH = str.split(
    "école élèves réunion chantier lundi matin facture impayée l'été d'équipe aujourd'hui cœur naïve maison travaux plans "
    "Noël vacances anniversaire merci beaucoup rendez-vous médecin trottinette chèque voisine jardin potager cantine"
)
ENGLISH = str.split(
    "meeting lunch Monday invoice running builder workers plans holiday birthday thanks appointment doctor neighbour garden "
    "school committee don't budget quarterly report attached deadline follow-up summary cheque kitchen painting"
)
NAMES = ["Anna Lefèvre", "Karl Müller", "Zoé Dupont-Martin", "Peter O'Brien", "Śląska Ewa", ""]
ADDRESSES = [
    "anna@lefevre.test",
    "k.mueller@example.org",
    "zoe.dupont@ecole.example",
    "peter@builders.example",
    "ewa@x.test",
]
TICKETS = ["Ticket-42 urgent", "Ticket-43", "=?utf-8?q?priorit=C3=A9_haute?="]


def sentence(chooser: random.Random, words: int) -> str:
    """Some words of one language with the signs that stand between words."""
    vocabulary = FRENCH if chooser.random() < 0.5 else ENGLISH
    text = ""
    for word in chooser.choices(vocabulary, k=words):
        bent = chooser.choice([word, word, word, word.capitalize(), word.upper(), word + "s", f"« {word} »"])
        text += bent + chooser.choice([" ", " ", " ", ", ", ".\n", " - ", "; "])
    return text.strip()


def letter(chooser: random.Random) -> bytes:
    """A message."""
    mail = EmailMessage()
    person = chooser.randrange(len(ADDRESSES))
    mail["From"] = f'"{NAMES[person]}" <{ADDRESSES[person]}>' if NAMES[person] else ADDRESSES[person]
    mail["To"] = ", ".join(chooser.sample(ADDRESSES, chooser.choice([1, 2])))
    if chooser.random() < 0.3:
        mail["Cc"] = f"{chooser.choice(FRENCH).capitalize()} Lambert <{chooser.choice(ADDRESSES)}>"
    mail["Subject"] = sentence(chooser, chooser.choice([1, 3, 6])).replace("\n", " ")
    if chooser.random() < 0.3:
        mail["X-Ticket"] = chooser.choice(TICKETS[:2])
    mail.set_content(
        sentence(chooser, chooser.choice([0, 8, 60])) + "\n",
        charset=chooser.choice(["utf-8", "utf-8", "cp1252"]),
        cte=chooser.choice(["quoted-printable", "base64"]),
    )
    if chooser.random() < 0.4:
        html = f"<html><head><style>p {{color: red}}</style></head><p>{sentence(chooser, 12)}</p><b>{chooser.choice(FRENCH)}</b>fort"
        mail.add_alternative(html, subtype="html")
    for _ in range(chooser.choice([0, 0, 0, 1, 2])):
        _attach(mail, chooser)
    return mail.as_bytes().replace(b"\n", b"\r\n")


def _attach(mail: EmailMessage, chooser: random.Random) -> None:
    text = sentence(chooser, 10)
    kind = chooser.choice(["pdf", "odt", "docx", "txt", "eml"])
    name = f"{chooser.choice(FRENCH)} {chooser.randrange(9)}.{kind}"
    if kind == "pdf":
        plain = text.replace("\n", " ").replace("(", "").replace(")", "")
        mail.add_attachment(pdf(plain.encode("cp1252", "ignore").decode("cp1252")), "application", "pdf", filename=name)
    elif kind == "odt":
        octets = odt(f"<text:p>{text}</text:p>")
        mail.add_attachment(octets, "application", "vnd.oasis.opendocument.text", filename=name)
    elif kind == "docx":
        mail.add_attachment(docx(text), "application", "octet-stream", filename=name)
    elif kind == "txt":
        mail.add_attachment(text, filename=name)
    else:
        inner = EmailMessage()
        inner["Subject"] = sentence(chooser, 3).replace("\n", " ")
        inner.set_content(text)
        mail.add_attachment(inner)


_SCOPES = [
    pb.TEXT_SCOPE_TEXT, pb.TEXT_SCOPE_TEXT, pb.TEXT_SCOPE_BODY, pb.TEXT_SCOPE_BODY, pb.TEXT_SCOPE_SUBJECT, pb.TEXT_SCOPE_FROM,
    pb.TEXT_SCOPE_TO, pb.TEXT_SCOPE_CC, pb.TEXT_SCOPE_BCC,
]  # fmt: skip


def typed(chooser: random.Random) -> str:
    """What somebody types: a word, its beginning, words, a phrase, an address, nonsense."""
    one = chooser.choice(chooser.choice([FRENCH, ENGLISH]))
    return chooser.choice(
        [
            one, one, one, one, one[:4], one.upper(), f"{one} {chooser.choice(FRENCH)}", f'"{sentence(chooser, 2)}"', sentence(chooser, 3),
            chooser.choice(ADDRESSES), chooser.choice(NAMES), f"'{one}'", "zzzz", "", "...", f"{one[:3]}-{one[3:]}",
        ]
    )  # fmt: skip


def query(chooser: random.Random, depth: int = 0) -> pb.MessageFilter:
    """A filter."""
    if depth < 2 and chooser.random() < 0.3:
        operator = chooser.choice([pb.FILTER_OPERATOR_AND, pb.FILTER_OPERATOR_OR, pb.FILTER_OPERATOR_NOT])
        inner = [query(chooser, depth + 1) for _ in range(chooser.choice([1, 2, 2, 3]))]
        return pb.MessageFilter(operator=operator, conditions=inner)
    given = pb.MessageFilter()
    for _ in range(chooser.choice([1, 1, 1, 2])):
        if chooser.random() < 0.1:
            name = chooser.choice(["x-ticket", "Subject", "X-Nothing", "cc"])
            text = chooser.choice(["", "ticket-4", "urgent", "lambert", chooser.choice(FRENCH)])
            given.texts.add(scope=pb.TEXT_SCOPE_HEADER, header_name=name, text=text)
        else:
            given.texts.add(scope=chooser.choice(_SCOPES), text=typed(chooser))
    if chooser.random() < 0.2:
        given.has_attachment = chooser.random() < 0.5
    return given


def request(chooser: random.Random, account_id: int, **more: Any) -> pb.QueryMessagesRequest:
    """A query newest first, or in another order, of which some or all is wanted."""
    wanted = pb.QueryMessagesRequest(
        account_id=account_id, filter=query(chooser), limit=chooser.choice([3, 10, 1000]), position=chooser.choice([0, 0, 0, 2]),
        collapse_threads=chooser.random() < 0.2, calculate_total=chooser.random() < 0.3, **more,
    )  # fmt: skip
    if chooser.random() < 0.3:
        wanted.sort.add(property=pb.SORT_PROPERTY_SIZE, ascending=chooser.random() < 0.5)
    return wanted
