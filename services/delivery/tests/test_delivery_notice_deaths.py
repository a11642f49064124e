"""A process that dies between any two steps of sending and telling: each is told of once, by the process that comes after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import pytest
from services.delivery.tests.delivery_fakes import Clock, FakeDirectory, Present
from services.delivery.tests.test_delivery_notices import FakeMail
from services.delivery.tests.test_delivery_sending import OpenWay, Unsigned

from petitbleu.store.v1 import accept_pb2, outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import AcceptedLetter, AcceptedMail
from petitbleu_delivery.adapters.queue_rows import Deferral, FinalAnswer, QueueRows, Unit
from petitbleu_delivery.domain.outbound import Answer, Letter, Reply, Verdict
from petitbleu_delivery.ports import News
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.outbound.destinations import Limits
from petitbleu_delivery.service.outbound.notices import DeliveryNotices
from petitbleu_delivery.service.outbound.sending import Sender
from petitbleu_delivery.service.outbound.telling import Teller
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_delivery.service.router import Router
from petitbleu_mail.delivery_status import read_delivery_status
from petitbleu_mail.reports import find_report

ID, BODY, HOURS = UUID(int=7), b"From: a@here.test\r\nSubject: x\r\n\r\n", 5 * 3600.0
# Each step is before what lasts, or behind it.
STEPS = 24


class Life:
    """A process, up to the step at which it dies: whoever does it then, or anything after it, never goes on."""

    def __init__(self, dies_at: int) -> None:
        self.dies_at = dies_at
        self.steps = 0
        self.dead = asyncio.Event()

    async def step(self) -> None:
        self.steps += 1
        if self.steps >= self.dies_at:
            self.dead.set()
            await asyncio.Event().wait()


class Lasting:
    """What outlives a process: rows, store, and what the other server was sent."""

    def __init__(self) -> None:
        unit = Unit(ID, "else.test", 0, (0, 1, 2, 3), 8, 1, 1, 1, 100, time.time() - HOURS, 0, False)
        self.units: dict[int, Unit] = {0: unit}
        self.finals: dict[int, FinalAnswer] = {}
        self.told_of: set[int] = set()
        self.settled: dict[int, int] = {}
        self.heard: dict[int, Verdict] = {}
        self.mail = FakeMail()
        header = outgoing_pb2.AcceptedHeader(
            accepted_id=ID.bytes, found=True, mail_from="a@here.test", header_from="a@here.test",
            origin=accept_pb2.ORIGIN_SUBMITTED, submitter_account_id=8, submitter_tenant_id=1,
        )  # fmt: skip
        for name, notify in (("no", ""), ("late", ""), ("yes", "SUCCESS"), ("worst", "FAILURE")):
            header.recipients.add(address=f"{name}@else.test", notify=notify)
        self.mail.letters[ID.bytes] = AcceptedLetter(header, BODY, True)

    def reports(self) -> list[tuple[str, str]]:
        """Action and recipient of all that was told."""
        found = []
        for item in self.mail.taken.values():
            report = find_report(item.body)
            assert report is not None
            status = read_delivery_status(item.body[report.machine.body_start : report.machine.body_end])
            assert status is not None
            found += [(one.action, one.final_recipient.address.partition("@")[0]) for one in status.recipients]
        return sorted(found)


class Process:
    """A delivery over what lasts: rows, store and submissions at once."""

    def __init__(self, lasting: Lasting, dies_at: int) -> None:
        self.lasting, self.life = lasting, Life(dies_at)
        directory, clock = FakeDirectory(), Clock()
        directory.add("a@here.test", 8)
        notices = DeliveryNotices(
            Router(directory, RouteCache(10, 60, clock)),
            Submitters(directory, 60, clock),
            self,
            "mail.here.test",
            432_000,
        )
        self.teller = Teller(cast("QueueRows", self), self, self, notices)
        self.sender = Sender(
            cast("QueueRows", self), cast("AcceptedMail", self), self, Unsigned(), self.teller,
            Limits(first_retry=0.001), Present(), OpenWay(),
        )  # fmt: skip

    async def run(self) -> bool:
        """Take what is due and what nobody was told of, to its end; False when it dies."""
        work = asyncio.ensure_future(self._work())
        dead = asyncio.ensure_future(self.life.dead.wait())
        await asyncio.wait({work, dead}, return_when=asyncio.FIRST_COMPLETED)
        tasks = [work, dead, *self.sender._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return not self.life.dead.is_set()

    async def _work(self) -> None:
        untold = [one for number, one in self.lasting.finals.items() if number not in self.lasting.told_of]
        if untold:
            await self.teller.settle(untold)
        while self.lasting.units or self.sender.in_hand:
            if not self.sender.in_hand:
                self.sender.take(self.lasting.units.values())
            await asyncio.sleep(0)

    # -- what it asks, each with a death before and behind it ------------------------------------------------------------

    async def keep(
        self, finals: Sequence[FinalAnswer], finished: Sequence[Unit], deferred: Sequence[Deferral]
    ) -> frozenset[tuple[UUID, int]]:
        await self.life.step()
        known = frozenset(
            (one.accepted_id, one.recipient_no) for one in finals if one.recipient_no in self.lasting.finals
        )
        for one in finals:
            self.lasting.finals.setdefault(one.recipient_no, one)
        for unit in finished:
            self.lasting.units.pop(unit.first_no, None)
        for put in deferred:
            unit = put.unit
            self.lasting.units[unit.first_no] = Unit(
                unit.accepted_id, unit.destination, unit.first_no, put.recipients, unit.account_id, unit.tenant_id,
                unit.origin, unit.priority, unit.size, unit.accepted_at, put.attempts, put.warned,
            )  # fmt: skip
        await self.life.step()
        return known

    async def together(self, finals: Sequence[FinalAnswer]) -> list[FinalAnswer]:
        wanted = {one.notice for one in finals}
        return [one for one in self.lasting.finals.values() if one.notice in wanted]

    async def told(self, recipients: Sequence[tuple[UUID, int]]) -> None:
        await self.life.step()
        self.lasting.told_of |= {number for _, number in recipients}
        await self.life.step()

    async def settle_queued(self, outcomes: Sequence[tuple[bytes, int, int, str]]) -> None:
        await self.life.step()
        for _, number, state, _ in outcomes:
            assert self.lasting.settled.setdefault(number, state) == state
        await self.life.step()

    async def record(self, news: Sequence[News]) -> None:
        await self.life.step()
        self.lasting.heard.update({one.number: one.verdict for one in news})
        await self.life.step()

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        return await self.lasting.mail.read(accepted_ids, max_octets)

    async def accept(self, items: Sequence[Any]) -> list[bytes]:
        await self.life.step()
        done = await self.lasting.mail.accept(items)
        await self.life.step()
        return done

    async def deliver(self, destination: str, letter: Letter) -> list[Answer]:
        del destination
        first = next(iter(self.lasting.units.values())).attempts == 0
        answers = {
            "no": Answer(0, Verdict.REFUSED, Reply(550, "5.1.1", "no", "mx")),
            "late": Answer(0, Verdict.DEFERRED, Reply(451, "4.3.0", "busy", "mx")),
            "yes": Answer(0, Verdict.SENT, Reply(250, "2.0.0", "yes", "mx")),
            "worst": Answer(0, Verdict.REFUSED, Reply(554, "5.7.1", "never", "mx")),
        }
        if not first:
            answers["late"] = answers["no"]
        return [answers[one.address.partition("@")[0]]._replace(number=one.number) for one in letter.recipients]

    async def close(self) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize("second", [1 << 30, 3, 7])
@pytest.mark.parametrize("first", range(1, STEPS + 2))
async def test_each_is_told_once_whenever_a_process_dies(first: int, second: int) -> None:
    lasting = Lasting()
    for dies_at in (first, second, 1 << 30, 1 << 30):
        ended = await Process(lasting, dies_at).run()
    assert ended
    assert lasting.reports() == [
        ("delayed", "late"), ("failed", "late"), ("failed", "no"), ("failed", "worst"), ("relayed", "yes"),
    ]  # fmt: skip
    assert lasting.told_of == {0, 1, 2, 3}
    assert lasting.settled == {0: 8, 1: 8, 2: 7, 3: 8}
    assert lasting.heard == {
        0: Verdict.REFUSED, 1: Verdict.REFUSED, 2: Verdict.SENT, 3: Verdict.REFUSED,
    }  # fmt: skip


async def test_a_process_takes_fewer_steps_than_deaths_are_tried() -> None:
    lasting = Lasting()
    process = Process(lasting, 1 << 30)
    assert await process.run()
    assert process.life.steps <= STEPS
