"""Accepted messages with their octets, for whoever sends them on or looks into them by a rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from petitbleu_kit.ids import BlobId
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.s3 import ObjectMissingError, ObjectsAwayError
from petitbleu_store.core import Core
from petitbleu_store.domain.frames import DamagedError
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.bodies import BodyMissingError
from petitbleu_store.service.intake import AcceptedMessage

_log = get_logger(__name__)
MAX_MESSAGES: Final = 64
PIECE_OCTETS: Final = 256 << 10
# Sealed bodies in memory at once, a request; a larger one is read by ranges.
_GROUP_OCTETS: Final = 4 << 20
_LARGE_OCTETS: Final = 512 << 10
# Requests that hold a group at once; more wait for their turn.
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Begin:
    """A message begins; it is None when there is none, or none that opens."""

    accepted_id: BlobId
    message: AcceptedMessage | None


@dataclass(frozen=True, slots=True)
class End:
    """A message ends: octets that were given, and whether those are all that were asked for."""

    octets: int
    whole: bool


class AcceptedReading:
    """Reads accepted mail."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def read(self, ids: Sequence[BlobId], max_octets: int) -> AsyncIterator[Begin | bytes | End]:
        """Yield messages in the order asked for, each with its octets in pieces of at most 256 KiB.

        Args:
            ids: At most 64.
            max_octets: Octets to give of each: 0 for all, negative for none.

        Raises:
            StoreError: INVALID for too many ids.
            ObjectsAwayError: S3 does not answer, and what comes now lies there; what came before is whole.
        """
        if len(ids) > MAX_MESSAGES:
            raise StoreError(Problem.INVALID, "too many ids")
        messages = await self._core.intake.load(self._core.pool, list(dict.fromkeys(ids)))
        # The account of whoever submitted it may be closed by now: then it is nobody's to send (architecture, promise 6).
        submitters = {one.envelope.submitter_account_id for one in messages.values()} - {0}
        alive = await self._core.intake.queued_keys.alive(self._core.pool, submitters) | {0}
        group: list[Begin] = []
        octets = 0
        for accepted_id in ids:
            message = messages.get(accepted_id)
            if message is not None and message.envelope.submitter_account_id not in alive:
                message = None
            size = 0 if message is None or message.size > _LARGE_OCTETS else message.size
            if group and octets + size > _GROUP_OCTETS:
                async for part in self._group(group, max_octets):
                    yield part
                group, octets = [], 0
            group.append(Begin(accepted_id, message))
            octets += size
        async for part in self._group(group, max_octets):
            yield part

    async def _group(self, group: Sequence[Begin], max_octets: int) -> AsyncIterator[Begin | bytes | End]:
        async with self._turns:
            sealed = await self._sealed(group) if max_octets >= 0 else {}
            for begin in group:
                yield begin
                if begin.message is None:
                    continue
                wanted = 0 if max_octets < 0 else min(begin.message.size, max_octets or begin.message.size)
                given = 0
                if wanted:
                    async for piece in self._pieces(begin.message, sealed.pop(begin.accepted_id, None), wanted):
                        given += len(piece)
                        yield piece
                yield End(given, given == wanted)

    async def _sealed(self, group: Sequence[Begin]) -> dict[BlobId, bytes]:
        """Fetch the small ones of a group together."""
        small = [one.accepted_id for one in group if one.message is not None and one.message.size <= _LARGE_OCTETS]
        try:
            return await self._core.bodies.sealed_many(self._core.pool, small) if small else {}
        except (ObjectsAwayError, ObjectMissingError):
            return {}  # one by one, then, so that each ends for itself

    async def _pieces(self, message: AcceptedMessage, sealed: bytes | None, wanted: int) -> AsyncIterator[bytes]:
        """Yield a message's first octets; what cannot be read is not given."""
        bodies = self._core.bodies
        try:
            if sealed is not None:
                source = bodies.stream_from(message.blob_id, message.key, sealed, 0, wanted)
            else:
                source = bodies.stream(message.blob_id, message.key, 0, wanted)
            async for piece in source:
                for at in range(0, len(piece), PIECE_OCTETS):
                    yield piece[at : at + PIECE_OCTETS]
        except (BodyMissingError, DamagedError, ObjectMissingError) as error:
            _log.error("body not read", accepted_id=str(message.blob_id), error_type=type(error).__qualname__)
