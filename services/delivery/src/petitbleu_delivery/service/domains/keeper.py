"""The DKIM keys of hosted domains, through their whole life: made at first need, replaced on a schedule, destroyed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from prometheus_client import Counter

from petitbleu_delivery.domain.domain_keys import (
    Algorithm,
    DomainKey,
    KeyState,
    KeyTimes,
    Step,
    due,
    load_private,
    make_private_key,
    new_selector,
    private_octets,
    public_octets,
    published,
)
from petitbleu_delivery.domain.seal import Seal
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.dkim_sign import SigningKey
from petitbleu_mail.auth.resolver import NoSuchNameError, Resolver, TemporaryDnsError

_log = get_logger(__name__)
_steps = Counter("petitbleu_delivery_dkim_steps_total", "Steps in the life of DKIM keys", ["step"])
# Domains of one page of the upkeep.
_PAGE: Final = 200
# Domains whose records are looked at together.
_AT_ONCE: Final = 8
_WAITING: Final = (KeyState.MADE, KeyState.PUBLISHED)


class Rows(Protocol):
    """The table of keys; `adapters.domain_rows` says more of each."""

    async def keys(self, domain: str) -> list[DomainKey]:
        """All keys of a domain, the newest first."""
        ...

    async def signing(self, domain: str) -> list[tuple[DomainKey, bytes]]:
        """The active keys with their sealed private halves, RSA first."""
        ...

    async def add(self, key: DomainKey, sealed: bytes) -> bool:
        """Add a key; False when another process was there first."""
        ...

    async def move(self, key: DomainKey, state: KeyState, now: datetime) -> bool:
        """Bring a key to its next state; False when it is no more in the one that it had."""
        ...

    async def activate(self, key: DomainKey, now: datetime) -> bool:
        """Sign with a key that waits, and retire the one that signs."""
        ...

    async def due(self, after: str, now: datetime, times: KeyTimes, limit: int) -> Sequence[str]:
        """Domains behind a name of whose keys something may be due."""
        ...


class KeyKeeper:
    """Keeps the keys. Domains are given in lower case and A-labels, and must be hosted.

    Args:
        rows: The table.
        seal: Seals private halves.
        resolver: Tells whether records are published.
        times: How long keys stay in their states.
        clock: The time now.
    """

    def __init__(
        self,
        rows: Rows,
        seal: Seal,
        resolver: Resolver,
        times: KeyTimes,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rows = rows
        self._seal = seal
        self._resolver = resolver
        self._times = times
        self._clock = clock
        self._making = asyncio.Lock()

    async def keys(self, domain: str) -> list[DomainKey]:
        """Return all keys of a domain, the newest first; the first ones are made when there are none."""
        known = await self._rows.keys(domain)
        if {key.algorithm for key in known} < set(Algorithm):
            await self._make_missing(domain, KeyState.ACTIVE)
            known = await self._rows.keys(domain)
        return known

    async def signing_keys(self, domain: str) -> list[SigningKey]:
        """Return the keys that sign now, RSA first, ready for use; the first ones are made when there are none.

        Raises:
            SealError: what is in the table is not sealed under our key.
        """
        found = await self._rows.signing(domain)
        if len(found) < len(Algorithm):
            await self._make_missing(domain, KeyState.ACTIVE)
            found = await self._rows.signing(domain)
        return await asyncio.to_thread(self._load, found)

    async def rotate(self, domain: str, *, now: bool = False) -> list[DomainKey]:
        """Make the next keys of a domain, unless they wait already; with `now`, sign with them at once. Return all keys."""
        known = await self.keys(domain)
        if not all(any(key.algorithm is one and key.state in _WAITING for key in known) for one in Algorithm):
            await self._make_missing(domain, KeyState.MADE)
            known = await self._rows.keys(domain)
        if now:
            for key in known:
                if key.state in _WAITING:
                    await self._step(key, Step.ACTIVATE)
            known = await self._rows.keys(domain)
        return known

    async def upkeep(self) -> None:
        """Let the keys of all domains go on to their next states as far as it is due."""
        after = ""
        while domains := await self._rows.due(after, self._clock(), self._times, _PAGE):
            for at in range(0, len(domains), _AT_ONCE):
                await asyncio.gather(*[self._keep(domain) for domain in domains[at : at + _AT_ONCE]])
            after = domains[-1]

    async def _keep(self, domain: str) -> None:
        known = await self._rows.keys(domain)
        seen: dict[str, bool] = {}
        for key in known:
            if key.state in _WAITING and (is_seen := await self.is_published(key)) is not None:
                seen[key.selector] = is_seen
        for key, step in due(known, seen, self._clock(), self._times):
            await self._step(key, step)

    async def is_published(self, key: DomainKey) -> bool | None:
        """Whether the DNS has the record of a key, None when it does not say."""
        try:
            return published(key, await self._resolver.txt(key.record_name))
        except NoSuchNameError:
            return False
        except TemporaryDnsError:
            return None

    async def _step(self, key: DomainKey, step: Step) -> None:
        if step is Step.REPLACE:
            done = await self._make(key.domain, key.algorithm, KeyState.MADE)
        elif step is Step.ACTIVATE:
            done = await self._rows.activate(key, self._clock())
        else:
            state = {
                Step.PUBLISH: KeyState.PUBLISHED, Step.UNPUBLISH: KeyState.MADE, Step.RETIRE: KeyState.RETIRED,
            }[step]  # fmt: skip
            done = await self._rows.move(key, state, self._clock())
        if done:
            _steps.labels(step=step.value).inc()
            # a domain is an operator's, and not a person's: it is public in the DNS
            _log.info("DKIM key goes on", step=step.value, selector=key.selector)

    async def _make_missing(self, domain: str, state: KeyState) -> None:
        """Make a key of each kind of which none is in this state (and, for new ones, none waits)."""
        taken = (KeyState.ACTIVE,) if state is KeyState.ACTIVE else _WAITING
        async with self._making:  # one at a time: each costs much CPU, and many may ask for the first of a domain
            known = await self._rows.keys(domain)
            for algorithm in Algorithm:
                if not any(key.algorithm is algorithm and key.state in taken for key in known):
                    await self._make(domain, algorithm, state)

    async def _make(self, domain: str, algorithm: Algorithm, state: KeyState) -> bool:
        now = self._clock()
        selectors = [key.selector for key in await self._rows.keys(domain)]
        key = DomainKey(domain, new_selector(algorithm, now.date(), selectors), algorithm, state, b"", now, now)
        public, sealed = await asyncio.to_thread(self._generate, key)
        return await self._rows.add(DomainKey(domain, key.selector, algorithm, state, public, now, now), sealed)

    def _generate(self, key: DomainKey) -> tuple[bytes, bytes]:
        private = make_private_key(key.algorithm)
        return public_octets(private), self._seal.seal(0, key.record_name.encode(), private_octets(private))

    def _load(self, found: Sequence[tuple[DomainKey, bytes]]) -> list[SigningKey]:
        return [
            SigningKey(key.domain, key.selector, load_private(self._seal.open(0, key.record_name.encode(), sealed)))
            for key, sealed in found
        ]
