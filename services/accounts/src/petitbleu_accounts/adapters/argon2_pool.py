"""argon2id (RFC 9106) in a bounded pool of threads, off the event loop. The library leaves the interpreter's lock while it hashes.

New passwords are hashed by threads that give way to everything else on the machine: a wave of sign-ups is no reason for mail to wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from prometheus_client import Gauge

from petitbleu_accounts.config import Settings
from petitbleu_accounts.errors import busy

Result = TypeVar("Result")
_NICE = 10
_waiting = Gauge("petitbleu_accounts_password_checks", "Password hashes under way or waiting")


class PasswordPool:
    """Hashes and verifies; logins have a bounded queue, bulk hashing leaves them a thread."""

    def __init__(self, settings: Settings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_passes, memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_lanes, hash_len=32, salt_len=16, type=Type.ID,
        )  # fmt: skip
        self._executor = ThreadPoolExecutor(settings.password_threads, "argon2")
        bulk = max(1, settings.password_threads - 1)
        self._bulk_executor = ThreadPoolExecutor(bulk, "argon2-bulk", _give_way)
        self._bound = settings.password_threads + settings.password_queue
        self._bulk = asyncio.Semaphore(bulk)
        self._count = 0
        self._dummy = ""

    async def start(self) -> None:
        """Make the hash that stands in for a login that does not exist."""
        self._dummy = await self._run(self._executor, self._hasher.hash, "there is nobody by this name")

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[..., Result], *arguments: str) -> Result:
        if self._count >= self._bound:
            raise busy()
        self._count += 1
        _waiting.set(self._count)
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)
        finally:
            self._count -= 1
            _waiting.set(self._count)

    async def hash(self, password: str) -> str:
        """Return the hash of a new password, in PHC form; waits its turn behind logins."""
        async with self._bulk:
            return await self._run(self._bulk_executor, self._hasher.hash, password)

    async def verify(self, known: str | None, password: str) -> bool:
        """Whether a password fits a hash; without a hash it takes as long and is False.

        Raises:
            AccountsError: LIMITED when the queue is full.
        """
        fits = await self._run(self._executor, self._verify, known or self._dummy, password)
        return fits and known is not None

    def _verify(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    def outdated(self, known: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(known)

    def close(self) -> None:
        """End the threads."""
        for executor in (self._executor, self._bulk_executor):
            executor.shutdown(wait=False, cancel_futures=True)


def _give_way() -> None:
    """Lower the priority of the thread that calls; where that is not allowed it stays as it is."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
