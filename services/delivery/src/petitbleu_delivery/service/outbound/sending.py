"""Sending: units are taken by destination, so that one that hangs holds up nobody else, and a fast one gets more at once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Container, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.accepted_mail import MAX_MESSAGES, AcceptedLetter, AcceptedMail
from petitbleu_delivery.adapters.queue_rows import Deferral, FinalAnswer, QueueRows, Unit
from petitbleu_delivery.domain.leaving import refusal_of, signing_domain
from petitbleu_delivery.domain.outbound import (
    Answer,
    Letter,
    LetterRecipient,
    NotInHandError,
    Priority,
    Reply,
    Verdict,
    does_without_tls,
    goes_in_circles,
    is_bulk,
    pause_before,
    with_crlf,
)
from petitbleu_delivery.errors import DATABASE_AWAY, KeysUnavailableError, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import DomainSigner, StillOpen, Transport
from petitbleu_delivery.service import measures
from petitbleu_delivery.service.abuse.watch import Watch
from petitbleu_delivery.service.bounces.suppressions import Suppressions, is_hard
from petitbleu_delivery.service.bounces.tokens import BounceTokens
from petitbleu_delivery.service.outbound.destinations import Destination, Limits, jittered
from petitbleu_delivery.service.outbound.kept_back import SUSPENDED, WAITS, WAITS_SECONDS, all_wait, kept_back
from petitbleu_delivery.service.outbound.lines import Ring
from petitbleu_delivery.service.outbound.presence import Presence
from petitbleu_delivery.service.outbound.telling import Teller, Told, final_of
from petitbleu_delivery.service.suspensions import IsSuspended, nobody
from petitbleu_kit.batching import Batcher
from petitbleu_kit.ids import new_row_id
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_KEEP_MOST: Final = 256
# A statement or a call costs nearly the same for one letter as for thirty; a lone one waits for nobody.
_LINGER: Final = 0.008
_STUCK_SECONDS: Final = 60.0
_REMEMBERED: Final = 10_000
_STORE_AWAY_SECONDS: Final = 30.0
_EXPIRED: Final = "4.4.7"
_CIRCLES: Final = Reply(0, "5.4.6", "the message has passed too many servers", "")
_AWAY_FIRST: Final = 0.2


class _OthersFirstError(Exception):
    """A letter that is found to be bulk stands behind those of people."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What one attempt leaves to be written."""

    finals: tuple[FinalAnswer, ...]
    finished: Unit | None
    deferral: Deferral | None


@dataclass(slots=True)
class _Place:
    """A letter's place among those on their way; `given` to others once it takes long."""

    given: bool = False


class Sender:
    """Sends units of the queue.

    Args:
        rows: The queue.
        mail: store.
        transport: Carries letters.
        signer: Signs them.
        teller: Hears of answers.
        limits: Bounds.
        presence: Whether what is in hand still is.
        way: The second gate, asked again before each attempt.
        suppressions: Addresses that do not exist; without, each is tried.
        tokens: Puts a token on the envelope sender; without, it is as submitted.
        watch: Counts what servers refuse of what accounts send.
        suspended: Who may send nothing for now: what they sent waits, and does not expire.
    """

    def __init__(
        self, rows: QueueRows, mail: AcceptedMail, transport: Transport, signer: DomainSigner, teller: Teller, limits: Limits,
        presence: Presence, way: StillOpen, suppressions: Suppressions | None = None,
        tokens: BounceTokens | None = None, watch: Watch | None = None, suspended: IsSuspended = nobody,
    ) -> None:  # fmt: skip
        self._watch = watch
        self._tokens = tokens
        self._suspended = suspended
        self._way = way
        self._suppressions = suppressions
        self._rows = rows
        self._transport = transport
        self._signer = signer
        self._teller = teller
        self._limits = limits
        self._presence = presence
        self._destinations: dict[str, Destination] = {}
        self._ready: Ring[Destination] = Ring()
        self._active = 0
        self._slow = 0
        self._octets = 0
        self._in_hand = 0
        self._orders: dict[str, tuple[bool, str]] = {}
        self._held: set[tuple[UUID, str, int]] = set()
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        # what waits in them is bounded by the units in hand
        self._reading: Batcher[bytes, AcceptedLetter | None] = Batcher(
            lambda ids: self._read(mail, ids),
            max_items=MAX_MESSAGES,
            max_queued=sys.maxsize,
            concurrency=4,
            linger=_LINGER,
        )
        self._keeping: Batcher[_Kept, frozenset[tuple[UUID, int]]] = Batcher(
            self._keep, max_items=_KEEP_MOST, max_queued=sys.maxsize, concurrency=2, linger=_LINGER
        )

    @property
    def room(self) -> int:
        """How many more units may be taken in hand."""
        return 0 if self._draining else max(0, self._limits.units - self._in_hand)

    @property
    def bulk_room(self) -> int:
        """How many more of them may be bulk: a quarter of the room is others'."""
        return max(0, self.room - self._limits.units // 4)

    @property
    def in_hand(self) -> int:
        """Units that are in hand."""
        return self._in_hand

    def holds(self, unit: Unit) -> bool:
        """Whether a unit is in hand here, or its answers are being kept."""
        return _key(unit) in self._held

    def orders(self, orders: dict[str, tuple[bool, str]]) -> None:
        """Learn what an operator says of destinations: whether it is paused, and its route."""
        self._orders = orders
        if len(self._destinations) > _REMEMBERED:
            # those that are down stay known until they may be tried again; no list of dead domains fills the memory
            now = time.time()
            for name in [one.name for one in self._destinations.values() if one.idle and one.down_until < now]:
                del self._destinations[name]

    def take(self, units: Iterable[Unit]) -> None:
        """Take units in hand; each is sent, or put back, as soon as its destination allows."""
        stuck: list[Unit] = []
        for unit in units:
            if _key(unit) in self._held:
                continue  # on its way still under an older name of this process; found again (`mine`) once that is over
            found = self._destinations.get(unit.destination)
            if found is None:
                found = self._destinations[unit.destination] = Destination(unit.destination, self._limits.first)
            self._held.add(_key(unit))
            self._in_hand += 1
            if found.stuck:
                stuck.append(unit)
                continue
            found.waiting.append(unit)
            self._make_ready(found)
        if stuck:
            self._start(self._release(stuck, _STUCK_SECONDS, "destination-slow"))
        self.go_on()

    def give_up(self) -> None:
        """Give back what waits in hand under an older name of this process: others may have it."""
        for destination in self._destinations.values():
            lost = [unit for unit in destination.waiting if unit.worker != self._presence.worker]
            if lost:
                kept = [unit for unit in destination.waiting if unit.worker == self._presence.worker]
                destination.waiting.clear()
                destination.waiting.extend(kept)
                self._start(self._release(lost, 0.0, ""))

    def forgive(self, destination: str | None) -> None:
        """Forget that a destination (None: any) could not be reached: somebody says that it can be tried."""
        for known in self._destinations.values():
            if destination is None or known.name == destination:
                known.forgive()

    def _make_ready(self, destination: Destination) -> None:
        its_class = destination.waiting.first_class
        if destination.takes_more and (destination.ready is None or its_class < destination.ready):
            destination.ready = its_class
            self._ready.append(destination, its_class)

    def go_on(self) -> None:
        """Begin what may begin: one unit of each destination in turn, those first for which a person's letter waits."""
        limits = self._limits
        while (
            self._ready
            and self._active < limits.connections
            and (self._octets < limits.octets or not self._active)
            and self._presence.sure
        ):
            destination, its_class = self._ready.popleft()
            if destination.ready != its_class:  # it went ahead in a higher class
                continue
            destination.ready = None
            if not destination.takes_more:
                continue
            unit = destination.waiting.popleft()
            destination.active += 1
            self._active += 1
            self._octets += unit.size
            self._start(self._send(destination, unit))
            self._make_ready(destination)
        measures.OUTBOUND_ACTIVE.set(self._active)
        measures.OUTBOUND_SLOW.set(self._slow)
        measures.OUTBOUND_IN_HAND.set(self._in_hand)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, destination: Destination, unit: Unit) -> None:
        again = False
        place = _Place()
        slow = asyncio.get_running_loop().call_later(self._limits.slow_after, self._give_place, destination, place)
        try:
            await self._attempt(destination, unit)
        except _OthersFirstError:
            again = not self._draining
            if not again:
                await self._put_back([unit], 0.0, "")
        except (PeerUnavailableError, PeerRefusedError) as error:
            _log.warning("a peer is away that sending needs", peer=error.peer.value, code=error.code)
            await self._put_back([unit], _STORE_AWAY_SECONDS, f"{error.peer.value}-away")
        except KeysUnavailableError:
            # what goes out unsigned is refused by many: it waits for the keys
            await self._put_back([unit], _STORE_AWAY_SECONDS, "keys-away")
        except NotInHandError:
            await self._put_back([unit], 0.0, "")
        except Exception:  # noqa: BLE001 — one unit's error is not the others'
            _log.exception("sending failed", accepted_id=str(unit.accepted_id))
            await self._put_back([unit], self._limits.first_retry, "delivery-failed")
        finally:
            slow.cancel()
            destination.active -= 1
            if place.given:
                destination.slow -= 1
                self._slow -= 1
            else:
                self._active -= 1
            self._octets -= unit.size
            if again:
                destination.waiting.give_back(unit)
            else:
                self._in_hand -= 1
                self._held.discard(_key(unit))
            self._make_ready(destination)
            if destination.idle and destination.failures == 0:
                self._destinations.pop(destination.name, None)
            self.go_on()

    def _give_place(self, destination: Destination, place: _Place) -> None:
        """Count a letter that takes long apart, so that servers that hang do not have all the places of those that answer."""
        if self._slow >= self._limits.slow:
            return
        place.given = True
        self._slow += 1
        self._active -= 1
        destination.slow += 1
        if destination.stuck and destination.waiting:
            # what waits behind it goes back to the rows, so that it holds no memory
            waiting = list(destination.waiting)
            destination.waiting.clear()
            self._start(self._release(waiting, _STUCK_SECONDS, "destination-slow"))
        self.go_on()

    async def _attempt(self, destination: Destination, unit: Unit) -> None:
        paused, route = self._orders.get(unit.destination, (False, ""))
        if paused or self._draining:
            await self._put_back([unit], 0.0, "paused" if paused else "")
            return
        if self._suspended(unit.account_id, unit.tenant_id):
            await self._put_back([unit], WAITS_SECONDS, SUSPENDED)
            return
        now = time.time()
        age = now - unit.accepted_at
        down = now < destination.down_until
        # What waits behind others' attempts at a destination that is down is late, and expires, as they do.
        late = age >= self._limits.expires or (not unit.warned and age >= self._limits.warns)
        if down and late:
            await self._late(unit)
            return
        if down:
            await self._put_back([unit], destination.down_until - now, "destination-down")
            return
        await self._carry(destination, unit, route, late=late)

    async def _carry(self, destination: Destination, unit: Unit, route: str, *, late: bool) -> None:
        """Send what may leave, and keep what is answered; `late`: it is time to warn, or over."""
        read = await self._reading.submit(unit.accepted_id.bytes)
        if read is None:
            await self._gone(unit)
            return
        if not read.whole:
            await self._put_back([unit], self._limits.first_retry, "unreadable")
            return
        plain = with_crlf(read.body)
        refusal = _CIRCLES if goes_in_circles(read.body) else refusal_of(read.header, plain)
        if refusal is not None:
            _log.warning("a message is not sent", accepted_id=str(unit.accepted_id), status=refusal.enhanced)
            refused = [Answer(number, Verdict.REFUSED, refusal) for number in unit.recipients]
            await self._answered(unit, read, read.body, refused)
            return
        self._stand_back(destination, unit, plain)
        addresses = [read.header.recipients[number].address for number in unit.recipients]
        kept = kept_back(unit.recipients, await self._way.still(unit.account_id, read.header.accepted_id, addresses))
        if len(kept) == len(addresses):
            if all_wait(kept) and not late:
                await self._put_back([unit], WAITS_SECONDS, WAITS)
            else:
                await self._answered(unit, read, read.body, kept)
            return
        kept += await self._suppressed(unit, read, {answer.number for answer in kept})
        if len(kept) == len(addresses):
            await self._answered(unit, read, read.body, kept)
            return
        letter = await self._letter(unit, read, plain, {answer.number for answer in kept})
        if not letter.current():
            raise NotInHandError
        answers = await self._transport.deliver(route or unit.destination, letter)
        self._learn(destination, answers)
        await self._answered(unit, read, letter.body, [*answers, *kept])
        if self._suppressions is not None and read.header.mail_from:
            recipients = {one.number: one.address for one in letter.recipients}
            await self._suppressions.learn(unit.account_id, recipients, answers)
            if self._watch is not None and read.header.origin == accept_pb2.ORIGIN_SUBMITTED:
                self._watch.refused(unit.account_id, unit.tenant_id, sum(map(is_hard, answers)))

    async def _suppressed(self, unit: Unit, read: AcceptedLetter, kept: Container[int]) -> list[Answer]:
        """Return answers for recipients that do not exist, as their server said lately; not for what nobody is told of (null path)."""
        if self._suppressions is None or not read.header.mail_from:
            return []
        recipients = {
            number: read.header.recipients[number].address for number in unit.recipients if number not in kept
        }  # fmt: skip
        return await self._suppressions.kept_back(unit.account_id, recipients)

    @staticmethod
    def _stand_back(destination: Destination, unit: Unit, body: bytes) -> None:
        """Have a letter that turns out to be bulk stand behind others that wait.

        Raises:
            _OthersFirstError: it does.
        """
        if unit.priority == Priority.PERSON.value and is_bulk(body):
            unit.priority = Priority.BULK.value
            if destination.waiting.first_class < unit.priority:
                raise _OthersFirstError

    async def _late(self, unit: Unit) -> None:
        """Answer for a destination that was found to be down, without another attempt."""
        read = await self._reading.submit(unit.accepted_id.bytes)
        if read is None:
            await self._gone(unit)
            return
        reply = Reply(0, "4.4.1", "the destination cannot be reached", "")
        answers = [Answer(number, Verdict.DEFERRED, reply, reached=False) for number in unit.recipients]
        await self._answered(unit, read, read.body, answers)

    async def _letter(self, unit: Unit, read: AcceptedLetter, plain: bytes, kept: Container[int]) -> Letter:
        header = read.header
        domain = signing_domain(header, plain)
        body = await self._signer.sign(plain, domain, unit.tenant_id) if domain else plain
        recipients = tuple(
            LetterRecipient(number, told.address, told.notify, told.orcpt)
            for number in unit.recipients
            if number not in kept
            for told in (header.recipients[number],)
        )
        parameters = header.parameters
        mail_from = header.mail_from
        if self._tokens is not None:
            mail_from = self._tokens.sender_of(mail_from, unit.accepted_id, unit.first_no, unit.accepted_at)
        return Letter(
            header.accepted_id, mail_from, recipients, body, parameters.eight_bit or not body.isascii(),
            parameters.smtputf8, parameters.ret, parameters.envid, parameters.require_tls,
            does_without_tls(plain), unit.tenant_id, unit.priority, lambda: self._presence.holds(unit),
        )  # fmt: skip

    def _learn(self, destination: Destination, answers: Sequence[Answer]) -> None:
        if destination.learn(answers, self._limits):
            return
        waiting = list(destination.waiting)
        destination.waiting.clear()
        if waiting:
            # what waits behind it goes back to the rows, so that a dead destination holds no memory
            self._start(self._release(waiting, destination.down_until - time.time(), "destination-down"))

    async def _release(self, units: Sequence[Unit], after: float, reason: str) -> None:
        try:
            await self._put_back(units, after, reason)
        finally:
            self._in_hand -= len(units)
            self._held.difference_update(map(_key, units))

    async def _answered(self, unit: Unit, read: AcceptedLetter, body: bytes, answers: Sequence[Answer]) -> None:
        age = time.time() - unit.accepted_at
        expired = age >= self._limits.expires
        notice = new_row_id()
        finals: list[tuple[Answer, FinalAnswer]] = []
        left: list[Answer] = []
        for answer in answers:
            measures.answered(answer.reply)
            if answer.verdict is Verdict.DEFERRED and not expired:
                left.append(answer)
                continue
            judged = answer
            if answer.verdict is Verdict.DEFERRED:
                reply = answer.reply
                judged = answer._replace(
                    verdict=Verdict.REFUSED, reply=Reply(reply.code, _EXPIRED, f"not taken in time: {reply.text}"[:400], reply.host)
                )  # fmt: skip
            finals.append((judged, final_of(unit, judged, notice)))
            measures.OUTBOUND_ANSWERS.labels(verdict=judged.verdict.name.lower()).inc()
        deferral = None
        warned = unit.warned
        if left and not warned and age >= self._limits.warns:
            # told first, by a key of its own: a death between the two tells it again, which is as once, and never not at all
            warned = await self._teller.warn(Told(unit, read.header, body, (), tuple(left), notice))
        if left:
            measures.OUTBOUND_ANSWERS.labels(verdict="deferred").inc(len(left))
            attempts = unit.attempts + 1
            pause = jittered(pause_before(attempts, self._limits.first_retry, self._limits.longest_retry))
            deferral = Deferral(
                unit, tuple(answer.number for answer in left), attempts, min(pause, max(1.0, self._limits.expires - age)),
                warned, left[0].reply.enhanced,
            )  # fmt: skip
        known = await self._keeping.submit(_Kept(tuple(final for _, final in finals), None if left else unit, deferral))
        # what somebody else answered before is told by whoever did
        ours = tuple(answer for answer, final in finals if not known or final.key not in known)
        told = Told(unit, read.header, body, ours, (), notice)
        # The destination's place is free meanwhile; the unit is in hand until it is told.
        self._in_hand += 1
        self._start(self._tell(told))

    async def _tell(self, told: Told) -> None:
        try:
            await self._teller.tell(told)
        finally:
            self._in_hand -= 1

    async def _gone(self, unit: Unit) -> None:
        """Give up mail that store has no more: whoever sent it has closed the account, or an operator dropped it."""
        reply = Reply(0, "5.3.0", "the message is gone", "")
        notice = new_row_id()
        finals = tuple(final_of(unit, Answer(number, Verdict.REFUSED, reply), notice) for number in unit.recipients)
        known = await self._keeping.submit(_Kept(finals, unit, None))
        await self._teller.settle([final for final in finals if final.key not in known])

    async def _put_back(self, units: Sequence[Unit], after: float, reason: str) -> None:
        """Put units back without an attempt."""
        for start in range(0, len(units), _KEEP_MOST):
            part = units[start : start + _KEEP_MOST]
            deferrals = [Deferral(unit, unit.recipients, unit.attempts, after, unit.warned, reason) for unit in part]
            await self._surely((), (), deferrals)

    async def _surely(
        self, finals: Sequence[FinalAnswer], finished: Sequence[Unit], deferrals: Sequence[Deferral]
    ) -> frozenset[tuple[UUID, int]]:
        """Write to the rows, however long the database is away: an answer that is forgotten is a letter sent twice."""
        pause = _AWAY_FIRST
        while True:
            try:
                return await self._rows.keep(finals, finished, deferrals)
            except DATABASE_AWAY as error:
                if self._draining:
                    raise
                _log.warning("answers wait for the database", error_type=type(error).__qualname__, count=len(finals))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)

    async def _keep(self, kept: Sequence[_Kept]) -> Sequence[frozenset[tuple[UUID, int]]]:
        known = await self._surely(
            [final for one in kept for final in one.finals],
            [one.finished for one in kept if one.finished is not None],
            [one.deferral for one in kept if one.deferral is not None],
        )
        return [known] * len(kept)

    @staticmethod
    async def _read(mail: AcceptedMail, ids: Sequence[bytes]) -> Sequence[AcceptedLetter | None]:
        found = await mail.read(list(dict.fromkeys(ids)))
        return [found.get(accepted_id) for accepted_id in ids]

    async def drain(self, seconds: float) -> None:
        """Begin nothing more, and wait for what is on its way; the rest is put back."""
        self._draining = True
        self._ready.clear()
        waiting = [unit for destination in self._destinations.values() for unit in destination.waiting]
        for destination in self._destinations.values():
            destination.waiting.clear()
        if waiting:
            await self._release(waiting, 0.0, "")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _key(unit: Unit) -> tuple[UUID, str, int]:
    return unit.accepted_id, unit.destination, unit.first_no
