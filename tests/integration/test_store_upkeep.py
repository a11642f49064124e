"""Verification, rotation, compaction, erasure and Trace against a real PostgreSQL and S3."""

from __future__ import annotations

import base64
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.integration.arriving import TRACE, accept, body_of, findings, message, settle, text
from tests.integration.conftest import Opener

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_store.adapters.keyring import FileKeyEncryption
from petitbleu_store.adapters.s3 import segment_name
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.outcome import Outcome
from petitbleu_store.errors import StoreError
from petitbleu_store.service.housekeeping import Housekeeping
from petitbleu_store.service.parked import ParkedRecipients
from petitbleu_store.service.status import status
from petitbleu_store.service.trace import Trace


async def packed(store: Store, count: int = 20, octets: int = 3000) -> dict[BlobId, bytes]:
    bodies = [text(octets, number) for number in range(count)]
    ids = await accept(store, *(message(body) for body in bodies))
    await store.packer.pack_now()
    return dict(zip(ids, bodies, strict=True))


async def the_segment(store: Store) -> Any:
    return await store.core.cold.fetchrow("/* cold:test */ SELECT * FROM segment WHERE state = 'live'")


async def test_verification_finds_a_flipped_octet_in_a_segment(store: Store) -> None:
    await packed(store)
    assert await findings(store) == []
    segment = await the_segment(store)
    name = segment_name(segment["segment_id"])
    data = bytearray(await store.core.objects.get(name, 0, segment["octets"]))
    data[len(data) // 2] ^= 0x10
    await store.core.objects.put(name, data)
    found = await findings(store)
    assert f"segment {segment['segment_id']}: its octets changed" in found
    assert any(one.startswith("blob ") and "does not open" in one for one in found)
    assert await findings(store, bodies=False) == []
    await store.core.objects.put(name, data[:-1])
    assert any("wrong length" in one for one in await findings(store, bodies=False))
    await store.core.objects.delete(name)
    assert any("its object is missing" in one for one in await findings(store, bodies=False))


async def test_verification_finds_a_flipped_octet_in_a_hot_table(store: Store) -> None:
    (blob_id,) = await accept(store, message(text(3000)))
    await store.core.cold.execute(
        "/* cold:test */ UPDATE hot_00 SET body = set_byte(body, 900, get_byte(body, 900) # 1)"
    )
    assert await findings(store) == [f"blob {blob_id}: its body does not open"]


async def test_verification_finds_a_missing_row(store: Store) -> None:
    sent = await packed(store)
    (victim, other) = list(sent)[:2]
    await store.core.cold.execute("/* cold:test */ DELETE FROM blob_place WHERE blob_id = $1", victim)
    await store.core.cold.execute("/* cold:test */ DELETE FROM recipient WHERE accepted_id = $1", other)
    found = await findings(store, bodies=False)
    assert f"blob {victim}: its body is missing" in found
    assert any("do not add up" in one for one in found)
    assert f"accepted {other}: it has no recipient" in found
    await store.core.cold.execute("/* cold:test */ DELETE FROM segment")
    assert any("is unknown" in one for one in await findings(store, bodies=False))


async def test_verification_finds_a_missing_large_object(store: Store) -> None:
    (blob_id,) = await accept(store, message(os.urandom(300_000)))
    assert await findings(store) == []
    await store.core.objects.delete(f"blob/{blob_id.hex[-3:]}/{blob_id.hex}")
    assert f"blob {blob_id}: its object is missing" in await findings(store, bodies=False)


async def test_keys_are_rotated_and_the_old_key_may_go(open_store: Opener, tmp_path: Path) -> None:
    file = tmp_path / "kek.json"
    keys = {"1": base64.b64encode(secrets.token_bytes(32)).decode()}
    file.write_text(json.dumps({"active": "1", "keys": keys}))
    body = text(900)
    async with open_store(kek_file=file) as store:
        (blob_id,) = await accept(store, message(body))
        keys["2"] = base64.b64encode(secrets.token_bytes(32)).decode()
        file.write_text(json.dumps({"active": "2", "keys": keys}))
        assert isinstance(store.key_encryption, FileKeyEncryption)
        store.key_encryption.reload()
        assert await store.core.intake.rotate() == 2
        assert await store.core.intake.rotate() == 0
        hashed = store.core.intake.address_hash.of("zoe@demo.test")
    del keys["1"]
    file.write_text(json.dumps({"active": "2", "keys": keys}))
    async with open_store(kek_file=file) as store:
        assert await body_of(store, blob_id) == TRACE + body
        assert store.core.intake.address_hash.of("ZOE@demo.test") == hashed


async def release(store: Store, *ids: BlobId) -> None:
    await store.core.cold.execute(
        "/* cold:test */ INSERT INTO blob_release (partition, blob_id) SELECT * FROM unnest($1::smallint[], $2::uuid[])",
        [partition_of_blob(one) for one in ids], ids,
    )  # fmt: skip


async def test_dead_space_is_rewritten_and_deleted_when_backups_expired(open_store: Opener) -> None:
    async with open_store(segment_retention_days=0.0, compact_dead_percent=30) as store:
        sent = await packed(store, 20)
        old = await the_segment(store)
        gone, kept = list(sent)[:8], list(sent)[8:]
        for blob_id in gone:
            await settle(store, blob_id, Outcome.DISCARDED)
        await release(store, *gone, kept[0])  # kept[0] is open: it stays on the list
        done = await store.compaction.compact()
        assert (done.rewritten, done.deleted) == (1, 1)
        assert done.freed_octets == old["octets"]
        new = await the_segment(store)
        assert new["segment_id"] != old["segment_id"]
        assert old["octets"] > new["octets"] == new["live_octets"]
        assert await store.core.objects.size(segment_name(old["segment_id"])) is None
        for blob_id in kept:
            assert await body_of(store, blob_id) == TRACE + sent[blob_id]
        assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM blob_place") == 12
        assert [
            row["blob_id"] for row in await store.core.cold.fetch("/* cold:test */ SELECT blob_id FROM blob_release")
        ] == [kept[0]]
        assert await findings(store) == []


async def file_all(store: Store, ids: list[BlobId], account: int) -> None:
    request = filing_pb2.FileRequest(
        items=[
            filing_pb2.FileItem(
                recipient=filing_pb2.RecipientRef(accepted_id=blob_id.bytes, recipient_no=0),
                account_id=account,
                sole=True,
            )
            for blob_id in ids
        ]
    )
    results = (await store.mailboxes.file(request)).results
    assert {result.status for result in results} == {filing_pb2.FILE_STATUS_FILED}
    for blob_id in ids:
        await settle(store, blob_id, Outcome.FILED, account)


@pytest.mark.parametrize("filed_first", [True, False])
async def test_what_an_account_has_is_alive_until_the_account_is_erased(open_store: Opener, filed_first: bool) -> None:
    account = 4_800_000_000_000_001
    async with open_store(segment_retention_days=0.0) as store:
        parts: Any = store.mailboxes
        await parts.accounts.create([mailbox_pb2.NewStoreAccount(account_id=account, tenant_id=7, language="en")])
        bodies = [text(3000, number) for number in range(6)]
        ids = await accept(store, *(message(body) for body in bodies))
        # Packed before or after it was filed: in the first case its recipients' rows tell whose it is.
        if filed_first:
            await file_all(store, ids[:5], account)
        await store.packer.pack_now()
        if not filed_first:
            await file_all(store, ids[:5], account)
        await settle(store, ids[5], Outcome.DISCARDED)
        await release(store, *ids)
        assert await store.compaction.bury() == 1
        assert set(await store.core.bodies.places(store.core.cold, ids)) == set(ids[:5])
        assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM blob_release") == 0
        segment = await the_segment(store)
        assert segment["live_octets"] < segment["octets"]
        assert await findings(store) == []
        await parts.erasure.erase(account)
        while await parts.erasure.resume():
            pass
        assert (await store.compaction.compact()).deleted == 1
        assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM blob_place") == 0
        assert await store.core.objects.size(segment_name(segment["segment_id"])) is None
        assert await findings(store) == []


async def test_a_dead_object_of_its_own_waits_for_the_backups(open_store: Opener) -> None:
    async with open_store() as store:
        (blob_id,) = await accept(store, message(os.urandom(300_000)))
        await settle(store, blob_id, Outcome.DISCARDED)
        await release(store, blob_id)
        await store.compaction.compact()
        name = f"blob/{blob_id.hex[-3:]}/{blob_id.hex}"
        assert await store.core.objects.size(name) is not None
        assert await store.core.bodies.places(store.core.cold, [blob_id]) == {}
    async with open_store(segment_retention_days=0.0) as store:
        assert (await store.compaction.compact()).deleted == 1
        assert await store.core.objects.size(name) is None


async def test_old_settled_mail_is_pruned_and_its_owner_remembered(store: Store) -> None:
    sent = await packed(store, 3)
    filed, discarded, opened = sent
    await settle(store, filed, Outcome.FILED, 17)
    await settle(store, discarded, Outcome.DISCARDED)
    await store.core.cold.execute("/* cold:test */ UPDATE accepted SET received_at = now() - interval '31 days'")
    assert await Housekeeping(store.core, store.staging).prune_accepted() == 2
    rows = await store.core.cold.fetch("/* cold:test */ SELECT accepted_id FROM accepted")
    assert [row["accepted_id"] for row in rows] == [opened]
    owner = await store.core.cold.fetchval(
        "/* cold:test */ SELECT account_ids FROM blob_place WHERE blob_id = $1", filed
    )
    assert owner == [17]
    released = await store.core.cold.fetch("/* cold:test */ SELECT blob_id FROM blob_release")
    assert [row["blob_id"] for row in released] == [discarded]
    assert await store.compaction.bury() == 1


async def test_a_damaged_segment_is_not_rewritten_as_if_it_were_whole(open_store: Opener) -> None:
    async with open_store(compact_dead_percent=30) as store:
        sent = await packed(store, 20)
        segment = await the_segment(store)
        name = segment_name(segment["segment_id"])
        gone = list(sent)[:8]
        for blob_id in gone:
            await settle(store, blob_id, Outcome.DISCARDED)
        await release(store, *gone)
        data = await store.core.objects.get(name, 0, segment["octets"])
        await store.core.objects.put(name, data[:-1])
        assert (await store.compaction.compact()).rewritten == 0
        assert any("wrong length" in one for one in await findings(store, bodies=False))
        await store.core.objects.put(name, data)
        assert (await store.compaction.compact()).rewritten == 1
        assert await findings(store) == []


async def test_verification_finds_open_mail_whose_key_is_lost(store: Store) -> None:
    (blob_id,) = await accept(store, message(text(3000)))
    await store.core.cold.execute("/* cold:test */ UPDATE accepted SET wrapped_key = set_byte(wrapped_key, 20, 0)")
    await store.core.cold.execute("/* cold:test */ UPDATE accepted SET wrapped_key = set_byte(wrapped_key, 21, 0)")
    store.core.intake._known.clear()
    assert f"accepted {blob_id}: it does not open" in await findings(store)


async def test_trace_tells_what_became_of_a_mail_and_is_audited(store: Store) -> None:
    (first, second) = await accept(store, message(to=("a@demo.test", "b@demo.test")), message(to=("b@demo.test",)))
    await settle(store, first, Outcome.FILED, 21, number=1)
    trace = Trace(store.core)
    since = datetime.fromtimestamp(0, UTC)
    stories = await trace.look(
        caller="operator", sender="bob@example.ORG", recipient="B@demo.test", since=since, limit=10
    )
    assert {(one.accepted_id, one.recipient_no, one.outcome) for one in stories} == {(first, 1, 2), (second, 0, 1)}
    assert await trace.look(caller="operator", sender="x@example.org", recipient="", since=since, limit=10) == []
    with pytest.raises(StoreError):
        await trace.look(caller="operator", sender="", recipient="", since=since, limit=10)
    audit = await store.core.cold.fetch("/* cold:test */ SELECT * FROM audit ORDER BY looked_at")
    assert [(row["caller"], row["found"]) for row in audit] == [("operator", 2), ("operator", 0)]
    assert not any("example" in str(value) for row in audit for value in row.values())


async def test_parked_recipients_are_listed_by_pages_and_dropped(store: Store) -> None:
    ids = await accept(store, *(message(text(200, number)) for number in range(7)))
    for blob_id in ids:
        await settle(store, blob_id, Outcome.PARKED, reason="loop")
    parked = ParkedRecipients(store.core)
    seen = []
    token = ""
    while True:
        page, token = await parked.list_page(token, 3)
        seen += [one.accepted_id for one in page]
        if not token:
            break
    assert sorted(seen) == sorted(ids)
    with pytest.raises(StoreError):
        await parked.list_page("zz", 3)
    assert await parked.drop([(ids[0], 0), (ids[1], 0), (ids[1], 1)]) == 2
    assert await parked.replay([(ids[0], 0), (ids[2], 0)]) == 1
    counts = await status(store.core)
    assert (counts.open_recipients, counts.parked_recipients, counts.hot_bodies) == (1, 4, 7)
