"""What open streams need of time: pings, credentials that must still hold, and changes that the bus did not tell."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

import grpc

from petitbleu_gateway.ports import AwayError, Identity, LimitedError, RefusedError
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.push import PushHub, Stream
from petitbleu_gateway.service.shared_accounts import SharedAccounts
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_TICK_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 2.0
"""How often store is asked while no bus tells what changed: one call for 1,000 accounts."""
_COMPARE_SECONDS: Final = 300.0
"""How often it is asked although the bus is there: a plain subscription may lose an event."""
_CHECKERS: Final = 4
"""Credentials looked at at once: a password costs accounts a hash."""
_SECOND_LOOK_SECONDS: Final = 5.0
"""After a change of the directory the credential is asked for twice: accounts may hear of the change after us."""
_FIRST_LOOK_SECONDS: Final = 10.0
_SPREAD_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 15.0


class PushUpkeep:
    """One ticker for all streams, instead of timers and tasks of each.

    Args:
        hub: The streams.
        authentication: Who checks credentials, and says whose changed.
        connections: How often the bus was connected so far, 0 while it is away.
        recheck_seconds: How long a credential holds without being looked at again.
        shared: What others share with people.
    """

    def __init__(
        self, hub: PushHub, authentication: Authentication, connections: Callable[[], int], recheck_seconds: float,
        shared: SharedAccounts,
    ) -> None:  # fmt: skip
        self._hub = hub
        self._shared = shared
        self._authentication = authentication
        self._connections = connections
        self._recheck_seconds = recheck_seconds
        self._queue: asyncio.Queue[Stream] = asyncio.Queue()
        self._queued: set[Stream] = set()
        authentication.on_forgotten = self._forgotten

    def begin(self, stream: Stream) -> None:
        """Look after a new stream; its credential might have changed between its check and now."""
        stream.recheck_at = asyncio.get_running_loop().time() + self._soon(_FIRST_LOOK_SECONDS)

    def _look_at(self, stream: Stream) -> None:
        """Have a stream looked at; however often that is wanted, it waits in the queue once."""
        if stream not in self._queued:
            self._queued.add(stream)
            self._queue.put_nowait(stream)

    @staticmethod
    def _soon(seconds: float) -> float:
        """Return about that time: what began together must not end together."""
        return seconds * random.uniform(0.8, 1.2)  # noqa: S311 — it spreads load and guards nothing

    def _forgotten(self, account_ids: Sequence[int] | None) -> None:
        now = asyncio.get_running_loop().time()
        for stream in self._hub.of_accounts(account_ids):
            if account_ids is None:
                stream.recheck_at = min(stream.recheck_at, now + self._soon(_SPREAD_SECONDS / 2))
            else:
                stream.recheck_at = now + _SECOND_LOOK_SECONDS
                self._look_at(stream)

    async def run(self) -> None:
        """Tick until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_CHECKERS):
                group.create_task(self._check_credentials())
            await self._tick()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        compared_at = float("-inf")
        connection = 0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = loop.time()
            try:
                aged = self._hub.tick(now)
            except Exception:  # noqa: BLE001 — one stream must not stop the clock of all
                _log.exception("streams not looked at")
                continue
            for stream in aged:
                stream.recheck_at = now + self._soon(self._recheck_seconds)
                self._look_at(stream)
            current = self._connections()
            due = compared_at + (_COMPARE_SECONDS if current else _POLL_SECONDS)
            if self._hub.streams and (now >= due or current != connection):
                if not await self._compare():
                    continue
                compared_at = now
            connection = current

    async def _compare(self) -> bool:
        try:
            await self._hub.compare()
        except grpc.aio.AioRpcError as error:
            _log.info("store does not say how far accounts are", code=error.code().name)
            return False
        return True

    async def _check_credentials(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            stream = await self._queue.get()
            self._queued.discard(stream)
            if stream.over:
                continue
            try:
                who = await self._authentication.authenticate_anew(stream.credential, stream.client_ip)
            except RefusedError:
                self._hub.refused(stream)
            except (LimitedError, AwayError):
                stream.recheck_at = min(stream.recheck_at, loop.time() + self._soon(_RETRY_SECONDS))
            except Exception:  # noqa: BLE001 — the other streams go on
                _log.exception("credential not looked at")
                stream.recheck_at = min(stream.recheck_at, loop.time() + self._soon(_RETRY_SECONDS))
            else:
                if who.account_id != stream.account_id:
                    self._hub.refused(stream)
                else:
                    await self._follow(stream, who)

    async def _follow(self, stream: Stream, who: Identity) -> None:
        """Let a stream tell of the accounts that others share with its person by now."""
        try:
            shared = await self._shared.of(who)
            if not stream.over:
                await self._hub.follow(stream, [one.account_id for one in shared if one.subscribed], from_now=False)
        except grpc.aio.AioRpcError as error:
            _log.info("store does not say how far accounts are", code=error.code().name)
            stream.recheck_at = min(stream.recheck_at, asyncio.get_running_loop().time() + self._soon(_RETRY_SECONDS))

    def shares_changed(self, account_id: int) -> None:
        """Look anew at what others share with an account: it changed."""
        self._shared.forget([account_id])
        for stream in self._hub.of_accounts([account_id]):
            self._look_at(stream)
