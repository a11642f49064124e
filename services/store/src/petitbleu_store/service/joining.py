"""Two addresses of one account in one envelope give one message, in every mailbox that either would give (architecture, promise 3)."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu.events.v1.events_pb2 import AccountChanged
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters import message_rows
from petitbleu_store.adapters.filing_rows import Connection, array
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.filing_commit import Filing
from petitbleu_store.service.restating import Restated, restate


async def join(connection: Connection, account: KnownAccount, filings: Sequence[Filing]) -> list[OutboxRow]:
    """Put messages that are there already, filed for other recipients, in the mailboxes that these recipients give.

    A recipient counts once: filing it again does not bring the message back to a mailbox that its owner took it out of.
    """
    locked = await message_rows.lock(connection, account.partition, account.account_id)
    if locked is None:
        return []
    place = (account.partition, account.account_id)
    had = await message_rows.recipients(connection, *place, [filing.blob_id for filing in filings])
    joined = [(filing.blob_id, array(sorted(had[filing.blob_id].union(filing.recipients or ())))) for filing in filings]
    await message_rows.set_recipients(connection, *place, joined)
    by_id = {filing.message_id: filing for filing in filings}
    restated = []
    for row in await message_rows.read(connection, *place, list(by_id)):
        message = Restated.of(row)
        message.mailbox_ids = tuple(sorted(set(row["mailbox_ids"]).union(by_id[row["message_id"]].mailbox_ids)))
        restated.append(message)
    modseq = await restate(connection, account, locked["modseq"], restated)
    if modseq == locked["modseq"]:
        return []
    event = AccountChanged(account_id=account.account_id, modseq=modseq)
    return [OutboxRow.make(account.partition, "mail.account.changed", event.SerializeToString())]
