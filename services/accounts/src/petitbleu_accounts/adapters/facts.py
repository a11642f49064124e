"""The fact that the directory changed, as an outbox row of the commit that changed it."""

from __future__ import annotations

from collections.abc import Collection

from petitbleu.events.v1 import events_pb2
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.outbox import OutboxRow


def directory_changed(tenant_id: int, account_ids: Collection[int] = (), domain_ids: Collection[int] = ()) -> OutboxRow:
    """Return the one event of a commit: ids only, in the account's partition when it is about one account."""
    ids = sorted(account_ids)
    partition = partition_of_account(ids[0]) if len(ids) == 1 else 0
    event = events_pb2.DirectoryChanged(tenant_id=tenant_id, account_ids=ids, domain_ids=sorted(domain_ids))
    return OutboxRow.make(partition, "accounts.directory.changed", event.SerializeToString())
