"""Who loses what was shared with them is told of it, however they lose it; what would be shared too often is refused by itself."""

from __future__ import annotations

import asyncio

from tests.integration.arriving import TENANT
from tests.integration.mailing import change_mailboxes, known, mailboxes, new_account, parts_of
from tests.integration.sharing import ALL, READ, boxes_as_grantee, give

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_kit.ids import new_account_id, partition_of_account
from petitbleu_store.bootstrap import Store

ARCHIVE = 6
OK = pb.UPDATE_STATUS_OK
Told = tuple[int, int, int, str]


async def told(store: Store, grantee: int) -> list[Told]:
    """Mailbox, rights before and after, and name, of each notification of a person."""
    found = (await parts_of(store).cases.notices.listed(await known(store, grantee))).notifications
    return [(one.mailbox_id, one.old_rights, one.new_rights, one.name) for one in found]


async def box(store: Store, owner: int, name: str, *grantees: int) -> int:
    shares = [pb.MailboxShare(account_id=one, rights=ALL) for one in grantees]
    made = await change_mailboxes(store, owner, pb.MailboxUpdate(name=name, shares=shares))
    assert made.results[0].status == OK
    return made.mailbox_ids[0]


async def test_who_is_in_a_map_no_more_is_told(store: Store) -> None:
    owner, one, other = [await new_account(store) for _ in range(3)]
    team = await box(store, owner, "Team", one, other)
    kept = pb.MailboxShare(account_id=one, rights=READ)
    await change_mailboxes(store, owner, pb.MailboxUpdate(mailbox_id=team, shares=[kept], replace_shares=True))
    assert (await told(store, one))[1:] == [(team, ALL, READ, "Team")]
    assert (await told(store, other))[1:] == [(team, ALL, 0, "Team")]
    await change_mailboxes(store, owner, pb.MailboxUpdate(mailbox_id=team, name="Renamed", replace_shares=True))
    assert (await told(store, one))[2:] == [(team, READ, 0, "Team")], "by the name that they knew"
    assert len(await told(store, other)) == 2


async def test_who_loses_a_mailbox_that_is_destroyed_is_told_by_whomever_it_is(store: Store) -> None:
    owner, one, other = [await new_account(store) for _ in range(3)]
    team, group = [await box(store, owner, name, one, other) for name in ("Team", "Group")]
    await change_mailboxes(store, owner, pb.MailboxUpdate(mailbox_id=team, destroy=True))
    assert (await told(store, one))[2:] == (await told(store, other))[2:] == [(team, ALL, 0, "Team")]
    answer = await boxes_as_grantee(store, owner, one, pb.MailboxUpdate(mailbox_id=group, destroy=True))
    assert answer.results[0].status == OK
    assert (await told(store, other))[3:] == [(group, ALL, 0, "Group")]


async def test_somebody_with_whom_it_is_shared_meanwhile_is_told_too(store: Store) -> None:
    owner, one, late = [await new_account(store) for _ in range(3)]
    team = await box(store, owner, "Team", one)
    place = (partition_of_account(owner), owner)
    async with store.core.pool.acquire() as connection, connection.transaction():
        await connection.fetch(
            "/* cold:test */ SELECT 1 FROM account WHERE partition = $1 AND account_id = $2 FOR UPDATE", *place
        )
        ending = asyncio.create_task(
            change_mailboxes(store, owner, pb.MailboxUpdate(mailbox_id=team, replace_shares=True))
        )
        while not await connection.fetchval("/* cold:test */ SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        await connection.execute(
            "/* cold:test */ INSERT INTO share (partition, account_id, grantee_id, mailbox_id, rights, subscribed) "
            "VALUES ($1, $2, $3, $4, $5, true)",
            *place, late, team, ALL,
        )  # fmt: skip
    assert (await ending).results[0].status == OK
    assert await told(store, late) == [(team, ALL, 0, "Team")]
    assert not (await mailboxes(store, owner))[team].shares


async def test_what_would_be_shared_too_often_is_refused_alone(store: Store) -> None:
    owner = await new_account(store)
    people = [new_account_id() for _ in range(101)]
    wanted = [pb.NewStoreAccount(account_id=one, tenant_id=TENANT, language="fr") for one in people]
    await parts_of(store).accounts.create(wanted)
    team = await box(store, owner, "Team", *people[:100])
    answer = await change_mailboxes(
        store,
        owner,
        pb.MailboxUpdate(mailbox_id=team, shares=[pb.MailboxShare(account_id=people[100], rights=READ)]),
        pb.MailboxUpdate(mailbox_id=ARCHIVE, shares=[pb.MailboxShare(account_id=people[100], rights=READ)]),
        pb.MailboxUpdate(name="All", shares=[pb.MailboxShare(account_id=one, rights=READ) for one in people]),
    )
    too_many = [pb.MAILBOX_FAULT_SHARED_WITH_TOO_MANY]
    assert [list(one.faults) for one in answer.results] == [too_many, [], too_many]
    boxes = await mailboxes(store, owner)
    assert (len(boxes[team].shares), len(boxes[ARCHIVE].shares)) == (100, 1)


async def test_what_names_too_many_at_once_waits_for_another_request(store: Store) -> None:
    owner, one = [await new_account(store) for _ in range(2)]
    strangers = [
        [pb.MailboxShare(account_id=number, rights=READ) for number in range(at, at + 99)] for at in (1000, 2000, 3000)
    ]
    updates = [pb.MailboxUpdate(mailbox_id=box, shares=some) for box, some in zip((1, 2, 3), strangers, strict=True)]
    given = pb.MailboxUpdate(mailbox_id=ARCHIVE, shares=[pb.MailboxShare(account_id=one, rights=READ)])
    answer = await change_mailboxes(store, owner, *updates, given)
    nobody, later = [pb.MAILBOX_FAULT_SHARES], [pb.MAILBOX_FAULT_TOO_MANY_AT_ONCE]
    assert [list(one.faults) for one in answer.results] == [nobody, nobody, later, []]
    assert (await give(store, owner, ARCHIVE, (one, READ))).results[0].status == OK
