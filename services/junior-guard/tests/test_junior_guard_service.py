"""The use cases over a fake of their records: tokens, fail-closed behaviour, decisions that can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from petitbleu_junior_guard.domain.rules import Item, Knowledge, Level, Reason, Verdict
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, Asked, Correspondent, Registration, Rule, Ruling
from petitbleu_junior_guard.service.families import Families
from petitbleu_junior_guard.service.guard import MAX_ITEMS, Guard
from petitbleu_kit.decisions import verdict_in
from petitbleu_kit.identity import IdentityError, Signer, Verifier


class FakeRecords:
    """Both ports on what is kept, in memory; what follows from voices is `domain.voices`' own."""

    def __init__(self) -> None:
        self.children: dict[int, Level] = {}
        self.guardians: dict[int, set[int]] = {}
        self.approved: set[tuple[int, bytes]] = set()
        self.family: set[tuple[int, bytes]] = set()
        self.decisions: dict[tuple[int, bytes], tuple[Verdict, bool]] = {}
        self.away = False
        self.room = 1000
        self.told: list[bytes] = []

    def _present(self) -> None:
        if self.away:
            raise GuardError(Fault.DATABASE_AWAY)

    async def knowledge(self, asked: Sequence[Asked], now: datetime) -> list[Knowledge]:
        self._present()
        found = []
        for one in asked:
            item, known = one.item, one.address_hash
            verdict, final = self.decisions.get((item.account_id, item.accepted_id), (Verdict.HOLD, False))
            found.append(
                Knowledge(
                    self.children.get(item.account_id),
                    is_approved=(item.account_id, known) in self.approved,
                    is_family=(item.account_id, known) in self.family,
                    final=verdict if final else None,
                )
            )
        return found

    async def record(self, rulings: Sequence[Ruling]) -> None:
        self._present()
        for ruling in rulings:
            key = (ruling.account_id, ruling.accepted_id)
            if not self.decisions.get(key, (None, False))[1]:
                self.decisions[key] = (ruling.verdict, False)

    async def hold(self, account_id: int, asked: Sequence[Asked], rule: Rule, now: datetime) -> list[Ruling]:
        rulings = []
        for one in rule(asked, await self.knowledge(asked, now)):
            fits = one.verdict is not Verdict.HOLD or self.room > 0
            self.room -= 1
            rulings.append(
                one if fits else msgspec.structs.replace(one, verdict=Verdict.DESTROY, reason=Reason.HELD_LIMIT)
            )
        await self.record(rulings)
        return rulings

    async def newcomers(self, rulings: Sequence[Ruling], now: datetime) -> None:
        self._present()
        self.told += [one.accepted_id for one in rulings]

    async def carried(self, account_id: int, accepted_id: bytes) -> None:
        self._present()

    async def register(self, registration: Registration) -> None:
        self._present()
        account_id = registration.account_id
        self.children.setdefault(account_id, registration.level)
        self.guardians[account_id] = set(registration.guardians)
        for correspondent in registration.guardians.values():
            if correspondent is not None:
                self.family.add((account_id, correspondent.address_hash))

    async def set_level(self, account_id: int, level: Level, actor: Actor) -> None:
        self._present()
        self._child(account_id)
        self.children[account_id] = level

    async def approve(self, account_id: int, correspondent: Correspondent, actor: Actor) -> None:
        self._present()
        self._child(account_id)
        self.approved.add((account_id, correspondent.address_hash))

    def _child(self, account_id: int) -> None:
        if account_id not in self.children:
            raise GuardError(Fault.NOT_A_CHILD)

    async def decide(self, account_id: int, accepted_id: bytes, verdict: Verdict, actor: str) -> Verdict | None:
        self._present()
        known = self.decisions.get((account_id, accepted_id))
        if known is None or (not known[1] and known[0] is not Verdict.HOLD):
            return None
        if not known[1]:
            self.decisions[account_id, accepted_id] = (verdict, True)
            return verdict
        return known[0]


class FakeHeldMail:
    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.away = False

    async def decide(self, account_id: int, accepted_id: bytes, token: str) -> None:
        if self.away:
            raise GuardError(Fault.STORE_AWAY)
        self.tokens.append(token)


class Scene:
    def __init__(self, folder: Path) -> None:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "junior-guard.pub").write_bytes(public)
        self.store = Verifier("store", folder)
        self.records = FakeRecords()
        self.held = FakeHeldMail()
        self.guard = Guard(self.records, self.held, Seal(bytes(32)), Signer("junior-guard", key), 300, self)
        self.rung: list[tuple[list[int], bool]] = []
        self.families = Families(self.records, Seal(bytes(32)))

    def ring(self, account_ids: Sequence[int], *, child: bool) -> None:
        """Note who is told."""
        self.rung += [(list(account_ids), child)] if account_ids else []


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def mail(number: int, sender: str = "mum@home.test", *, account: int = 7, authenticated: bool = True) -> Item:
    return Item(account, number.to_bytes(16, "big"), sender, sender, authenticated)


async def test_a_token_says_whom_which_and_what_and_only_to_store(scene: Scene, tmp_path: Path) -> None:
    await scene.families.register_child(7, 1, {3: "Mum@Home.test"})
    (good, token, _), (bad, other, _) = await scene.guard.check([mail(1), mail(2, "x@y.test")])
    assert (good, bad) == (Verdict.DELIVER, Verdict.HOLD)
    # a page is told of what waits, and the child of nothing
    assert [child for _, child in scene.rung] == [False]
    claims = scene.store.verify(token, issuer="junior-guard", use="decision")
    assert verdict_in(claims, 7, mail(1).accepted_id) == "deliver"
    assert (verdict_in(claims, 8, mail(1).accepted_id), verdict_in(claims, 7, mail(3).accepted_id)) == ("", "")
    assert claims["exp"] - claims["iat"] == 300
    assert (
        verdict_in(scene.store.verify(other, issuer="junior-guard", use="decision"), 7, mail(2).accepted_id) == "hold"
    )
    with pytest.raises(IdentityError):
        Verifier("gateway", tmp_path).verify(token)


async def test_without_records_nothing_is_decided(scene: Scene) -> None:
    await scene.families.register_child(7, 1, {3: "mum@home.test"})
    scene.records.away = True
    with pytest.raises(GuardError) as refused:
        await scene.guard.check([mail(1)])
    assert refused.value.fault is Fault.DATABASE_AWAY


async def test_an_approval_holds_for_one_child_only(scene: Scene) -> None:
    await scene.families.register_child(7, 1, {})
    await scene.families.register_child(8, 1, {})
    await scene.families.approve(7, "aunt@else.test")
    answers = await scene.guard.check([mail(1, "AUNT@else.test"), mail(2, "aunt@else.test", account=8)])
    assert [verdict for verdict, *_ in answers] == [Verdict.DELIVER, Verdict.HOLD]


async def test_approving_needs_a_child_and_an_address(scene: Scene) -> None:
    for account, address, fault in ((9, "a@b.test", Fault.NOT_A_CHILD), (7, "nonsense", Fault.BAD_ADDRESS)):
        await scene.families.register_child(7, 1, {})
        with pytest.raises(GuardError) as refused:
            await scene.families.approve(account, address)
        assert refused.value.fault is fault


@pytest.mark.parametrize(
    ("account", "guardians", "more"),
    [
        (0, {}, {}),
        (7, {7: "a@b.test"}, {}),
        (7, {0: "a@b.test"}, {}),
        (7, dict.fromkeys(range(1, 18), "a@b.c"), {}),
        (7, {}, {"language": "not a language"}),
        (7, {}, {"birth": (2016, 13)}),
        (7, {}, {"birth": (16, 1)}),
        (7, {}, {"level": 5}),
        (7, {}, {"level": -1}),
    ],
)
async def test_a_registration_that_makes_no_sense_is_refused(
    scene: Scene, account: int, guardians: dict[int, str], more: dict[str, Any]
) -> None:
    with pytest.raises(GuardError) as refused:
        await scene.families.register_child(account, 1, guardians, **more)
    assert refused.value.fault in {Fault.BAD_REQUEST, Fault.BAD_LEVEL}
    assert not scene.records.children


@pytest.mark.parametrize("items", [[Item(7, b"short", "a@b.c", "a@b.c", True)], [mail(1)] * (MAX_ITEMS + 1)])
async def test_a_question_that_makes_no_sense_is_refused(scene: Scene, items: list[Item]) -> None:
    with pytest.raises(GuardError) as refused:
        await scene.guard.check(items)
    assert refused.value.fault is Fault.BAD_REQUEST


async def test_a_decision_is_completed_by_repeating_it_and_never_turned_round(scene: Scene) -> None:
    await scene.families.register_child(7, 1, {})
    await scene.guard.check([mail(1, "x@y.test")])
    scene.held.away = True
    with pytest.raises(GuardError) as refused:
        await scene.guard.decide(7, mail(1).accepted_id, deliver=False, actor="operator")
    assert refused.value.fault is Fault.STORE_AWAY
    scene.held.away = False
    await scene.guard.decide(7, mail(1).accepted_id, deliver=False, actor="operator")
    assert scene.store.verify(scene.held.tokens[0])["verdict"] == "destroy"
    with pytest.raises(GuardError) as refused:
        await scene.guard.decide(7, mail(1).accepted_id, deliver=True, actor="operator")
    assert refused.value.fault is Fault.DECIDED_OTHERWISE
    # asked again for the same message, delivery hears "hold"
    ((verdict, *_),) = await scene.guard.check([mail(1, "x@y.test")])
    assert verdict is Verdict.HOLD


async def test_what_is_not_held_is_not_decided_on(scene: Scene) -> None:
    with pytest.raises(GuardError) as refused:
        await scene.guard.decide(7, mail(1).accepted_id, deliver=True, actor="operator")
    assert refused.value.fault is Fault.NOT_HELD
    assert scene.held.tokens == []


async def test_a_child_writes_to_whom_may_write_to_it(scene: Scene) -> None:
    await scene.families.register_child(7, 1, {3: "Mum@Home.test"})
    await scene.families.register_child(8, 1, {})
    await scene.families.approve(7, "aunt@else.test")
    addresses = ("mum@home.test", "AUNT@else.test", "stranger@else.test", "", "no address")
    items = [Item(7, bytes(16), "", address, True) for address in addresses]
    items += [Item(8, bytes(16), "", "aunt@else.test", True), Item(9, bytes(16), "", "aunt@else.test", True)]
    verdicts = await scene.guard.check_outgoing(items)
    assert [verdict is Verdict.DELIVER for verdict in verdicts] == [True, True, False, False, False, False, False]
    assert scene.records.decisions == {}


async def test_no_decision_on_what_comes_in_lets_anything_out(scene: Scene) -> None:
    await scene.families.register_child(7, 1, {})
    scene.records.decisions[7, bytes(16)] = (Verdict.DELIVER, True)
    assert await scene.guard.check_outgoing([Item(7, bytes(16), "", "x@y.test", True)]) == [Verdict.HOLD]


async def test_what_a_child_sends_waits_without_records(scene: Scene) -> None:
    await scene.families.register_child(7, 1, {3: "mum@home.test"})
    scene.records.away = True
    with pytest.raises(GuardError) as refused:
        await scene.guard.check_outgoing([Item(7, bytes(16), "", "mum@home.test", True)])
    assert refused.value.fault is Fault.DATABASE_AWAY
    scene.records.away = False
    with pytest.raises(GuardError) as wrong:
        await scene.guard.check_outgoing([Item(0, bytes(16), "", "mum@home.test", True)])
    assert wrong.value.fault is Fault.BAD_REQUEST


async def test_a_level_is_moved_by_hand_and_by_no_second_registration(scene: Scene) -> None:
    await scene.families.register_child(7, 1, {3: "mum@home.test"}, level=1, language="fr-CA", birth=(2016, 5))
    await scene.families.approve(7, "aunt@else.test")
    asked = [mail(1), mail(2, "aunt@else.test"), mail(3, "new@else.test")]
    for level, delivered in ((1, [1]), (2, [1, 2]), (3, [1, 2]), (4, [1, 2, 3]), (1, [1])):
        await scene.families.set_level(7, level)
        await scene.families.register_child(7, 1, {3: "mum@home.test"}, level=3)
        answers = await scene.guard.check(asked)
        assert [n for n, one in enumerate(answers, 1) if one.verdict is Verdict.DELIVER] == delivered
        assert [one.newcomer for one in answers] == [False, False, level == 4]
    assert scene.records.told == [mail(3).accepted_id]
    for level, account, fault in ((0, 7, Fault.BAD_LEVEL), (5, 7, Fault.BAD_LEVEL), (2, 9, Fault.NOT_A_CHILD)):
        with pytest.raises(GuardError) as refused:
            await scene.families.set_level(account, level)
        assert refused.value.fault is fault


async def test_what_there_is_no_room_for_is_to_be_dropped_without_a_token(scene: Scene) -> None:
    await scene.families.register_child(7, 1, {3: "mum@home.test"})
    scene.records.room = 1
    held, dropped, delivered = await scene.guard.check([mail(1, "x@y.test"), mail(2, "x@y.test"), mail(3)])
    assert (held.verdict, dropped.verdict, delivered.verdict) == (Verdict.HOLD, Verdict.DESTROY, Verdict.DELIVER)
    assert dropped.token == ""
    assert held.token
    assert delivered.token
