"""The index mends itself: emptied, killed in the midst, worked on by many, met by mail that ends its readers."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest
from tests.integration.conftest import Opener
from tests.integration.letters import letter
from tests.integration.mailing import file_new, known, new_account, parts_of, update
from tests.integration.test_store_search import found, text
from tests.integration.test_store_search import letter as plain

from petitbleu.store.v1 import mailbox_pb2, removed_pb2
from petitbleu_store.adapters import search_rows
from petitbleu_store.adapters.mail_reader.process import MailReader, ReaderError
from petitbleu_store.adapters.mail_reader.requests import Answer, Match, Request, Terms
from petitbleu_store.bootstrap import Store
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import text_search

EMPTY = "/* cold:test */ TRUNCATE search_entry, search_account, search_again"


async def entries(store: Store) -> int:
    return await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM search_entry")  # type: ignore[no-any-return]


async def test_an_emptied_index_is_built_anew_by_the_next_search(store: Store) -> None:
    account_id = await new_account(store)
    ids = await file_new(store, account_id, plain("un", "marmotte"), plain("deux", "blaireau"))
    assert await found(store, account_id, text("marmotte")) == ids[:1]
    await store.core.cold.execute(EMPTY)
    assert await found(store, account_id, text("marmotte")) == ids[:1]
    assert await entries(store) == 2


async def test_rows_that_are_missing_are_noticed_and_made_again(store: Store) -> None:
    account_id = await new_account(store)
    (one, _) = await file_new(store, account_id, plain("un", "marmotte"), plain("deux", "blaireau"))
    assert await found(store, account_id, text("marmotte")) == [one]
    await store.core.cold.execute("/* cold:test */ DELETE FROM search_entry WHERE message_id = $1", one)
    index = parts_of(store).search.index
    assert await index.check((await known(store, account_id)).partition) == 1
    assert await found(store, account_id, text("marmotte")) == [one]
    assert await entries(store) == 2
    assert await index.check((await known(store, account_id)).partition) == 0


async def test_new_mail_is_indexed_without_a_search_and_a_sweep_finds_what_nobody_remembers(
    open_store: Opener,
) -> None:
    async with open_store(search_idle_seconds=0) as store:
        account_id = await new_account(store)
        await file_new(store, account_id, plain("un", "marmotte"))
        index = parts_of(store).search.index
        while index.waiting:
            await index.turn()
        assert await entries(store) == 1
        await store.core.cold.execute(EMPTY)
        await index.turn()
        assert await entries(store) == 0
        await index.sweep()
        await index.turn()
        assert await entries(store) == 1


async def test_mail_that_keeps_coming_does_not_keep_the_index_from_its_work(open_store: Opener) -> None:
    async with open_store(search_idle_seconds=1e9) as store:
        account_id = await new_account(store)
        await file_new(store, account_id, plain("un", "marmotte"))
        index = parts_of(store).search.index
        await index.turn()
        assert await entries(store) == 0, "mail comes first"
        index.patience = 0.0
        await index.turn()
        assert await entries(store) == 1


async def test_many_replicas_index_one_account_once(open_store: Opener) -> None:
    async with open_store() as first, open_store() as second:
        account_id = await new_account(first)
        chooser = random.Random(1)
        ids = await file_new(first, account_id, *[letter(chooser) for _ in range(80)])
        account = await known(first, account_id)
        await asyncio.gather(*[parts_of(one).search.index.catch_up(account, 20) for one in (first, second) * 3])
        for one in (first, second):
            assert set(await found(one, account_id, text(""))) == set(ids)
        assert await entries(first) == 80


async def test_a_process_that_is_killed_leaves_its_work_to_others(open_store: Opener) -> None:
    async with open_store() as first, open_store() as second:
        account_id = await new_account(first)
        (one,) = await file_new(first, account_id, plain("un", "marmotte"))
        account = await known(first, account_id)
        # The first has the lease and is gone.
        assert await search_rows.claim(first.core.pool, account.partition, account_id) is not None
        assert await found(second, account_id, text("marmotte")) == [one], "what is not indexed is read"
        assert await entries(second) == 0
        past = "/* cold:test */ UPDATE search_account SET leased_until = now() - interval '1 second'"
        await first.core.cold.execute(past)
        assert await found(second, account_id, text("marmotte")) == [one]
        assert await entries(second) == 1


async def test_too_much_that_is_not_indexed_is_an_honest_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = await new_account(store)
    await file_new(store, account_id, *[plain("un", "marmotte") for _ in range(3)])
    account = await known(store, account_id)
    assert await search_rows.claim(store.core.pool, account.partition, account_id) is not None
    monkeypatch.setattr(text_search, "MAX_OPEN", 2)
    with pytest.raises(StoreError) as error:
        await found(store, account_id, text("marmotte"))
    assert error.value.problem is Problem.AWAY


async def test_readers_that_are_killed_are_replaced(store: Store) -> None:
    account_id = await new_account(store)
    (one,) = await file_new(store, account_id, plain("un", "marmotte des neiges"))
    assert await found(store, account_id, text('"marmotte des"')) == [one]
    reader = parts_of(store).search.reader
    assert reader.pid is not None
    os.kill(reader.pid, signal.SIGKILL)
    (two,) = await file_new(store, account_id, plain("un", "marmotte des bois"))
    assert await found(store, account_id, text('"marmotte des"')) == [two, one]
    assert await entries(store) == 2


async def test_a_reader_that_nobody_needs_ends(store: Store) -> None:
    account_id = await new_account(store)
    await file_new(store, account_id, plain("un", "marmotte"))
    reader = parts_of(store).search.reader
    pids = [reader.pid]
    assert await found(store, account_id, text("marmotte"))
    for seconds in (60, 0):
        await reader.rest(seconds)
        pids.append(reader.pid)
    assert [pid is None for pid in pids] == [True, False, True], "it is there while it is needed"
    assert await found(store, account_id, text('"marmotte"'))


class _Squeamish(MailReader):
    """Ends at messages that hold a mark, as one does that meets its match."""

    async def ask(self, request: Request) -> Answer:
        if isinstance(request, Terms | Match) and any(b"POISON" in (mail.blob or b"") for mail in request.mails):
            raise ReaderError("ended")
        return await super().ask(request)


async def test_a_message_that_ends_its_readers_is_found_by_its_header_and_is_in_nobodys_way(store: Store) -> None:
    account_id = await new_account(store)
    ids = await file_new(
        store,
        account_id,
        plain("avant", "marmotte"),
        plain("poison bleu", "POISON marmotte"),
        plain("apres", "marmotte"),
    )
    index = parts_of(store).search.index
    index.hasty = _Squeamish(0)
    try:
        assert set(await found(store, account_id, text("marmotte"))) == {ids[0], ids[2]}
        assert await found(store, account_id, text("bleu")) == [ids[1]]
    finally:
        await index.hasty.close()
    squeamish = _Squeamish(0)
    texts = parts_of(store).search.texts
    texts.reader = squeamish
    try:
        assert set(await found(store, account_id, text('"marmotte"'))) == {ids[0], ids[2]}
        assert await found(store, account_id, text('"poison bleu"')) == [ids[1]]
    finally:
        await squeamish.close()
    states = await store.core.cold.fetch("/* cold:test */ SELECT state FROM search_entry ORDER BY message_id")
    assert [row["state"] for row in states] == [0, 1, 0]


async def test_what_is_deleted_leaves_the_index_and_what_comes_back_returns_to_it(store: Store) -> None:
    account_id = await new_account(store)
    one, two = await file_new(store, account_id, plain("un", "marmotte"), plain("deux", "marmotte"))
    assert set(await found(store, account_id, text("marmotte"))) == {one, two}
    await update(store, account_id, mailbox_pb2.MessageUpdate(message_id=one, destroy=True))
    assert await entries(store) == 1
    assert await found(store, account_id, text("marmotte")) == [two]
    request = removed_pb2.RestoreMessagesRequest(
        account_id=account_id, restorations=[removed_pb2.Restoration(message_id=one)]
    )
    await parts_of(store).cases.restoring.messages(await known(store, account_id), request)
    assert set(await found(store, account_id, text("marmotte"))) == {one, two}
    assert await entries(store) == 2


async def test_an_account_that_is_erased_leaves_nothing(store: Store) -> None:
    account_id = await new_account(store)
    await file_new(store, account_id, plain("un", "marmotte"))
    assert await found(store, account_id, text("marmotte"))
    await parts_of(store).erasure.erase(account_id)
    for table in ("search_entry", "search_account", "search_again"):
        assert await store.core.cold.fetchval(f"/* cold:test */ SELECT count(*) FROM {table}") == 0
