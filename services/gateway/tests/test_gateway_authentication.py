"""The memory of right credentials."""

from __future__ import annotations

import asyncio
import base64

import pytest

from petitbleu_gateway.http.credentials import read_credential
from petitbleu_gateway.ports import Credential, Identity, NewSession, RefusedError
from petitbleu_gateway.service.authentication import Authentication

RIGHT = Credential("alice@demo.test", "right")


class FakeAccounts:
    def __init__(self, life: float = 3600) -> None:
        self.asked = 0
        self.now = 1000.0
        self.life = life
        self.gate: asyncio.Event | None = None

    async def authenticate(self, credential: Credential, client_ip: str) -> Identity:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if credential != RIGHT:
            raise RefusedError
        return Identity(7, 1, credential.login, "", (), 0, f"principal {self.asked}", int(self.now + self.life))

    async def create_session(self, principal: str, label: str, client_ip: str, device: bytes = b"") -> NewSession:
        raise NotImplementedError

    async def revoke_session(self, principal: str, session_id: int) -> None:
        raise NotImplementedError


def make(accounts: FakeAccounts, seconds: float = 300) -> Authentication:
    return Authentication(accounts, lambda: seconds, lambda: accounts.now)


async def test_right_credential_is_asked_about_once() -> None:
    accounts = FakeAccounts()
    authentication = make(accounts)
    for _ in range(3):
        assert (await authentication.authenticate(RIGHT, "")).account_id == 7
    assert accounts.asked == 1


async def test_wrong_credential_is_never_remembered() -> None:
    accounts = FakeAccounts()
    authentication = make(accounts)
    for _ in range(2):
        with pytest.raises(RefusedError):
            await authentication.authenticate(Credential("alice@demo.test", "wrong"), "")
    assert accounts.asked == 2


async def test_login_and_password_are_not_confused() -> None:
    accounts = FakeAccounts()
    authentication = make(accounts)
    await authentication.authenticate(RIGHT, "")
    with pytest.raises(RefusedError):
        await authentication.authenticate(Credential("alice@demo.testr", "ight"), "")


async def test_credential_is_asked_about_again_after_its_time() -> None:
    accounts = FakeAccounts()
    authentication = make(accounts, 60)
    await authentication.authenticate(RIGHT, "")
    accounts.now += 59
    await authentication.authenticate(RIGHT, "")
    assert accounts.asked == 1
    accounts.now += 2
    await authentication.authenticate(RIGHT, "")
    assert accounts.asked == 2


async def test_principal_is_renewed_before_it_expires() -> None:
    accounts = FakeAccounts(life=100)
    authentication = make(accounts)
    first = await authentication.authenticate(RIGHT, "")
    accounts.now += 75
    assert (await authentication.authenticate(RIGHT, "")).principal != first.principal


async def test_change_of_an_account_is_forgotten_at_once() -> None:
    accounts = FakeAccounts()
    authentication = make(accounts)
    await authentication.authenticate(RIGHT, "")
    authentication.forget_accounts([8])
    await authentication.authenticate(RIGHT, "")
    assert accounts.asked == 1
    authentication.forget_accounts([7])
    await authentication.authenticate(RIGHT, "")
    authentication.forget_all()
    await authentication.authenticate(RIGHT, "")
    assert accounts.asked == 3


async def test_one_question_for_many_that_come_at_once() -> None:
    accounts = FakeAccounts()
    accounts.gate = asyncio.Event()
    authentication = make(accounts)
    waiting = [asyncio.create_task(authentication.authenticate(RIGHT, "")) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # one that leaves takes nobody with it
    await asyncio.sleep(0)
    accounts.gate.set()
    found = await asyncio.gather(*waiting[1:])
    assert accounts.asked == 1
    assert {identity.account_id for identity in found} == {7}


async def test_answer_that_may_be_stale_is_not_remembered() -> None:
    accounts = FakeAccounts()
    accounts.gate = asyncio.Event()
    authentication = make(accounts)
    asking = asyncio.create_task(authentication.authenticate(RIGHT, ""))
    while not accounts.asked:
        await asyncio.sleep(0)
    authentication.forget_accounts([7])  # said while the answer was on its way
    accounts.gate.set()
    await asking
    await authentication.authenticate(RIGHT, "")
    assert accounts.asked == 2


def test_basic_and_bearer_are_read() -> None:
    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    assert read_credential(basic("a@b:pass:with:colons")) == Credential("a@b", "pass:with:colons")
    assert read_credential(basic("é@b:pâss")) == Credential("é@b", "pâss")
    assert read_credential("bearer abc.def-_~+/=") == Credential("", "abc.def-_~+/=")
    for bad in ("", "Basic", "Basic x", basic("a@b"), basic(":p"), basic("a:"), basic("a\0:p"), basic("a" * 400 + ":p"),
                basic("a:" + "p" * 2000), "Bearer a b", "Bearer ", "Negotiate x"):  # fmt: skip
        assert read_credential(bad) is None, bad
