"""`service.push_sender.Poster` by HTTP (RFC 8030 §5), through the egress guard, with little at once for each host."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from petitbleu.accounts.v1 import push_pb2 as pb
from petitbleu_gateway.domain.web_push import Vapid, encrypt, topic
from petitbleu_gateway.service.push_sender import Posted, Verdict
from petitbleu_kit.egress import Answer, Egress, EgressError, read_url

_MAX_HOSTS: Final = 10_000
_MAX_ANSWER: Final = 64 << 10
_LONGEST_WAIT: Final = 24 * 3600.0
_LATER_SECONDS: Final = 1.0
_CHANGE_TTL: Final = 3 * 86_400
_VERIFICATION_TTL: Final = 3600
_REFUSED_WAIT: Final = 600.0
"""Least wait when we are told that we do it wrong: the same post will hardly do better soon."""


@dataclass(slots=True)
class _Host:
    """A push service: what is on its way to it, and until when it wants nothing."""

    changes: int = 0
    verifications: int = 0
    paused_until: float = 0.0


@dataclass(frozen=True, slots=True)
class PostLimits:
    """Bounds of posting: seconds for one post; posts at once in all, to a host, and verifications to a host."""

    seconds: float
    posts: int
    host: int
    host_verifications: int


class PushPoster:
    """Posts.

    Args:
        egress: The way out.
        vapid: Who we are, None for nobody.
        limits: Bounds.
    """

    def __init__(self, egress: Egress, vapid: Vapid | None, limits: PostLimits) -> None:
        self._egress = egress
        self._vapid = vapid
        self._limits = limits
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._posts = 0

    async def post(self, target: pb.PushTarget, body: bytes, types: Sequence[str]) -> Posted:
        """Post to a subscription; `types` are those that changed, none for a verification."""
        try:
            origin = read_url(target.url, http=False).origin
        except EgressError:
            return Posted(Verdict.GONE)
        host = self._host(origin)
        now = asyncio.get_running_loop().time()
        if host.paused_until > now:
            return Posted(Verdict.LATER, host.paused_until - now)
        full = host.changes >= self._limits.host if types else host.verifications >= self._limits.host_verifications
        if full or self._posts >= self._limits.posts:
            return Posted(Verdict.LATER, _LATER_SECONDS)
        self._posts += 1
        host.changes += bool(types)
        host.verifications += not types
        try:
            return await self._post(host, origin, target, body, types)
        finally:
            self._posts -= 1
            host.changes -= bool(types)
            host.verifications -= not types

    def _host(self, origin: str) -> _Host:
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = _Host()
            while len(self._hosts) > _MAX_HOSTS:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(origin)
        return host

    async def _post(self, host: _Host, origin: str, target: pb.PushTarget, body: bytes, types: Sequence[str]) -> Posted:
        left = max(target.expires_at - int(time.time()), 0)
        headers = [
            (b"content-type", b"application/json"),
            (b"ttl", b"%d" % min(left, _CHANGE_TTL if types else _VERIFICATION_TTL)),  # RFC 8030 §5.2
            # RFC 8030 §5.3: a device that saves its battery is woken by mail, not by a flag
            (b"urgency", b"low" if types and "EmailDelivery" not in types else b"normal"),
        ]
        if types:
            headers.append((b"topic", topic(types).encode()))
        if target.HasField("keys"):
            body = encrypt(body, target.keys.p256dh, target.keys.auth)
            headers.append((b"content-encoding", b"aes128gcm"))
        if self._vapid is not None:  # RFC 9749 §4: verifications too
            headers.append((b"authorization", self._vapid.authorization(origin)))
        try:
            answer, _ = await self._egress.post(
                target.url, body, headers, max_octets=_MAX_ANSWER, seconds=self._limits.seconds
            )
        except EgressError:
            return Posted(Verdict.FAILED)
        return self._verdict(host, answer)

    @staticmethod
    def _verdict(host: _Host, answer: Answer) -> Posted:
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return Posted(Verdict.DELIVERED)
        if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:  # RFC 8030 §7.3
            return Posted(Verdict.GONE)
        wait = retry_after(answer.header(b"retry-after"), time.time())
        if answer.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:  # RFC 8030 §8.4
            if answer.status == HTTPStatus.SERVICE_UNAVAILABLE and wait:
                host.paused_until = asyncio.get_running_loop().time() + min(wait, 60.0)
            return Posted(Verdict.FAILED, wait)
        refused = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return Posted(Verdict.FAILED, max(wait, _REFUSED_WAIT) if refused else wait)


def retry_after(field: str, now: float) -> float:
    """Return the seconds that a Retry-After field asks for (RFC 9110 §10.2.3), a day at most; 0 when it is none."""
    text = field.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max(when.timestamp() - now, 0.0), _LONGEST_WAIT)
