"""Shares are given, changed and ended, with all that follows, in the transaction that holds the owner's lock.

The owner's side and the grantee's are in two partitions: one transaction writes both (promise 5).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from petitbleu.events.v1.events_pb2 import AccountChanged
from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters import message_rows, share_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.domain.sharing import ALL_RIGHTS, MAX_GRANTEES, Right
from petitbleu_store.service import share_notices
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.share_notices import Notice

Fault: TypeAlias = "pb.MailboxFault.ValueType"
MAX_SHARES: Final = 10_000
"""Shares of one account, at most."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a grantee may do with a mailbox, and whether they subscribed to it."""

    rights: int
    subscribed: bool = True


# by mailbox and grantee
Shares: TypeAlias = dict[tuple[int, int], Share]


async def read(connection: Connection, account: KnownAccount) -> Shares:
    """Return all that an account shares."""
    rows = await share_rows.of_account(connection, account.partition, account.account_id)
    return {(row["mailbox_id"], row["grantee_id"]): Share(row["rights"], row["subscribed"]) for row in rows}


async def grantees(
    connection: Connection, book: AccountBook, owner: KnownAccount, ids: Iterable[int]
) -> dict[int, KnownAccount]:
    """Return those of some accounts that exist, are of the owner's tenant (promise 7) and are not guarded now.

    Each is locked, and the owner's, in the order of all such locks. Whoever is of another tenant is not: a tenant never changes, so
    that is known before, and nobody can hold up accounts that they may not share with.
    """
    found: dict[int, KnownAccount] = {}
    known = await book.many(connection, {account_id for account_id in ids if account_id > 0})
    wanted = sorted(
        {
            (partition_of_account(one.account_id), int(one.account_id))
            for one in (*known.values(), owner)
            if one.tenant_id == owner.tenant_id
        }
    )
    for partition, account_id in wanted:
        row = await message_rows.lock(connection, partition, account_id)
        if row is not None and not row["guarded"]:
            found[account_id] = dataclasses.replace(await book.one(connection, account_id), guarded=False)
    return found


def faults(account: KnownAccount, updates: Sequence[pb.MailboxUpdate], people: Mapping[int, KnownAccount], *, guarded: bool) -> dict[int, set[Fault]]:  # fmt: skip
    """Return what stands against the shares of the owner's updates, by index."""
    found: dict[int, set[Fault]] = {}
    for index, update in enumerate(updates):
        given = [share for share in update.shares if share.rights]
        ids = [share.account_id for share in update.shares]
        fits = (
            len(set(ids)) == len(ids) <= MAX_GRANTEES
            and not (given and guarded)
            and all(_fits(account, share, people.get(share.account_id)) for share in given)
        )
        if not fits:
            found[index] = {pb.MAILBOX_FAULT_SHARES}
    return found


def _fits(account: KnownAccount, share: pb.MailboxShare, person: KnownAccount | None) -> bool:
    return (
        person is not None
        and person.tenant_id == account.tenant_id
        and person.account_id != account.account_id  # RFC 9670 §4.1: the owner's rights are implicit
        and share.rights & ~ALL_RIGHTS == 0
        and bool(share.rights & Right.READ_ITEMS)
    )


@dataclass(slots=True)
class Sharing:
    """The shares of an account as they were and as they shall be; `people` are grantees that exist and may have any."""

    account: KnownAccount
    before: Shares
    after: Shares = field(init=False)

    def __post_init__(self) -> None:
        """Begin with what there is."""
        self.after = dict(self.before)

    def give(self, mailbox_id: int, update: pb.MailboxUpdate) -> None:
        """Set the shares of a mailbox as its owner's update says."""
        if update.replace_shares:
            named = {share.account_id for share in update.shares}
            self.after = {key: share for key, share in self.after.items() if key[0] != mailbox_id or key[1] in named}
        for given in update.shares:
            key = (mailbox_id, given.account_id)
            if given.rights:
                self.after[key] = dataclasses.replace(self.after.get(key, Share(0)), rights=given.rights)
            else:
                self.after.pop(key, None)

    def inherit(self, mailbox_id: int, parent_id: int) -> None:
        """Share a new mailbox as the one that it was made in."""
        for (shared_id, grantee_id), share in list(self.after.items()):
            if shared_id == parent_id:
                self.after[mailbox_id, grantee_id] = Share(share.rights)

    def subscribe(self, mailbox_id: int, grantee_id: int, *, subscribed: bool) -> None:
        """Set a grantee's own subscription."""
        share = self.after.get((mailbox_id, grantee_id))
        if share is not None:
            self.after[mailbox_id, grantee_id] = dataclasses.replace(share, subscribed=subscribed)

    def keep(self, mailbox_ids: Iterable[int]) -> None:
        """End the shares of mailboxes that are gone."""
        kept = set(mailbox_ids)
        self.after = {key: share for key, share in self.after.items() if key[0] in kept}

    def too_many(self) -> bool:
        """Whether the account, or one of its mailboxes, would be shared more often than it may."""
        of_mailbox: dict[int, int] = {}
        for mailbox_id, _ in self.after:
            of_mailbox[mailbox_id] = of_mailbox.get(mailbox_id, 0) + 1
        return len(self.after) > MAX_SHARES or max(of_mailbox.values(), default=0) > MAX_GRANTEES

    def touched(self) -> set[int]:
        """Return the mailboxes of which any share changes."""
        keys = self.before.keys() | self.after.keys()
        return {key[0] for key in keys if self.before.get(key) != self.after.get(key)}

    async def write(
        self, connection: Connection, modseq: int, names: Mapping[int, str], people: Mapping[int, KnownAccount]
    ) -> list[OutboxRow]:
        """Write what changes, as of the owner's modseq; return the events that tell the grantees.

        Args:
            connection: In the transaction that holds the owner's lock.
            modseq: The owner's, after the commit.
            names: Of the mailboxes, for the notifications.
            people: Accounts that are told by a notification.
        """
        place = (self.account.partition, self.account.account_id)
        keys = self.before.keys() | self.after.keys()
        changed = {key for key in keys if self.before.get(key) != self.after.get(key)}
        await share_rows.put(
            connection, *place,
            [(key[1], key[0], self.after[key].rights, self.after[key].subscribed) for key in sorted(changed) if key in self.after],
        )  # fmt: skip
        await share_rows.end(connection, *place, [(key[1], key[0]) for key in sorted(changed) if key not in self.after])
        events = []
        for grantee_id in sorted({key[1] for key in changed}, key=lambda one: (partition_of_account(one), one)):
            saw, sees = _seen(self.before, grantee_id), _seen(self.after, grantee_id)
            if saw != sees:
                await share_rows.saw(connection, *place, grantee_id, modseq, saw)
            partition = partition_of_account(grantee_id)
            if sees:
                await share_rows.receive(connection, partition, grantee_id, place[1])
            elif saw and not sees:
                await share_rows.lose(connection, partition, grantee_id, place[1])
            told = 0
            if grantee_id in people:
                notices = self._notices(grantee_id, changed, names)
                told = await share_notices.write(connection, people[grantee_id], place[1], notices)
            changed_event = AccountChanged(account_id=grantee_id, modseq=told, shares_changed=True).SerializeToString()
            events.append(OutboxRow.make(partition, "mail.share.changed", changed_event))
            if told:
                events.append(OutboxRow.make(partition, "mail.account.changed", changed_event))
        return events

    def _notices(self, grantee_id: int, changed: set[tuple[int, int]], names: Mapping[int, str]) -> list[Notice]:
        """Return what a grantee is told: a subscription of their own is no news."""
        found = []
        for key in sorted(changed):
            old, new = self.before.get(key, Share(0)).rights, self.after.get(key, Share(0)).rights
            if key[1] == grantee_id and old != new:
                found.append(Notice(key[0], names.get(key[0], ""), old, new))
        return found


def _seen(shares: Shares, grantee_id: int) -> list[int]:
    return sorted(key[0] for key in shares if key[1] == grantee_id)
