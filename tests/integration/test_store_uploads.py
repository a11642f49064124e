"""Uploads against a real PostgreSQL and S3: kept sealed, found, read by range, and let go of by room, by age and with the account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from tests.integration.arriving import findings, text
from tests.integration.conftest import Opener
from tests.integration.mailing import known, mail, new_account, parts_of
from tests.integration.test_store_grpc import Door, door
from tests.integration.test_store_reads import PEOPLE, Sign, principal

from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc, uploads_pb2, uploads_pb2_grpc
from petitbleu_kit.ids import partition_of_account
from petitbleu_store.adapters.s3 import blob_name
from petitbleu_store.bootstrap import Store
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.uploads import Upload

__all__ = ["door", "principal"]
LARGE = 900_000


async def pieces(data: bytes, step: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]


async def keep(store: Store, account_id: int, data: bytes) -> Upload:
    return await parts_of(store).uploads.add(await known(store, account_id), pieces(data))


async def read(store: Store, account_id: int, upload_id: int, offset: int = 0, length: int = 0) -> bytes:
    found = parts_of(store).uploads.read(await known(store, account_id), upload_id, offset, length)
    return b"".join([piece async for piece in found])


async def there(store: Store, account_id: int, *uploads: Upload) -> list[Upload]:
    return await parts_of(store).uploads.find(await known(store, account_id), [one.upload_id for one in uploads])


async def rows(store: Store, table: str) -> list[Any]:
    return await store.core.cold.fetch(f"/* cold:test */ SELECT * FROM {table}")


async def swept(store: Store) -> None:
    await store.core.staging.sweep(store.core.settings.staged_seconds)


@pytest.mark.parametrize("octets", [0, 1, 70_000, LARGE])
async def test_an_upload_comes_back_whole_and_by_range(store: Store, octets: int) -> None:
    account_id = await new_account(store)
    data = text(octets)
    upload = await keep(store, account_id, data)
    assert upload.size == octets
    assert await there(store, account_id, upload) == [upload]
    assert await read(store, account_id, upload.upload_id) == data
    for offset, length in ((0, 5), (octets // 2, 66_000), (max(octets - 3, 0), 0), (octets + 5, 10)):
        expected = data[offset : offset + length] if length else data[offset:]
        assert await read(store, account_id, upload.upload_id, offset, length) == expected
    assert await rows(store, "staged") == []
    assert await findings(store) == []


async def test_nothing_of_an_upload_is_in_clear(store: Store) -> None:
    account_id = await new_account(store)
    data = b"the secret of the upload " * 100
    await keep(store, account_id, data)
    await keep(store, account_id, data * 400 + text(LARGE))
    small, large = sorted(await rows(store, "upload"), key=lambda row: row["upload_id"])
    assert small["partition"] == large["partition"] == partition_of_account(account_id)
    assert b"secret" not in small["body"]
    assert large["body"] is None
    sealed = await store.core.objects.get(blob_name(large["blob_id"]), 0, large["octets"])
    assert b"secret" not in sealed
    assert await rows(store, "blob_place") == []


async def test_uploads_are_their_account_s_only(store: Store) -> None:
    ours, theirs = await new_account(store), await new_account(store)
    upload = await keep(store, ours, b"x")
    assert await there(store, theirs, upload) == []
    with pytest.raises(StoreError) as error:
        await read(store, theirs, upload.upload_id)
    assert error.value.problem is Problem.NOT_FOUND


async def test_rfc8620_6_the_oldest_make_room(open_store: Opener) -> None:
    async with open_store(upload_quota_octets=2_000_000, upload_quota_count=64) as store:
        account_id = await new_account(store)
        first, *rest = [await keep(store, account_id, text(LARGE, seed)) for seed in range(3)]
        assert await there(store, account_id, first, *rest) == rest
        (left,) = await rows(store, "staged")
        assert await store.core.objects.size(blob_name(left["blob_id"])) is not None
        await swept(store)
        assert await store.core.objects.size(blob_name(left["blob_id"])) is None
        assert await rows(store, "staged") == []
        # one that has no room at all beside others is kept all the same
        alone = await keep(store, account_id, text(2_500_000))
        assert await there(store, account_id, *rest, alone) == [alone]
        small = [await keep(store, account_id, b"x") for _ in range(70)]
        assert len(await there(store, account_id, alone, *small)) == 64


async def test_uploads_end_after_some_days(store: Store) -> None:
    account_id = await new_account(store)
    old = [await keep(store, account_id, data) for data in (b"small", text(LARGE))]
    await store.core.cold.execute("/* cold:test */ UPDATE upload SET created_at = now() - interval '73 hours'")
    fresh = await keep(store, account_id, b"fresh")
    assert await parts_of(store).uploads.sweep() == 2
    assert await there(store, account_id, *old, fresh) == [fresh]
    (left,) = await rows(store, "staged")
    await swept(store)
    assert await store.core.objects.size(blob_name(left["blob_id"])) is None


async def test_an_erased_account_keeps_no_upload(store: Store) -> None:
    account_id = await new_account(store)
    for data in (b"small", text(LARGE)):
        await keep(store, account_id, data)
    account = await known(store, account_id)
    await parts_of(store).erasure.erase(account_id)
    assert await rows(store, "upload") == []
    await swept(store)
    assert await rows(store, "staged") == []
    # who still remembers the account writes nothing for it
    with pytest.raises(StoreError) as error:
        await parts_of(store).uploads.add(account, pieces(b"late"))
    assert error.value.problem is Problem.NOT_FOUND
    assert await rows(store, "upload") == []


async def test_an_upload_that_breaks_off_or_is_too_large_leaves_nothing(open_store: Opener) -> None:
    async with open_store(max_body_octets=1_000_000) as store:
        account = await known(store, await new_account(store))

        async def cut() -> AsyncIterator[bytes]:
            yield text(LARGE)
            raise StoreError(Problem.INVALID, "the upload does not end")

        for source in (cut(), pieces(text(1_100_000))):
            with pytest.raises(StoreError) as error:
                await parts_of(store).uploads.add(account, source)
            assert error.value.problem is Problem.INVALID
        assert await rows(store, "upload") == await rows(store, "staged") == []
        assert list((store.core.settings.spool() / "uploads").glob("*")) == []


async def test_an_upload_whose_object_is_gone_is_not_there(store: Store) -> None:
    account_id = await new_account(store)
    upload = await keep(store, account_id, text(LARGE))
    (row,) = await rows(store, "upload")
    await store.core.objects.delete(blob_name(row["blob_id"]))
    with pytest.raises(StoreError) as error:
        await read(store, account_id, upload.upload_id)
    assert error.value.problem is Problem.NOT_FOUND


async def test_an_import_says_that_the_message_was_there_and_keeps_to_a_state(store: Store) -> None:
    account_id = await new_account(store)
    imports = parts_of(store).cases.imports
    request = mailbox_pb2.ImportMessageRequest(body=mail(), mailbox_ids=[1], idempotency_key=b"k" * 32)
    first = await imports.add(await known(store, account_id), request)
    assert (first.status, first.existed) == (mailbox_pb2.UPDATE_STATUS_OK, False)
    again = await imports.add(await known(store, account_id), request)
    assert (again.existed, again.message.message_id) == (True, first.message.message_id)
    assert again.old_modseq == again.new_modseq == first.new_modseq
    for key in (b"k" * 32, b"l" * 32):
        other = mailbox_pb2.ImportMessageRequest(
            body=mail(), mailbox_ids=[1], idempotency_key=key, if_modseq=first.new_modseq + 7
        )
        with pytest.raises(StoreError) as error:
            await imports.add(await known(store, account_id), other)
        assert error.value.problem is Problem.STATE_MISMATCH
    right = mailbox_pb2.ImportMessageRequest(
        body=mail(), mailbox_ids=[1], idempotency_key=b"m" * 32, if_modseq=first.new_modseq
    )
    made = await imports.add(await known(store, account_id), right)
    assert (made.status, made.existed) == (mailbox_pb2.UPDATE_STATUS_OK, False)


async def test_uploads_behind_the_door(door: Door, principal: Sign) -> None:
    accounts, gateway = door.peer("accounts"), door.peer("gateway")
    made = mailbox_pb2.CreateAccountsRequest(
        accounts=[mailbox_pb2.NewStoreAccount(account_id=one, tenant_id=tenant) for one, tenant in PEOPLE.items()]
    )
    await accounts.call(mailbox_pb2_grpc.AccountServiceStub(accounts.channel).CreateAccounts, made, timeout=20)
    stub = uploads_pb2_grpc.UploadServiceStub(gateway.channel)

    async def parts(
        account_id: int, *data: bytes, octets: int | None = None
    ) -> AsyncIterator[uploads_pb2.UploadRequest]:
        yield uploads_pb2.UploadRequest(header=uploads_pb2.UploadHeader(account_id=account_id))
        for piece in data:
            yield uploads_pb2.UploadRequest(data=piece)
        if octets is not None:
            yield uploads_pb2.UploadRequest(end=uploads_pb2.UploadEnd(octets=octets))

    def ours() -> list[tuple[str, str]]:
        return gateway.metadata(principal(901))

    kept = (await stub.Upload(parts(901, b"ab", b"c", octets=3), timeout=20, metadata=ours())).upload
    assert kept.size == 3
    asked = uploads_pb2.GetUploadsRequest(account_id=901, upload_ids=[5, kept.upload_id])
    assert list((await stub.GetUploads(asked, timeout=20, metadata=ours())).uploads) == [kept]
    wanted = uploads_pb2.ReadUploadRequest(account_id=901, upload_id=kept.upload_id, offset=1)
    assert b"".join([one.data async for one in stub.ReadUpload(wanted, timeout=20, metadata=ours())]) == b"bc"
    for source, metadata, code in [
        (parts(902, b"x", octets=1), ours(), grpc.StatusCode.PERMISSION_DENIED),
        (parts(901, b"x"), ours(), grpc.StatusCode.INVALID_ARGUMENT),
        (parts(901, b"x", octets=2), ours(), grpc.StatusCode.INVALID_ARGUMENT),
        (parts(901, b"x", octets=1), gateway.metadata(), grpc.StatusCode.UNAUTHENTICATED),
        (parts(901, b"x", octets=1), door.peer("ingest").metadata(principal(901)), grpc.StatusCode.PERMISSION_DENIED),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Upload(source, timeout=20, metadata=metadata)
        assert error.value.code() == code
    status = await stub.GetUploads(asked, timeout=20, metadata=ours())
    assert len(status.uploads) == 1
