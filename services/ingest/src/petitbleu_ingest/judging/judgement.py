"""One message while it is judged: the sender is asked for while the octets come, the signatures are verified at their end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from petitbleu_ingest.adapters.dns import MessageResolver
from petitbleu_ingest.domain.message import Head, without_blank_line
from petitbleu_ingest.judging.findings import ClientFindings, Findings, identifiers
from petitbleu_ingest.judging.marks import Mark, header_marks
from petitbleu_kit.scanners.scanning import Letter, Scan, Scanned, Scanners
from petitbleu_mail.auth.arc import ArcCheck
from petitbleu_mail.auth.author import Author
from petitbleu_mail.auth.canonical import BodyHashes
from petitbleu_mail.auth.dkim import DkimCheck
from petitbleu_mail.auth.dkim_record import KeyRing
from petitbleu_mail.auth.dmarc import check_dmarc
from petitbleu_mail.auth.fields import Fields, split_message
from petitbleu_mail.auth.resolver import ascii_domain
from petitbleu_mail.auth.spf import SpfOutcome, check_mail_from

# The body is put into its canonical forms this much at a time, so that a large one is not copied whole.
_PIECE = 64 << 10


def taken(task: asyncio.Task[Any]) -> None:
    """Take a task's error, which whoever awaits it sees; of a message that is given up nobody does."""
    if not task.cancelled():
        task.exception()


class Judgement:
    """What is known so far of one message.

    Call `begin_message` once its whole header is there, `update` for what comes behind, `findings` at its end; or `cancel`.

    Args:
        resolver: For this message's questions, None where senders are not judged.
        client: Where it comes from, None when that is no address.
        about_client: What the session found out of the client.
        helo: The name that the client gave.
        mail_from: The reverse-path, empty for the null one.
        receiver: Our name.
        scanners: Who looks through it.
        scored: Whether `marks` are wanted; `ours` are the domains of the recipients then.
    """

    __slots__ = (
        "_arc",
        "_author",
        "_client",
        "_dkim",
        "_ending",
        "_hashes",
        "_resolver",
        "_scanners",
        "_scans",
        "_scored",
        "_sender",
        "_spf",
        "address",
        "kept",
        "mail_from",
        "marks",
        "ours",
    )

    def __init__(
        self, resolver: MessageResolver | None, client: IPv4Address | IPv6Address | None,
        about_client: asyncio.Task[ClientFindings] | None, helo: str, mail_from: str, receiver: str,
        scanners: Scanners | None = None, *, scored: bool = False,
    ) -> None:  # fmt: skip
        self.mail_from = mail_from
        self.address = str(client) if client is not None else ""
        self.kept = 0  # octets of the header, kept to the end
        self._resolver = resolver
        self._client = about_client
        self._sender: asyncio.Task[SpfOutcome] | None = None
        if client is not None and resolver is not None:
            check = check_mail_from(resolver, client, mail_from, helo, receiver=receiver, now=int(time.time()))
            self._sender = asyncio.create_task(check)
            self._sender.add_done_callback(taken)
        self._ending = False
        self._scanners = scanners
        self._scored = scored
        self.ours: frozenset[str] = frozenset()
        self.marks: set[Mark] = set()
        self._scans: list[Scan] = []
        self._hashes = BodyHashes()
        self._author = Author(())
        self._dkim: DkimCheck | None = None
        self._arc: ArcCheck | None = None

    @property
    def pending(self) -> int:
        """Octets that wait for a scanner."""
        return max([one.pending for one in self._scans], default=0)

    def begin_message(
        self, message: bytes, head: Head, letter: Letter, progress: Callable[[], None], *, whole: bool
    ) -> None:
        """Take the message as far as it came, its whole header included, which is read already.

        `progress` is called when `pending` fell.
        """
        author = head.author()
        if self._scored:
            self.ours = frozenset(ascii_domain(one.rpartition("@")[2]) for one in letter.recipients)
            self.marks = header_marks(head.headers, message, self.ours, time.time())
        if self._scanners:
            self._scans = self._scanners.begin(letter, len(message) if whole else None, progress)
            for scan in self._scans:
                scan.feed(message)
        if self._resolver is None:
            return
        header, start = split_message(message)
        seen = head.headers.body_start
        if seen < start:
            # RFC 5322 §2.1 ends a header by CRLF alone; readers end it by a bare LF, or by text that is no field, and what they see is
            # what is judged. It is the same then however the octets came: that end is looked for before all of the message is here.
            header, start = without_blank_line(message[:seen]), seen
        fields = Fields(header)
        self.kept = len(header)
        self._author = author
        self._dkim = DkimCheck(fields, self._hashes)
        self._arc = ArcCheck(fields, self._hashes)
        # they are asked for at the end only, and answered by then
        self._resolver.prefetch([*self._dkim.key_names(), *self._arc.key_names()[:4]])
        self._resolver.prefetch([f"_dmarc.{domain}" for domain in author.domains])
        for at in range(start, len(message), _PIECE):
            self._hashes.update(message[at : at + _PIECE])

    def update(self, piece: bytes) -> None:
        """Take the next octets."""
        for scan in self._scans:
            scan.feed(piece)
        if self._resolver is not None:
            self._hashes.update(piece)

    async def scanned(self) -> dict[str, Scanned]:
        """Return what the scanners say, by their names, after `findings`."""
        return {one.name: await one.result() for one in self._scans}

    async def findings(self) -> Findings | None:
        """Finish: the message is here as a whole; None where senders are not judged. Ends within the time of its questions."""
        self._ending = True
        for scan in self._scans:
            scan.end()
        if self._resolver is None:
            return None
        self._resolver.renew()
        self._hashes.finish()
        keys = KeyRing(self._resolver)
        # made by begin_message
        dkim = await self._dkim.verdicts(keys, int(time.time())) if self._dkim is not None else []
        arc = await (self._arc or ArcCheck(Fields(b""), self._hashes)).verdict(keys)
        spf = await self._sender if self._sender is not None else None
        dmarc = await check_dmarc(self._resolver, self._author, identifiers(spf, dkim))
        # the session's, which other messages wait for as well
        client = await asyncio.shield(self._client) if self._client is not None else None
        return Findings(self.mail_from, self._author, client, spf, dkim, arc, dmarc)

    def cancel(self) -> None:
        """Ask nothing more, unless the end of the message is being waited for."""
        if not self._ending:
            for scan in self._scans:
                scan.cancel()
        if self._sender is not None and not self._ending:
            self._sender.cancel()
