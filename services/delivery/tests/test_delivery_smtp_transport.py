"""Connections that are kept: used again, replaced where nothing of a letter was begun, and never where it is in doubt who has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from services.delivery.tests.test_delivery_smtp_session import EVERYTHING, PATIENCE, Scripted, letter

from petitbleu_delivery.adapters.exchangers import Exchangers
from petitbleu_delivery.adapters.records_dns import RecordLookups
from petitbleu_delivery.adapters.smtp_transport import SmtpTransport
from petitbleu_delivery.domain.outbound import Verdict
from petitbleu_kit.egress_addresses import EgressRules


class Relay:
    """A scripted server that counts its connections, and what carries letters to it."""

    def __init__(self) -> None:
        self.script = Scripted()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections > 1:
            self.script.answers.pop("MAIL", None)
        await self.script.serve(reader, writer)

    async def send(self) -> tuple[Verdict, str]:
        (answer,) = await self.transport.deliver("b.test", letter())
        return answer.verdict, answer.reply.text

    transport: SmtpTransport


@pytest.fixture(params=[(), ("PIPELINING",), EVERYTHING], ids=["plain", "pipelining", "everything"])
async def relay(request: pytest.FixtureRequest) -> AsyncIterator[Relay]:
    one = Relay()
    one.script.extensions = request.param
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    exchangers = Exchangers(RecordLookups("127.0.0.1:9"), EgressRules((), (), frozenset()), 25, validates=False)
    address = ("127.0.0.1", listening.sockets[0].getsockname()[1])
    one.transport = SmtpTransport(exchangers, None, "us.test", patience=PATIENCE, relay=address)
    yield one
    await one.transport.close()
    listening.close()
    await asyncio.gather(*filter(None, one.script.tasks), return_exceptions=True)


async def test_rfc5321_3_3_letters_share_a_connection(relay: Relay) -> None:
    for _ in range(3):
        assert (await relay.send())[0] is Verdict.SENT
    assert relay.connections == 1
    assert len(relay.script.data) == 3


async def test_sessions_that_rest_are_few_whatever_the_destinations(relay: Relay) -> None:
    for number in range(120):
        await relay.transport.deliver(f"d{number}.test", letter())
    assert relay.connections == 120
    assert (await relay.transport.deliver("d119.test", letter()))[0].verdict is Verdict.SENT
    assert relay.connections == 120
    # those used longest ago were ended, and nothing is remembered of them
    assert sorted(relay.transport._idle) == sorted(f"d{number}.test" for number in range(70, 120))
    await relay.transport.deliver("d0.test", letter())
    assert relay.connections == 121
    assert len(relay.transport._resting) == 50
    await relay.transport.close()
    assert not relay.transport._idle


async def test_a_connection_that_ended_before_the_message_is_replaced(relay: Relay) -> None:
    await relay.send()
    relay.script.answers["MAIL"] = None
    assert (await relay.send())[0] is Verdict.SENT
    assert relay.connections == 2
    assert len(relay.script.data) == 2


async def test_rfc1047_a_letter_of_which_it_is_not_known_who_has_it_is_not_said_again(relay: Relay) -> None:
    await relay.send()
    relay.script.answers |= {"FINAL": None, "BDAT": None}
    verdict, text = await relay.send()
    assert verdict is Verdict.DEFERRED
    assert "not known" in text
    assert relay.connections == 1
    assert len(relay.script.data) == 2


async def test_rfc5321_3_8_a_server_that_takes_its_leave_is_not_asked_again_on_that_connection(relay: Relay) -> None:
    relay.script.answers["RCPT"] = "421 4.3.2 going"
    assert (await relay.send())[0] is Verdict.DEFERRED
    del relay.script.answers["RCPT"]
    assert (await relay.send())[0] is Verdict.SENT
    assert relay.connections == 2
