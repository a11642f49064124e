"""Rewritten senders at RCPT: delivery knows them, no directory does, and no catch-all takes them."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu_ingest.ports import Place
from petitbleu_ingest.service.recipients import Verdict, judge
from petitbleu_ingest.service.return_paths import ReturningDirectory

GOOD = "SRS0=aaaaaaaa=aa=else.test=anna@own.test"
BAD = "SRS0=bbbbbbbb=aa=else.test=anna@own.test"
FAR = "SRS0=aaaaaaaa=aa=else.test=anna@far.test"


class CatchAll:
    """A directory of a domain that takes everything."""

    async def resolve(self, addresses: Sequence[str]) -> list[Place]:
        remote, local = accounts_pb2.ADDRESS_STATUS_REMOTE, accounts_pb2.ADDRESS_STATUS_LOCAL
        return [Place(remote, (), 0, 0) if "far" in one else Place(local, (7,), 3, 1) for one in addresses]


async def verdicts(*addresses: str, away: bool = False) -> list[Verdict]:
    async def check(asked: Sequence[str]) -> frozenset[str]:
        assert FAR not in asked
        if away:
            raise TimeoutError
        return frozenset(asked) & {GOOD}

    places = await ReturningDirectory(CatchAll(), check).resolve(addresses)
    return [judge(one, place, frozenset({7})).verdict for one, place in zip(addresses, places, strict=True)]


async def test_they_are_welcome_or_unknown_whatever_the_domain_takes() -> None:
    assert await verdicts(GOOD, BAD, "anna@own.test", FAR) == [
        Verdict.WELCOME, Verdict.UNKNOWN, Verdict.OVER_QUOTA, Verdict.REMOTE,
    ]  # fmt: skip


async def test_while_delivery_is_away_these_alone_come_back_later() -> None:
    assert await verdicts(GOOD, "anna@own.test", away=True) == [Verdict.TROUBLE, Verdict.OVER_QUOTA]
