"""A door of submission whose sessions are logged in, before ports that answer from memory."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any, cast

from services.ingest.tests import ingest_fakes as fakes

from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.smtp.submission import Submission
from petitbleu_mail.dotstuff import stuff

WHO = Submitter(7, 9, frozenset({"me@own.test"}))
ENVELOPE = b"EHLO c.example\r\nMAIL FROM:<me@own.test>\r\nRCPT TO:<%b>\r\n"


class Logins:
    """Says of a login what it is told to."""

    def __init__(self) -> None:
        self.answer: Submitter | Exception = WHO
        self.asked = 0

    async def standing(self, submitter: Submitter) -> Submitter:
        del submitter
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Permits:
    async def permit(self, submitter: Submitter, recipients: int) -> int:
        del submitter, recipients
        return 0


class SubmissionBench(fakes.Bench):
    """A door of submission, and sessions that are logged in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.logins = Logins()
        self.door = replace(self.door, submission=Submission(cast("Any", self.logins), Permits()))

    def logged_in(self, stands: float = math.inf) -> fakes.Talk:
        """A session of somebody whose login is believed until then."""
        talk = self.session()
        talk.smtp.mx.submitter = WHO
        talk.smtp.mx.stands_until = stands
        return talk

    async def send(self, message: bytes, *, chunked: bool = False, to: bytes = b"alice@demo.test") -> str:
        """Submit a message; return the reply, code and status."""
        talk = self.logged_in()
        await talk.say(ENVELOPE % to)
        if chunked:
            wire = b"BDAT %d LAST\r\n" % len(message) + message
        else:
            await talk.say(b"DATA\r\n")
            wire = stuff(message)
        for at in range(0, len(wire), 60_000):
            await talk.say(wire[at : at + 60_000])
        async with asyncio.timeout(60):
            while talk.smtp.waiting:
                await asyncio.sleep(0.001)
        talk.smtp.connection_lost(None)
        return talk.replies()[-1]
