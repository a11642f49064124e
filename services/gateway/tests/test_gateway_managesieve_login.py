"""Who a ManageSieve client is, whatever it says, and for how long."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.scram_client import ScramClient

from petitbleu_gateway.managesieve.login import Login
from petitbleu_gateway.ports import Credential, Identity, NewSession, Proven, RefusedError
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_mail import scram
from petitbleu_mail.scram_exchange import BOUND, MECHANISM

SALT = b"a" * 16
VERIFIER = scram.verifier_of("pencil", SALT, 4096)
END_POINT = b"e" * 32


def identity(number: int = 0) -> Identity:
    return Identity(7, 1, "me@own.test", "Me", (), 0, f"principal{number}", 2_000_000_000)


class People:
    """accounts, with one app password."""

    def __init__(self) -> None:
        self.revoked = False
        self.renewals = 0

    async def authenticate(self, credential: Credential, client_ip: str) -> Identity:
        if credential != Credential("me@own.test", "main"):
            raise RefusedError
        return identity()

    async def create_session(self, principal: str, label: str, client_ip: str, device: bytes = b"") -> NewSession:
        raise NotImplementedError

    async def revoke_session(self, principal: str, session_id: int) -> None:
        raise NotImplementedError

    async def scram_salt(self, login: str, client: str) -> tuple[bytes, int]:
        return SALT, 4096

    async def by_proof(self, login: str, message: bytes, proof: bytes, client: str) -> tuple[Proven, bytes]:
        if login != "me@own.test" or not scram.proves(VERIFIER, message, proof):
            raise RefusedError
        return Proven(identity(), b"standing", b"renewal"), scram.server_signature(VERIFIER, message)

    async def renewed(self, proven: Proven) -> Identity:
        assert (proven.standing, proven.renewal) == (b"standing", b"renewal")
        if self.revoked:
            raise RefusedError
        self.renewals += 1
        return identity(self.renewals)


class Door:
    """A login, and a clock."""

    def __init__(self, end_point: bytes = END_POINT) -> None:
        self.people = People()
        self.now = 0.0
        authentication = Authentication(self.people, lambda: 60.0)
        self.login = Login(authentication, self.people, "192.0.2.1", lambda: self.now)
        self.login.tls_started(end_point)

    async def prove(self, password: str = "pencil", binding: bytes = b"") -> bool:
        client = ScramClient("me@own.test", password, binding)
        self.login.begin(BOUND if binding else MECHANISM)
        challenge = await self.login.respond(base64.b64encode(client.first().encode()))
        told = await self.login.respond(base64.b64encode(client.final(base64.b64decode(challenge).decode()).encode()))
        return client.believes(base64.b64decode(told).decode())


@pytest.mark.parametrize("binding", [b"", END_POINT])
async def test_rfc5804_2_1_a_proof_lets_in_and_is_renewed(binding: bytes) -> None:
    door = Door()
    assert await door.prove(binding=binding)
    assert door.login.who == identity()
    door.now = 59.0
    assert await door.login.again() == identity()
    door.now = 61.0
    assert await door.login.again() == identity(1)
    assert await door.login.again() == identity(1)
    door.people.revoked = True
    door.now = 122.0
    with pytest.raises(RefusedError):
        await door.login.again()
    assert await door.login.again() is None


@pytest.mark.parametrize(
    ("password", "binding"), [("other", b""), ("pencil", b"of somebody in between"), ("main", b"")]
)
async def test_rfc5802_6_other_proofs_and_bindings_do_not(password: str, binding: bytes) -> None:
    door = Door()
    with pytest.raises(RefusedError):
        await door.prove(password, binding)
    assert door.login.who is None
    assert await door.login.again() is None


async def test_rfc5802_6_nobody_is_talked_out_of_the_binding() -> None:
    door = Door()
    door.login.begin(MECHANISM)
    with pytest.raises(RefusedError):
        await door.login.respond(base64.b64encode(b"y,,n=me@own.test,r=fyko"))
    assert BOUND not in Door(b"").login.mechanisms()


@given(st.sampled_from(["PLAIN", MECHANISM, BOUND]), st.lists(st.binary(max_size=80), max_size=3), st.booleans())
async def test_whatever_is_said_is_refused_or_answered(mechanism: str, said: list[bytes], encoded: bool) -> None:
    door = Door()
    door.login.begin(mechanism)
    for octets in said:
        try:
            await door.login.respond(base64.b64encode(octets) if encoded else octets)
        except RefusedError:
            break
    assert door.login.who is None
