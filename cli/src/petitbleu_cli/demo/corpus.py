"""Alice's mail: three hundred messages, the same each time but for their dates."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Final

from petitbleu_cli.demo.conversations import THREADS, Thread
from petitbleu_cli.demo.media import invitation, pdf, png, table
from petitbleu_cli.demo.notices import DISCUSSION, EVENTS, GREETINGS, MONTHS, NOTICES, TOPICS, TOWNS, Notice
from petitbleu_cli.demo.people import ALICE, COLLEAGUES, FRIENDS, LIST, Person

MESSAGES: Final = 300
_SEED: Final = 1848
_ZONES: Final = (timezone(timedelta(hours=1)), timezone(timedelta(hours=2)), timezone(timedelta(hours=-4)))


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it is sent: envelope sender and octets with CRLF lines."""

    sender: str
    octets: bytes


class _Writer:
    """Writes messages, with dates from two years ago to now, in order."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.random = random.Random(_SEED)  # noqa: S311 — the same mail for everybody is the point
        self.number = 0

    def at(self, share: float) -> datetime:
        """The moment at a share (0-1) of the last two years, at an hour when people are awake."""
        moment = self._now - timedelta(days=730 * (1 - share))
        moment = moment.replace(hour=7 + self.random.randrange(15), minute=self.random.randrange(60), microsecond=0)
        return min(moment, self._now).astimezone(self.random.choice(_ZONES))

    def message(self, sender: Person, subject: str, when: datetime) -> EmailMessage:
        """Return a message with its header fields (RFC 5322 §3.6)."""
        self.number += 1
        message = EmailMessage(policy=SMTP)
        message["From"] = f'"{sender.name}" <{sender.address}>'
        message["To"] = f'"{ALICE.name}" <{ALICE.address}>'
        message["Subject"] = subject
        message["Date"] = format_datetime(when)
        message["Message-ID"] = f"<demo.{self.number:04}@{sender.address.rpartition('@')[2]}>"
        return message


def _html(text: str, picture: str = "") -> str:
    paragraphs = "".join(f"<p>{escape(part).replace(chr(10), '<br>')}</p>" for part in text.split("\n\n"))
    image = f'<p><img src="cid:{picture}" alt="" width="240"></p>' if picture else ""
    return (
        f'<!doctype html><html><body style="font-family: sans-serif; max-width: 40em">{image}{paragraphs}</body></html>'
    )


def _flowed(text: str) -> str:
    """Wrap a text so that its paragraphs flow again when shown (RFC 3676 §4.2)."""
    lines = []
    for paragraph in text.split("\n"):
        rest = paragraph
        while len(rest) > 72 and (cut := rest.rfind(" ", 0, 72)) > 0:
            lines.append(rest[: cut + 1])
            rest = rest[cut + 1 :]
        lines.append(rest)
    return "\n".join(lines)


def _thread(writer: _Writer, thread: Thread, share: float) -> Iterator[EmailMessage]:
    """The turns of a conversation, each quoting the one before and naming all before it (RFC 5322 §3.6.4)."""
    references: list[str] = []
    when = writer.at(share)
    said: tuple[str, str] | None = None
    for turn, text in enumerate(thread.turns):
        person = thread.people[turn % len(thread.people)]
        message = writer.message(person, (thread.reply if turn else "") + thread.subject, when)
        others = [one for one in thread.people if one is not person]
        if others:
            message["Cc"] = ", ".join(f'"{one.name}" <{one.address}>' for one in others)
        body = text
        if references and said is not None:
            message["In-Reply-To"] = references[-1]
            message["References"] = " ".join(references)
            quoted = "\n".join(f"> {line}".rstrip() for line in said[1].split("\n"))
            body = f"{text}\n\n{said[0]} :\n{quoted}"
        message.set_content(_flowed(body), cte="quoted-printable" if turn % 2 else "8bit")
        message.set_param("format", "flowed")
        if turn % 3 == 1:
            message.add_alternative(_html(body), subtype="html")
        references.append(message["Message-ID"])
        said = (person.name, text)
        when += timedelta(hours=1 + writer.random.randrange(40))
        yield message


def _filled(writer: _Writer, notice: Notice, when: datetime) -> tuple[str, str]:
    pick = writer.random
    number = pick.randrange(120, 9800)
    words = {
        "n": number, "month": MONTHS[when.month - 1], "amount": f"{number / 97:.2f}".replace(".", ","),
        "town": pick.choice(TOWNS), "event": pick.choice(EVENTS), "topic": pick.choice(TOPICS),
        "code": "".join(pick.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=6)),
    }  # fmt: skip
    return notice.subject.format(**words), notice.text.format(**words)


def _notice(writer: _Writer, notice: Notice, share: float) -> EmailMessage:
    when = writer.at(share)
    subject, text = _filled(writer, notice, when)
    message = writer.message(notice.sender, subject, when)
    domain = notice.sender.address.rpartition("@")[2]
    if notice.kind in {"plain", "form", "receipt"}:
        # RFC 3834 §5: an automatic message says so
        message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="base64" if notice.kind == "form" else "quoted-printable")
    if notice.kind == "newsletter":
        # RFC 2919 §2, RFC 2369 §3.2, RFC 8058 §3.1
        message["List-Id"] = f"{notice.sender.name.encode('ascii', 'ignore').decode()} <lettre.{domain}>"
        message["List-Unsubscribe"] = f"<https://{domain}/stop?alice>, <mailto:stop@{domain}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        picture = f"picture.{writer.number}@{domain}"
        message.add_alternative(_html(text, picture), subtype="html")
        page = message.get_payload(1)
        if isinstance(page, MIMEPart):
            page.add_related(png(96, 48, writer.number), "image", "png", cid=f"<{picture}>", disposition="inline")
    elif notice.kind == "invoice":
        message.add_attachment(
            pdf(subject, text.split("\n")), maintype="application", subtype="pdf",
            filename=f"Facture électricité {when:%Y-%m}.pdf",
        )  # fmt: skip
    elif notice.kind == "ticket":
        message.add_alternative(_html(text), subtype="html")
        message.add_attachment(png(64, 64, writer.number), maintype="image", subtype="png", filename="billet.png")
    elif notice.kind == "form":
        message.add_attachment(
            pdf("Coupon", [subject, "", "Nom : ______________", "Signature :"]), maintype="application", subtype="pdf",
            filename="coupon.pdf",
        )  # fmt: skip
    return message


def _meeting(writer: _Writer, share: float) -> EmailMessage:
    host = writer.random.choice(COLLEAGUES)
    when = writer.at(share)
    title = writer.random.choice(("Point hebdomadaire", "Design review", "Visite du quai ouest", "Lunch & learn 🍜"))
    place = writer.random.choice(("Salle Vauban, 2e étage", "Kitchen table, 3rd floor", "Quai ouest, portail bleu"))
    message = writer.message(host, f"Invitation: {title}", when)
    start = (when + timedelta(days=6)).replace(hour=10, minute=0, second=0)
    text = f"{title}\n{start:%Y-%m-%d %H:%M}\n{place}\n\n{host.first_name}"
    calendar = invitation(f"demo-{writer.number}@{host.address}", title, place, start, 1.5, host, ALICE)
    message.set_content(text)
    message.add_alternative(_html(text), subtype="html")
    # RFC 6047 §2.4: the calendar part repeats its method
    message.add_alternative(calendar, subtype="calendar", params={"method": "REQUEST"})
    return message


def _figures(writer: _Writer, share: float) -> EmailMessage:
    sender = writer.random.choice(COLLEAGUES)
    when = writer.at(share)
    message = writer.message(sender, f"Relevés de la semaine {when:%V} : tableau joint", when)
    rows = [
        [f"point {at}", f"{4 + writer.random.random():.2f}", f"{writer.random.randrange(80, 99)} %"] for at in range(40)
    ]
    message.set_content(
        "Bonjour Alice,\n\nLes relevés en pièces jointes, avec la photo du repère.\n\n" + sender.first_name
    )
    message.add_attachment(table(["Point", "Cote", "Confiance"], rows), subtype="csv", filename="relevés.csv")
    message.add_attachment(png(200, 120, writer.number), maintype="image", subtype="png", filename="repère n° 3.png")
    return message


def _on_the_list(writer: _Writer, share: float) -> EmailMessage:
    sender = writer.random.choice((*FRIENDS, *COLLEAGUES))
    text = writer.random.choice(DISCUSSION)
    message = writer.message(
        sender, f"[typographie] {text.split(',')[0].split(':')[0].split('?')[0][:60].strip()}", writer.at(share)
    )
    message.replace_header("To", f'"{LIST.name}" <{LIST.address}>')
    message["List-Id"] = "Typographie <typographie.listes.example>"
    message["List-Post"] = f"<mailto:{LIST.address}>"
    message["Precedence"] = "list"
    message.set_content(text, charset="iso-8859-15", cte="quoted-printable")
    return message


def _forwarded(writer: _Writer, share: float) -> EmailMessage:
    """A message in a message (RFC 2046 §5.2.1)."""
    friend = writer.random.choice(FRIENDS)
    inner = _notice(writer, writer.random.choice(NOTICES), share)
    message = writer.message(friend, f"Tr : {inner['Subject']}", writer.at(share))
    message.set_content("Tu as vu ça ? Ça ressemble à ton histoire de la semaine dernière.\n\n" + friend.first_name)
    message.add_attachment(inner)
    return message


def _greeting(writer: _Writer, share: float) -> EmailMessage:
    subject, text = writer.random.choice(GREETINGS)
    message = writer.message(writer.random.choice(FRIENDS), subject, writer.at(share))
    message.set_content(text, cte="8bit" if writer.random.random() < 0.5 else "base64")
    return message


_KINDS: Final[tuple[Callable[[_Writer, float], EmailMessage], ...]] = (
    _meeting, _figures, _on_the_list, _greeting, _forwarded, _on_the_list, _figures, _greeting,
)  # fmt: skip


def _messages(writer: _Writer) -> Iterator[EmailMessage]:
    share = 0.0
    step = 0
    while True:
        step += 1
        share = min(1.0, writer.number / MESSAGES)
        if step % 6 == 1:
            yield from _thread(writer, THREADS[step // 6 % len(THREADS)], share)
        elif step % 6 in {2, 4, 5}:
            yield _notice(writer, NOTICES[step % len(NOTICES)], share)
        else:
            yield _KINDS[step // 3 % len(_KINDS)](writer, share)


def letters(now: datetime) -> Iterator[Letter]:
    """Give Alice's mail in order; only its dates depend on `now`."""
    writer = _Writer(now)
    for number, message in enumerate(_messages(writer), 1):
        at = 0
        for part in message.walk():
            if part.is_multipart() and part.get_content_type() != "message/rfc822":
                at += 1
                part.set_boundary(f"=_demo_{number}_{at}")
        sender = str(message["From"].addresses[0].addr_spec)
        yield Letter(sender, message.as_bytes())
        if number == MESSAGES:
            return
