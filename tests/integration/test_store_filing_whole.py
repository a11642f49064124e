"""Filing by one statement without a lock: it is the usual way, and whoever changes an account meanwhile makes it take the lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.integration import mailing
from tests.integration.arriving import accept, message
from tests.integration.mailing import faults, file, file_new, item, mail, new_account, parts_of, update

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.outcome import Outcome
from petitbleu_store.service import filing, filing_commit

FILED = filing_pb2.FILE_STATUS_FILED
WAYS = ("whole", "changed", "locked")


def ways() -> dict[str, float]:
    return {way: filing._commits.labels(way=way)._value.get() for way in WAYS}


def since(before: dict[str, float]) -> dict[str, float]:
    return {way: count - before[way] for way, count in ways().items()}


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[Any]]], None]:
    """Have something happen once, after a filing has read and before it writes."""

    def set_up(work: Callable[[], Awaitable[Any]]) -> None:
        plan = filing_commit.plan
        left = [work]

        async def and_then(*args: Any) -> Any:
            planned = await plan(*args)
            while left:
                await left.pop()()
            return planned

        monkeypatch.setattr(filing_commit, "plan", and_then)

    return set_up


async def outcomes(store: Store) -> list[Outcome]:
    rows = await store.core.cold.fetch(
        "/* cold:test */ SELECT outcome FROM recipient ORDER BY accepted_id, recipient_no"
    )
    return [Outcome(row["outcome"]) for row in rows]


async def test_new_mail_is_filed_and_settled_by_one_commit_of_one_statement(store: Store) -> None:
    account_id = await new_account(store)
    ids = await accept(store, message(mail("one", message_id="root@x")), message(mail("Re: one", answers=["root@x"])))
    before = ways()
    for blob_id in ids:
        (result,) = await file(store, item(blob_id, account_id, sole=True, keywords=["$label1"]))
        assert (result.status, result.settled) == (FILED, True)
    assert since(before) == {"whole": 2, "changed": 0, "locked": 0}
    found = await mailing.messages(store, account_id, await mailing.all_ids(store, account_id))
    assert len({one.thread_id for one in found.values()}) == 1
    assert await outcomes(store) == [Outcome.FILED] * 2
    rows = await store.core.cold.fetch(
        "/* cold:test */ SELECT m.xmin::text AS filed, r.xmin::text AS settled, o.xmin::text AS told FROM message m "
        "JOIN recipient r ON r.accepted_id = m.blob_id JOIN outbox o ON o.subject LIKE 'mail.message.filed.%' AND o.xmin = m.xmin"
    )
    assert len(rows) == 2
    assert all(row["filed"] == row["settled"] == row["told"] for row in rows)
    assert await faults(store) == []


async def test_who_has_a_message_of_a_shared_recipient_is_recorded_with_it(store: Store) -> None:
    one, other = await new_account(store), await new_account(store)
    (blob_id,) = await accept(store, message(mail()))
    before = ways()
    assert [result.status for result in await file(store, item(blob_id, one), item(blob_id, other))] == [FILED] * 2
    assert since(before)["whole"] == 1
    reached = await store.core.cold.fetchval("/* cold:test */ SELECT account_ids FROM recipient")
    assert sorted(reached) == sorted([one, other])
    assert await outcomes(store) == [Outcome.OPEN]


async def test_an_account_changed_meanwhile_is_filed_in_under_its_lock(store: Store, meanwhile: Any) -> None:
    account_id, other = await new_account(store), await new_account(store)
    (earlier,) = await file_new(store, account_id, mail())
    (blob_id,) = await accept(store, message(mail()))
    meanwhile(lambda: update(store, account_id, mailbox_pb2.MessageUpdate(message_id=earlier, add_keywords=["$seen"])))
    before = ways()
    results = await file(store, item(blob_id, other), item(blob_id, account_id))
    assert {result.status for result in results} == {FILED}
    assert since(before) == {"whole": 0, "changed": 1, "locked": 1}
    assert [len(await mailing.all_ids(store, one)) for one in (account_id, other)] == [2, 1]
    assert await faults(store) == []


async def test_the_same_message_filed_meanwhile_is_filed_once(store: Store, meanwhile: Any) -> None:
    account_id = await new_account(store)
    (blob_id,) = await accept(store, message(mail()))
    twin: list[filing_pb2.FileResult] = []

    async def file_twin() -> None:
        twin.extend(await file(store, item(blob_id, account_id, sole=True)))

    meanwhile(file_twin)
    (result,) = await file(store, item(blob_id, account_id, sole=True))
    assert (result.status, result.message_id) == (FILED, twin[0].message_id)
    assert len(await mailing.all_ids(store, account_id)) == 1
    assert await faults(store) == []


async def test_an_account_guarded_meanwhile_gets_nothing_without_a_decision(store: Store, meanwhile: Any) -> None:
    account_id = await new_account(store)
    (blob_id,) = await accept(store, message(mail()))
    # by another process: what this one remembers of the account does not change
    meanwhile(
        lambda: store.core.cold.execute(
            "/* cold:test */ UPDATE account SET guarded = true WHERE account_id = $1", account_id
        )
    )
    (result,) = await file(store, item(blob_id, account_id, sole=True))
    assert (result.status, result.settled) == (filing_pb2.FILE_STATUS_DECISION_REQUIRED, False)
    assert await mailing.all_ids(store, account_id) == []
    assert await outcomes(store) == [Outcome.OPEN]
    (result,) = await file(store, item(blob_id, account_id, sole=True))
    assert result.status == filing_pb2.FILE_STATUS_DECISION_REQUIRED


async def test_an_account_erased_meanwhile_gets_nothing(store: Store, meanwhile: Any) -> None:
    account_id = await new_account(store)
    (blob_id,) = await accept(store, message(mail()))
    meanwhile(lambda: parts_of(store).erasure.erase(account_id))
    (result,) = await file(store, item(blob_id, account_id, sole=True))
    assert result.status == filing_pb2.FILE_STATUS_NO_ACCOUNT
    assert await outcomes(store) == [Outcome.OPEN]
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM message") == 0
