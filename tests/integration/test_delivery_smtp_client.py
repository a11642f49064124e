"""Mail to other servers from name to final answer: a private Postfix with STARTTLS, a name server, and a policy by HTTPS, all of the test's own."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import dns.flags
import dns.message
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.conformance.smtp.servers import Postfix
from tests.integration.conftest import Backends
from tests.integration.dns_server import SERVFAIL, NameServer, name_server

from petitbleu_delivery.adapters.exchangers import Exchangers
from petitbleu_delivery.adapters.records_dns import RecordLookups
from petitbleu_delivery.adapters.report_post import ReportPost
from petitbleu_delivery.adapters.smtp_transport import SmtpTransport
from petitbleu_delivery.adapters.sts_policies import StsPolicies
from petitbleu_delivery.domain.outbound import Answer, Letter, LetterRecipient, Verdict
from petitbleu_delivery.domain.tls_report import ResultType, TlsFailure, TlsPolicy
from petitbleu_delivery.smtp_client.session import Patience
from petitbleu_dev.authority import Certificates
from petitbleu_kit.egress import Egress, EgressRules
from petitbleu_kit.egress_addresses import networks
from petitbleu_mail.mta_sts import StsMode, StsPolicy

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = Patience(connect=20, greeting=20, command=20, data=20, block=20, final=20)
LOOPBACK: Final = networks("127.0.0.0/8")
MX: Final = "MX 10 mx.demo.test."
HERE: Final = "A 127.0.0.1"


def letter(*addresses: str, **more: Any) -> Letter:
    recipients = tuple(LetterRecipient(number, address) for number, address in enumerate(addresses))
    return Letter(b"x" * 16, "a@a.test", recipients, b"Subject: hello\r\n\r\n.dot\r\n", **more)


def told(answers: list[Answer]) -> list[tuple[Verdict, str]]:
    return [(answer.verdict, answer.reply.enhanced) for answer in answers]


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    # its people are not those who may look into pytest's directories
    with tempfile.TemporaryDirectory(prefix="pb-postfix-", ignore_cleanup_errors=True) as directory:
        one = Postfix(Path(directory) / "instance")
        yield one
        one.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("authority"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("petitbleu_dev.authority.DNS_NAMES", ("mta-sts.demo.test",))
        made.ensure(dt.datetime.now(dt.UTC))
    return made


class Proving(NameServer):
    """A name server that says of every answer that DNSSEC proves it, as a validating resolver would."""

    def answer(self, query: dns.message.Message) -> dns.message.Message | None:
        response = super().answer(query)
        if response is not None:
            response.flags |= dns.flags.AD
        return response


class Policies:
    """MTA-STS policies from a table."""

    def __init__(self, **policies: StsPolicy) -> None:
        self.policies = policies
        self.troubles: dict[str, TlsFailure] = {}

    async def of(self, domain: str) -> StsPolicy | None:
        return self.policies.get(domain.partition(".")[0])

    def trouble(self, domain: str) -> TlsFailure | None:
        return self.troubles.get(domain.partition(".")[0])


class Watch:
    """What reports of TLS would tell."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.failures: list[TlsFailure] = []

    def saw(self, domain: str, policy: TlsPolicy, failure: TlsFailure | None = None) -> None:
        self.seen.append((policy.type.value, "" if failure is None else failure.type.value))
        self.failures += [failure] if failure is not None else []


@asynccontextmanager
async def transport_to(
    port: int, names: dict[str, list[str]], *, authority: Path | None = None, policies: Any = None,
    proving: bool = False, allow: str = "127.0.0.0/8", relay: tuple[str, int] | None = None, watch: Watch | None = None,
) -> AsyncIterator[tuple[SmtpTransport, Exchangers]]:  # fmt: skip
    async with name_server(names) as (served, (host, dns_port)):
        if proving:
            served.__class__ = Proving
        rules = EgressRules(networks(allow), (), frozenset({port}))
        exchangers = Exchangers(
            RecordLookups(f"{host}:{dns_port}"), rules, port, validates=proving, own=("mx.us.test",)
        )
        transport = SmtpTransport(
            exchangers, policies, "us.test", port, authority=None if authority is None else str(authority),
            patience=PATIENCE, relay=relay, watch=watch,
        )  # fmt: skip
        try:
            yield transport, exchangers
        finally:
            await transport.close()


async def test_rfc3207_a_letter_goes_to_postfix_over_tls_and_each_recipient_has_its_answer(postfix: Postfix) -> None:
    async with transport_to(postfix.port, {"demo.test": [MX], "mx.demo.test": [HERE]}) as (transport, _):
        first = await transport.deliver("demo.test", letter("alice@demo.test", "nobody@demo.test", "bob@demo.test"))
        second = await transport.deliver("demo.test", letter("nobody@demo.test"))
        third = await transport.deliver("demo.test", letter("alice@demo.test"))
        (kept,) = transport._idle["demo.test"]
        assert kept.letters == 3, "one connection carried all three"
        assert kept.secured
    assert [verdict for verdict, _ in told(first)] == [Verdict.SENT, Verdict.REFUSED, Verdict.SENT]
    assert told(first)[1][1] == "5.1.1"
    assert told(second) == [(Verdict.REFUSED, "5.1.1")]
    assert told(third) == [(Verdict.SENT, "2.0.0")]
    assert first[0].reply.host == "mx.demo.test"
    assert first[0].relayed_dsn


async def test_rfc5321_5_1_the_next_exchanger_is_tried_and_a_domain_without_any_is_its_own(postfix: Postfix) -> None:
    names = {
        "two.test": ["MX 5 gone.test.", "MX 10 dead.test.", "MX 20 mx.demo.test."],
        "gone.test": ["TXT x"], "dead.test": ["A 127.0.0.77"], "mx.demo.test": [HERE],
        "demo.test": [HERE],
    }  # fmt: skip
    async with transport_to(postfix.port, names) as (transport, _):
        assert told(await transport.deliver("two.test", letter("alice@demo.test"))) == [(Verdict.SENT, "2.0.0")]
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.SENT, "2.0.0")]


@pytest.mark.parametrize(
    ("records", "verdict", "status"),
    [
        (["MX 0 ."], Verdict.REFUSED, "5.1.10"),
        (None, Verdict.REFUSED, "5.1.2"),
        ([SERVFAIL], Verdict.DEFERRED, "4.4.3"),
        (["TXT x"], Verdict.REFUSED, "5.4.4"),
        (["MX 10 mx.us.test.", "MX 20 mx.demo.test."], Verdict.REFUSED, "5.4.6"),
        (["MX 10 gone.test."], Verdict.REFUSED, "5.4.4"),
        (["MX 10 gone.test.", "MX 20 broken.test."], Verdict.DEFERRED, "4.4.3"),
        (["MX 10 broken.test.", "MX 20 gone.test."], Verdict.DEFERRED, "4.4.3"),
        (["MX 10 private.test."], Verdict.DEFERRED, "4.4.4"),
        (["A 10.1.2.3"], Verdict.DEFERRED, "4.4.4"),
        (["MX 10 dead.test."], Verdict.DEFERRED, "4.4.1"),
    ],
)  # fmt: skip
async def test_rfc7505_3_where_no_mail_can_go_is_said(
    postfix: Postfix, records: list[str] | None, verdict: Verdict, status: str
) -> None:
    names = {"broken.test": [SERVFAIL], "private.test": ["A 192.168.1.1"], "dead.test": ["A 127.0.0.77"]}
    names |= {"mx.demo.test": [HERE]}
    if records is not None:
        names["peer.test"] = records
    async with transport_to(postfix.port, names) as (transport, _):
        assert told(await transport.deliver("peer.test", letter("alice@demo.test"))) == [(verdict, status)]


async def test_an_outsiders_record_does_not_lead_behind_our_walls(postfix: Postfix) -> None:
    async with transport_to(postfix.port, {"demo.test": [HERE]}, allow="") as (transport, _):
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.DEFERRED, "4.4.4")]
    async with transport_to(postfix.port, {}, allow="", relay=("127.0.0.1", postfix.port)) as (transport, _):
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.SENT, "2.0.0")]


async def test_both_families_are_among_the_first_addresses() -> None:
    names = {"mx.test": ["A 192.0.2.1", "AAAA 2001:db8::1", "AAAA 2001:db8::2", "AAAA 2001:db8::3"]}
    async with transport_to(25, names, allow="192.0.2.0/24,2001:db8::/32") as (_, exchangers):
        addresses, _ = await exchangers.addresses("mx.test")
    assert len(addresses) == 4
    assert "192.0.2.1" in addresses[:2]


async def test_rfc8461_5_enforced_policies_want_a_certificate_of_an_authority(postfix: Postfix) -> None:
    names = {"demo.test": [MX], "mx.demo.test": [HERE]}
    self_made = postfix.base / "cert.pem"
    there = {"demo": StsPolicy(StsMode.ENFORCE, ("mx.demo.test",), 86_400)}
    async with transport_to(postfix.port, names, policies=Policies(**there)) as (transport, _):
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.DEFERRED, "4.7.5")]
    elsewhere = {"demo": StsPolicy(StsMode.ENFORCE, ("*.elsewhere.test",), 86_400)}
    async with transport_to(postfix.port, names, authority=self_made, policies=Policies(**elsewhere)) as (transport, _):
        (answer,) = await transport.deliver("demo.test", letter("alice@demo.test"))
        assert (answer.verdict, answer.reply.enhanced) == (Verdict.DEFERRED, "4.7.5")
        assert "policy" in answer.reply.text
    testing = {"demo": StsPolicy(StsMode.TESTING, ("*.elsewhere.test",), 86_400)}
    async with transport_to(postfix.port, names, policies=Policies(**testing)) as (transport, _):
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.SENT, "2.0.0")]


async def test_rfc8689_4_2_1_tls_that_is_required_is_verified_by_the_relay_too(postfix: Postfix) -> None:
    async with transport_to(postfix.port, {}, relay=("127.0.0.1", postfix.port)) as (transport, _):
        one = letter("alice@demo.test", require_tls=True)
        assert told(await transport.deliver("demo.test", one)) == [(Verdict.DEFERRED, "4.7.5")]


async def test_rfc8689_4_2_1_tls_that_is_required_wants_an_exchanger_that_is_proven(postfix: Postfix) -> None:
    names = {"demo.test": [MX], "mx.demo.test": [HERE]}
    one = letter("alice@demo.test", require_tls=True)
    async with transport_to(postfix.port, names) as (transport, _):
        assert told(await transport.deliver("demo.test", one)) == [(Verdict.DEFERRED, "4.7.30")]
    # by DANE it is verified; this server only does not announce REQUIRETLS
    tlsa = {f"_{postfix.port}._tcp.mx.demo.test": [record_of(postfix.base / "cert.pem", 3)]}
    async with transport_to(postfix.port, {**names, **tlsa}, proving=True) as (transport, _):
        assert told(await transport.deliver("demo.test", one)) == [(Verdict.REFUSED, "5.7.30")]


def record_of(certificate: Path, usage: int) -> str:
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    return f"TLSA {usage} 1 1 {digest}"


async def test_rfc7672_2_2_tlsa_records_name_the_key_and_nothing_else_will_do(postfix: Postfix) -> None:
    tlsa = f"_{postfix.port}._tcp.mx.demo.test"
    names = {"demo.test": [MX], "mx.demo.test": [HERE]}
    right, wrong = record_of(postfix.base / "cert.pem", 3), "TLSA 3 1 1 " + "00" * 32
    for record, expected in (
        (right, (Verdict.SENT, "2.0.0")), (wrong, (Verdict.DEFERRED, "4.7.5")),
        ("TLSA 1 1 1 " + "00" * 32, (Verdict.SENT, "2.0.0")),  # unusable: TLS is a must, whose does not matter
        (SERVFAIL, (Verdict.DEFERRED, "4.7.5")),
    ):  # fmt: skip
        async with transport_to(postfix.port, {**names, tlsa: [record]}, proving=True) as (transport, _):
            assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [expected], record
    # without proof the record says nothing; DANE goes before an enforced policy (RFC 8461 §2)
    async with transport_to(postfix.port, {**names, tlsa: [wrong]}) as (transport, _):
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.SENT, "2.0.0")]
    strict = Policies(demo=StsPolicy(StsMode.ENFORCE, ("mx.elsewhere.test",), 86_400))
    async with transport_to(postfix.port, {**names, tlsa: [right]}, proving=True, policies=strict) as (transport, _):
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.SENT, "2.0.0")]
    # records that say nothing of a key do not end a policy that does
    unusable = {**names, tlsa: ["TLSA 1 1 1 " + "00" * 32]}
    async with transport_to(postfix.port, unusable, proving=True, policies=strict) as (transport, _):
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.DEFERRED, "4.7.5")]
    named = Policies(demo=StsPolicy(StsMode.ENFORCE, ("mx.demo.test",), 86_400))
    async with transport_to(postfix.port, unusable, proving=True, policies=named) as (transport, _):
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.DEFERRED, "4.7.5")]


async def test_rfc8461_5_a_policy_that_is_tested_is_told_of_and_mail_goes_all_the_same(postfix: Postfix) -> None:
    names = {"demo.test": [MX], "mx.demo.test": [HERE]}
    policies = Policies(demo=StsPolicy(StsMode.TESTING, ("mx.demo.test",), 86_400))
    other = Policies(demo=StsPolicy(StsMode.TESTING, ("*.elsewhere.test",), 86_400))
    self_made = postfix.base / "cert.pem"
    for authority, there, expected in (
        (None, policies, [("sts", "certificate-not-trusted")]),
        (self_made, policies, [("sts", "certificate-host-mismatch")]),  # it has no name but a common one
        (self_made, other, [("sts", "validation-failure")]),
    ):
        watch = Watch()
        async with transport_to(postfix.port, names, authority=authority, policies=there, watch=watch) as (
            transport,
            _,
        ):
            assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.SENT, "2.0.0")]
            (kept,) = transport._idle["demo.test"]
            assert kept.secured, "what fails a policy that is tested still goes by TLS"
        assert watch.seen == expected
    watch = Watch()
    async with transport_to(postfix.port, names, policies=policies, watch=watch) as (transport, _):
        await transport.deliver("demo.test", letter("alice@demo.test"))
    (failure,) = watch.failures
    assert (failure.host, failure.receiver, failure.sender) == ("mx.demo.test", "127.0.0.1", "127.0.0.1")


async def test_rfc8460_4_3_sessions_are_told_of_by_their_policy(postfix: Postfix) -> None:
    tlsa = f"_{postfix.port}._tcp.mx.demo.test"
    names = {"demo.test": [MX], "mx.demo.test": [HERE]}
    strict = Policies(demo=StsPolicy(StsMode.ENFORCE, ("mx.demo.test",), 86_400))
    self_made = postfix.base / "cert.pem"
    for record, policies, expected in (
        (None, None, [("no-policy-found", "")]),
        (None, strict, [("sts", "certificate-not-trusted")]),
        (record_of(self_made, 3), strict, [("tlsa", "")]),
        ("TLSA 3 1 1 " + "00" * 32, None, [("tlsa", "certificate-not-trusted")]),
        ("TLSA 1 1 1 " + "00" * 32, None, [("tlsa", "tlsa-invalid"), ("no-policy-found", "")]),
        (SERVFAIL, None, [("tlsa", "dnssec-invalid")]),
    ):
        watch = Watch()
        asked = names if record is None else {**names, tlsa: [record]}
        async with transport_to(postfix.port, asked, proving=record is not None, policies=policies, watch=watch) as (
            transport, _,
        ):  # fmt: skip
            await transport.deliver("demo.test", letter("alice@demo.test"))
            await transport.deliver("demo.test", letter("alice@demo.test", tls_optional=True))
        assert watch.seen == expected, record
    unfetched = Policies()
    unfetched.troubles["demo"] = TlsFailure(ResultType.STS_FETCH, reason="unreachable")
    watch = Watch()
    async with transport_to(postfix.port, names, policies=unfetched, watch=watch) as (transport, _):
        await transport.deliver("demo.test", letter("alice@demo.test"))
    assert watch.seen == [("sts", "sts-policy-fetch-error"), ("no-policy-found", "")]


async def test_rfc8689_5_what_does_without_tls_goes_whatever_policy_there_is(postfix: Postfix) -> None:
    tlsa = f"_{postfix.port}._tcp.mx.demo.test"
    names = {"demo.test": [MX], "mx.demo.test": [HERE], tlsa: ["TLSA 3 1 1 " + "00" * 32]}
    strict = Policies(demo=StsPolicy(StsMode.ENFORCE, ("mx.elsewhere.test",), 86_400))
    watch = Watch()
    async with transport_to(postfix.port, names, proving=True, policies=strict, watch=watch) as (transport, _):
        one = letter("alice@demo.test", tls_optional=True)
        assert told(await transport.deliver("demo.test", one)) == [(Verdict.SENT, "2.0.0")]
        # it leaves no connection to what must be safe, and REQUIRETLS is the stronger word (RFC 8689 §4.1)
        assert told(await transport.deliver("demo.test", letter("alice@demo.test"))) == [(Verdict.DEFERRED, "4.7.5")]
        both = letter("alice@demo.test", tls_optional=True, require_tls=True)
        assert told(await transport.deliver("demo.test", both)) == [(Verdict.DEFERRED, "4.7.5")]
    assert watch.seen == [("tlsa", "certificate-not-trusted")] * 2


async def _in_clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a server, or somebody in between, that knows no STARTTLS."""
    writer.write(b"220 there\r\n")
    while line := await reader.readline():
        writer.write(b"354 go on\r\n" if line.startswith(b"DATA") else b"250 2.0.0 fine\r\n")
        if line.startswith(b"DATA"):
            await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 2.0.0 fine\r\n")
    writer.close()


@pytest.mark.parametrize("kind", ["none", "sts", "dane", "encrypted", "requiretls"])
async def test_rfc7672_2_1_nobody_in_between_takes_tls_away(kind: str) -> None:
    server = await asyncio.start_server(_in_clear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    names = {"demo.test": [MX], "mx.demo.test": [HERE]}
    if kind in {"dane", "encrypted"}:
        names[f"_{port}._tcp.mx.demo.test"] = [f"TLSA {3 if kind == 'dane' else 0} 1 1 " + "00" * 32]
    modes = {"sts": "enforce", "requiretls": "testing"}
    policies = Policies(demo=StsPolicy(StsMode(modes[kind]), ("mx.demo.test",), 86_400)) if kind in modes else None
    watch, proving = Watch(), kind in {"dane", "encrypted"}
    async with transport_to(port, names, proving=proving, policies=policies, watch=watch) as (transport, _):
        answers = await transport.deliver("demo.test", letter("alice@demo.test", require_tls=kind == "requiretls"))
    server.close()
    assert told(answers) == [(Verdict.SENT, "2.0.0") if kind == "none" else (Verdict.DEFERRED, "4.7.4")]
    assert watch.seen[-1][1] == "starttls-not-supported"


@pytest.fixture
async def pool(backends: Backends) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    made = await asyncpg.create_pool(backends.superuser_dsn(), min_size=1, max_size=1)
    migration = (ROOT / "services/delivery/migrations/0006_sts.sql").read_text()
    await made.execute(migration.replace("CREATE TABLE", "CREATE TEMP TABLE"))
    yield made
    await made.close()


async def test_rfc8461_5_1_a_policy_is_fetched_by_https_and_stays_in_force_whatever_becomes_of_its_record(
    pool: asyncpg.Pool[asyncpg.Record], certificates: Certificates
) -> None:
    served = {"body": b"version: STSv1\nmode: enforce\nmx: mx.demo.test\nmax_age: 86400\n", "status": b"200 OK"}
    asked = 0

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(
            b"HTTP/1.1 %b\r\ncontent-type: text/plain\r\nlocation: /\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (served["status"], len(served["body"]), served["body"])
        )
        await writer.drain()
        writer.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.server, certificates.server_key)
    server = await asyncio.start_server(web, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    trust = ssl.create_default_context(cafile=certificates.authority)

    async def to_loopback(_name: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    egress = Egress(EgressRules(LOOPBACK, (), frozenset({port})), trust, to_loopback)
    names = {"_mta-sts.demo.test": ['TXT "v=STSv1; id=a;"'], "_mta-sts.other.test": ['TXT "v=STSv1; id=a;"']}
    enforced = StsPolicy(StsMode.ENFORCE, ("mx.demo.test",), 86_400)
    try:
        async with name_server(names) as (_, (host, dns_port)):

            def restarted() -> StsPolicies:
                return StsPolicies(pool, RecordLookups(f"{host}:{dns_port}"), egress, port)

            def failed(policies: StsPolicies, domain: str = "demo.test") -> str:
                trouble = policies.trouble(domain)
                return "" if trouble is None else trouble.type.value

            policies = restarted()
            assert await policies.of("other.test") is None, "its certificate names another"
            assert failed(policies, "other.test") == "sts-webpki-invalid"  # RFC 8460 §4.3.2.2
            assert asked == 0
            policies = restarted()
            found = await asyncio.gather(*(policies.of("demo.test") for _ in range(5)))
            assert found == [enforced] * 5
            assert asked == 1, "one question for all that ask at once"
            assert await restarted().of("demo.test") == enforced
            assert asked == 1, "kept in the database"
            # who takes the record away, or breaks what is served, takes no policy away
            names["_mta-sts.demo.test"] = [SERVFAIL]
            assert await restarted().of("demo.test") == enforced
            names["_mta-sts.demo.test"] = ['TXT "v=STSv1; id=b;"']
            for status, body, result in (
                (b"302 Found", b"", "sts-policy-fetch-error"),
                (b"200 OK", b"what", "sts-policy-invalid"),
                (b"200 OK", b"x" * (64 << 10) + b"x", "sts-policy-fetch-error"),
            ):
                served["status"], served["body"] = status, body
                policies = restarted()
                assert await policies.of("demo.test") == enforced
                assert failed(policies) == result
            assert asked == 4, "a redirect is not followed"
            served["status"], served["body"] = b"200 OK", b"version: STSv1\nmode: none\nmax_age: 600\n"
            policies = restarted()
            assert await policies.of("demo.test") == StsPolicy(StsMode.NONE, (), 600)
            assert not failed(policies)
    finally:
        server.close()
        await egress.close()


async def test_rfc8460_5_4_reports_are_posted_to_public_places_that_are_who_they_say(
    certificates: Certificates,
) -> None:
    posted: list[bytes] = []
    status = b"201 Created"

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        posted.append(head + await reader.readexactly(6))
        writer.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.server, certificates.server_key)
    server = await asyncio.start_server(web, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    trust = ssl.create_default_context(cafile=certificates.authority)

    async def to_loopback(_name: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    open_, walled = (
        Egress(EgressRules(allowed, (), frozenset({port})), trust, to_loopback) for allowed in (LOOPBACK, ())
    )
    try:
        url = f"https://mta-sts.demo.test:{port}/tls"
        assert await ReportPost(open_).post(url, b"packed")
        assert posted[0].startswith(b"POST /tls HTTP/1.1\r\n")
        assert b"\r\ncontent-type: application/tlsrpt+gzip\r\n" in posted[0].lower()
        assert posted[0].endswith(b"\r\n\r\npacked")
        assert not await ReportPost(walled).post(url, b"packed"), "a record of a stranger leads behind our walls"
        assert not await ReportPost(open_).post(f"https://other.test:{port}/tls", b"packed")
        assert len(posted) == 1
        status = b"500 No"
        assert not await ReportPost(open_).post(url, b"packed")
    finally:
        server.close()
        await open_.close()
        await walled.close()
