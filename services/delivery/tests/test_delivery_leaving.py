"""What leaves has the author that was checked when it was submitted, for whoever reads it; else it is neither signed nor sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from services.delivery.tests.delivery_fakes import Present
from services.delivery.tests.test_delivery_sending import FakeRows, FakeTeller, FakeTransport, OpenWay, Scene

from petitbleu.store.v1 import accept_pb2, outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import AcceptedLetter, AcceptedMail
from petitbleu_delivery.adapters.queue_rows import QueueRows
from petitbleu_delivery.domain.outbound import Letter
from petitbleu_delivery.service.outbound.destinations import Limits
from petitbleu_delivery.service.outbound.sending import Sender
from petitbleu_delivery.service.outbound.telling import Teller
from petitbleu_mail.headers import MAX_FIELDS

ME = "me@own.test"
TRACE = b"Received: by us; Mon, 23 Nov 2026 00:00:00 +0000\r\n"
HEAD = b"From: me@own.test\r\n"
BEHIND = b"Subject: x\r\n\r\nbody\r\n"


class OneLetter:
    """store with one message."""

    def __init__(self, body: bytes, **header: Any) -> None:
        self.body = body
        self.header = {"origin": accept_pb2.ORIGIN_SUBMITTED, "header_from": ME, **header}

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        del max_octets
        (accepted_id,) = accepted_ids
        header = outgoing_pb2.AcceptedHeader(accepted_id=accepted_id, found=True, mail_from=ME, **self.header)
        header.recipients.add(address="b@else.test")
        return {accepted_id: AcceptedLetter(header, self.body, True)}


class Marks:
    """Signs by one line."""

    async def sign(self, body: bytes, domain: str, tenant_id: int) -> bytes:
        del tenant_id
        return f"DKIM-Signature: d={domain}\r\n".encode() + body


class Way(Scene):
    """A sender before one message, and what left."""

    def __init__(self, body: bytes, **header: Any) -> None:
        self.rows, self.teller, self.transport = FakeRows(), FakeTeller(), FakeTransport()
        self.sender = Sender(
            cast("QueueRows", self.rows), cast("AcceptedMail", OneLetter(body, **header)), self.transport, Marks(),
            cast("Teller", self.teller), Limits(), Present(), OpenWay(),
        )  # fmt: skip
        self._numbers = 0
        self.left: list[bytes] = []
        answering = self.transport.answering

        def answer(destination: str, letter: Letter) -> Any:
            self.left.append(letter.body)
            return answering(destination, letter)

        self.transport.answering = answer

    async def go(self) -> str:
        """Send it; the enhanced code that is kept."""
        self.sender.take([self.unit()])
        await self.settled(lambda: len(self.rows.finished) == 1 and self.sender.in_hand == 0)
        return self.rows.finals[0].reply.enhanced


@pytest.mark.parametrize(
    "message",
    [
        HEAD + b"Subject: x\rFrom: head@school.test\r" + BEHIND,
        HEAD + b"Subject: x\nFrom: head@school.test\n" + BEHIND,
        HEAD + b"Subject: x\0From: head@school.test\r\n" + BEHIND,
        HEAD + b"no field\r\nnone either\r\nFrom: head@school.test\r\n" + BEHIND,
        HEAD + b"X: y\r\n" * MAX_FIELDS + b"From: head@school.test\r\n" + BEHIND,
        b"From: " + b"me@own.test," * 1000 + b"head@school.test\r\n" + BEHIND,
        b"Subject: x\rFrom: me@own.test\r\nFrom: head@school.test\r\n" + BEHIND,
        b"From: head@school.test\r\n" + BEHIND,
        b"From: me@own.test, head@school.test\r\n" + BEHIND,
        BEHIND,
    ],
)
async def test_an_author_that_was_not_checked_does_not_leave(message: bytes) -> None:
    way = Way(TRACE + message)
    assert await way.go() == "5.6.0"
    assert way.left == []


@pytest.mark.parametrize(
    "message", [HEAD + BEHIND, (HEAD + BEHIND).replace(b"\r\n", b"\n"), HEAD + BEHIND + b"bare\rends\nof lines\0"]
)
async def test_the_author_that_was_checked_leaves_signed(message: bytes) -> None:
    way = Way(TRACE + message)
    assert await way.go() == "2.0.0"
    assert way.left[0].startswith(b"DKIM-Signature: d=own.test\r\n" + TRACE + HEAD)
    assert way.left[0].count(b"\r") == way.left[0].count(b"\n") == way.left[0].count(b"\r\n")


async def test_several_own_authors_leave_unsigned() -> None:
    way = Way(TRACE + b"From: me@own.test, us@own.test\r\nSender: me@own.test\r\n" + BEHIND, header_from="")
    assert await way.go() == "2.0.0"
    assert way.left[0].startswith(TRACE)
    assert await Way(TRACE + b"From: head@school.test\r\n" + BEHIND, header_from="").go() == "5.6.0"


@pytest.mark.parametrize(("authenticated", "start"), [(True, b"DKIM-Signature: d=own.test"), (False, TRACE)])
async def test_what_a_rule_sends_on_is_signed_for_an_author_who_was_known_to_write_it(
    authenticated: bool, start: bytes
) -> None:
    way = Way(TRACE + HEAD + BEHIND, origin=accept_pb2.ORIGIN_RULE, from_authenticated=authenticated)
    assert await way.go() == "2.0.0"
    assert way.left[0].startswith(start)


async def test_what_a_rule_sends_on_is_nobodys_to_refuse() -> None:
    way = Way(
        TRACE + HEAD + b"Subject: x\rFrom: head@school.test\r" + BEHIND, origin=accept_pb2.ORIGIN_RULE, header_from=""
    )
    assert await way.go() == "2.0.0"


@pytest.mark.parametrize(
    "message",
    [
        HEAD + b"Subject: x\rFrom: head@own.test\r" + BEHIND,
        HEAD + b"From: head@own.test\r\n" + BEHIND,
        b"From: head@own.test\r\n" + BEHIND,
        b"From: me@own.test, head@own.test\r\n" + BEHIND,
        BEHIND,
    ],
)
async def test_what_a_rule_sends_is_not_signed_for_an_author_who_was_not_the_one_known(message: bytes) -> None:
    way = Way(TRACE + message, origin=accept_pb2.ORIGIN_RULE, from_authenticated=True)
    assert await way.go() == "2.0.0"
    assert way.left[0].startswith(TRACE)
