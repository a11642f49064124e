"""Who is to be told of which account's changes: the streams that are open, what each has seen, and when it must end.

A stream is told of states, never of single events: whatever happens while it is busy or its reader is slow is one change when it
looks again, so a stream holds no queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from prometheus_client import Counter, Gauge

from petitbleu_gateway.domain.state_changes import (
    NOTHING_SEEN,
    SHARED_TYPES,
    AccountState,
    seen_state,
    seen_text,
    state_change,
)
from petitbleu_gateway.ports import Credential, Identity
from petitbleu_kit.batching import Batcher

_open = Gauge("petitbleu_push_streams", "Open push streams", ["kind"])
_told = Counter("petitbleu_push_changes_total", "State changes sent", ["kind"])
_ended = Counter("petitbleu_push_streams_ended_total", "Push streams that we ended", ["why"])

_AT_ONCE: Final = 1000
FOLD_SECONDS: Final = 0.1
"""Changes of one account are told this far apart; the first after a pause is told at once."""


class TooManyStreamsError(Exception):
    """The account, or the process when `busy`, has as many streams as it may."""

    def __init__(self, *, busy: bool) -> None:
        super().__init__()
        self.busy = busy


class States(Protocol):
    """Store, as far as pushing asks it. Raises grpc.aio.AioRpcError as store answered."""

    async def states(self, account_ids: Sequence[int]) -> Mapping[int, AccountState]:
        """Give how far accounts are, at most 1,000; those that do not exist are left out."""


@dataclass(frozen=True, slots=True)
class PushLimits:
    """Bounds of all streams."""

    streams_account: int
    streams: int


@dataclass(eq=False, slots=True)
class Stream:
    """One client that listens.

    `wake` is set whenever there is something to do: a change (`take`), a ping (`ping_due`), or the end (`over` says why).
    `types` are those that it is told of. `shared` is what it has seen of accounts that others share with its person. `on_tick` is called about once a second with the loop's time.
    """

    kind: str
    account_id: int
    credential: Credential
    client_ip: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    types: frozenset[str] = frozenset()
    ping_seconds: int = 0
    ping_at: float = 0.0
    ping_due: bool = False
    over: str = ""
    recheck_at: float = float("inf")
    seen: AccountState = NOTHING_SEEN
    shared: dict[int, AccountState] = field(default_factory=dict)
    on_tick: Callable[[float], None] | None = None

    def end(self, why: str) -> None:
        """Let the stream end; the first reason stays."""
        if not self.over:
            self.over = why
            self.wake.set()


class _Watched:
    """An account to which somebody listens."""

    __slots__ = ("guests", "known", "state", "streams", "told_at")

    def __init__(self) -> None:
        self.known = False
        self.state = NOTHING_SEEN
        self.streams: set[Stream] = set()
        # of people with whom the account shares something
        self.guests: set[Stream] = set()
        self.told_at = 0.0


class PushHub:
    """All open streams of the process.

    Args:
        states: Store.
        limits: Bounds.
    """

    def __init__(self, states: States, limits: PushLimits) -> None:
        self._states = states
        self._limits = limits
        self._watched: dict[int, _Watched] = {}
        self._due: set[int] = set()
        self._closed = False
        self.streams = 0
        self._asking: Batcher[int, AccountState] = Batcher(self._ask, max_items=_AT_ONCE, max_queued=20_000)

    async def _ask(self, account_ids: list[int]) -> Sequence[AccountState]:
        found = await self._states.states(list(dict.fromkeys(account_ids)))
        return [found.get(account_id, NOTHING_SEEN) for account_id in account_ids]

    async def open(self, kind: str, who: Identity, credential: Credential, client_ip: str) -> Stream:
        """Add a stream that has seen everything until now, and is told of nothing yet (`types`).

        Raises:
            TooManyStreamsError: beyond the limits, or while the process ends.
            grpc.aio.AioRpcError: when store does not say where the account stands.
        """
        watched = self._watched.get(who.account_id)
        if self.streams >= self._limits.streams or self._closed:
            raise TooManyStreamsError(busy=True)
        if watched is not None and len(watched.streams) >= self._limits.streams_account:
            raise TooManyStreamsError(busy=False)
        stream = Stream(kind, who.account_id, credential, client_ip)
        if watched is None:
            watched = self._watched[who.account_id] = _Watched()
        # before store is asked, so that no change falls between
        watched.streams.add(stream)
        self.streams += 1
        _open.labels(kind=kind).inc()
        try:
            if not watched.known:
                await self._refresh(watched, who.account_id)
        except BaseException:
            self.close(stream)
            raise
        stream.seen = watched.state
        return stream

    async def _refresh(self, watched: _Watched, account_id: int) -> None:
        found = await self._asking.submit(account_id)
        watched.state = watched.state.later(found)  # which may have moved meanwhile
        watched.known = True

    def close(self, stream: Stream) -> None:
        """Take a stream out."""
        watched = self._watched.get(stream.account_id)
        if watched is None or stream not in watched.streams:
            return
        watched.streams.discard(stream)
        self.streams -= 1
        _open.labels(kind=stream.kind).dec()
        if stream.over:
            _ended.labels(why=stream.over).inc()
        self._leave(stream, list(stream.shared))
        self._drop(stream.account_id)

    def _drop(self, account_id: int) -> None:
        watched = self._watched.get(account_id)
        if watched is not None and not watched.streams and not watched.guests:
            del self._watched[account_id]

    def _leave(self, stream: Stream, account_ids: Iterable[int]) -> None:
        for account_id in account_ids:
            stream.shared.pop(account_id, None)
            watched = self._watched.get(account_id)
            if watched is not None:
                watched.guests.discard(stream)
                self._drop(account_id)

    async def follow(self, stream: Stream, account_ids: Iterable[int], *, from_now: bool) -> None:
        """Tell a stream of these accounts of others beside its person's own, and of no other any more.

        Args:
            stream: The stream.
            account_ids: Accounts that share something with its person.
            from_now: Whether it has seen what there is in those that are new to it.

        Raises:
            grpc.aio.AioRpcError: when store does not say where an account stands.
        """
        wanted = set(account_ids)
        self._leave(stream, stream.shared.keys() - wanted)
        for account_id in sorted(wanted - stream.shared.keys()):
            watched = self._watched.setdefault(account_id, _Watched())
            watched.guests.add(stream)
            stream.shared[account_id] = NOTHING_SEEN
            try:
                if not watched.known:
                    await self._refresh(watched, account_id)
            except BaseException:
                self._leave(stream, [account_id])
                raise
            if from_now:
                stream.shared[account_id] = watched.state
            else:
                stream.wake.set()

    async def saw(self, stream: Stream, text: str) -> None:
        """Set what the client says that it has seen, and wake the stream when it missed anything.

        Raises:
            grpc.aio.AioRpcError: when store must be asked and does not answer.
        """
        seen = seen_state(stream.account_id, text)
        watched = self._watched[stream.account_id]
        if seen.beyond(watched.state):
            # told by another process before we heard of it
            await self._refresh(watched, stream.account_id)
            if seen.beyond(watched.state):
                seen = NOTHING_SEEN
        stream.seen = seen
        # the text is of the person's own account: of others all is told
        stream.shared = dict.fromkeys(stream.shared, NOTHING_SEEN)
        if seen != watched.state or stream.shared:
            stream.wake.set()

    def from_now(self, stream: Stream) -> None:
        """Let a stream have seen everything until now."""
        stream.seen = self._watched[stream.account_id].state
        for account_id in stream.shared:
            stream.shared[account_id] = self._watched[account_id].state

    def take(self, stream: Stream) -> dict[str, Any] | None:
        """Return the StateChange of all that the stream has not seen, which it then has."""
        watched = self._watched.get(stream.account_id)
        if watched is None:
            return None
        change = state_change(stream.account_id, stream.types, stream.seen, watched.state)
        stream.seen = watched.state
        change = self._take_shared(stream, change)
        if change is not None:
            _told.labels(kind=stream.kind).inc()
        return change

    def _take_shared(self, stream: Stream, change: dict[str, Any] | None) -> dict[str, Any] | None:
        """Add what changed in accounts of others to a StateChange."""
        for account_id, seen in stream.shared.items():
            watched = self._watched.get(account_id)
            if watched is None:
                continue
            # how much comes to another's account is not told
            more = state_change(account_id, stream.types & SHARED_TYPES, seen, watched.state)
            stream.shared[account_id] = watched.state
            if more is not None:
                change = change or {"@type": "StateChange", "changed": {}}
                change["changed"].update(more["changed"])
        return change

    @staticmethod
    def seen_text(stream: Stream) -> str:
        """Return the text that stands for what a stream has seen."""
        return seen_text(stream.account_id, stream.seen)

    def heard(self, account_id: int, state: AccountState) -> None:
        """Take note that an account is as far as that."""
        watched = self._watched.get(account_id)
        if watched is None:
            return
        later = watched.state.later(state)
        if later == watched.state:
            return
        watched.state = later
        if account_id in self._due:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - watched.told_at >= FOLD_SECONDS:
            self._tell(watched, loop.time())
            return
        if not self._due:
            loop.call_later(FOLD_SECONDS, self._tell_due)
        self._due.add(account_id)

    def _tell_due(self) -> None:
        due, self._due = self._due, set()
        now = asyncio.get_running_loop().time()
        for account_id in due:
            watched = self._watched.get(account_id)
            if watched is not None:
                self._tell(watched, now)

    @staticmethod
    def _tell(watched: _Watched, now: float) -> None:
        watched.told_at = now
        for stream in (*watched.streams, *watched.guests):
            stream.wake.set()

    async def compare(self) -> None:
        """Ask store how far all watched accounts are: events may have been missed.

        Raises:
            grpc.aio.AioRpcError: when store does not answer.
        """
        account_ids = list(self._watched)
        for begin in range(0, len(account_ids), _AT_ONCE):
            found = await self._states.states(account_ids[begin : begin + _AT_ONCE])
            for account_id, state in found.items():
                self.heard(account_id, state)

    def tick(self, now: float) -> list[Stream]:
        """Look at every stream once: pings, and what the streams look after themselves.

        Returns:
            Streams whose credential is to be looked at again.
        """
        aged = []
        for stream in self.of_accounts(None):
            if stream.ping_seconds and now >= stream.ping_at and not stream.ping_due:
                stream.ping_due = True
                stream.wake.set()
            if stream.on_tick is not None:
                stream.on_tick(now)
            if now >= stream.recheck_at:
                aged.append(stream)
        return aged

    def of_accounts(self, account_ids: Iterable[int] | None) -> list[Stream]:
        """Return the streams of some accounts, of all for None."""
        if account_ids is None:
            return [stream for watched in self._watched.values() for stream in watched.streams]
        found = (self._watched.get(account_id) for account_id in account_ids)
        return [stream for watched in found if watched is not None for stream in watched.streams]

    def refused(self, stream: Stream) -> None:
        """Let all streams end that showed the credential of this one: it holds no longer."""
        for other in self.of_accounts([stream.account_id]):
            if other.credential == stream.credential:
                other.end("credential")

    def end_all(self) -> None:
        """Let all streams end, and take no other: the process ends."""
        self._closed = True
        for stream in self.of_accounts(None):
            stream.end("shutdown")
