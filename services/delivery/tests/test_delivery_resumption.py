"""TLS sessions are resumed where nothing is to be proven, and a server that cannot resume is never a reason to send in clear."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator

import pytest
from services.delivery.tests.test_delivery_smtp_session import PATIENCE, letter

from petitbleu_delivery.adapters.exchangers import Exchangers
from petitbleu_delivery.adapters.records_dns import RecordLookups
from petitbleu_delivery.adapters.smtp_transport import SmtpTransport
from petitbleu_delivery.domain.outbound import Verdict
from petitbleu_delivery.smtp_client.resumption import ResumingContext
from petitbleu_dev.authority import Certificates
from petitbleu_kit.egress_addresses import EgressRules


class Server:
    """A server with STARTTLS: `sessions` are how each letter came (None in clear, else whether TLS was resumed)."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.sessions: list[bool | None] = []
        self.connections = 0
        self.breaks: set[int] = set()  # connections of which the handshake fails
        self.tasks: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        self.connections += 1
        number = self.connections
        with contextlib.suppress(OSError, ssl.SSLError):
            writer.write(b"220 there\r\n")
            while line := await reader.readline():
                word = line.split()[0].upper()
                if word == b"STARTTLS":
                    writer.write(b"220 go on\r\n")
                    if number in self.breaks:
                        break
                    await writer.start_tls(self.context)
                    continue
                if word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    while (await reader.readline()) not in {b".\r\n", b""}:
                        pass
                    shown = writer.get_extra_info("ssl_object")
                    self.sessions.append(None if shown is None else shown.session_reused)
                tls = b"250 there\r\n" if writer.get_extra_info("ssl_object") else b"250-there\r\n250 STARTTLS\r\n"
                writer.write({b"EHLO": tls, b"QUIT": b"221 bye\r\n"}.get(word, b"250 2.0.0 fine\r\n"))
                if word == b"QUIT":
                    break
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("authority"))
    made.ensure(dt.datetime.now(dt.UTC))
    return made


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def server(
    request: pytest.FixtureRequest, certificates: Certificates
) -> AsyncIterator[tuple[Server, SmtpTransport]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    context.maximum_version = request.param
    one = Server(context)
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    exchangers = Exchangers(RecordLookups("127.0.0.1:9"), EgressRules((), (), frozenset()), 25, validates=False)
    address = ("127.0.0.1", listening.sockets[0].getsockname()[1])
    transport = SmtpTransport(exchangers, None, "us.test", patience=PATIENCE, relay=address)
    yield one, transport
    await transport.close()
    listening.close()
    await asyncio.gather(*filter(None, one.tasks), return_exceptions=True)


async def _send(transport: SmtpTransport, *destinations: str) -> None:
    for destination in destinations:
        (answer,) = await transport.deliver(destination, letter())
        assert answer.verdict is Verdict.SENT


async def test_rfc8446_2_2_the_second_session_with_a_server_is_resumed(server: tuple[Server, SmtpTransport]) -> None:
    there, transport = server
    await _send(transport, "a.test", "b.test", "c.test")
    assert there.sessions == [False, True, True]


async def test_rfc7435_3_a_server_that_fails_to_resume_is_gone_to_by_tls_all_the_same(
    server: tuple[Server, SmtpTransport],
) -> None:
    there, transport = server
    there.breaks = {2}
    await _send(transport, "a.test", "b.test", "c.test")
    # the second letter's first connection broke with a ticket: its second had none; the third letter learnt from it
    assert there.connections == 4
    assert there.sessions == [False, False, False]
    await _send(transport, "d.test")
    assert there.sessions[-1] is True


def test_tickets_are_few_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ResumingContext()
    clock = [0.0]
    monkeypatch.setattr("petitbleu_delivery.smtp_client.resumption.time.monotonic", lambda: clock[0])

    class Shown(ssl.SSLObject):
        def __init__(self) -> None:
            """Begin nothing."""

        session = type("Ticket", (), {"has_ticket": True})()

    for number in range(1500):
        context.learn(f"mx{number}.test", Shown())
    assert [context.knows(f"mx{number}.test") for number in (0, 499, 500, 1499)] == [False, False, True, True]
    clock[0] = 3601.0
    assert not context.knows("mx1499.test")
    context.forget("mx1499.test")
    context.learn("mx.test", object())
    assert not context.knows("mx.test")
