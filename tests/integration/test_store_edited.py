"""Messages whose header a rule edited (RFC 5293): filed once, read as edited by every door, the body as it came; others see what came."""

from __future__ import annotations

import pytest
from tests.integration.arriving import accept, message
from tests.integration.conftest import Opener
from tests.integration.mailing import PREFIX, file, item, known, new_account, parts_of
from tests.integration.test_store_search import found, text

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_kit.ids import BlobId
from petitbleu_mail.structure import decode_meta
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.standard_mailboxes import TRASH
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.keyword_names import KeywordNames
from petitbleu_store.service.reading import one_message

HEAD = b"From: Bob <bob@example.org>\r\nSubject: marmotte\r\nX-Old: 1\r\n\r\n"
NEW = b"X-New: " + b"n" * 300 + b"\r\nFrom: Bob <bob@example.org>\r\nSubject: blaireau\r\n\r\n"
ATTACHED = b"From: Bob <bob@example.org>\r\nSubject: marmotte\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"


async def served(store: Store, account_id: int, message_id: int, offset: int = 0, length: int = 0) -> bytes:
    account = await known(store, account_id)
    return b"".join([piece async for piece in parts_of(store).cases.blobs.read(account, message_id, offset, length)])


async def row_of(store: Store, account_id: int, message_id: int) -> mailbox_pb2.Message:
    found = await one_message(store.core.pool, await known(store, account_id), message_id, KeywordNames())
    assert found is not None
    return found


async def blob_of(store: Store, blob_id: BlobId, account_id: int) -> bytes:
    """The blob as it was accepted, our trace lines included: read through an account that edits nothing."""
    (result,) = await file(store, item(blob_id, account_id))
    return (await served(store, account_id, result.message_id))[len(PREFIX) :]


def edit(blob_id: BlobId, account_id: int, blob: bytes, body: bytes, header: bytes = NEW) -> filing_pb2.FileItem:
    return item(blob_id, account_id, edited_header=header, edited_from=len(blob) - len(body))


@pytest.mark.parametrize("octets", [200, 3 << 20], ids=["small", "large"])
async def test_each_sees_its_own(store: Store, octets: int) -> None:
    mine, others = await new_account(store), await new_account(store)
    body = b"terrier " * (octets // 8) + b"\r\n"
    (blob_id,) = await accept(store, message(HEAD + body))
    blob = await blob_of(store, blob_id, others)
    assert blob.endswith(HEAD + body)
    (result,) = await file(store, edit(blob_id, mine, blob, body))
    expected = PREFIX + NEW + body
    whole = await served(store, mine, result.message_id)
    assert whole == expected
    for offset, length in (
        (0, 10),
        (5, len(PREFIX) + 20),
        (len(PREFIX) + 3, 4),
        (len(PREFIX) + len(NEW) - 2, 9),
        (len(whole) - 5, 0),
        (len(whole), 0),
    ):
        end = offset + length if length else None
        assert await served(store, mine, result.message_id, offset, length) == expected[offset:end]
    row = await row_of(store, mine, result.message_id)
    assert row.size == len(expected)
    meta = decode_meta(row.meta)
    assert meta.subject == "blaireau"
    assert whole[row.prefix_octets + meta.root.body_start : row.prefix_octets + meta.root.body_end] == body
    assert await found(store, mine, text("blaireau")) == [result.message_id]
    assert await found(store, mine, text("marmotte")) == []
    assert await found(store, mine, text("terrier")) == [result.message_id]
    findings = [one async for one in parts_of(store).verify(bodies=True)]
    assert [problem for one in findings for problem in one.findings] == []


async def test_it_is_filed_once_moved_deleted_and_brought_back_as_any(store: Store) -> None:
    mine, others = await new_account(store), await new_account(store)
    (blob_id,) = await accept(store, message(HEAD + b"x\r\n"))
    blob = await blob_of(store, blob_id, others)
    (one,) = await file(store, edit(blob_id, mine, blob, b"x\r\n"))
    (again,) = await file(store, edit(blob_id, mine, blob, b"x\r\n", b"Subject: other\r\n\r\n"))
    assert (again.status, again.message_id) == (filing_pb2.FILE_STATUS_FILED, one.message_id)
    assert await served(store, mine, one.message_id) == PREFIX + NEW + b"x\r\n"
    account = await known(store, mine)
    cases = parts_of(store).cases
    moved = mailbox_pb2.MessageUpdate(message_id=one.message_id, add_mailbox_ids=[TRASH], replace_mailboxes=True)
    for change in (moved, mailbox_pb2.MessageUpdate(message_id=one.message_id, destroy=True)):
        request = mailbox_pb2.UpdateMessagesRequest(account_id=mine, updates=[change])
        (result,) = (await cases.updates.update(account, request)).results
        assert result.status == mailbox_pb2.UPDATE_STATUS_OK
    (again,) = await file(store, edit(blob_id, mine, blob, b"x\r\n"))
    with pytest.raises(StoreError):
        await served(store, mine, one.message_id)


async def test_packed_and_read_from_s3(open_store: Opener) -> None:
    async with open_store(seal_octets=1) as store:
        mine, others = await new_account(store), await new_account(store)
        (blob_id,) = await accept(store, message(HEAD + b"x" * 100_000))
        blob = await blob_of(store, blob_id, others)
        (result,) = await file(store, edit(blob_id, mine, blob, b"x" * 100_000))
        await store.packer.pack_now()
        assert await served(store, mine, result.message_id) == PREFIX + NEW + b"x" * 100_000


async def test_nothing_is_edited_for_a_guarded_account_and_no_header_is_longer_than_its_message(store: Store) -> None:
    mine, others = await new_account(store), await new_account(store)
    (blob_id,) = await accept(store, message(HEAD + b"x\r\n"))
    blob = await blob_of(store, blob_id, others)
    for header, taken in ((NEW, len(blob) + 1), (NEW, 0), (NEW, -1), (b"x" * (1 << 20) + b"y", 5)):
        with pytest.raises(StoreError) as refused:
            await file(store, item(blob_id, mine, edited_header=header, edited_from=taken))
        assert refused.value.problem is Problem.INVALID
    child = await new_account(store, guarded=True)
    held = await file(store, edit(blob_id, child, blob, b"x\r\n"))
    assert [one.status for one in held] == [filing_pb2.FILE_STATUS_DECISION_REQUIRED]


async def test_parts_of_an_edited_message_are_where_its_structure_says(store: Store) -> None:
    mine, others = await new_account(store), await new_account(store)
    body = b"--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nPDF\r\n--b--\r\n"
    (blob_id,) = await accept(store, message(ATTACHED + body))
    blob = await blob_of(store, blob_id, others)
    header = b"X-A: 1\r\n" + ATTACHED
    (result,) = await file(store, edit(blob_id, mine, blob, body, header))
    whole = await served(store, mine, result.message_id)
    row = await row_of(store, mine, result.message_id)
    part = decode_meta(row.meta).root.parts[1]
    assert whole[row.prefix_octets + part.body_start : row.prefix_octets + part.body_end] == b"PDF"
