"""Hosted domains through real services: their keys, made once, sealed, rotated with overlap by the DNS; what they sign passes."""

from __future__ import annotations

import asyncio
import base64
import email
import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import grpc.aio
import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from tests.integration.delivery_world import DOMAIN, DeliveryWorld, prepared_stack, submit, world_of
from tests.integration.dns_server import NameServer, name_server
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu.delivery.v1 import domains_pb2, domains_pb2_grpc, reports_pb2, reports_pb2_grpc
from petitbleu_delivery.adapters.domain_rows import DomainRows
from petitbleu_delivery.adapters.hosted import AccountsDomains
from petitbleu_delivery.adapters.key_file import checked_key, read_key
from petitbleu_delivery.adapters.records_dns import RecordLookups
from petitbleu_delivery.adapters.tls_rows import TlsRows
from petitbleu_delivery.domain.domain_keys import Algorithm, KeyState, KeyTimes
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.domain.tls_report import PolicyType, ResultType, TlsFailure, TlsPolicy
from petitbleu_delivery.service.domains.keeper import KeyKeeper
from petitbleu_delivery.service.domains.signing import DomainKeys
from petitbleu_delivery.service.domains.tls_results import TlsResults
from petitbleu_dev.stack import Stack
from petitbleu_kit.lifecycle import StartupError
from petitbleu_kit.postgres import open_pool
from petitbleu_mail.auth.dkim import verify_message
from petitbleu_mail.auth.dkim_record import KeyRing, Result
from petitbleu_mail.mta_sts import StsMode, parse_policy

OFFSET = offset_of(500)
TIMES = KeyTimes(timedelta(days=180), timedelta(days=2), timedelta(days=14))


class Zone:
    """A name server in a thread of its own, whose records tests change."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.address = ""
        self.server: NameServer | None = None
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with name_server(self.names) as (server, address):
            self.server, self.address = server, f"{address[0]}:{address[1]}"
            self._ready.set()
            await self._end.wait()

    def txt(self, name: str, text: str) -> None:
        pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
        self.names[name] = ["TXT " + " ".join(f'"{piece}"' for piece in pieces)]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


@pytest.fixture(scope="module")
def zone() -> Iterator[Zone]:
    made = Zone()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def domains_stack(tmp_path_factory: pytest.TempPathFactory, zone: Zone, sink: Sink) -> Iterator[Stack]:
    with prepared_stack(
        tmp_path_factory.mktemp("domains") / "data",
        OFFSET,
        {
            "PETITBLEU_DNS": zone.address,
            "PETITBLEU_LOG_LEVEL": "DEBUG",
            "PETITBLEU_SENDING_ADDRESSES": "192.0.2.7,2001:db8::7",
            "PETITBLEU_MAIL_HOST": "mail.us.test",
            "PETITBLEU_DMARC_REPORT_FROM": "dmarc@route.test",
            "PETITBLEU_DMARC_REPORT_SECONDS": "0.5",
            "PETITBLEU_TLS_REPORT_FROM": "tls@route.test",
            "PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{sink.port}",
        },
        "backends,services",
    ) as stack:
        yield stack


@pytest.fixture
async def world(domains_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(domains_stack) as made:
        yield made


@pytest.fixture
async def pool(domains_stack: Stack) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    made = await open_pool(domains_stack.environment("delivery")["PETITBLEU_PG_DSN"], "delivery", 4)
    yield made
    await made.close()


def key_file(stack: Stack) -> Path:
    return Path(stack.environment("delivery")["PETITBLEU_DELIVERY_KEY_FILE"])


def cli(stack: Stack, *arguments: str) -> tuple[int, Any]:
    """Run the command line with --json; its exit status and its answer."""
    environment = {**os.environ, "PETITBLEU_DATA": str(stack.layout.data)}
    done = subprocess.run(
        [sys.executable, "-m", "petitbleu_cli", *arguments, "--json"],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def keeper_of(
    stack: Stack, pool: asyncpg.Pool[asyncpg.Record], zone: Zone, clock: Clock | None = None
) -> KeyKeeper:
    """A second process of delivery, as far as keys go."""
    seal = Seal(await checked_key(pool, key_file(stack)), "domains")
    return KeyKeeper(DomainRows(pool), seal, RecordLookups(zone.address), TIMES, clock or Clock())


async def test_an_operator_sees_the_records_and_what_is_signed_passes_by_them(
    world: DeliveryWorld, pool: asyncpg.Pool[asyncpg.Record], zone: Zone
) -> None:
    domain = await world.new_domain()
    status, keys = await asyncio.to_thread(cli, world.stack, "domain", "keys", domain.upper())
    assert status == 0
    assert sorted((key["algorithm"], key["state"]) for key in keys) == [
        ("ed25519-sha256", "active"), ("rsa-sha256", "active"),
    ]  # fmt: skip
    for key in keys:
        zone.txt(key["name"], key["text"])
    lookups = RecordLookups(zone.address)
    signer = DomainKeys(
        await keeper_of(world.stack, pool, zone), AccountsDomains(world.peer("accounts", "delivery"), 5), lookups
    )
    message = f"From: a@{domain}\r\nSubject: hello\r\n\r\nHello\r\n".encode()
    signed = await signer.sign(message, domain)
    verdicts = await verify_message(signed, KeyRing(lookups), int(datetime.now(UTC).timestamp()))
    assert [(one.algorithm, one.result, one.domain) for one in verdicts] == [
        ("rsa-sha256", Result.PASS, domain), ("ed25519-sha256", Result.PASS, domain),
    ]  # fmt: skip
    foreign = b"From: a@elsewhere.test\r\n\r\nHello\r\n"
    assert await signer.sign(foreign, "elsewhere.test") == foreign
    other_tenant = await signer.sign_submitted(message, 1)
    assert other_tenant == message


async def test_a_domain_that_is_not_hosted_here_is_told_so(world: DeliveryWorld) -> None:
    for arguments in (("domain", "keys", "elsewhere.test"), ("domain", "keys", "elsewhere.test", "--rotate")):
        status, answer = await asyncio.to_thread(cli, world.stack, *arguments)
        assert (status, answer) == (1, {"error": "this domain is not hosted here"})


async def test_processes_that_need_the_first_keys_at_the_same_time_make_one_of_each(
    world: DeliveryWorld, pool: asyncpg.Pool[asyncpg.Record], zone: Zone
) -> None:
    domain = await world.new_domain()
    keepers = [await keeper_of(world.stack, pool, zone) for _ in range(4)]
    found = await asyncio.gather(*[keeper.signing_keys(domain) for keeper in keepers])
    assert len({tuple(key.selector for key in keys) for keys in found}) == 1
    assert len(await pool.fetch("/* cold:test.keys */ SELECT 1 FROM dkim_key WHERE domain = $1", domain)) == 2


async def test_rotation_overlaps_whatever_several_processes_do(
    world: DeliveryWorld, pool: asyncpg.Pool[asyncpg.Record], zone: Zone
) -> None:
    domain = await world.new_domain()
    clock = Clock()
    keepers = [await keeper_of(world.stack, pool, zone, clock) for _ in range(3)]

    async def all_keep() -> dict[KeyState, set[Algorithm]]:
        await asyncio.gather(*[keeper.upkeep() for keeper in keepers])
        states: dict[KeyState, set[Algorithm]] = {}
        for key in await keepers[0].keys(domain):
            states.setdefault(key.state, set()).add(key.algorithm)
        return states

    both = set(Algorithm)
    assert await keepers[0].signing_keys(domain)
    clock.ahead = timedelta(days=181)
    assert await all_keep() == {KeyState.ACTIVE: both, KeyState.MADE: both}
    for key in await keepers[0].keys(domain):
        zone.txt(key.record_name, key.record_text)
    assert await all_keep() == {KeyState.ACTIVE: both, KeyState.PUBLISHED: both}
    clock.ahead += timedelta(days=3)
    assert await all_keep() == {KeyState.ACTIVE: both, KeyState.RETIRING: both}
    clock.ahead += timedelta(days=15)
    assert await all_keep() == {KeyState.ACTIVE: both, KeyState.RETIRED: both}
    left = await pool.fetch(
        "/* cold:test.private */ SELECT state FROM dkim_key WHERE domain = $1 AND private_key IS NOT NULL", domain
    )
    assert {row["state"] for row in left} == {KeyState.ACTIVE}


async def test_without_its_key_delivery_says_so_and_does_not_start(
    domains_stack: Stack, pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> None:
    with pytest.raises(StartupError, match="the key of delivery cannot be read"):
        await checked_key(pool, tmp_path / "lost.key")
    read_key(tmp_path / "other.key", may_make=True)
    with pytest.raises(StartupError, match="is not the one that its DKIM keys are sealed under"):
        await checked_key(pool, tmp_path / "other.key")
    environment = {**domains_stack.environment("delivery"), "PETITBLEU_DELIVERY_KEY_FILE": str(tmp_path / "lost.key")}
    environment |= {"PETITBLEU_LISTEN": f"unix:{tmp_path}/d.sock", "PETITBLEU_HEALTH_PORT": "0"}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "petitbleu_delivery"],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "delivery: the key of delivery cannot be read" in done.stderr


async def test_a_policy_is_set_served_and_changes_its_id(world: DeliveryWorld) -> None:
    domain = await world.new_domain()
    peer = world.peer("delivery", "gateway")
    ask = domains_pb2_grpc.StsPolicyServiceStub(peer.channel).GetStsPolicy

    async def served(name: str) -> domains_pb2.StsPolicy:
        return (await peer.call(ask, domains_pb2.GetStsPolicyRequest(domain=name), timeout=10)).policy

    with pytest.raises(grpc.aio.AioRpcError) as none_yet:
        await served(domain)
    assert none_yet.value.code() is grpc.StatusCode.NOT_FOUND
    mode = ("domain", "sts", domain, "--mode")
    status, answer = await asyncio.to_thread(cli, world.stack, *mode, "testing")
    assert (status, answer) == (1, {"error": "there is no mx"})
    status, first = await asyncio.to_thread(
        cli, world.stack, *mode, "testing", "--mx", "MX.example.", "--max-age", "600"
    )
    assert (status, first["mode"], first["mx"], first["max_age"]) == (0, "testing", ["mx.example"], 600)
    policy = parse_policy((await served(domain.upper())).text.encode())
    assert (policy.mode, policy.mx, policy.max_age, policy.id) == (StsMode.TESTING, ("mx.example",), 600, first["id"])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.stack.port('http')}") as outside:
        for host, expected in ((f"mta-sts.{domain}", 200), (domain, 404), ("mta-sts.elsewhere.test", 404)):
            answer = await outside.get("/.well-known/mta-sts.txt", headers={"Host": host})
            assert answer.status_code == expected
            if expected == 200:
                assert answer.text == first["text"]
    status, second = await asyncio.to_thread(cli, world.stack, *mode, "enforce", "--mx", "mx.example")
    assert (await served(domain)).id == second["id"] != first["id"]
    assert f'_mta-sts.{domain}. IN TXT "v=STSv1; id={second["id"]}"' == second["record"]
    assert (await asyncio.to_thread(cli, world.stack, *mode, "off"))[0] == 0
    with pytest.raises(grpc.aio.AioRpcError):
        await served(domain)
    status, answer = await asyncio.to_thread(cli, world.stack, "domain", "sts", "elsewhere.test", "--mode", "none")
    assert (status, answer) == (1, {"error": "this domain is not hosted here"})


def states(answer: Any) -> dict[str, str]:
    """Record → the worst that is said of one of its kind."""
    order = ("right", "unknown", "missing", "wrong")
    found: dict[str, str] = {}
    for row in answer["records"]:
        found[row["record"]] = max(found.get(row["record"], "right"), row["state"], key=order.index)
    return found


async def test_a_domain_is_checked_and_what_is_to_be_pasted_makes_it_right(world: DeliveryWorld, zone: Zone) -> None:
    domain = await world.new_domain()
    status, bare = await asyncio.to_thread(cli, world.stack, "domain", "check", domain)
    assert (status, bare["right"]) == (1, False)
    assert states(bare) == {
        "mx": "missing", "spf": "missing", "dkim": "missing", "dmarc": "missing", "mta-sts": "missing", "mta-sts-policy": "missing",
        "tls-rpt": "missing", "srv": "missing", "bimi": "missing",
    }  # fmt: skip
    for row in bare["records"]:
        for line in row["paste"]:
            name, _, record = line.partition(". IN ")
            zone.names.setdefault(name, []).append(record)
    zone.names[domain].append("MX 10 mx.us.test.")
    zone.names["mx.us.test"] = ["A 192.0.2.7", "AAAA 2001:db8::7"]
    zone.names["_25._tcp.mx.us.test"] = ["TLSA 3 1 1 " + "ab" * 32]
    status, full = await asyncio.to_thread(cli, world.stack, "domain", "check", domain)
    assert states(full) == {
        "mx": "right", "spf": "right", "dkim": "right", "dmarc": "right", "mta-sts": "missing", "mta-sts-policy": "missing",
        "tls-rpt": "right", "dane": "unknown", "srv": "right", "bimi": "missing",
    }  # fmt: skip
    assert (status, full["right"]) == (0, True)
    zone.names[domain] = [record for record in zone.names[domain] if "spf1" not in record]
    zone.txt(f"_dmarc.{domain}", "v=DMARC1; p=quarantine")
    zone.names[domain].append('TXT "v=spf1 a:elsewhere.test -all"')
    zone.names["_mta-sts." + domain] = ["SERVFAIL"]
    assert (await asyncio.to_thread(cli, world.stack, "domain", "sts", domain, "--mode", "none"))[0] == 0
    status, broken = await asyncio.to_thread(cli, world.stack, "domain", "check", domain)
    assert status == 1
    found = states(broken)
    assert (found["spf"], found["mta-sts"], found["mta-sts-policy"]) == ("wrong", "unknown", "wrong")
    (spf,) = [row for row in broken["records"] if row["record"] == "spf"]
    assert spf["paste"] == [f'{domain}. IN TXT "v=spf1 mx a:elsewhere.test -all"']
    assert "192.0.2.7 (fail)" in spf["note"]
    status, answer = await asyncio.to_thread(cli, world.stack, "domain", "check", "elsewhere.test")
    assert (status, answer) == (1, {"error": "this domain is not hosted here"})


async def test_what_dmarc_said_of_yesterday_is_told_to_who_asks(
    world: DeliveryWorld, pool: asyncpg.Pool[asyncpg.Record], zone: Zone
) -> None:
    address, account = await world.person("reports")
    zone.txt("_dmarc.reported.test", record := f"v=DMARC1; p=reject; rua=mailto:{address}")
    zone.txt("reported.test._report._dmarc.route.test", "v=DMARC1")
    said = reports_pb2.DmarcEvaluation(
        domain="reported.test", record=record, source="192.0.2.99", disposition="reject", header_from="reported.test",
        envelope_from="reported.test", spf_domain="reported.test", spf_result="fail", spf_scope="mfrom",
    )  # fmt: skip
    yesterday = int((datetime.now(UTC) - timedelta(days=1)).timestamp())
    count = reports_pb2.DmarcCount(evaluation=said, messages=41, seen_at=yesterday)
    request = reports_pb2.RecordEvaluationsRequest(counts=[count, count])
    stub = reports_pb2_grpc.DmarcReportServiceStub
    await world.call("delivery", "ingest", stub, "RecordEvaluations", request)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await world.call("delivery", "gateway", stub, "RecordEvaluations", request)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    messages: list[int] = []
    for _ in range(600):
        messages = await world.messages(account)
        if messages:
            break
        await asyncio.sleep(0.1)
    (message,) = messages
    mail = email.message_from_bytes(await world.text(account, message))
    packed = list(mail.walk())[2].get_payload(decode=True)
    assert isinstance(packed, bytes)
    report = gzip.decompress(packed)
    assert b"<source_ip>192.0.2.99</source_ip><count>82</count>" in report
    assert not await pool.fetch("/* cold:test.dmarc */ SELECT 1 FROM dmarc_row WHERE domain = 'reported.test'")


async def test_rfc8460_5_3_what_tls_was_like_is_told_once_and_signed_and_forgotten(
    world: DeliveryWorld, pool: asyncpg.Pool[asyncpg.Record], zone: Zone, sink: Sink
) -> None:
    for key in (await asyncio.to_thread(cli, world.stack, "domain", "keys", DOMAIN))[1]:
        zone.txt(key["name"], key["text"])
    zone.txt("_smtp._tls.talkative.test", "v=TLSRPTv1; rua=mailto:reports@talkative.test")
    results = TlsResults(TlsRows(pool), RecordLookups(zone.address), lambda: datetime.now(UTC) - timedelta(days=2))
    policy = TlsPolicy(PolicyType.STS, "talkative.test", ("version: STSv1", "mode: enforce"), ("mx.talkative.test",))
    for _ in range(2):  # as two processes would
        results.saw("talkative.test", policy)
        results.saw("talkative.test", policy, TlsFailure(ResultType.EXPIRED, "mx.talkative.test"))
        results.saw("silent.test", policy)
        await results.flush()
    found: list[bytes] = []
    for _ in range(600):
        found = [one.content for one in sink.taken if b"TLS-Report-Domain: talkative.test" in one.content]
        if found:
            break
        await asyncio.sleep(0.1)
    (message,) = found
    verdicts = await verify_message(message, KeyRing(RecordLookups(zone.address)), int(time.time()))
    assert [(one.result, one.domain) for one in verdicts] == [(Result.PASS, DOMAIN)] * 2
    mail = email.message_from_bytes(message)
    assert mail.get_content_type() == "multipart/report"
    packed = list(mail.walk())[2].get_payload(decode=True)
    assert isinstance(packed, bytes)
    (told,) = json.loads(gzip.decompress(packed))["policies"]
    assert told["summary"] == {"total-successful-session-count": 2, "total-failure-session-count": 2}
    for _ in range(600):
        if not await pool.fetch("/* cold:test.tls */ SELECT 1 FROM tls_row"):
            break
        await asyncio.sleep(0.1)
    assert not await pool.fetch("/* cold:test.tls */ SELECT 1 FROM tls_row"), "kept of a domain that wants no report"


async def test_what_leaves_the_queue_is_signed_in_the_name_of_its_author(
    world: DeliveryWorld, zone: Zone, sink: Sink
) -> None:
    for key in (await asyncio.to_thread(cli, world.stack, "domain", "keys", DOMAIN))[1]:
        zone.txt(key["name"], key["text"])
    address, account = await world.person("writer")
    token, _ = await submit(world, account, address, "somebody@outside.test")
    # a report of our own goes the same way
    zone.txt("_dmarc.remote.test", record := "v=DMARC1; p=reject; rua=mailto:reports@remote.test")
    said = reports_pb2.DmarcEvaluation(
        domain="remote.test", record=record, source="192.0.2.99", header_from="remote.test"
    )
    yesterday = int((datetime.now(UTC) - timedelta(days=1)).timestamp())
    request = reports_pb2.RecordEvaluationsRequest(
        counts=[reports_pb2.DmarcCount(evaluation=said, messages=1, seen_at=yesterday)]
    )
    await world.call("delivery", "ingest", reports_pb2_grpc.DmarcReportServiceStub, "RecordEvaluations", request)
    found: list[bytes] = []
    for _ in range(600):
        found = [
            one.content
            for one in sink.taken
            if token.encode() in one.content or b"Report Domain: remote.test" in one.content
        ]
        if len(found) == 2:
            break
        await asyncio.sleep(0.1)
    assert len(found) == 2
    for message in found:
        verdicts = await verify_message(message, KeyRing(RecordLookups(zone.address)), int(time.time()))
        assert [(one.result, one.domain, one.algorithm) for one in verdicts] == [
            (Result.PASS, DOMAIN, "rsa-sha256"), (Result.PASS, DOMAIN, "ed25519-sha256"),
        ]  # fmt: skip


def forms(octets: bytes) -> list[bytes]:
    """Octets as they may stand somewhere: as they are, in hexadecimal, in base64 at any of its three beginnings."""
    inner = [base64.b64encode(b"x" * lead + octets)[4 if lead else 0 : -4] for lead in range(3)]
    return [octets, octets.hex().encode(), *inner]


async def test_no_private_key_is_in_clear_in_the_database_or_in_any_file(
    world: DeliveryWorld, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    domain = await world.new_domain()
    status, keys = await asyncio.to_thread(cli, world.stack, "domain", "keys", domain)
    assert status == 0
    assert len(keys) == 2
    seal = Seal(await checked_key(pool, key_file(world.stack)), "domains")
    secrets = []
    for row in await pool.fetch(
        "/* cold:test.sealed */ SELECT domain, selector, private_key FROM dkim_key WHERE private_key IS NOT NULL"
    ):
        private = seal.open(0, f"{row['selector']}._domainkey.{row['domain']}".encode(), row["private_key"])
        assert load_der_private_key(private, None)
        # the last octets are of the secret: a prime's coefficient, or the 32 octets of Ed25519
        secrets.append(private[-24:])
    assert secrets
    connection = await asyncpg.connect(
        user="postgres", password=(world.stack.layout.secrets / "postgres-postgres").read_text().strip(),
        database="petitbleu", host=str(world.stack.layout.run / "pg"),
    )  # fmt: skip
    await connection.execute("CHECKPOINT")
    await connection.close()
    looked_at, found = 0, []
    for path in world.stack.layout.data.rglob("*"):
        if path.is_file() and not path.is_socket():
            try:
                text = path.read_bytes()
            except OSError:  # what ends while one looks
                continue
            looked_at += "pg_wal" in str(path) or "delivery.log" in path.name
            found += [str(path) for secret in secrets for form in forms(secret) if form in text]
    assert looked_at >= 2, "neither the log of the database nor that of delivery was read"
    assert not found
