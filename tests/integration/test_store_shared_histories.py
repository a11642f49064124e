"""Random histories of mail and of shares: a grantee's cache, kept by GetChanges alone, is what the grantee sees."""

from __future__ import annotations

import random

import pytest
from tests.integration.mailing import change_mailboxes, file_new, known, mail, new_account, parts_of, update
from tests.integration.sharing import ALL, READ, SeenCache, file_in, give, seen_ids, seen_mailboxes, seen_messages

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import removed_pb2
from petitbleu_store.bootstrap import Store
from petitbleu_store.errors import Problem, StoreError

BOXES = (1, 2, 3, 6)


async def _step(
    store: Store, chance: random.Random, owner: int, grantee: int, live: list[int], gone: list[int]
) -> None:
    kind = chance.randrange(9)
    if kind <= 1 or not live:
        answers = [f"{chance.randrange(4)}@x.test"]
        live += await file_in(store, owner, chance.sample(BOXES, chance.randint(1, 2)), mail("topic", answers=answers))
    elif kind == 2:
        await give(store, owner, chance.choice(BOXES), (grantee, chance.choice([0, READ, ALL])))
    elif kind == 3:
        one = live.pop(chance.randrange(len(live)))
        await update(store, owner, pb.MessageUpdate(message_id=one, destroy=True))
        gone.append(one)
    elif kind == 8 and gone:
        one = gone.pop(chance.randrange(len(gone)))
        request = removed_pb2.RestoreMessagesRequest(restorations=[removed_pb2.Restoration(message_id=one)])
        await parts_of(store).cases.restoring.messages(await known(store, owner), request)
        live.append(one)
    elif kind == 4:
        word = [pb.MessageUpdate(message_id=chance.choice(live), add_keywords=[chance.choice(["$seen", "$flagged"])])]
        await update(store, owner, *word)
    elif kind == 5:
        made = await change_mailboxes(store, owner, pb.MailboxUpdate(name=f"box {chance.random()}", parent_id=1))
        await give(store, owner, made.mailbox_ids[0], (grantee, READ))
        await update(
            store, owner, pb.MessageUpdate(message_id=chance.choice(live), add_mailbox_ids=[made.mailbox_ids[0]])
        )
        if chance.random() < 0.5:
            await change_mailboxes(
                store, owner, pb.MailboxUpdate(mailbox_id=made.mailbox_ids[0], destroy=True, with_messages=True)
            )
    else:
        moves = [
            pb.MessageUpdate(message_id=one, replace_mailboxes=True, add_mailbox_ids=chance.sample(BOXES, chance.randint(1, 2)))
            for one in chance.sample(live, min(len(live), chance.randint(1, 4)))
        ]  # fmt: skip
        await update(store, owner, *moves)


@pytest.mark.parametrize("seed", range(4))
async def test_a_grantee_s_changes_give_the_truth(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    owner, grantee = [await new_account(store) for _ in range(2)]
    await give(store, owner, 3, (grantee, READ))
    caches = {
        kind: SeenCache(kind, grantee=grantee)
        for kind in (pb.CHANGE_KIND_MESSAGE, pb.CHANGE_KIND_MAILBOX, pb.CHANGE_KIND_THREAD)
    }
    live: list[int] = []
    gone: list[int] = []
    states: dict[int, tuple[str, str]] = {}
    for _ in range(40):
        for _ in range(chance.randint(1, 5)):
            await _step(store, chance, owner, grantee, live, gone)
        # someone who sees nothing at all has no state
        await give(store, owner, 3, (grantee, chance.choice([READ, ALL])))
        ids = await seen_ids(store, owner, grantee)
        rows = await seen_messages(store, owner, grantee, ids)
        boxes = await seen_mailboxes(store, owner, grantee)
        truth = {
            pb.CHANGE_KIND_MESSAGE: set(ids),
            pb.CHANGE_KIND_MAILBOX: set(boxes),
            pb.CHANGE_KIND_THREAD: {row.thread_id for row in rows.values()},
        }
        for kind, cache in caches.items():
            try:
                await cache.sync(store, owner, chance.choice([3, 8, 1000]))
            except StoreError as error:
                # a share that changes much changes it at once: no state lies in between
                if error.problem is not Problem.CANNOT_CALCULATE:
                    raise
                told = set(cache.updated)  # and stays told
                await cache.sync(store, owner, 1000)
                cache.updated |= told & cache.ids
            assert cache.ids == truth[kind], (seed, kind)
        now = {number: (str(sorted(row.mailbox_ids)), str(sorted(row.keywords))) for number, row in rows.items()}
        different = {number for number, row in now.items() if number in states and states[number] != row}
        assert different <= caches[pb.CHANGE_KIND_MESSAGE].updated
        states = now


async def test_changes_do_not_name_what_was_never_seen(store: Store) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    (shown,) = await file_in(store, owner, [6], mail())
    await give(store, owner, 6, (grantee, READ))
    cache = SeenCache(pb.CHANGE_KIND_MESSAGE, grantee=grantee)
    await cache.sync(store, owner, 1000)
    assert cache.ids == {shown}
    private = await file_new(store, owner, mail(), mail())
    await update(store, owner, pb.MessageUpdate(message_id=private[0], add_keywords=["$flagged"]))
    await update(store, owner, pb.MessageUpdate(message_id=private[1], destroy=True))
    await cache.sync(store, owner, 1000)
    assert (cache.ids, cache.updated) == ({shown}, set())
