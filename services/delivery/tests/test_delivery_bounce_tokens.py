"""Bounce tokens: what they say survives a way out and back, nothing else is taken for one, and a forged bounce lands in Junk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.delivery.tests.delivery_fakes import World as Delivery
from services.delivery.tests.test_delivery_sending import Scene, taken

from petitbleu.store.v1 import outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import AcceptedLetter
from petitbleu_delivery.domain.bounce_token import (
    MAX_BASE,
    MAX_DAYS,
    BounceToken,
    BounceTokenMode,
    Standing,
    read_token,
    with_token,
)
from petitbleu_delivery.domain.model import Placement
from petitbleu_delivery.domain.outbound import Answer, Letter, Reply, Verdict
from petitbleu_delivery.domain.seal import SealError
from petitbleu_delivery.service.bounces.hearing import Bounce
from petitbleu_delivery.service.bounces.returned import ReturnedMail
from petitbleu_delivery.service.bounces.tokens import BounceTokens
from petitbleu_kit.ids import new_blob_id
from petitbleu_mail.addresses import MAX_LOCAL, parse_mailbox

SECRET, OTHER = bytes(range(32)), bytes(32)
DAY = 20_780
ids = st.builds(new_blob_id, st.integers(0, 1023), st.integers(0, 15))
tokens = st.builds(BounceToken, ids, st.integers(0, 32_767), st.integers(DAY - MAX_DAYS, DAY))
locals_ = st.from_regex(r"[A-Za-z0-9!#$%&'*/=?^_`{|}~-]{1,12}(\.[A-Za-z0-9é-]{1,6}){0,2}", fullmatch=True)
outside = st.text(max_size=80) | st.from_regex(r"[a-z]{1,8}\+b[a-z2-9A-Z]{36}@x\.test", fullmatch=True)


@given(locals_, tokens)
def test_rfc5321_4_5_3_1_1_what_leaves_with_a_token_fits_and_comes_back_to_the_same_address(
    local: str, token: BounceToken
) -> None:
    address = f"{local}@Example.test"
    sent = with_token(address, token, SECRET)
    if len(local.encode()) > MAX_BASE or local.lower() in {"postmaster", "abuse", "mailer-daemon"}:
        assert sent == address
        return
    parsed = parse_mailbox(sent)
    assert parsed.domain == "Example.test"  # SPF and DMARC look at the domain alone (RFC 7208 §4.3)
    assert len(parsed.local.encode()) <= MAX_LOCAL
    assert parsed.canonical().base == parse_mailbox(address).canonical().local
    for seen in (sent, sent.upper(), sent.lower()):
        assert read_token(seen, [OTHER, SECRET], DAY, MAX_DAYS) == (Standing.REAL, token)
    assert read_token(sent, [SECRET], token.day + 16, 15)[0] is Standing.EXPIRED
    assert read_token(sent, [OTHER], DAY, MAX_DAYS) == (Standing.FORGED, None)
    assert read_token(sent, [], DAY, MAX_DAYS) == (Standing.FORGED, None)
    assert read_token(sent.replace("@Example", "@other"), [SECRET], DAY, MAX_DAYS) == (Standing.FORGED, None)
    assert read_token(f"x{sent}", [SECRET], DAY, MAX_DAYS)[0] is not Standing.REAL


@given(outside)
def test_no_address_of_others_is_taken_for_a_token_and_none_raises(address: str) -> None:
    standing, token = read_token(address, [SECRET, OTHER], DAY, MAX_DAYS)
    assert standing in {Standing.FORGED, Standing.ABSENT, Standing.UNPROTECTED}
    assert token is None
    with_token(address, BounceToken(new_blob_id(1, 1), 0, DAY), SECRET)


@given(tokens, st.integers(0, 35), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_token_of_which_one_digit_is_another_is_none(token: BounceToken, place: int, digit: str) -> None:
    local, _, domain = with_token("alice@x.test", token, SECRET).partition("@")
    start = len("alice+b") + place
    changed = f"{local[:start]}{digit}{local[start + 1 :]}@{domain}"
    standing, _ = read_token(changed, [SECRET], DAY, MAX_DAYS)
    assert (standing is Standing.REAL) == (changed == f"{local}@{domain}")


@pytest.mark.parametrize(
    ("address", "standing"),
    [
        ("alice@x.test", Standing.ABSENT),
        ("Alice@X.TEST", Standing.ABSENT),
        ("alice+shop@x.test", Standing.UNPROTECTED),
        ("alice+b" + "a" * 36 + "@x.test", Standing.FORGED),
        ("alice+b" + "a" * 35 + "@x.test", Standing.UNPROTECTED),
        ("alice+b" + "1" * 36 + "@x.test", Standing.UNPROTECTED),
        ("a" * MAX_BASE + "@x.test", Standing.ABSENT),
        ("a" * (MAX_BASE + 1) + "@x.test", Standing.UNPROTECTED),
        ('"a b"@x.test', Standing.UNPROTECTED),
        ("postmaster@x.test", Standing.UNPROTECTED),
        ("abuse@x.test", Standing.UNPROTECTED),
        ("postmaster", Standing.UNPROTECTED),
        ("", Standing.UNPROTECTED),
    ],
)
def test_addresses_that_send_with_a_token_and_those_that_do_not(address: str, standing: Standing) -> None:
    assert read_token(address, [SECRET], DAY, 15) == (standing, None)
    token = BounceToken(new_blob_id(3, 4), 5, DAY)
    assert (with_token(address, token, SECRET) != address) == (standing is Standing.ABSENT)


def test_an_id_that_is_none_of_ours_and_a_number_beyond_all_leave_the_sender_as_it_is() -> None:
    for token in (BounceToken(UUID(int=7), 0, DAY), BounceToken(new_blob_id(1, 1), 1 << 15, DAY)):
        assert with_token("alice@x.test", token, SECRET) == "alice@x.test"


class Key(NamedTuple):
    number: int
    secret: bytes
    age: float


class Keys:
    """Secrets whose age a test sets."""

    def __init__(self) -> None:
        self.known: list[Key] = []
        self.away = False
        self.error: Exception = asyncpg.PostgresConnectionError()
        self.forgotten = 0.0

    async def read(self) -> Sequence[Key]:
        if self.away:
            raise self.error
        return list(self.known)

    async def make(self, number: int) -> None:
        if all(one.number != number for one in self.known):
            self.known.append(Key(number, bytes([number]) * 32, 0.0))

    async def forget(self, seconds: float) -> None:
        self.forgotten = seconds

    def older(self, seconds: float) -> None:
        self.known = [one._replace(age=one.age + seconds) for one in self.known]


class Clock:
    def __init__(self) -> None:
        self.now = DAY * 86_400.0

    def __call__(self) -> float:
        return self.now


def made(keys: Keys, clock: Clock, mode: BounceTokenMode = BounceTokenMode.ENFORCE) -> BounceTokens:
    return BounceTokens(keys, mode, 15, 90.0, clock)


async def test_secrets_follow_one_another_and_each_process_knows_the_next_before_it_is_used() -> None:
    keys, clock = Keys(), Clock()
    one, other = made(keys, clock), made(keys, clock)
    await one.upkeep()
    accepted = new_blob_id(1, 1)
    first = one.sender_of("a@x.test", accepted, 0, clock.now)
    assert (await other.read(first))[0] is Standing.REAL  # it never looked before: it looks now
    await other.upkeep()
    assert len(keys.known) == 1
    keys.older(91 * 86_400.0)
    clock.now += 3600
    await one.upkeep()
    await one.upkeep()
    assert [key.number for key in keys.known] == [1, 2]
    assert one.sender_of("a@x.test", accepted, 0, DAY * 86_400.0) == first
    keys.older(700.0)
    await one.upkeep()
    second = one.sender_of("a@x.test", accepted, 0, DAY * 86_400.0)
    assert second != first
    for sent in (first, second):
        assert (await other.read(sent))[0] is Standing.REAL
    assert keys.forgotten > 15 * 86_400.0
    keys.away = True
    for error in (asyncpg.PostgresConnectionError(), SealError("another key")):
        keys.error = error
        clock.now += 5
        assert (await other.read("a+b" + "a" * 36 + "@x.test"))[0] is Standing.FORGED


async def test_without_the_setting_nothing_is_made_and_what_left_before_is_still_known() -> None:
    keys, clock = Keys(), Clock()
    signing = made(keys, clock, BounceTokenMode.SIGN)
    off = made(keys, clock, BounceTokenMode.OFF)
    await off.upkeep()
    assert keys.known == []
    await signing.upkeep()
    await off.upkeep()
    sent = signing.sender_of("a@x.test", new_blob_id(1, 1), 0, clock.now)
    assert off.sender_of("a@x.test", new_blob_id(1, 1), 0, clock.now) == "a@x.test"
    assert (await off.read(sent))[0] is Standing.REAL
    assert not signing.enforced
    assert signing.sender_of("", new_blob_id(1, 1), 0, clock.now) == ""


async def test_each_attempt_leaves_with_the_same_token() -> None:
    keys, clock = Keys(), Clock()
    bounce_tokens = made(keys, clock)
    await bounce_tokens.upkeep()
    scene = Scene()
    scene.sender._tokens = bounce_tokens
    letters: list[Letter] = []

    def answering(_destination: str, letter: Letter) -> Answer:
        letters.append(letter)
        return taken() if len(letters) > 1 else Answer(0, Verdict.DEFERRED, Reply(450, "4.2.0", "greylisted", "mx"))

    scene.transport.answering = answering
    unit = scene.unit()
    unit.accepted_id, unit.accepted_at = new_blob_id(5, 5), clock.now
    scene.sender.take([unit])
    await scene.settled(lambda: len(scene.rows.deferred) == 1)
    clock.now += 2 * 86_400
    scene.sender.take([unit])
    await scene.settled(lambda: len(letters) == 2)
    assert letters[0].mail_from == letters[1].mail_from != "a@here.test"
    standing, token = await bounce_tokens.read(letters[0].mail_from)
    assert (standing, token) == (Standing.REAL, BounceToken(unit.accepted_id, 0, DAY))


RECEIPT = (
    b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n--b\r\n\r\nread\r\n"
    b"--b\r\nContent-Type: message/disposition-notification\r\n\r\nDisposition: manual-action; displayed\r\n--b--\r\n"
)


class Mail:
    def __init__(self) -> None:
        self.bodies: dict[bytes, bytes] = {}
        self.asked = 0

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        self.asked += 1
        assert max_octets > 0
        header = outgoing_pb2.AcceptedHeader()
        return {one: AcceptedLetter(header, self.bodies.get(one, b"Subject: x\r\n\r\n"), True) for one in accepted_ids}


class Noted:
    """Rules that keep nothing but what they were shown."""

    def __init__(self) -> None:
        self.junk: dict[tuple[bytes, int], bool] = {}

    async def apply(self, placements: Sequence[Placement]) -> None:
        for one in placements:
            self.junk[one.recipient.message.accepted_id, one.account_id] = one.recipient.message.junk


class Deaf:
    """Learns nothing; says who sent what came back, where a test knows."""

    def __init__(self) -> None:
        self.submitters: dict[bytes, int] = {}
        self.heard: list[Bounce] = []

    async def hear(self, bounces: Sequence[Bounce]) -> dict[bytes, int]:
        self.heard += bounces
        return self.submitters


class Returning:
    """Rounds behind bounce tokens."""

    def __init__(self, mode: BounceTokenMode = BounceTokenMode.ENFORCE) -> None:
        self.clock, self.mail, self.noted, self.delivery = Clock(), Mail(), Noted(), Delivery()
        self.deaf = Deaf()
        self.tokens = made(Keys(), self.clock, mode)
        rounds: Any = self.delivery.rounds
        rounds._returned = ReturnedMail(self.tokens, self.mail, self.deaf)
        rounds._rules = self.noted

    async def junk(self, address: str, mail_from: str = "", body: bytes = b"") -> bool:
        accepted = self.delivery.store.accept(address, mail_from=mail_from)
        if body:
            self.mail.bodies[accepted] = body
        await self.delivery.rounds.deliver([accepted])
        found = [junk for (known, _), junk in self.noted.junk.items() if known == accepted]
        assert len(found) == 1
        return found[0]


async def test_a_forged_bounce_goes_to_junk_and_nothing_else_does() -> None:
    world = Returning()
    await world.tokens.upkeep()
    real = world.tokens.sender_of("alice@x.test", new_blob_id(1, 1), 0, world.clock.now)
    forged = "alice+b" + "a" * 36 + "@x.test"
    for address in ("alice@x.test", real, forged, "alice+shop@x.test", "postmaster@x.test"):
        world.delivery.directory.add(address, 1)
    assert await world.junk("alice@x.test")
    assert await world.junk(forged)
    assert not await world.junk(real)
    assert not await world.junk("alice+shop@x.test")
    assert not await world.junk("postmaster@x.test")
    asked = world.mail.asked
    assert not await world.junk("alice@x.test", mail_from="peer@else.test")
    assert world.mail.asked == asked  # of other mail nothing is read
    assert not await world.junk("alice@x.test", body=RECEIPT)  # RFC 8098 §3: it goes to an address of the header
    world.clock.now += 17 * 86_400
    assert await world.junk(real)


async def test_a_childs_forged_bounce_is_taken_as_an_adults_is() -> None:
    world = Returning()
    world.delivery.directory.add("zoe@x.test", 9, guarded=(9,))
    world.delivery.store.guarded.add(9)
    accepted = world.delivery.store.accept("zoe@x.test", mail_from="")
    await world.delivery.rounds.deliver([accepted])
    assert world.noted.junk[accepted, 9]


@pytest.mark.parametrize("mode", [BounceTokenMode.OFF, BounceTokenMode.SIGN])
async def test_nothing_goes_to_junk_before_that_is_wanted(mode: BounceTokenMode) -> None:
    world = Returning(mode)
    await world.tokens.upkeep()
    world.delivery.directory.add("alice@x.test", 1)
    assert not await world.junk("alice@x.test")
    assert world.mail.asked == 0
