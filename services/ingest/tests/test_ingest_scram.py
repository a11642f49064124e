"""SCRAM at the doors of submission: the right proof, the wrong ones, and clients that are talked out of the channel binding."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, cast

import pytest
from libs.petitbleu_mail.tests.scram_client import ScramClient
from services.ingest.tests import ingest_fakes as fakes
from services.ingest.tests.submission_world import WHO, Permits

from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.service.submitters import WrongCredentialError
from petitbleu_ingest.smtp.submission import Submission
from petitbleu_mail.scram import proves, server_signature, verifier_of
from petitbleu_mail.scram_exchange import end_point_of

END_POINT = b"e" * 32
SALT = b"0123456789abcdef"


class Logins:
    """One app password."""

    def __init__(self) -> None:
        self.verifier = verifier_of("pencil", SALT, 4096)

    async def scram_salt(self, login: str, client: str) -> tuple[bytes, int]:
        assert (login, client) != ("", "")
        return SALT, 4096

    async def by_proof(self, login: str, message: bytes, proof: bytes, client: str) -> tuple[Submitter, bytes]:
        assert client == "192.0.2.9"
        if login != "me@own.test" or not proves(self.verifier, message, proof):
            raise WrongCredentialError
        return WHO, server_signature(self.verifier, message)


class Door:
    """A session under TLS, as far as anybody can tell."""

    def __init__(self) -> None:
        bench = fakes.Bench()
        bench.door = replace(bench.door, submission=Submission(cast("Any", Logins()), Permits()))
        self.talk = bench.session()
        self.talk.smtp.mx.cipher = "TLSv1.3:X"
        self.talk.smtp.mx.end_point = END_POINT

    async def say(self, line: bytes) -> str:
        """Say a line; the last reply."""
        await self.talk.say(line + b"\r\n")
        return self.talk.transport.written.decode().splitlines()[-1]

    async def log_in(self, client: ScramClient, mechanism: str, first: str = "", *, initial: bool = True) -> str:
        """Go through an exchange as far as it goes; the last reply."""
        await self.say(b"EHLO c.example")
        begun = base64.b64encode((first or client.first()).encode())
        if initial:
            said = await self.say(b"AUTH %b %b" % (mechanism.encode(), begun))
        else:
            assert await self.say(b"AUTH %b" % mechanism.encode()) == "334 "
            said = await self.say(begun)
        if not said.startswith("334 "):
            return said
        said = await self.say(base64.b64encode(client.final(base64.b64decode(said[4:]).decode()).encode()))
        if not said.startswith("334 "):
            return said
        assert client.believes(base64.b64decode(said[4:]).decode())
        assert self.talk.smtp.mx.submitter is None, "the client has a word still"
        return await self.say(b"")


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("binding", [b"", END_POINT])
async def test_rfc5802_5_whoever_proves_an_app_password_is_in(initial: bool, binding: bytes) -> None:
    door = Door()
    mechanism = "SCRAM-SHA-256-PLUS" if binding else "SCRAM-SHA-256"
    said = await door.log_in(ScramClient("me@own.test", "pencil", binding), mechanism, initial=initial)
    assert said == "235 2.7.0 Welcome"
    assert door.talk.smtp.mx.submitter == WHO
    assert b"AUTH PLAIN OAUTHBEARER SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n" in door.talk.transport.written


@pytest.mark.parametrize(
    ("login", "password", "binding", "mechanism", "first"),
    [
        ("me@own.test", "pencils", b"", "SCRAM-SHA-256", ""),
        ("you@own.test", "pencil", b"", "SCRAM-SHA-256", ""),
        ("me@own.test", "pencil", b"of somebody in between", "SCRAM-SHA-256-PLUS", ""),
        ("me@own.test", "pencil", END_POINT, "SCRAM-SHA-256", ""),
        ("me@own.test", "pencil", b"", "SCRAM-SHA-256-PLUS", ""),
        # the client would have bound, had it seen that we can
        ("me@own.test", "pencil", b"", "SCRAM-SHA-256", "y,,n=me@own.test,r=fyko"),
        ("me@own.test", "pencil", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-unique,,n=me@own.test,r=fyko"),
    ],
)
async def test_rfc5802_6_whoever_does_not_is_not(
    login: str, password: str, binding: bytes, mechanism: str, first: str
) -> None:
    door = Door()
    said = await door.log_in(ScramClient(login, password, binding), mechanism, first)
    assert said.startswith("535 5.7.8")
    assert door.talk.smtp.mx.submitter is None


async def test_what_is_no_message_of_it_is_refused_and_the_session_goes_on() -> None:
    door = Door()
    await door.say(b"EHLO c.example")
    assert (await door.say(b"AUTH SCRAM-SHA-256 " + base64.b64encode(b"rubbish"))).startswith("501 5.5.4")
    assert await door.say(b"AUTH SCRAM-SHA-256") == "334 "
    assert (await door.say(b"*")).startswith("501 5.7.0")
    client = ScramClient("me@own.test", "pencil")
    assert (await door.say(b"AUTH SCRAM-SHA-256 " + base64.b64encode(client.first().encode()))).startswith("334 ")
    assert (await door.say(base64.b64encode(b"c=biws,r=x,p=short"))).startswith("501 5.5.4")
    assert (await door.say(b"NOOP")).startswith("250")
    door.talk.smtp.mx.end_point = b""
    assert (await door.say(b"AUTH SCRAM-SHA-256-PLUS")).startswith("504")
    assert (await door.log_in(client, "SCRAM-SHA-256")).startswith("235")


def test_rfc5929_4_1_what_is_no_certificate_binds_nothing() -> None:
    assert end_point_of(b"") == end_point_of(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n") == b""
