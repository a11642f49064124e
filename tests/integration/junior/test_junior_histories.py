"""Random histories of a child against the model: the guard on PostgreSQL never differs from it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.integration.junior.model import SHOWN, Group, Mail, Model
from tests.ports import offset_of

from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack
from petitbleu_junior_guard.adapters.correspondents import PostgresCorrespondents
from petitbleu_junior_guard.adapters.families import PostgresFamilies
from petitbleu_junior_guard.adapters.groups import PostgresGroups
from petitbleu_junior_guard.adapters.guardianship import PostgresGuardianship
from petitbleu_junior_guard.adapters.records import PostgresRecords
from petitbleu_junior_guard.adapters.waiting import PostgresWaiting
from petitbleu_junior_guard.domain.correspondents import Action
from petitbleu_junior_guard.domain.rules import Item, Verdict, canonical
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.domain.voices import Circle
from petitbleu_junior_guard.domain.waiting import SenderAction
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor
from petitbleu_junior_guard.service.families import Families
from petitbleu_junior_guard.service.guard import Guard
from petitbleu_junior_guard.service.guardianship import Guardianship
from petitbleu_junior_guard.service.waiting import WaitingRoom
from petitbleu_kit.identity import Signer
from petitbleu_kit.ids import new_account_id, new_blob_id
from petitbleu_kit.postgres import migrate, open_pool

Result = TypeVar("Result")
SOAK: Final = bool(os.environ.get("PETITBLEU_SOAK"))
TENANT: Final = 7
SENDERS: Final = [
    "mum@home.test",
    "dad@home.test",
    "ann@else.test",
    "\u0430nn@else.test",  # the first letter is Cyrillic
    "pupil@school.test",
]
TWINS: Final = {SENDERS[2]: {SENDERS[3]}, SENDERS[3]: {SENDERS[2]}}
GUARDIANS: Final = {"mum": SENDERS[0], "dad": SENDERS[1]}
_TABLES: Final = "child, guardian, address, voice, circle, circle_member, standing, decision, sender"
senders = st.sampled_from(SENDERS)
guardians = st.sampled_from(sorted(GUARDIANS))
ends = st.none() | st.integers(1, 20)


class World:
    """What all histories share: a database and a loop."""

    def __init__(self, stack: Stack) -> None:
        self.loop = asyncio.new_event_loop()
        context = Context(stack.layout, stack.ports, None, print)  # type: ignore[arg-type]
        self.dsn = postgres.dsn(context, "junior_guard")
        self.pool = self.run(self._open())

    async def _open(self) -> asyncpg.Pool[asyncpg.Record]:
        pool = await open_pool(self.dsn, "junior_guard", 4)
        await migrate(pool, "junior_guard", Path("services/junior-guard/migrations"))
        return pool

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(work)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Stack(tmp_path_factory.mktemp("histories") / "data", offset_of(511), only="postgres") as stack:
        stack.wait_ready()
        made = World(stack)
        yield made
        made.run(made.pool.close())
        made.loop.close()


class HeldMail:
    """store, as far as decisions go; away at times."""

    def __init__(self) -> None:
        self.done: set[bytes] = set()
        self.away = False

    async def decide(self, account_id: int, accepted_id: bytes, token: str) -> None:
        if self.away:
            raise GuardError(Fault.STORE_AWAY)
        self.done.add(accepted_id)


class Histories(RuleBasedStateMachine):
    """One child, two guardians, five people who write."""

    world: World

    @initialize()
    def begin(self) -> None:
        pool, seal = self.world.pool, Seal(bytes(32))
        # upkeep looks at all children: those of other histories would be in its way
        self.world.run(pool.execute(f"TRUNCATE {_TABLES}"))
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.child = new_account_id()
        self.ids = {name: new_account_id() for name in GUARDIANS}
        self.model = Model(TWINS)
        self.blobs: dict[int, bytes] = {}
        self.group_ids: list[int] = []
        self.store = HeldMail()
        signer = Signer("junior-guard", Ed25519PrivateKey.generate())
        self.families = Families(PostgresFamilies(pool), seal)
        self.guard = Guard(PostgresRecords(pool), self.store, seal, signer, 300, self, self.clock)
        self.persons = Guardianship(
            PostgresGuardianship(pool), PostgresCorrespondents(pool), PostgresGroups(pool), seal, self.clock
        )
        self.room = WaitingRoom(PostgresWaiting(pool), self.guard, seal, self.clock)
        self.registers(set(GUARDIANS))

    def ring(self, _account_ids: Sequence[int], *, child: bool) -> None:
        """Be nobody's page."""

    def clock(self) -> datetime:
        return self.now

    def actor(self, guardian: str) -> Actor:
        return Actor(self.ids[guardian], TENANT)

    def end(self, days: int | None) -> datetime | None:
        return None if days is None else self.now + timedelta(days=days)

    def either(self, work: Coroutine[Any, Any, Result]) -> Result | Fault:
        try:
            return self.world.run(work)
        except GuardError as error:
            return error.fault

    @rule(who=st.sets(guardians, min_size=1))
    def registers(self, who: set[str]) -> None:
        known: dict[int, str] = {self.ids[name]: GUARDIANS[name] for name in who}
        self.world.run(self.families.register_child(self.child, TENANT, known))
        for name in set(self.model.guardians) - who:
            self.model.voices.setdefault(GUARDIANS[name], {})["nobody"] = ("APPROVE", None)
        self.model.guardians = {name: GUARDIANS[name] for name in who}

    @rule(guardian=guardians, level=st.integers(1, 4))
    def moves(self, guardian: str, level: int) -> None:
        done = self.either(self.persons.move_level(self.child, level, self.actor(guardian)))
        if guardian in self.model.guardians:
            self.model.level = level
        else:
            assert done is Fault.NOT_YOURS

    @rule(
        guardian=guardians, address=senders, days=ends, alike_too=st.booleans(),
        action=st.sampled_from(["APPROVE", "APPROVE", "REFUSE", "BLOCK", "TAKE_BACK", "UNDO"]),
    )  # fmt: skip
    def says(self, guardian: str, address: str, action: str, days: int | None, alike_too: bool) -> None:
        until = self.end(days) if action == "APPROVE" else None
        done = self.either(
            self.persons.set_voice(
                self.child, address, self.actor(guardian), Action[action], until, although_alike=alike_too
            )
        )
        model = self.model
        if guardian not in model.guardians:
            assert done is Fault.NOT_YOURS
        elif action == "APPROVE" and not alike_too and model.looks_alike(address, self.now):
            assert done is Fault.LOOKS_ALIKE
        else:
            assert not isinstance(done, Fault)
            self.speaks(model.voices.setdefault(address, {}), guardian, action, until)
            assert done.let_in == model.lets_in(address, self.now)

    def speaks(
        self, voices: dict[str, tuple[str, datetime | None]], guardian: str, action: str, until: datetime | None
    ) -> None:
        if action == "UNDO":
            voices.pop("child", None)
        elif action == "TAKE_BACK":
            for name in GUARDIANS:
                if name == guardian or name not in self.model.guardians:
                    voices.pop(name, None)
        else:
            voices[guardian] = (action, until)

    @rule(address=senders)
    def operator_approves(self, address: str) -> None:
        self.world.run(self.families.approve(self.child, address))
        self.model.voices.setdefault(address, {})["nobody"] = ("APPROVE", None)

    @rule(address=senders)
    def child_asks(self, address: str) -> None:
        model = self.model
        if not model.refused(address) and not model.lets_in(address, self.now):
            adds = model.level >= 3 and not model.looks_alike(address, self.now)
            model.voices.setdefault(address, {})["child"] = ("ADD" if adds else "ASK", None)
        shown = self.world.run(self.persons.ask(Actor(self.child, TENANT), address))
        assert shown.let_in == model.lets_in(address, self.now)

    @rule(
        guardian=guardians, kind=st.sampled_from(["family", "class"]), members=st.sets(senders, max_size=3), days=ends
    )
    def makes_a_group(self, guardian: str, kind: str, members: set[str], days: int | None) -> None:
        if len(self.group_ids) >= 6:
            return
        done = self.either(
            self.persons.put_group(
                self.child, 0, Circle[kind.upper()], "g", sorted(members), self.actor(guardian), self.end(days)
            )
        )
        if guardian not in self.model.guardians:
            assert done is Fault.NOT_YOURS
        else:
            assert not isinstance(done, Fault)
            self.group_ids.append(done)
            self.model.groups[done] = Group(kind, members, {guardian: ("APPROVE", self.end(days))})

    @rule(guardian=guardians, which=st.integers(0, 5), members=st.sets(senders, max_size=3))
    def changes_a_group(self, guardian: str, which: int, members: set[str]) -> None:
        if which >= len(self.group_ids):
            return
        group_id = self.group_ids[which]
        group = self.model.groups[group_id]
        kind = Circle[group.kind.upper()]
        done = self.either(
            self.persons.put_group(self.child, group_id, kind, "h", sorted(members), self.actor(guardian))
        )
        if guardian in self.model.guardians:
            group.members = members
        else:
            assert done is Fault.NOT_YOURS

    @rule(
        guardian=guardians, which=st.integers(0, 5), days=ends,
        action=st.sampled_from(["APPROVE", "REFUSE", "BLOCK", "TAKE_BACK"]),
    )  # fmt: skip
    def says_of_a_group(self, guardian: str, which: int, action: str, days: int | None) -> None:
        if which >= len(self.group_ids):
            return
        until = self.end(days) if action == "APPROVE" else None
        group_id = self.group_ids[which]
        work = self.persons.set_group_voice(self.child, group_id, self.actor(guardian), Action[action], until)
        done = self.either(work)
        if guardian in self.model.guardians:
            self.speaks(self.model.groups[group_id].voices, guardian, action, until)
        else:
            assert done is Fault.NOT_YOURS

    @rule(
        sender=senders | st.just(""), null_path=st.sampled_from([False] * 9 + [True]), confirmed=st.sampled_from([True, True, False]),
        junk=st.sampled_from([False] * 5 + [True]), dmarc_failed=st.sampled_from([False] * 5 + [True]),
        size=st.sampled_from([1, 1000, 9 << 20]), count=st.sampled_from([1, 1, 1, 7, 15]),
    )  # fmt: skip
    def mails_come(
        self, sender: str, null_path: bool, confirmed: bool, junk: bool, dmarc_failed: bool, size: int, count: int
    ) -> None:
        mails = []
        for _ in range(count):
            number = len(self.blobs)
            self.blobs[number] = new_blob_id(1, 0).bytes
            mails.append(Mail(number, sender, null_path, confirmed, junk, dmarc_failed, size))
        self.are_decided(mails)

    @rule(which=st.integers(0, 60), more=st.integers(0, 60))
    def delivery_asks_again(self, which: int, more: int) -> None:
        self.are_decided([self.model.mails[one] for one in (which, more, which) if one in self.model.mails])

    def are_decided(self, mails: list[Mail]) -> None:
        items = [
            Item(
                self.child, self.blobs[one.number], "" if one.null_path else "x@y.test", one.sender, one.confirmed,
                one.junk, one.dmarc_failed, one.size,
            )
            for one in mails
        ]  # fmt: skip
        found = [one.verdict for one in self.world.run(self.guard.check(items))]
        wanted = [self.model.comes(one, self.now) for one in mails]
        words = {Verdict.DELIVER: "deliver", Verdict.HOLD: "hold", Verdict.DESTROY: "drop"}
        assert [words[one] for one in found] == wanted
        for one in mails:
            mail = self.model.mails[one.number]
            if mail.state == "waits" and mail.why in SHOWN:
                self.model.stands.setdefault((mail.sender, mail.confirmed), ("", ""))
                self.model.seen[mail.sender, mail.confirmed] = self.now

    @rule(
        guardian=guardians, sender=senders, confirmed=st.booleans(), alike_too=st.booleans(), away=st.booleans(),
        action=st.sampled_from([one.name for one in SenderAction]),
    )  # fmt: skip
    def decides(self, guardian: str, sender: str, confirmed: bool, action: str, alike_too: bool, away: bool) -> None:
        self.store.away = away
        address_hash = Seal(bytes(32)).hash(self.child, canonical_of(sender))
        done = self.either(
            self.room.decide(
                self.child, address_hash, self.actor(guardian), SenderAction[action], authenticated=confirmed,
                although_alike=alike_too,
            )
        )  # fmt: skip
        self.store.away = False
        if guardian not in self.model.guardians:
            assert done is Fault.NOT_YOURS
            return
        wanted = self.model.decide(guardian, sender, confirmed, action, self.now, alike_too)
        faults = {
            "no sender": Fault.NO_SENDER, "looks alike": Fault.LOOKS_ALIKE, "refused by others": Fault.REFUSED_BY_OTHERS,
        }  # fmt: skip
        if isinstance(wanted, str):
            assert done is faults[wanted]
        else:
            assert not isinstance(done, Fault)
            assert done.messages == wanted

    @rule(hours=st.sampled_from([1, 25, 24 * 8, 24 * 31]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def upkeep_runs(self) -> None:
        self.world.run(self.room.expire())
        self.model.expire(self.now)
        self.now += timedelta(minutes=2)
        self.world.run(self.room.complete())
        done = {self.blobs[n] for n, one in self.model.mails.items() if one.state in {"released", "destroyed"}}
        assert done <= self.store.done

    @invariant()
    def a_child_writes_to_whom_the_model_says(self) -> None:
        items = [Item(self.child, bytes(16), "", one, True) for one in SENDERS]
        found = self.world.run(self.guard.check_outgoing(items))
        assert [one is Verdict.DELIVER for one in found] == [self.model.lets_in(one, self.now) for one in SENDERS]

    @invariant()
    def guardians_see_what_the_model_says(self) -> None:
        guardian = min(self.model.guardians)
        found = self.world.run(self.room.waiting(self.child, self.actor(guardian)))
        waiting = self.model.waiting()
        shown: dict[tuple[str, bool], list[Mail]] = {}
        for one in waiting:
            if one.why in SHOWN:
                shown.setdefault((canonical_of(one.sender), one.confirmed), []).append(one)
        assert {
            (one.address, one.row.authenticated): (one.row.messages, one.row.first_at, one.row.looks_alike)
            for one in found.senders
        } == {
            key: (
                len(mails),
                min(one.held_at or self.now for one in mails),
                any(one.why == "look-alike" for one in mails),
            )
            for key, mails in shown.items()
        }
        assert found.unannounced == sum(one.why not in SHOWN for one in waiting)
        assert (found.dropped, found.expired) == (len(self.model.dropped), self.model.expired)


def canonical_of(address: str) -> str:
    known = canonical(address)
    assert known is not None
    return known


def test_no_history_makes_the_guard_differ_from_the_model(shared: World) -> None:
    Histories.world = shared
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=1000 if SOAK else 15, stateful_step_count=60, deadline=None, phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
