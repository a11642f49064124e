"""Outbound abuse: what slows, what suspends, what does neither, and what people are told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import cast

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.adapters.conduct_rows import ConductRows, Counted
from petitbleu_delivery.domain.abuse_mail import account_mail, administrator_mail
from petitbleu_delivery.domain.conduct import Figures, Sign, Stage, Thresholds, judge
from petitbleu_delivery.domain.permit_terms import Limits, Terms, under
from petitbleu_delivery.service.abuse.watch import Watch

LIMITS = Thresholds(100, 5.0, 20, 0.1, 3, 0.01, 10)
TODAY = 20_780


@pytest.mark.parametrize(
    ("days", "stage", "signs"),
    [
        ({}, Stage.FREE, ()),
        ({0: Figures(sent=5000, fresh=100)}, Stage.FREE, ()),
        ({0: Figures(sent=101, fresh=101)}, Stage.SLOWED, (Sign.NEW_RECIPIENTS,)),
        # who writes to many new ones every week is as always
        ({0: Figures(sent=900, fresh=900), -20: Figures(sent=200, fresh=200)}, Stage.FREE, ()),
        ({0: Figures(sent=900, fresh=900), -31: Figures(sent=200, fresh=200)}, Stage.SLOWED, (Sign.NEW_RECIPIENTS,)),
        ({0: Figures(sent=100_000, fresh=100_000)}, Stage.SLOWED, (Sign.NEW_RECIPIENTS,)),
        ({0: Figures(sent=100, bounced=10), -6: Figures(sent=50, bounced=10)}, Stage.SLOWED, (Sign.BOUNCES,)),
        ({0: Figures(sent=100, bounced=10), -7: Figures(sent=50, bounced=10)}, Stage.FREE, ()),
        ({0: Figures(sent=1000, bounced=20)}, Stage.FREE, ()),
        ({0: Figures(sent=100, bounced=60)}, Stage.SUSPENDED, (Sign.BOUNCES,)),
        ({0: Figures(sent=100, complained=3)}, Stage.SLOWED, (Sign.COMPLAINTS,)),
        ({0: Figures(sent=5000, complained=30)}, Stage.FREE, ()),
        ({0: Figures(sent=100, complained=9)}, Stage.SUSPENDED, (Sign.COMPLAINTS,)),
        ({0: Figures(sent=100, spam=10)}, Stage.SLOWED, (Sign.SPAM,)),
        ({0: Figures(sent=110, fresh=101, bounced=20)}, Stage.SUSPENDED, (Sign.NEW_RECIPIENTS, Sign.BOUNCES)),
    ],
)
def test_what_speaks_against_an_account(days: dict[int, Figures], stage: Stage, signs: tuple[Sign, ...]) -> None:
    assert judge({TODAY + day: one for day, one in days.items()}, TODAY, LIMITS) == (stage, signs)


_numbers = st.integers(0, 2000)
_days = st.dictionaries(st.integers(-40, 0), st.builds(Figures, _numbers, _numbers, _numbers, _numbers, _numbers))


@given(_days)
def test_nothing_speaks_against_anybody_where_no_threshold_is_set(days: dict[int, Figures]) -> None:
    assert judge(days, 0, Thresholds(0, 1.0, 0, 0.0, 0, 0.0, 0)) == (Stage.FREE, ())
    stage, signs = judge(days, 0, LIMITS)
    assert (stage is Stage.FREE) == (not signs)
    if signs == (Sign.NEW_RECIPIENTS,):
        assert stage is Stage.SLOWED


def test_who_is_slowed_has_few_recipients_an_hour_whatever_else_is_said() -> None:
    plan = Limits(2000, 10_000, 0, 0)
    assert under(plan, Terms(), Terms(), 50).account_hour == 2000
    assert under(plan, Terms(slowed=True), Terms(), 50) == Limits(50, 10_000, 0, 0)
    assert under(plan, Terms(hour=0, slowed=True), Terms(), 50).account_hour == 50
    assert under(plan, Terms(hour=7, slowed=True), Terms(), 50).account_hour == 7


class Rows:
    """Keeps what it is told; `away` until that is over."""

    def __init__(self) -> None:
        self.counted: list[Counted] = []
        self.away = False
        self.figures = Figures()
        self.asked: list[int] = []
        self.raised: list[tuple[int, Stage, tuple[Sign, ...]]] = []

    async def count(self, counted: Sequence[Counted], day: int) -> dict[int, int]:
        del day
        if self.away:
            raise asyncpg.PostgresConnectionError
        self.counted += counted
        return {one.account_id: len(one.keys) for one in counted}

    async def days(self, account_id: int, today: int) -> dict[int, Figures]:
        self.asked.append(account_id)
        return {today: self.figures}

    async def raise_to(
        self, account_id: int, _tenant: int, stage: Stage, signs: Sequence[Sign], _figures: str, _seconds: float
    ) -> bool:
        self.raised.append((account_id, stage, tuple(signs)))
        return True


def watching(rows: Rows) -> Watch:
    return Watch(cast("ConductRows", rows), LIMITS, 60.0, 600, lambda account, address: f"{account} {address}".encode())


async def test_what_is_sent_is_counted_and_only_those_of_whom_something_is_seen_are_looked_at() -> None:
    rows = Rows()
    watch = watching(rows)
    watch.sent(1, 9, ["a@x.test", "b@x.test", "a@x.test"])
    watch.sent(0, 0, ["a@x.test"])
    watch.sent(2, 9, [f"u{number}@x.test" for number in range(101)])
    watch.sent(3, 9, ["a@x.test"], 600)
    watch.refused(4, 9, 2)
    watch.refused(5, 9, 0)
    await watch.flush()
    assert [(one.account_id, len(one.keys), one.sent, one.bounced, one.spam) for one in rows.counted] == [
        (1, 2, 3, 0, 0), (2, 101, 101, 0, 0), (3, 1, 1, 0, 1), (4, 0, 0, 2, 0),
    ]  # fmt: skip
    assert rows.asked == [2, 3, 4]
    assert rows.raised == []
    rows.figures = Figures(sent=100, bounced=60)
    watch.refused(4, 9, 1)
    await watch.flush()
    assert rows.raised == [(4, Stage.SUSPENDED, (Sign.BOUNCES,))]
    await watch.flush()
    assert len(rows.raised) == 1


async def test_what_a_database_that_is_away_did_not_take_is_counted_later_once() -> None:
    rows = Rows()
    watch = watching(rows)
    rows.away = True
    watch.sent(1, 9, ["a@x.test"])
    await watch.flush()
    watch.sent(1, 9, ["b@x.test"])
    rows.away = False
    await watch.flush()
    await watch.flush()
    assert [(one.account_id, len(one.keys), one.sent) for one in rows.counted] == [(1, 2, 2)]


@pytest.mark.parametrize("stage", [Stage.SLOWED, Stage.SUSPENDED])
def test_people_are_told_what_was_done_and_why_in_their_language(stage: Stage) -> None:
    signs = [sign.value for sign in Sign]
    now = datetime(2026, 11, 23, tzinfo=UTC)
    for mail, language, words in (
        (account_mail, "fr", ["n'existent pas", "mot de passe"]),
        (account_mail, "de", ["do not exist", "password"]),
        (administrator_mail, "fr", ["n'existent pas", "do not exist"]),
    ):
        raw = mail(stage, signs, "zoé@x.test", language, "postmaster@x.test", "mx.x.test", "abc", now)
        told = message_from_bytes(raw, policy=default)
        text = str(told.get_body().get_content())  # type: ignore[union-attr]
        assert "zoé@x.test" in text
        assert "zoé@x.test" in told["Subject"]
        assert all(word in text for word in words)
        assert told["Auto-Submitted"] == "auto-generated"
        assert raw.count(b"\n") == raw.count(b"\r\n")
