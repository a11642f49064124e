"""Shares are given, changed and ended, with all that follows, in the transaction that holds the owner's lock.

The owner's side and the grantee's are in two partitions: one transaction writes both (promise 5).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
            found[account_id] = replace(await book.one(connection, account_id), guarded=False)
    return found


def faults(
    account: KnownAccount, updates: Sequence[pb.MailboxUpdate], people: Mapping[int, KnownAccount], shares: Shares, *, guarded: bool
) -> dict[int, set[Fault]]:  # fmt: skip
    """Return what stands against the shares of the owner's updates, by index; what is shared so already is not looked at again."""
    found: dict[int, set[Fault]] = {}
    for index, update in enumerate(updates):
        given = [share for share in update.shares if share.rights]
        ids = [share.account_id for share in update.shares]
        fits = (
            len(set(ids)) == len(ids)
            and not (given and guarded)
            and all(_fits(account, share, people.get(share.account_id)) for share in changed(update, shares) if share.rights)
        )  # fmt: skip
        if not fits:
            found[index] = {pb.MAILBOX_FAULT_SHARES}
    return found


def changed(update: pb.MailboxUpdate, shares: Shares) -> list[pb.MailboxShare]:
    """Return those of the shares that an update names that are not so already."""
    mailbox_id = 0 if update.HasField("created_by") else update.mailbox_id
    none = Share(0)
    return [share for share in update.shares if share.rights != shares.get((mailbox_id, share.account_id), none).rights]


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
    """The shares of an account as they were, and as they shall be: by mailbox, then by grantee."""

    account: KnownAccount
    before: Shares
    after: dict[int, dict[int, Share]] = field(init=False)
    _count: int = field(init=False)

    def __post_init__(self) -> None:
        """Begin with what there is."""
        self.begin({key[0] for key in self.before})

    def begin(self, mailbox_ids: Container[int]) -> None:
        """Begin with what there is of these mailboxes; the shares of others end."""
        self.after = {}
        self._count = 0
        for (mailbox_id, grantee_id), share in self.before.items():
            if mailbox_id in mailbox_ids:
                self.after.setdefault(mailbox_id, {})[grantee_id] = share
                self._count += 1

    def give(self, mailbox_id: int, update: pb.MailboxUpdate) -> Fault | None:
        """Set the shares of a mailbox as its owner's update says; if that would be too many, leave them and return what it is."""
        there = self.after.get(mailbox_id, {})
        named = {share.account_id for share in update.shares}
        wanted = {one: share for one, share in there.items() if not update.replace_shares or one in named}
        for given in update.shares:
            if given.rights:
                wanted[given.account_id] = replace(wanted.get(given.account_id, Share(0)), rights=given.rights)
            else:
                wanted.pop(given.account_id, None)
        return self._set(mailbox_id, wanted)

    def inherit(self, mailbox_id: int, parent_id: int) -> Fault | None:
        """Share a new mailbox as the one that it was made in; return what it is if that would be too many."""
        there = self.after.get(parent_id, {})
        return self._set(mailbox_id, {one: Share(share.rights) for one, share in there.items()})

    def _set(self, mailbox_id: int, wanted: dict[int, Share]) -> Fault | None:
        more = len(wanted) - len(self.after.get(mailbox_id, ()))
        if more > 0 and len(wanted) > MAX_GRANTEES:
            return pb.MAILBOX_FAULT_SHARED_WITH_TOO_MANY
        if more > 0 and self._count + more > MAX_SHARES:
            return pb.MAILBOX_FAULT_TOO_MANY_SHARES
        self.after[mailbox_id] = wanted
        self._count += more
        return None

    def subscribe(self, mailbox_id: int, grantee_id: int, *, subscribed: bool) -> None:
        """Set a grantee's own subscription."""
        there = self.after.get(mailbox_id, {})
        if grantee_id in there:
            there[grantee_id] = replace(there[grantee_id], subscribed=subscribed)

    def touched(self) -> set[int]:
        """Return the mailboxes of which any share changes."""
        return {key[0] for key in self._changed(self._flat())}

    def _flat(self) -> Shares:
        return {(mailbox_id, one): share for mailbox_id, some in self.after.items() for one, share in some.items()}

    def _changed(self, after: Shares) -> set[tuple[int, int]]:
        keys = self.before.keys() | after.keys()
        return {key for key in keys if self.before.get(key) != after.get(key)}

    async def write(
        self, connection: Connection, modseq: int, names: tuple[Mapping[int, str], Mapping[int, str]], people: Mapping[int, KnownAccount]
    ) -> list[OutboxRow]:  # fmt: skip
        """Write what changes, as of the owner's modseq; return the events that tell the grantees.

        Args:
            connection: In the transaction that holds the owner's lock.
            modseq: The owner's, after the commit.
            names: Of the mailboxes before and after, for the notifications.
            people: Accounts that are told by a notification.
        """
        place = (self.account.partition, self.account.account_id)
        after = self._flat()
        keys = sorted(self._changed(after))
        await share_rows.put(
            connection, *place,
            [(key[1], key[0], after[key].rights, after[key].subscribed) for key in keys if key in after],
        )  # fmt: skip
        await share_rows.end(connection, *place, [(key[1], key[0]) for key in keys if key not in after])
        saw, sees = _seen(self.before), _seen(after)
        notices = self._notices(keys, after, *names)
        events = []
        for grantee_id in sorted({key[1] for key in keys}, key=lambda one: (partition_of_account(one), one)):
            old, new = saw.get(grantee_id, []), sees.get(grantee_id, [])
            if old != new:
                await share_rows.saw(connection, *place, grantee_id, modseq, old)
            partition = partition_of_account(grantee_id)
            if new:
                await share_rows.receive(connection, partition, grantee_id, place[1])
            elif old:
                await share_rows.lose(connection, partition, grantee_id, place[1])
            told = 0
            if grantee_id in people:
                told = await share_notices.write(connection, people[grantee_id], place[1], notices.get(grantee_id, ()))
            changed_event = AccountChanged(account_id=grantee_id, modseq=told, shares_changed=True).SerializeToString()
            events.append(OutboxRow.make(partition, "mail.share.changed", changed_event))
            if told:
                events.append(OutboxRow.make(partition, "mail.account.changed", changed_event))
        return events

    def _notices(
        self, keys: Iterable[tuple[int, int]], after: Shares, old_names: Mapping[int, str], names: Mapping[int, str]
    ) -> dict[int, list[Notice]]:
        """Return what each grantee is told: a subscription of their own is no news, and what has ended has the name that they knew."""
        found: dict[int, list[Notice]] = {}
        for mailbox_id, grantee_id in keys:
            key = (mailbox_id, grantee_id)
            old, new = self.before.get(key, Share(0)).rights, after.get(key, Share(0)).rights
            if old == new:
                continue
            name = (names if new else old_names).get(mailbox_id, "")
            found.setdefault(grantee_id, []).append(Notice(mailbox_id, name, old, new))
        return found


def _seen(shares: Shares) -> dict[int, list[int]]:
    """Return the mailboxes that each grantee sees."""
    found: dict[int, list[int]] = {}
    for mailbox_id, grantee_id in sorted(shares):
        found.setdefault(grantee_id, []).append(mailbox_id)
    return found
