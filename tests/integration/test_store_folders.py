"""Mail filed where a rule says, by names and roles, against a real PostgreSQL."""

from __future__ import annotations

import asyncio

from tests.integration import mailing
from tests.integration.arriving import accept, message
from tests.integration.mailing import faults, file, file_new, item, mail, mailboxes, new_account, parts_of

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, INBOX, JUNK


def folder(path: str, role: str = "", *, create: bool = False, mailbox_id: int = 0) -> filing_pb2.FileFolder:
    return filing_pb2.FileFolder(path=path, role=role, create=create, mailbox_id=mailbox_id)


async def made(store: Store, account_id: int, *names: str) -> int:
    """Make mailboxes within each other; return the innermost."""
    parent = 0
    for name in names:
        request = mailbox_pb2.UpdateMailboxesRequest(account_id=account_id)
        request.updates.add(name=name, parent_id=parent)
        account = await mailing.known(store, account_id)
        (parent,) = (await parts_of(store).cases.mailboxes.update(account, request)).mailbox_ids
    return parent


async def places(
    store: Store, account_id: int, *folders: filing_pb2.FileFolder, roles: tuple[str, ...] = ()
) -> set[int]:
    """File a message there; return where it is."""
    (message_id,) = await file_new(store, account_id, mail(), folders=folders, mailbox_roles=roles)
    found = await mailing.messages(store, account_id, [message_id])
    return set(found[message_id].mailbox_ids)


async def test_rfc5228_4_1_a_mailbox_is_found_by_its_path(store: Store) -> None:
    account_id = await new_account(store)
    inner = await made(store, account_id, "Travail", "Été")
    assert await places(store, account_id, folder("Travail/Été")) == {inner}
    # one that is not there: the inbox, as if nothing had been said
    assert await places(store, account_id, folder("Travail/Hiver")) == {INBOX}
    assert await places(store, account_id, folder("été")) == {INBOX}
    assert await places(store, account_id, folder("a//b"), folder("x" * 300)) == {INBOX}
    assert await places(store, account_id, folder("Travail/Hiver"), folder("Travail/Été"), roles=("junk",)) == {
        inner,
        JUNK,
    }
    # the inbox in any case, and a role's own name, whatever the language calls it
    assert await places(store, account_id, folder("inBox")) == {INBOX}
    assert await places(store, account_id, folder("Junk")) == {JUNK}
    assert await places(store, account_id, folder("Indésirables")) == {JUNK}
    assert await faults(store) == []


async def test_rfc8579_4_a_role_goes_before_the_name(store: Store) -> None:
    account_id = await new_account(store)
    work = await made(store, account_id, "Work")
    assert await places(store, account_id, folder("Work", "archive")) == {ARCHIVE}
    assert await places(store, account_id, folder("Work", "important")) == {work}
    assert await places(store, account_id, folder("Work", "nonsense", create=True)) == {work}


async def test_rfc9042_4_a_mailbox_is_found_by_its_id_whatever_it_is_called(store: Store) -> None:
    account_id = await new_account(store)
    work, other = await made(store, account_id, "Work"), await made(store, account_id, "Other")
    assert await places(store, account_id, folder("Other", mailbox_id=work)) == {work}
    assert await places(store, account_id, folder("gone", mailbox_id=work)) == {work}
    # one that is not there, any more or at all: the name
    assert await places(store, account_id, folder("Other", mailbox_id=other + 1000)) == {other}
    assert await places(store, account_id, folder("gone", mailbox_id=other + 1000)) == {INBOX}
    assert await places(store, account_id, folder("gone", create=True, mailbox_id=work)) == {work}
    assert {box.name for box in (await mailboxes(store, account_id)).values()}.isdisjoint({"gone"})


async def test_rfc5490_3_2_what_is_missing_is_made_once(store: Store) -> None:
    account_id = await new_account(store)
    outer = await made(store, account_id, "Lists")
    ids = await accept(store, *[message(mail()) for _ in range(4)])
    wanted = [folder("Lists/python/dev", create=True)]
    done = await asyncio.gather(*(file(store, item(blob_id, account_id, folders=wanted)) for blob_id in ids))
    assert [result.status for (result,) in done] == [filing_pb2.FILE_STATUS_FILED] * 4
    boxes = await mailboxes(store, account_id)
    (dev,) = [box for box in boxes.values() if box.name == "dev"]
    (python,) = [box for box in boxes.values() if box.name == "python"]
    assert (dev.parent_id, python.parent_id, dev.subscribed) == (python.mailbox_id, outer, True)
    assert (dev.total_messages, boxes[INBOX].total_messages) == (4, 0)
    # again: nothing changes
    (again,) = await file(store, item(ids[0], account_id, folders=wanted))
    assert again.message_id == done[0][0].message_id
    assert (await mailboxes(store, account_id))[dev.mailbox_id].total_messages == 4
    # one that cannot be made: the inbox
    assert await places(store, account_id, folder("/".join("x" * 25), create=True)) == {INBOX}


async def test_delivery_hears_which_mailboxes_there_are(store: Store) -> None:
    account_id = await new_account(store)
    await made(store, account_id, "Travail", "Été")
    request = filing_pb2.ListFoldersRequest(account_ids=[account_id, 5])
    (one,) = (await parts_of(store).list_folders(request)).accounts
    assert one.account_id == account_id
    found = {known.path: known.role for known in one.folders}
    assert {role for role in found.values() if role} == {"inbox", "drafts", "sent", "trash", "junk", "archive"}
    assert found["Travail/Été"] == found["Travail"] == ""


async def test_a_mailbox_that_goes_meanwhile_leaves_the_inbox(store: Store) -> None:
    account_id = await new_account(store)
    gone = await made(store, account_id, "Gone")
    account = await mailing.known(store, account_id)
    ids = await accept(store, *[message(mail()) for _ in range(6)])
    request = mailbox_pb2.UpdateMailboxesRequest(account_id=account_id)
    request.updates.add(mailbox_id=gone, destroy=True, with_messages=True)
    filings = [file(store, item(blob_id, account_id, folders=[folder("Gone")])) for blob_id in ids]
    changing = asyncio.create_task(parts_of(store).cases.mailboxes.update(account, request))
    done = await asyncio.gather(*filings)
    await changing
    assert all(result.status == filing_pb2.FILE_STATUS_FILED for (result,) in done)
    assert gone not in await mailboxes(store, account_id)
    found = await mailing.messages(store, account_id, await mailing.all_ids(store, account_id))
    assert all(list(one.mailbox_ids) == [INBOX] for one in found.values())
    assert await faults(store) == []
