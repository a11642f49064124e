"""Signatures of what we send (RFC 6376, RFC 8463), and ARC seals of what we forward (RFC 8617)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import asyncpg
import msgspec
from prometheus_client import Counter

from petitbleu_delivery.domain.seal import SealError
from petitbleu_delivery.errors import KeysUnavailableError, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import HostedDomains
from petitbleu_delivery.service.domains.keeper import KeyKeeper
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.arc import ArcVerdict, verify_chain
from petitbleu_mail.auth.arc_seal import arc_set
from petitbleu_mail.auth.author import author_of
from petitbleu_mail.auth.canonical import BodyDigest, BodyHashes
from petitbleu_mail.auth.dkim_record import KeyRing
from petitbleu_mail.auth.dkim_sign import SigningKey, signature_field, signing_body
from petitbleu_mail.auth.fields import Fields, split_message
from petitbleu_mail.auth.resolver import Resolver
from petitbleu_mail.headers import scan_headers

_log = get_logger(__name__)
_signed = Counter("petitbleu_delivery_signed_total", "Messages signed, and why others were not", ["result"])
# How long an answer is believed, and how long it still serves while no fresh one is to be had, seconds.
_FRESH: Final = 60.0
_STALE: Final = 3600.0
# Domains remembered; foreign ones among them.
_MAX_DOMAINS: Final = 10_000
_PIECE: Final = 1 << 16
# What may keep keys from us: accounts or the database away. Anything else is a mistake of ours and shows as one.
_AWAY: Final = (
    PeerUnavailableError, PeerRefusedError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError,
)  # fmt: skip


class _Known(msgspec.Struct):
    at: float
    tenant_id: int
    """0: not hosted here."""
    keys: tuple[SigningKey, ...]


class DomainKeys:
    """Signs in the name of hosted domains.

    Args:
        keeper: Has the keys.
        hosted: Says which domains are hosted, and for whom.
        resolver: For the keys of others, whose ARC chains we go on with.
        ed25519: Whether there is a second signature (RFC 8463 §3).
        clock: Seconds that only grow.
        now: Unix seconds.
    """

    def __init__(
        self,
        keeper: KeyKeeper,
        hosted: HostedDomains,
        resolver: Resolver,
        *,
        ed25519: bool = True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keeper = keeper
        self._hosted = hosted
        self._resolver = resolver
        self._ed25519 = ed25519
        self._clock = clock
        self._now = now
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asked: dict[str, asyncio.Task[_Known]] = {}

    async def sign(self, body: bytes, domain: str, tenant_id: int | None = None) -> bytes:
        """Return a message with our signatures in front, RSA's first; as it is when it is none of ours to sign.

        It is when its one author (RFC 9989 §5.3.1) is of `domain` (lower case, A-labels), which is hosted here, and for
        `tenant_id` where that is given: nobody signs in the name of another tenant, or of whoever wrote what is forwarded.

        Raises:
            KeysUnavailableError: it is not known now; try again later.
        """
        if author_domain(body) != domain:
            _signed.labels(result="foreign").inc()
            return body
        known = await self._look(domain)
        if not known.tenant_id or tenant_id not in {None, known.tenant_id}:
            _signed.labels(result="not-ours").inc()
            return body
        signatures = await asyncio.to_thread(_signatures, body, self._used(known), int(self._now()))
        _signed.labels(result="signed" if signatures else "no-header").inc()
        return signatures + body

    async def sign_submitted(self, body: bytes, tenant_id: int) -> bytes:
        """Sign in the name of the author's domain, if it is hosted for the submitter's tenant; else as `sign`."""
        domain = author_domain(body)
        if domain is None:
            _signed.labels(result="no-author").inc()
            return body
        return await self.sign(body, domain, tenant_id)

    async def seal(
        self, body: bytes, domain: str, results: tuple[str, bytes], chain: ArcVerdict | None = None
    ) -> bytes:
        """Return a message that is forwarded with one more ARC set in front, in the name of the forwarder's domain.

        `results` are our authserv-id and what we found when it came (`arc_seal.own_results`). `chain` is what came of its
        ARC chain; without it, the chain is verified here. As it is when the domain is not hosted here, or where there must
        be no further set.

        Raises:
            KeysUnavailableError: it is not known now; try again later.
        """
        known = await self._look(domain)
        if not known.keys:
            return body
        if chain is None:
            chain = await verify_chain(body, KeyRing(self._resolver))
        # RFC 8617 §4.1.3: a set has one seal; RSA is what every receiver knows
        made = await asyncio.to_thread(_arc_set, body, chain, known.keys[0], results, int(self._now()))
        return made + body

    def forget(self, domain: str) -> None:
        """Look at a domain's keys anew at its next message."""
        self._known.pop(domain, None)

    def _used(self, known: _Known) -> Sequence[SigningKey]:
        return known.keys if self._ed25519 else [key for key in known.keys if key.algorithm == "rsa-sha256"]

    async def _look(self, domain: str) -> _Known:
        """Return what is known of a domain, at most a minute old; older while nobody answers."""
        known = self._known.get(domain)
        age = self._clock() - known.at if known is not None else _STALE
        if known is not None and age < _FRESH:
            return known
        task = self._asked.get(domain)
        if task is None:
            task = self._asked[domain] = asyncio.create_task(self._ask(domain))
            task.add_done_callback(lambda _task: self._asked.pop(domain, None))
        try:
            return await asyncio.shield(task)
        except _AWAY as error:
            if known is not None and age < _STALE:
                return known
            raise KeysUnavailableError(type(error).__name__) from None
        except SealError:
            _log.error("a DKIM key cannot be opened")
            raise KeysUnavailableError("sealed under another key") from None

    async def _ask(self, domain: str) -> _Known:
        hosting = await self._hosted.hosting(domain)
        keys = await self._keeper.signing_keys(domain) if hosting is not None else []
        known = _Known(self._clock(), hosting.tenant_id if hosting is not None else 0, tuple(keys))
        self._known.pop(domain, None)
        self._known[domain] = known
        while len(self._known) > _MAX_DOMAINS:
            self._known.popitem(last=False)
        return known


def author_domain(message: bytes) -> str | None:
    """Return the domain of a message's one author, None where it has none or several."""
    author = author_of(scan_headers(message))
    return author.domains[0] if author.fault is None and author.domains else None


def _hashed(message: bytes) -> tuple[Fields, BodyDigest]:
    header, start = split_message(message)
    hashes = BodyHashes()
    digest = signing_body(hashes)
    view = memoryview(message)[start:]
    hashes.take(bytes(view[at : at + _PIECE]) for at in range(0, len(view), _PIECE))
    return Fields(header), digest


def _signatures(message: bytes, keys: Sequence[SigningKey], now: int) -> bytes:
    """Return the signature fields, in the order of the keys; nothing where the header is too long to be looked at."""
    fields, body = _hashed(message)
    if fields.too_long or len(fields.indexes(b"from")) != 1:
        return b""
    return b"".join([signature_field(fields, body, key, now) for key in keys])


def _arc_set(message: bytes, chain: ArcVerdict, key: SigningKey, results: tuple[str, bytes], now: int) -> bytes:
    fields, body = _hashed(message)
    return b"" if fields.too_long else arc_set(fields, body, chain, key, results, now)
