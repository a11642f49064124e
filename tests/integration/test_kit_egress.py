"""The egress guard on real sockets: names that change, redirects inwards, answers without end, certificates of others."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.egress import Egress, EgressError, EgressRules, Refusal
from petitbleu_kit.egress_addresses import networks

OPEN = EgressRules(networks("127.0.0.1/32"))
Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Host:
    """A server that remembers the heads of what it was asked, and answers as it is told to."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self.talk(head, writer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def host(talk: Talk, trust: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> AsyncIterator[Host]:
    found = Host(talk)
    server = await asyncio.start_server(found.serve, address, 0, ssl=trust)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for writer in found.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def egress(
    rules: EgressRules = OPEN, trust: ssl.SSLContext | None = None, names: dict[str, list[list[str]]] | None = None
) -> AsyncIterator[Egress]:
    """Give a guard; `names` are the answers of the resolver, one list a look-up, the last one from then on."""

    async def resolve(name: str, _port: int) -> Sequence[str]:
        assert names is not None
        answers = names[name]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    found = Egress(rules, trust, None if names is None else resolve)
    try:
        yield found
    finally:
        await found.close()


async def hello(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello")


async def fetch(guard: Egress, url: str, max_octets: int = 1000, seconds: float = 5, *, http: bool = True) -> bytes:
    async with guard.get(url, max_octets=max_octets, seconds=seconds, http=http) as answer:
        assert answer.status == 200
        return await answer.read()


async def refusal(guard: Egress, url: str, max_octets: int = 1000, seconds: float = 5) -> Refusal:
    with pytest.raises(EgressError) as refused:
        await fetch(guard, url, max_octets, seconds)
    return refused.value.refusal


async def test_a_page_comes_whole_with_its_type_and_nothing_of_ours_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with host(hello) as there, egress() as guard:
        url = f"http://127.0.0.1:{there.port}/x?y=z"
        for _ in range(2):
            async with guard.get(url, max_octets=5, seconds=5, http=True, headers=[(b"accept", b"text/*")]) as answer:
                assert (answer.status, answer.content_type, answer.url) == (200, "text/plain", url)
                assert b"".join([piece async for piece in answer.pieces]) == b"hello"
        head = there.heads[0].lower()
        assert head.startswith(b"get /x?y=z http/1.1\r\n")
        assert b"accept: text/*\r\n" in head
        for field in (b"cookie", b"authorization", b"referer", b"proxy"):
            assert field not in head


async def test_loopback_is_closed_unless_it_is_opened() -> None:
    async with host(hello) as there, egress(EgressRules()) as guard:
        for name in ("127.0.0.1", "localhost", "localhost."):
            assert await refusal(guard, f"http://{name}:{there.port}/") is Refusal.ADDRESS
        assert not there.heads


async def test_a_name_that_changes_between_two_looks_is_looked_at_once() -> None:
    async with host(hello) as inside, host(hello) as outside:
        rules = EgressRules(networks("127.0.0.2/32"))  # stands for the public network; 127.0.0.1 is inside
        names = {"a.example": [["127.0.0.2"], ["127.0.0.1"]]}
        async with host(hello, address="127.0.0.2") as public, egress(rules, names=names) as guard:
            assert await fetch(guard, f"http://a.example:{public.port}/") == b"hello"
            assert len(public.heads) == 1
        names = {"a.example": [["127.0.0.1"]]}
        async with egress(rules, names=names) as guard:
            assert await refusal(guard, f"http://a.example:{inside.port}/") is Refusal.ADDRESS
        assert not inside.heads + outside.heads


async def test_each_redirect_is_checked_anew_and_few_are_followed() -> None:
    async with host(hello, address="127.0.0.2") as inside:
        places: list[str] = []

        async def lead(_head: bytes, writer: asyncio.StreamWriter) -> None:
            place = places.pop(0) if places else ""
            if place:
                writer.write(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
            else:
                await hello(_head, writer)

        async with host(lead) as there, egress() as guard:
            url = f"http://127.0.0.1:{there.port}/"
            places[:] = ["/other", "?again=1"]
            assert await fetch(guard, url) == b"hello"
            assert [head.split()[1] for head in there.heads] == [b"/", b"/other", b"/other?again=1"]
            for place, why in (
                (f"http://127.0.0.2:{inside.port}/", Refusal.ADDRESS),
                (f"http://[::ffff:127.0.0.1]:{there.port}/", Refusal.ADDRESS),
                ("http://2130706434/", Refusal.URL),
                ("file:///etc/passwd", Refusal.URL),
                ("gopher://127.0.0.1/", Refusal.URL),
                ("http://[", Refusal.URL),
            ):
                places[:] = [place]
                assert await refusal(guard, url) is why
            places[:] = [url] * 10
            assert await refusal(guard, url) is Refusal.REDIRECTS
            assert len(places) == 6
            places[:] = [url]
            answer, _ = await guard.post(url, b"x", [], max_octets=10, seconds=5, http=True)
            assert answer.status == 302
            places[:] = [url]
            with pytest.raises(EgressError, match="url"):  # http is asked for by the caller, not by who redirects
                await fetch(guard, url, http=False)
        assert not inside.heads


async def test_time_is_bounded_in_all_however_slowly_octets_come() -> None:
    async def drip(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def silent(_head: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def half(_head: bytes, writer: asyncio.StreamWriter) -> None:
        for _ in range(1000):
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    for talk in (drip, silent, half):
        async with host(talk) as there, egress() as guard:
            began = time.monotonic()
            assert await refusal(guard, f"http://127.0.0.1:{there.port}/", seconds=0.4) in {
                Refusal.TIMEOUT, Refusal.PROTOCOL,
            }  # fmt: skip
            assert time.monotonic() - began < 20  # of the fifty seconds that these would take


async def test_octets_are_bounded_said_or_not() -> None:
    async def endless(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b" /said " in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        elif b" /header " in head:
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(2000):
            writer.write(b"2000\r\n" + b"x" * 8192 + b"\r\n")
            await writer.drain()

    async with host(endless) as there, egress() as guard:
        url = f"http://127.0.0.1:{there.port}"
        assert await refusal(guard, f"{url}/said", 5000) is Refusal.TOO_LARGE
        assert await refusal(guard, f"{url}/chunks", 100_000) is Refusal.TOO_LARGE
        assert await refusal(guard, f"{url}/header") is Refusal.PROTOCOL
        with pytest.raises(EgressError) as refused:
            await guard.post(f"{url}/said", b"x", [], max_octets=10, seconds=5, http=True)
        assert refused.value.refusal is Refusal.TOO_LARGE


async def test_rubbish_and_closed_doors_are_told_apart() -> None:
    async def rubbish(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xff rubbish\r\n\r\n")

    async def cut(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await writer.drain()
        writer.close()

    async with egress() as guard:
        async with host(rubbish) as there:
            assert await refusal(guard, f"http://127.0.0.1:{there.port}/") is Refusal.PROTOCOL
        async with host(cut) as there:
            assert await refusal(guard, f"http://127.0.0.1:{there.port}/") is Refusal.PROTOCOL
        assert await refusal(guard, f"http://127.0.0.1:{there.port}/") is Refusal.UNREACHABLE
    async with egress(names={"a.example": [["127.0.0.1"]], "none.example": [[]]}) as guard, host(hello) as there:
        assert await fetch(guard, f"http://a.example:{there.port}/") == b"hello"
        assert await refusal(guard, "http://none.example/") is Refusal.UNREACHABLE


async def test_an_error_of_the_caller_stays_the_caller_s() -> None:
    async with host(hello) as there, egress() as guard:
        for error in (OSError, TimeoutError):
            with pytest.raises(error):
                async with guard.get(f"http://127.0.0.1:{there.port}/", max_octets=9, seconds=5, http=True):
                    raise error
        assert await fetch(guard, f"http://127.0.0.1:{there.port}/") == b"hello"


async def test_a_certificate_must_be_of_the_name_and_of_an_authority_that_we_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = certificate(tmp_path, "push.example")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority, tmp_path / "key.pem")
    trust = ssl.create_default_context(cafile=str(authority))
    names = {"push.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]}

    async def accept(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" if head.startswith(b"POST") else b"")

    async with host(accept, server) as there:
        async with egress(trust=trust, names=names) as guard:
            answer, body = await guard.post(
                f"https://push.example:{there.port}/p", b"octets", [(b"ttl", b"60")], max_octets=10, seconds=5
            )
            assert (answer.status, body) == (201, b"")
            assert b"content-length: 6" in there.heads[0].lower()
            assert f"host: push.example:{there.port}".encode() in there.heads[0].lower()
            assert await refusal(guard, f"https://other.example:{there.port}/") is Refusal.UNREACHABLE
        async with egress(names=names) as guard:
            assert await refusal(guard, f"https://push.example:{there.port}/") is Refusal.UNREACHABLE
        assert len(there.heads) == 1
        monkeypatch.setenv("PETITBLEU_EGRESS_ALLOW", "127.0.0.0/8")
        monkeypatch.setenv("PETITBLEU_CA_FILE", str(authority))
        guard = Egress.of(ServiceSettings.read())
        answer, _ = await guard.post(f"https://127.0.0.1:{there.port}/", b"", [], max_octets=10, seconds=5)
        assert answer.status == 201
        await guard.close()


def certificate(folder: Path, name: str) -> Path:
    """Make a certificate that signs itself, of a name and of loopback; its key is beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem"
