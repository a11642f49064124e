"""Submissions are looked through before store accepts them: what follows from each answer, and from none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.domain.malware_mail import malware_mail
from petitbleu_delivery.domain.submissions import MALWARE, State, Submission
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_delivery.service.measures import SCANS
from petitbleu_delivery.service.submissions.scrutiny import Found, Scrutiny
from petitbleu_kit.scanners.scanning import Advice, Letter, Scanned, Scanners

PIECES = [b"Subject: x\r\n\r\n", b"y" * 3_000_000, b"z" * 70_000]


class Said:
    """A scanner that says this of all; `deaf` never reads, `raises` breaks off."""

    def __init__(self, name: str, said: Scanned, *, deaf: bool = False, raises: bool = False) -> None:
        self.name, self.said, self.deaf, self.raises = name, said, deaf, raises
        self.octets = b""
        self.letters: list[Letter] = []

    async def scan(self, letter: Letter, size: int | None, pieces: AsyncIterator[bytes], seconds: float) -> Scanned:
        self.letters.append(letter)
        if self.deaf:
            await asyncio.Event().wait()
        if self.raises:
            raise ConnectionResetError
        async for piece in pieces:
            self.octets += piece
        return self.said


class Source:
    """store, with one message."""

    def __init__(self, *, new: bool = True) -> None:
        self.new = new

    def letter(self, account_id: int, submission: Submission) -> Letter:
        return Letter("", "", "a@b.test", ["c@d.test"], "id", str(account_id))

    async def read(self, account_id: int, submission: Submission, take: Callable[[bytes], Awaitable[None]]) -> bool:
        for piece in PIECES if self.new else []:
            await take(piece)
        return self.new


class Looking:
    def __init__(self, *scanners: Said, new: bool = True, must_answer: bool = False) -> None:
        self.told: list[int] = []
        asked = Scanners(scanners, 5, lambda: 0.0)
        self.scrutiny = Scrutiny(asked, Source(new=new), self.tell, must_answer=must_answer, seconds=0.2)

    async def tell(self, _account_id: int, submission: Submission) -> None:
        self.told.append(submission.number)

    async def look(self) -> Found:
        one = Submission(1, bytes(16), 3, 1, 2, 3, State.SENDING, 1, 1, 0, 0, 1, b"", tries=1)
        return await self.scrutiny.look(7, one)


async def test_all_scanners_see_all_of_it_and_the_score_travels() -> None:
    clamd, rspamd = Said("clamd", Scanned(Advice.CLEAN)), Said("rspamd", Scanned(Advice.SPAM, 1500))
    looking = Looking(clamd, rspamd)
    assert await looking.look() == Found(None, 1500)
    assert clamd.octets == rspamd.octets == b"".join(PIECES)
    assert rspamd.letters[0].user == "7"
    assert looking.told == []


@pytest.mark.parametrize("name", ["clamd", "rspamd"])
async def test_malware_does_not_leave_and_its_sender_is_told(name: str) -> None:
    looking = Looking(Said(name, Scanned(Advice.VIRUS)))
    assert await looking.look() == Found(MALWARE)
    assert looking.told == [1]


@pytest.mark.parametrize("advice", [Advice.JUNK, Advice.LATER, Advice.SPAM])
async def test_nothing_else_is_refused(advice: Advice) -> None:
    assert await Looking(Said("rspamd", Scanned(advice, -20))).look() == Found(None, -20)


@pytest.mark.parametrize("fault", ["deaf", "raises"])
async def test_open_when_scanners_are_down_unless_the_operator_wants_an_answer(fault: str) -> None:
    down = Said("clamd", Scanned(Advice.CLEAN), deaf=fault == "deaf", raises=fault == "raises")
    fine = Said("rspamd", Scanned(Advice.CLEAN, 200))
    assert (await Looking(down, fine).look()).failure is None
    with pytest.raises(PeerUnavailableError) as waits:
        await Looking(down, fine, must_answer=True).look()
    assert waits.value.peer is Peer.SCANNER
    found = Said("rspamd", Scanned(Advice.VIRUS))
    if fault == "raises":
        assert await Looking(down, found, must_answer=True).look() == Found(MALWARE)


async def test_who_is_too_slow_is_counted_as_late() -> None:
    late = SCANS.labels("slow", "late")
    before = late._value.get()
    assert await Looking(Said("slow", Scanned(Advice.VIRUS), deaf=True)).look() == Found()
    assert late._value.get() == before + 1


async def test_what_store_has_already_is_not_looked_at_again() -> None:
    scanner = Said("clamd", Scanned(Advice.VIRUS))
    looking = Looking(scanner, new=False)
    assert await looking.look() == Found()
    assert (scanner.octets, looking.told) == (b"", [])


async def test_without_scanners_nothing_is_read() -> None:
    assert await Looking().look() == Found()


@given(st.lists(st.emails(), max_size=40), st.sampled_from(["fr", "fr-CA", "en", ""]))
def test_the_notice_is_a_mail_whoever_was_written_to(recipients: list[str], language: str) -> None:
    octets = malware_mail(recipients, language, "zoë@demo.test", "mx.test", "n", datetime(2026, 1, 1, tzinfo=UTC))
    mail = message_from_bytes(octets, policy=default)
    assert ("envoyé" in mail["Subject"]) is language.startswith("fr")
    text = mail.get_content()
    assert all(one in text for one in recipients[:20])
    assert mail["Auto-Submitted"] == "auto-generated"
