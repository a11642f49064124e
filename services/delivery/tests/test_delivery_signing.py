"""What we send is signed by RSA and Ed25519 in the name of the author's domain, for the tenant of the submitter and no other."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.dns_texts import Texts
from services.delivery.tests.delivery_fakes import Clock
from services.delivery.tests.domain_fakes import TIMES, Calendar, FakeHosted, FakeRows

from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.errors import KeysUnavailableError
from petitbleu_delivery.service.domains.keeper import KeyKeeper
from petitbleu_delivery.service.domains.signing import DomainKeys, author_domain
from petitbleu_mail.auth.arc import verify_chain
from petitbleu_mail.auth.dkim import verify_message
from petitbleu_mail.auth.dkim_record import KeyRing, Result

DOMAIN = "post.example"
TENANT = 7
TRACE = b"Received: from client by us; Sun, 22 Nov 2026 00:00:00 +0000\r\n"
HEADER = b"From: Alice <alice@post.example>\r\nTo: bob@else.example\r\nSubject: hello\r\n"
MESSAGE = TRACE + HEADER + b"\r\nHello \t Bob\r\n\r\n"


class Post:
    """A signer on fakes, with the records of its keys published."""

    def __init__(self, *, ed25519: bool = True) -> None:
        self.calendar = Calendar()
        self.rows = FakeRows(self.calendar)
        self.dns = Texts({})
        self.hosted = FakeHosted(post_example=TENANT, other_example=8)
        self.clock = Clock()
        keeper = KeyKeeper(self.rows, Seal(secrets.token_bytes(32), "domains"), self.dns, TIMES, self.calendar)
        self.keeper = keeper
        self.signer = DomainKeys(
            keeper, self.hosted, self.dns, ed25519=ed25519, clock=self.clock, now=lambda: 1_700_000_000
        )

    async def results(self, message: bytes) -> list[tuple[str, Result]]:
        for key in self.rows.of(DOMAIN):
            self.dns.records[key.record_name] = (key.record_text.encode(),)
        verdicts = await verify_message(message, KeyRing(self.dns), 1_700_000_000)
        return [(verdict.algorithm, verdict.result) for verdict in verdicts]


async def test_a_message_is_signed_twice_rsa_first_and_both_signatures_pass() -> None:
    post = Post()
    signed = await post.signer.sign(MESSAGE, DOMAIN)
    assert signed.endswith(MESSAGE)
    assert await post.results(signed) == [("rsa-sha256", Result.PASS), ("ed25519-sha256", Result.PASS)]
    assert await post.results(b"From: eve@post.example\r\n" + signed) == [
        ("rsa-sha256", Result.FAIL), ("ed25519-sha256", Result.FAIL),
    ], "From is not oversigned"  # fmt: skip


async def test_a_setting_leaves_rsa_alone() -> None:
    post = Post(ed25519=False)
    assert await post.results(await post.signer.sign(MESSAGE, DOMAIN)) == [("rsa-sha256", Result.PASS)]


@pytest.mark.parametrize(
    "header",
    [
        b"From: alice@else.example\r\n",
        b"From: alice@sub.post.example\r\n",
        b"From: alice@post.example, eve@else.example\r\n",
        b"From: alice@post.example\r\nFrom: eve@else.example\r\n",
        b"From: eve@else.example\r\nFrom: alice@post.example\r\n",
        b"From: alice\r\n",
        b"To: alice@post.example\r\n",
        b"",
    ],
)
async def test_who_is_not_the_one_author_is_not_signed_for(header: bytes) -> None:
    post = Post()
    message = TRACE + header + b"\r\nHello\r\n"
    assert await post.signer.sign(message, DOMAIN) == message
    assert await post.signer.sign_submitted(message, TENANT) == message


async def test_nobody_signs_in_the_name_of_another_tenant() -> None:
    post = Post()
    message = b"From: someone@other.example\r\n\r\nHello\r\n"
    assert await post.signer.sign_submitted(message, TENANT) == message
    assert await post.signer.sign(message, "other.example", TENANT) == message
    assert await post.signer.sign_submitted(MESSAGE, TENANT) != MESSAGE
    assert (await post.signer.sign_submitted(message, 8)).endswith(message)


async def test_while_it_is_not_known_whether_to_sign_the_message_waits() -> None:
    post = Post()
    post.hosted.away = True
    with pytest.raises(KeysUnavailableError):
        await post.signer.sign(MESSAGE, DOMAIN)
    post.hosted.away = False
    signed = await post.signer.sign(MESSAGE, DOMAIN)
    post.hosted.away = True
    post.clock.now += 120
    assert await post.signer.sign(MESSAGE, DOMAIN) == signed, "what was known a while ago serves meanwhile"
    post.clock.now += 3600
    with pytest.raises(KeysUnavailableError):
        await post.signer.sign(MESSAGE, DOMAIN)


async def test_keys_are_asked_for_once_a_minute() -> None:
    post = Post()
    for _ in range(5):
        await post.signer.sign(MESSAGE, DOMAIN)
    assert post.hosted.asked == 1
    post.clock.now += 61
    await post.keeper.rotate(DOMAIN, now=True)
    signed = await post.signer.sign(MESSAGE, DOMAIN)
    assert post.hosted.asked == 2
    assert b"s=r20260131-2;" in signed
    assert await post.results(signed) == [("rsa-sha256", Result.PASS), ("ed25519-sha256", Result.PASS)]


async def test_what_is_forwarded_is_sealed_and_the_chain_goes_on() -> None:
    post = Post()
    stranger = b"From: eve@else.example\r\nSubject: hi\r\n\r\nHello\r\n"
    once = await post.signer.seal(stranger, DOMAIN, ("mx.post.example", b"spf=pass smtp.mailfrom=else.example"))
    await post.results(once)
    verdict = await verify_chain(once, KeyRing(post.dns))
    assert (verdict.result, verdict.highest, verdict.sealers) == (Result.PASS, 1, (DOMAIN,))
    twice = await post.signer.seal(once, DOMAIN, ("mx.post.example", b"arc=pass"))
    assert (await verify_chain(twice, KeyRing(post.dns))).highest == 2
    assert await post.signer.seal(stranger, "else.example", ("mx.post.example", b"none")) == stranger


@settings(max_examples=settings.default.max_examples if settings.default else 100)
@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"From:", b" a@post.example", b"\r\n", b",", b"<", b":", b"\xff"])).map(b"".join)
)
def test_any_octets_have_one_author_domain_or_none(message: bytes) -> None:
    found = author_domain(message)
    assert found is None or found == found.lower()
