"""A letter that one exchanger cannot take: another one that can has it, and only where none can it is refused (RFC 5321 §5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from services.delivery.tests.test_delivery_smtp_session import Scripted
from tests.integration.test_delivery_smtp_client import told, transport_to

from petitbleu_delivery.adapters.smtp_transport import SmtpTransport
from petitbleu_delivery.domain.outbound import Letter, LetterRecipient, Verdict

EIGHT = Letter(
    b"x" * 16, "a@a.test", (LetterRecipient(0, "b@demo.test"),), b"Subject: hello\r\n\r\n\xc3\xa9t\xc3\xa9\r\n", True
)
PLAIN = Letter(b"y" * 16, "a@a.test", (LetterRecipient(0, "b@demo.test"),), b"Subject: hello\r\n\r\nseven\r\n")
UTF8 = Letter(b"z" * 16, "a@a.test", (LetterRecipient(0, "zo\u00e9@demo.test"),), PLAIN.body, True, smtputf8=True)
LARGE = Letter(b"l" * 16, "a@a.test", (LetterRecipient(0, "b@demo.test"),), PLAIN.body * 50)


@asynccontextmanager
async def exchangers(
    first: tuple[str, ...], second: tuple[str, ...] | None
) -> AsyncIterator[tuple[SmtpTransport, Scripted, Scripted]]:
    """Two exchangers of a domain and what they announce; the second one is down where that is None."""
    one, two = Scripted(first), Scripted(second or ())
    listening = [await asyncio.start_server(one.serve, "127.0.0.1", 0)]
    port = listening[0].sockets[0].getsockname()[1]
    if second is not None:
        listening.append(await asyncio.start_server(two.serve, "127.0.0.2", port))
    names = {
        "demo.test": ["MX 10 first.test.", "MX 20 second.test."], "first.test": ["A 127.0.0.1"],
        "second.test": ["A 127.0.0.2"],
    }  # fmt: skip
    try:
        async with transport_to(port, names) as (transport, _):
            yield transport, one, two
    finally:
        for server in listening:
            server.close()
        await asyncio.gather(*filter(None, (*one.tasks, *two.tasks)), return_exceptions=True)


@pytest.mark.parametrize(
    ("letter", "lacking", "having", "status"),
    [
        (EIGHT, (), ("8BITMIME",), "5.6.3"), (UTF8, ("8BITMIME",), ("8BITMIME", "SMTPUTF8"), "5.6.7"),
        (LARGE, ("SIZE 1000",), ("SIZE 100000",), "5.3.4"),
    ],
    ids=["8BITMIME", "SMTPUTF8", "SIZE"],
)  # fmt: skip
async def test_rfc5321_5_1_what_one_exchanger_cannot_take_goes_to_another(
    letter: Letter, lacking: tuple[str, ...], having: tuple[str, ...], status: str
) -> None:
    async with exchangers(lacking, having) as (transport, one, two):
        assert told(await transport.deliver("demo.test", letter)) == [(Verdict.SENT, "2.0.0")]
        assert (one.data, len(two.data)) == ([], 1)
        # the preferred one has what it can take, whatever went to the other before, and keeps its connection meanwhile
        for _ in range(2):
            assert told(await transport.deliver("demo.test", PLAIN)) == [(Verdict.SENT, "2.0.0")]
            assert told(await transport.deliver("demo.test", letter)) == [(Verdict.SENT, "2.0.0")]
        assert (len(one.data), len(two.data)) == (2, 3)
    async with exchangers(lacking, lacking) as (transport, one, two):
        assert told(await transport.deliver("demo.test", letter)) == [(Verdict.REFUSED, status)]
        assert (one.data, two.data) == ([], [])
    async with exchangers(lacking, None) as (transport, _, _):
        (answer,) = await transport.deliver("demo.test", letter)
        assert (answer.verdict, answer.reply.enhanced, answer.reached) == (Verdict.DEFERRED, "4.4.1", True)
