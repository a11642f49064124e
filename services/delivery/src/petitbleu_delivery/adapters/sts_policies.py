"""MTA-STS policies of other domains: announced in the DNS, fetched by HTTPS, kept until they end (RFC 8461 §3.3, §5.1)."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict
from typing import Final, Protocol

import asyncpg

from petitbleu_delivery.domain.tls_report import ResultType, TlsFailure
from petitbleu_kit.egress import Egress, EgressError
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.resolver import NoSuchNameError, TemporaryDnsError
from petitbleu_mail.mta_sts import MAX_POLICY, StsError, StsMode, StsPolicy, parse_policy, policy_id

_log = get_logger(__name__)
# How long a look at the record serves, and how long one that failed (§3.3: not more often than each five minutes).
_LOOK_SECONDS: Final = 300.0
_FETCH_SECONDS: Final = 60.0
_MOST: Final = 10_000

_GET: Final = "/* cold:delivery.sts_get */ SELECT policy_id, mode, mx, max_age FROM peer_sts_policy WHERE domain = $1 AND expires_at > now()"
_PUT: Final = """/* cold:delivery.sts_put */ INSERT INTO peer_sts_policy (domain, policy_id, mode, mx, max_age, expires_at)
VALUES ($1, $2, $3, $4, $5::integer, now() + make_interval(secs => $5::integer)) ON CONFLICT (domain) DO UPDATE SET policy_id = excluded.policy_id,
mode = excluded.mode, mx = excluded.mx, max_age = excluded.max_age, expires_at = excluded.expires_at"""


class Texts(Protocol):
    """Gives TXT records."""

    async def txt(self, name: str) -> tuple[bytes, ...]:
        """Raises `NoSuchNameError`, `TemporaryDnsError`."""
        ...


class StsPolicies:
    """Knows the policies of other domains.

    Args:
        pool: Where they are kept.
        names: The DNS.
        egress: Fetches them; redirects are not followed (§3.3).
        https_port: Where policies are; 443 but in tests.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], names: Texts, egress: Egress, https_port: int = 443) -> None:
        self._pool = pool
        self._names = names
        self._egress = egress
        self._host_port = "" if https_port == 443 else f":{https_port}"
        self._known: OrderedDict[str, tuple[float, StsPolicy | None]] = OrderedDict()
        # why the policy that a domain announces could not be had, at the last look
        self._troubles: dict[str, TlsFailure] = {}
        self._asked: dict[str, asyncio.Task[StsPolicy | None]] = {}

    async def of(self, domain: str) -> StsPolicy | None:
        """Return the policy in force for a domain (A-labels), None when it has none."""
        until, policy = self._known.get(domain, (0.0, None))
        if until > time.monotonic():
            return policy
        task = self._asked.get(domain)
        if task is None:
            task = self._asked[domain] = asyncio.create_task(self._look(domain))
            task.add_done_callback(lambda _: self._asked.pop(domain, None))
        return await asyncio.shield(task)

    def trouble(self, domain: str) -> TlsFailure | None:
        """Return why the policy that a domain announces could not be had, for its report (RFC 8460 §4.3.2.2); None where it could."""
        return self._troubles.get(domain)

    async def _look(self, domain: str) -> StsPolicy | None:
        row = await self._pool.fetchrow(_GET, domain)
        kept = None if row is None else StsPolicy(StsMode(row["mode"]), tuple(row["mx"]), row["max_age"])
        try:
            announced = policy_id(await self._names.txt(f"_mta-sts.{domain}"))
        except (NoSuchNameError, TemporaryDnsError):
            announced = None
        policy = kept
        self._troubles.pop(domain, None)
        # §5.1: a policy that is kept stays in force until it ends, whatever becomes of the record
        if announced and (row is None or row["policy_id"] != announced):
            fetched = await self._fetch(domain)
            if fetched is not None:
                policy = fetched
                await self._pool.execute(
                    _PUT, domain, announced, fetched.mode.value, list(fetched.mx), fetched.max_age
                )  # fmt: skip
        self._known[domain] = (time.monotonic() + _LOOK_SECONDS, policy)
        while len(self._known) > _MOST:
            self._troubles.pop(self._known.popitem(last=False)[0], None)
        return policy

    async def _fetch(self, domain: str) -> StsPolicy | None:
        url = f"https://mta-sts.{domain}{self._host_port}/.well-known/mta-sts.txt"
        try:
            async with self._egress.get(url, max_octets=MAX_POLICY, seconds=_FETCH_SECONDS, redirects=0) as answer:
                if answer.status != 200 or answer.content_type != "text/plain":
                    result = ResultType.STS_FETCH if answer.status != 200 else ResultType.STS_INVALID
                    self._troubles[domain] = TlsFailure(
                        result, reason=f"HTTP {answer.status}, {answer.content_type}"[:100]
                    )
                    return None
                body = await answer.read()
        except EgressError as error:
            _log.info("policy cannot be fetched", reason=str(error))
            result = ResultType.STS_WEBPKI if _of_certificate(error) else ResultType.STS_FETCH
            self._troubles[domain] = TlsFailure(result, reason=error.refusal.value)
            return None
        try:
            return parse_policy(body)
        except StsError as error:
            _log.info("policy is none", reason=str(error))
            self._troubles[domain] = TlsFailure(ResultType.STS_INVALID, reason=str(error))
            return None


def _of_certificate(error: BaseException | None) -> bool:
    """Whether a certificate that is not believed is behind an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
