"""Alerts: guardians hear by mail of what waits, once an hour at most, and once more after three days."""

from __future__ import annotations

from prometheus_client import Counter

from petitbleu_junior_guard.domain.alerts import Told, alert, plain
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.errors import GuardError
from petitbleu_junior_guard.ports import Letter, News, Post
from petitbleu_junior_guard.service.guard import Clock, utc_now
from petitbleu_junior_guard.service.links import Links
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_sent = Counter("petitbleu_junior_guard_alerts_total", "Mails that told guardians something")


class Alerts:
    """The use case.

    Args:
        news: What is to be told.
        post: Who is told, and the way there.
        seal: Reads addresses.
        links: Makes the links to where it is decided.
        clock: The time.
    """

    def __init__(self, news: News, post: Post, seal: Seal, links: Links, clock: Clock = utc_now) -> None:
        self._links = links
        self._news = news
        self._post = post
        self._seal = seal
        self._clock = clock

    async def run(self) -> int:
        """Write to those who are to be told something now; how many were. What fails is tried again in a minute."""
        await self._news.remind(self._clock())
        await self._news.ring(self._clock())
        sent = 0
        for letter in await self._news.letters(self._clock()):
            try:
                sent += await self._write(letter)
                await self._news.done(letter)
            except GuardError as error:
                _log.warning("an alert waits", why=error.fault.name)
        return sent

    async def _write(self, letter: Letter) -> int:
        people = await self._post.people({letter.guardian_id, *(row.account_id for row in letter.rows)})
        guardian = people.get(letter.guardian_id)
        told = [
            Told(
                people[row.account_id].address, row.kind, self._seal.open(row.account_id, row.sealed), row.authenticated,
                row.looks_alike, row.since, row.messages,
            )
            for row in letter.rows
            if row.account_id in people
        ]  # fmt: skip
        if guardian is None or not told:
            return 0
        domain = guardian.address.rpartition("@")[2]
        links = {
            plain(people[account_id].address): await self._links.make(letter.number, letter.guardian_id, account_id)
            for account_id in dict.fromkeys(row.account_id for row in letter.rows)
            if account_id in people
        }
        body = alert(
            told, guardian.language, guardian.address, f"postmaster@{domain}", f"{letter.number:x}.guard@{domain}",
            self._clock(), links,
        )  # fmt: skip
        await self._post.send(letter, guardian, body)
        _sent.inc()
        return 1
