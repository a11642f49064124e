"""The guard through which a service goes to a URL that a person gave: web push, remote images, calendars, hooks.

Such a URL is a stranger's way to let our machine knock at doors behind our walls (SSRF). So a name is resolved here, only public
addresses pass, and the connection is made to the very address that passed, never by a second look-up (DNS rebinding). Time and
octets are bounded in all, and nothing of ours goes along: no cookies, no credentials, no proxy of the environment. RFC 8620 §8.6
asks for as much where push services that nobody knows are posted to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

import httpcore
from prometheus_client import Counter

from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.egress_addresses import (
    EgressError,
    EgressRules,
    Refusal,
    Target,
    literal,
    networks,
    public_addresses,
    read_url,
)
from petitbleu_kit.egress_names import NameResolver, server_of

__all__ = ["Answer", "Egress", "EgressError", "EgressRules", "Refusal", "read_url", "rules_of"]

_outcomes = Counter("petitbleu_egress_total", "Requests to URLs that people gave", ["outcome"])

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
Headers = Sequence[tuple[bytes, bytes]]

_ADDRESSES: Final = 4
"""Addresses of one name that are tried."""
_CONNECT_SECONDS: Final = 5.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_AGENT: Final = (b"user-agent", b"PetitBleu")


def rules_of(settings: ServiceSettings) -> EgressRules:
    """Return the rules that an operator's settings say.

    Raises:
        ValueError: a setting cannot be read.
    """
    ports = frozenset(int(port) for port in settings.egress_ports.split(",") if port.strip())
    return EgressRules(networks(settings.egress_allow), networks(settings.egress_refuse), ports)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side answers.

    Attributes:
        status: HTTP status.
        headers: Its header fields, names in lower case.
        url: Where it came from in the end.
        pieces: Its body; raises EgressError TOO_LARGE when there is more than was asked for, TIMEOUT, PROTOCOL.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    url: str
    pieces: AsyncIterator[bytes]

    def header(self, name: bytes) -> str:
        """Return a field's value, empty when it is not there; the first of several."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([piece async for piece in self.pieces])


class Egress:
    """Goes out for one service; made and closed in the loop that uses it.

    Args:
        rules: Where it may go.
        trust: What it believes of TLS; the machine's authorities when None.
        resolver: Gives the addresses of a name, as text.
        connections: Connections at once; what comes while they are busy waits, within its time.
    """

    def __init__(
        self, rules: EgressRules, trust: ssl.SSLContext | None = None, resolver: Resolver | None = None,
        connections: int = 100,
    ) -> None:  # fmt: skip
        self._resolver = NameResolver() if resolver is None else resolver
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust or ssl.create_default_context(),
            max_connections=connections,
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=_GuardedNetwork(rules, self._resolver),
        )

    @classmethod
    def of(cls, settings: ServiceSettings, connections: int = 100) -> Egress:
        """Return one as an operator's settings say.

        Raises:
            ValueError, OSError: a setting cannot be used.
        """
        trust = ssl.create_default_context()
        if settings.ca_file is not None:
            trust.load_verify_locations(settings.ca_file)
        return cls(rules_of(settings), trust, NameResolver(server_of(settings.dns)), connections)

    async def close(self) -> None:
        """Close its connections."""
        await self._pool.aclose()
        if isinstance(self._resolver, NameResolver):
            await self._resolver.close()

    @contextlib.asynccontextmanager
    async def get(
        self, url: str, *, max_octets: int, seconds: float, headers: Headers = (), http: bool = False,
        redirects: int = 3,
    ) -> AsyncIterator[Answer]:  # fmt: skip
        """Fetch, following few redirects, each of which is checked as the first URL was.

        Args:
            url: The URL.
            max_octets: Of the body.
            seconds: For everything: names, connections, redirects and the body.
            headers: What is asked with, such as Accept; it goes to every host on the way, so no secret belongs here.
            http: Whether `http:` may be gone to.
            redirects: How many are followed.

        Raises:
            EgressError: Nothing came, or it may not be gone there.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        for _ in range(redirects + 1):
            response = await self._begin(b"GET", read_url(url, http=http), headers, b"", deadline)
            try:
                location = dict(response.headers).get(b"location")
                if response.status not in _REDIRECTS or location is None:
                    yield _answer(response, url, max_octets, deadline)
                    return
            finally:
                await response.aclose()
            url = _next_url(url, location)
        raise _counted(Refusal.REDIRECTS)

    async def post(
        self, url: str, content: bytes, headers: Headers, *, max_octets: int, seconds: float, http: bool = False
    ) -> tuple[Answer, bytes]:
        """Post, and return the answer with its body; a redirect is an answer like others, and is not followed.

        Raises:
            EgressError: as `get`.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        response = await self._begin(b"POST", read_url(url, http=http), headers, content, deadline)
        try:
            answer = _answer(response, url, max_octets, deadline)
            return answer, await answer.read()
        finally:
            await response.aclose()

    async def _begin(
        self, method: bytes, target: Target, headers: Headers, content: bytes, deadline: float
    ) -> httpcore.Response:
        url = httpcore.URL(
            scheme=b"https" if target.secure else b"http",
            host=target.host.encode(),
            port=target.port,
            target=target.path,
        )
        fields = [(b"host", target.origin.partition("://")[2].encode()), _AGENT, (b"accept-encoding", b"identity")]
        if method == b"POST":
            fields.append((b"content-length", b"%d" % len(content)))
        request = httpcore.Request(method, url, headers=[*fields, *headers], content=content)
        async with _named_errors(deadline):
            response = await self._pool.handle_async_request(request)
        response.headers = [(name.lower(), value) for name, value in response.headers]
        _outcomes.labels(outcome="answered").inc()
        return response


def _counted(refusal: Refusal) -> EgressError:
    _outcomes.labels(outcome=refusal.value).inc()
    return EgressError(refusal)


@contextlib.asynccontextmanager
async def _named_errors(deadline: float) -> AsyncIterator[None]:
    """Say by one error what went wrong in the block, which has time until then."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except EgressError as error:
        raise _counted(error.refusal) from None
    except (TimeoutError, httpcore.TimeoutException):
        raise _counted(Refusal.TIMEOUT) from None
    except (httpcore.ConnectError, OSError):  # among them errors of TLS
        raise _counted(Refusal.UNREACHABLE) from None
    except (httpcore.ProtocolError, httpcore.NetworkError):
        raise _counted(Refusal.PROTOCOL) from None


def _next_url(url: str, location: bytes) -> str:
    try:
        return urljoin(url, location.decode("latin-1"))
    except ValueError:
        raise _counted(Refusal.URL) from None


def _answer(response: httpcore.Response, url: str, max_octets: int, deadline: float) -> Answer:
    return Answer(response.status, response.headers, url, _pieces(response, max_octets, deadline))


async def _pieces(response: httpcore.Response, max_octets: int, deadline: float) -> AsyncIterator[bytes]:
    declared = dict(response.headers).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > max_octets:
        raise _counted(Refusal.TOO_LARGE)
    left = max_octets
    body = response.aiter_stream()
    while True:
        async with _named_errors(deadline):
            piece = await anext(body, None)
        if piece is None:
            return
        left -= len(piece)
        if left < 0:
            raise _counted(Refusal.TOO_LARGE)
        yield piece


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Makes connections, only to addresses that passed.

    Every connection of the pool is made here, so nothing else of the client needs to know where it goes.
    """

    def __init__(self, rules: EgressRules, resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,  # noqa: ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """Connect to the first address of a name that passes and answers.

        Raises:
            EgressError: ADDRESS or PORT, when none passes.
            httpcore.ConnectError: when none answers.
        """
        del timeout, local_address
        found = [host] if literal(host) is not None else await self._resolver(host, port)
        failure: Exception = httpcore.ConnectError()
        for address in public_addresses(found, self._rules, port)[:_ADDRESSES]:
            try:
                # an address as text is not resolved again
                stream = await self._network.connect_tcp(
                    str(address), port, timeout=_CONNECT_SECONDS, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            peer = stream.get_extra_info("server_addr")
            if peer is None or literal(str(peer[0])) != address:
                await stream.aclose()
                raise EgressError(Refusal.ADDRESS)
            return stream
        raise failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """Refuse: no URL leads to one."""
        del path, timeout, socket_options
        raise EgressError(Refusal.ADDRESS)

    async def sleep(self, seconds: float) -> None:
        """Wait, as the pool's retries ask."""
        await asyncio.sleep(seconds)
