"""The further accounts of a person's session: those in which others share mailboxes with them.

What is remembered here is for showing and for telling that the session changed. What a person may do in another's account is
decided by store at every call.
"""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import grpc

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.ports import AwayError, Directory, Identity, Profile, Sharing
from petitbleu_gateway.service.fetch_limits import Buckets
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_MOST: Final = 20_000
_RETRY_SECONDS: Final = 5.0
SECONDS: Final = 60.0
"""How long a list is shown without being asked for again: a change is told by the bus, which may be away."""


@dataclass(frozen=True, slots=True)
class SharedAccount:
    """An account that shares something, as the session shows it."""

    account_id: int
    name: str
    read_only: bool
    subscribed: bool


def acting(who: Identity, account_id: int) -> Identity:
    """Return who a person is in another's account."""
    return dataclasses.replace(who, account_id=account_id, own_account_id=who.person_id)


class SharedAccounts:
    """Lists them.

    Args:
        sharing: Store.
        directory: Accounts, which knows names.
        clock: Monotonic seconds.
        lookups: Addresses that an account may look up a minute: whoever guesses them does not list a tenant's people.
    """

    def __init__(
        self, sharing: Sharing, directory: Directory, clock: Callable[[], float] = time.monotonic, lookups: int = 30
    ) -> None:
        self.sharing = sharing
        self.directory = directory
        self._clock = clock
        self._lookups = Buckets(lookups / 60, lookups, clock)
        self._known: OrderedDict[int, tuple[float, tuple[SharedAccount, ...]]] = OrderedDict()

    async def of(self, who: Identity) -> tuple[SharedAccount, ...]:
        """Return the accounts that share something with a person, by id; what was known last when nobody says it now."""
        known = self._known.get(who.person_id)
        if known is not None and known[0] > self._clock():
            return known[1]
        try:
            return await self.anew(who)
        except (grpc.aio.AioRpcError, AwayError) as error:
            _log.warning("the accounts shared with a person are not known", error_type=type(error).__name__)
            last = known[1] if known is not None else ()
            self._known[who.person_id] = (self._clock() + _RETRY_SECONDS, last)
            return last

    async def anew(self, who: Identity) -> tuple[SharedAccount, ...]:
        """Ask for them.

        Raises:
            grpc.aio.AioRpcError: as store answered.
            AwayError: accounts does not answer.
        """
        shares = await self.sharing.received(who)
        profiles = await self.directory.profiles([one.account_id for one in shares]) if shares else ()
        by_id = {found.account_id: found for found in profiles if found.active}
        found = tuple(
            SharedAccount(
                one.account_id, _name(by_id[one.account_id]), one.rights == pb.MAILBOX_RIGHT_READ_ITEMS, one.subscribed
            )
            for one in shares
            if one.account_id in by_id
        )
        self._known[who.person_id] = (self._clock() + SECONDS, found)
        self._known.move_to_end(who.person_id)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return found

    def may_look_up(self, who: Identity) -> bool:
        """Whether a person may look up one more address now; it counts as looked up."""
        return self._lookups.has_taken(who.person_id)

    def forget(self, account_ids: Iterable[int]) -> None:
        """Ask again for what is shared with these accounts."""
        for account_id in account_ids:
            self._known.pop(account_id, None)


def _name(found: Profile) -> str:
    return found.address or found.name
