"""The life of DKIM keys: no signature meets a missing record, a private half dies with its key, another key opens nothing."""

from __future__ import annotations

import base64
import secrets
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.dns_texts import Texts
from services.delivery.tests.domain_fakes import TIMES, Calendar, FakeRows

from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.domain.domain_keys import (
    Algorithm,
    DomainKey,
    KeyState,
    Step,
    due,
    new_selector,
    published,
)
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.service.domains.keeper import KeyKeeper
from petitbleu_kit.lifecycle import StartupError

DOMAIN = "post.example"


class Setting:
    """A keeper on fakes."""

    def __init__(self) -> None:
        self.calendar = Calendar()
        self.rows = FakeRows(self.calendar)
        self.dns = Texts({})
        self.seal = Seal(secrets.token_bytes(32), "domains")
        self.keeper = KeyKeeper(self.rows, self.seal, self.dns, TIMES, self.calendar)

    def states(self) -> dict[str, KeyState]:
        return {key.selector: key.state for key in self.rows.of(DOMAIN)}

    def publish(self) -> None:
        """Paste the records of all keys that are not retired."""
        for key in self.rows.of(DOMAIN):
            if key.state is not KeyState.RETIRED:
                self.dns.records[key.record_name] = (key.record_text.encode(),)


async def test_the_first_keys_are_made_once_and_sign_at_once() -> None:
    given_ = Setting()
    signing = await given_.keeper.signing_keys(DOMAIN)
    assert [(key.algorithm, key.selector) for key in signing] == [
        ("rsa-sha256", "r20260131"),
        ("ed25519-sha256", "e20260131"),
    ]
    assert [key.selector for key in await given_.keeper.signing_keys(DOMAIN)] == ["r20260131", "e20260131"]
    assert set(given_.states().values()) == {KeyState.ACTIVE}


async def test_keys_are_replaced_with_overlap_and_only_once_their_records_are_there() -> None:
    given_ = Setting()
    await given_.keeper.keys(DOMAIN)
    given_.publish()
    given_.calendar.pass_days(179)
    await given_.keeper.upkeep()
    assert len(given_.states()) == 2, "too early"
    given_.calendar.pass_days(1)
    await given_.keeper.upkeep()
    old = {"r20260131", "e20260131"}
    new = given_.states().keys() - old
    assert {given_.states()[one] for one in new} == {KeyState.MADE}
    given_.calendar.pass_days(300)
    await given_.keeper.upkeep()
    assert {given_.states()[one] for one in old} == {KeyState.ACTIVE}, "signed with keys that nobody can look up"
    given_.publish()
    await given_.keeper.upkeep()
    assert {given_.states()[one] for one in new} == {KeyState.PUBLISHED}
    given_.calendar.pass_days(1.9)
    await given_.keeper.upkeep()
    assert {given_.states()[one] for one in old} == {KeyState.ACTIVE}, "caches may still say that there is no key"
    given_.calendar.pass_days(0.2)
    await given_.keeper.upkeep()
    assert {given_.states()[one] for one in new} == {KeyState.ACTIVE}
    assert {given_.states()[one] for one in old} == {KeyState.RETIRING}
    given_.calendar.pass_days(14)
    await given_.keeper.upkeep()
    assert {given_.states()[one] for one in old} == {KeyState.RETIRED}
    assert all(given_.rows.rows[DOMAIN, one][1] is None for one in old), "a private half outlives its key"


async def test_a_record_that_is_gone_again_or_cannot_be_asked_for_keeps_a_key_waiting() -> None:
    given_ = Setting()
    await given_.keeper.rotate(DOMAIN)
    given_.publish()
    await given_.keeper.upkeep()
    (waiting, *_) = [key for key in given_.rows.of(DOMAIN) if key.state is KeyState.PUBLISHED]
    given_.dns.records[waiting.record_name] = None
    given_.calendar.pass_days(5)
    await given_.keeper.upkeep()
    assert given_.states()[waiting.selector] is KeyState.PUBLISHED, "no answer is not a no"
    del given_.dns.records[waiting.record_name]
    await given_.keeper.upkeep()
    assert given_.states()[waiting.selector] is KeyState.MADE


async def test_an_operator_rotates_and_in_need_at_once() -> None:
    given_ = Setting()
    first = await given_.keeper.rotate(DOMAIN)
    assert sorted(key.state for key in first) == [KeyState.MADE, KeyState.MADE, KeyState.ACTIVE, KeyState.ACTIVE]
    assert await given_.keeper.rotate(DOMAIN) == first, "the next keys wait already"
    last = await given_.keeper.rotate(DOMAIN, now=True)
    assert sorted(key.state for key in last) == [
        KeyState.ACTIVE, KeyState.ACTIVE, KeyState.RETIRING, KeyState.RETIRING,
    ]  # fmt: skip
    assert {key.selector for key in await given_.keeper.signing_keys(DOMAIN)} == {"r20260131-2", "e20260131-2"}


KEYS = st.builds(
    DomainKey, domain=st.just(DOMAIN), selector=st.sampled_from("abcdef"), algorithm=st.sampled_from(Algorithm),
    state=st.sampled_from(KeyState), public=st.just(b""), made=st.just(Calendar().now),
    since=st.integers(0, 400).map(lambda days: Calendar().now - timedelta(days=days)),
)  # fmt: skip


@given(
    st.lists(KEYS, max_size=6, unique_by=lambda key: key.selector),
    st.dictionaries(st.sampled_from("abcdef"), st.booleans()),
)
def test_no_key_signs_without_its_record_and_none_is_destroyed_while_it_signs(
    keys: list[DomainKey], seen: dict[str, bool]
) -> None:
    steps = due(keys, seen, Calendar().now, TIMES)
    assert len({key.selector for key, _ in steps}) == len(steps)
    for key, step in steps:
        if step in {Step.ACTIVATE, Step.PUBLISH}:
            assert seen[key.selector]
        if step is Step.ACTIVATE:
            assert key.state is KeyState.PUBLISHED
        if step is Step.RETIRE:
            assert key.state is KeyState.RETIRING
            assert Calendar().now - key.since >= TIMES.retire


@given(st.sets(st.sampled_from([f"r20260131{end}" for end in ("", "-2", "-3", "-4")])))
def test_a_selector_is_never_used_twice(taken: set[str]) -> None:
    assert new_selector(Algorithm.RSA, date(2026, 1, 31), taken) not in taken


PUBLIC = secrets.token_bytes(32)
KEY = DomainKey(DOMAIN, "e1", Algorithm.ED25519, KeyState.MADE, PUBLIC, Calendar().now, Calendar().now)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=200) | st.sampled_from([b"v=DKIM1; k=ed25519; p=", b"v=DKIM1; p=" + b"A" * 43])))
def test_whatever_stands_in_the_dns_only_the_very_key_is_published(records: list[bytes]) -> None:
    assert not published(KEY, records)
    assert published(KEY, [*records, b"v=DKIM1; k=ed25519; p=" + base64.b64encode(PUBLIC)])


def test_a_key_file_is_missed_once_it_was_used(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="the key of delivery cannot be read"):
        read_key(tmp_path / "delivery.key", may_make=False)
    made = read_key(tmp_path / "delivery.key")
    assert read_key(tmp_path / "delivery.key", may_make=False) == made
