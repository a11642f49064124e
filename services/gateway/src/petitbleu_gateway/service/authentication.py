"""Checks credentials, and remembers the right ones for a short time.

What is remembered is a keyed hash of the credential under a key that dies with the process, never the credential.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from petitbleu_gateway.ports import Accounts, Credential, Identity

_MAX_REMEMBERED: Final = 50_000
_BEFORE_EXPIRY: Final = 30.0
"""Seconds of a principal's life that must be left, so that it outlives the request that uses it."""

_asked = Counter("petitbleu_gateway_authentications_total", "Credentials shown", ["outcome"])
_remembered = _asked.labels(outcome="remembered")


@dataclass(slots=True)
class _Known:
    identity: Identity
    since: float


class Authentication:
    """Turns credentials into identities.

    Args:
        accounts: Who knows.
        seconds: Gives how long a right credential may be remembered now.
        clock: Unix seconds.
    """

    def __init__(
        self, accounts: Accounts, seconds: Callable[[], float], clock: Callable[[], float] = time.time
    ) -> None:
        self._accounts = accounts
        self._seconds = seconds
        self._clock = clock
        self._key = os.urandom(32)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._of_account: dict[int, set[bytes]] = {}
        self._asking: dict[bytes, asyncio.Task[Identity]] = {}
        self.on_forgotten: Callable[[Sequence[int] | None], None] = lambda _account_ids: None
        """Called with the accounts that were forgotten, with None for all."""
        self._epoch = 0
        self._changed: set[int] = set()  # accounts that changed while some answer was on its way

    def _hash(self, credential: Credential) -> bytes:
        parts = f"{len(credential.login)}:{credential.login}{credential.secret}"
        return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()

    async def authenticate(self, credential: Credential, client_ip: str) -> Identity:
        """Return who shows this credential.

        Raises:
            RefusedError, LimitedError, AwayError: as accounts says.
        """
        name = self._hash(credential)
        known = self._known.get(name)
        if known is not None:
            now = self._clock()
            if now - known.since < self._seconds() and now < known.identity.expires_at - _BEFORE_EXPIRY:
                self._known.move_to_end(name)
                _remembered.inc()
                return known.identity
            self._forget(name)
        task = self._asking.get(name)
        if task is None:
            # one question at a time for one credential: a client that opens ten connections asks once
            task = asyncio.create_task(self._ask(name, credential, client_ip))
            self._asking[name] = task
            task.add_done_callback(lambda done: self._asked(name, done))
        return await asyncio.shield(task)

    async def authenticate_anew(self, credential: Credential, client_ip: str) -> Identity:
        """Ask again, whatever is remembered; raises as `authenticate`."""
        self._forget(self._hash(credential))
        return await self.authenticate(credential, client_ip)

    def _asked(self, name: bytes, task: asyncio.Task[Identity]) -> None:
        self._asking.pop(name, None)
        if not self._asking:
            self._changed.clear()
        if not task.cancelled():
            task.exception()  # seen, even when every caller has left

    async def _ask(self, name: bytes, credential: Credential, client_ip: str) -> Identity:
        epoch = self._epoch
        try:
            identity = await self._accounts.authenticate(credential, client_ip)
        except Exception as error:
            _asked.labels(outcome=type(error).__name__.removesuffix("Error").lower()).inc()
            raise
        _asked.labels(outcome="checked").inc()
        if epoch == self._epoch and identity.account_id not in self._changed:
            self._known[name] = _Known(identity, self._clock())
            self._of_account.setdefault(identity.account_id, set()).add(name)
            while len(self._known) > _MAX_REMEMBERED:
                self._forget(next(iter(self._known)))
        return identity

    def _forget(self, name: bytes) -> None:
        known = self._known.pop(name, None)
        if known is None:
            return
        names = self._of_account.get(known.identity.account_id)
        if names is not None:
            names.discard(name)
            if not names:
                del self._of_account[known.identity.account_id]

    def forget_accounts(self, account_ids: Sequence[int]) -> None:
        """Forget what is known of these accounts: something about them changed."""
        self.on_forgotten(account_ids)
        for account_id in account_ids:
            if self._asking:
                self._changed.add(account_id)
            for name in list(self._of_account.get(account_id, ())):
                self._forget(name)

    def forget_all(self) -> None:
        """Forget everything: events may have been missed."""
        self._epoch += 1
        self._known.clear()
        self._of_account.clear()
        self.on_forgotten(None)
