"""What is said of each record of a hosted domain: right, wrong or missing, and what to paste; whatever stands in the DNS."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.delivery.tests.domain_fakes import Calendar

from petitbleu_delivery.domain.domain_keys import Algorithm, DomainKey, KeyState
from petitbleu_delivery.domain.records import Answer, Expected, Finding, RecordState
from petitbleu_delivery.domain.records_client import Service, bimi_tags, check_bimi, check_service
from petitbleu_delivery.domain.records_sender import check_dkim, check_dmarc, check_mx, check_spf
from petitbleu_delivery.domain.records_transport import (
    Association,
    Fetched,
    check_dane,
    check_sts_policy,
    check_sts_record,
    check_tls_rpt,
    tls_report_uris,
)
from petitbleu_mail.auth.dmarc_record import parse_record
from petitbleu_mail.auth.resolver import MailExchanger
from petitbleu_mail.auth.spf import SpfResult
from petitbleu_mail.mta_sts import make_policy

DOMAIN = "post.example"
PIN = secrets.token_bytes(32)
POLICY = make_policy("enforce", ["mx1.us.example", "mx2.us.example"], 604800)
US = Expected(("mx1.us.example", "mx2.us.example"), "include:_spf.us.example", POLICY, PIN, "mail.us.example")
RIGHT, WRONG, MISSING, UNKNOWN = RecordState


def texts(*records: bytes) -> Answer[bytes]:
    return Answer(records)


@pytest.mark.parametrize(
    ("hosts", "state"),
    [
        (["mx1.us.example", "mx2.us.example"], RIGHT), (["mx2.us.example"], RIGHT), ([], MISSING), ([""], WRONG),
        (["mx1.us.example", "mx.them.example"], WRONG), (["mx.them.example"], WRONG),
    ],
)  # fmt: skip
def test_mx(hosts: list[str], state: RecordState) -> None:
    found = check_mx(DOMAIN, Answer(tuple(MailExchanger(10, host) for host in hosts)), US)
    assert found.state is state
    if state is not RIGHT:
        assert found.wanted == ("post.example. IN MX 10 mx1.us.example.", "post.example. IN MX 20 mx2.us.example.")


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([b"v=spf1 include:_spf.us.example ~all", b"other text"], RIGHT), ([b"v=spf1 +INCLUDE:_spf.us.example -all"], RIGHT),
        ([], MISSING), ([b"v=spf10 -all"], MISSING), ([b"v=spf1 mx -all"], WRONG), ([b"v=spf1 include:_spf.us.example +all"], WRONG),
        ([b"v=spf1 include:_spf.us.example all"], WRONG), ([b"v=spf1 ip4:1.2.3 -all"], WRONG),
        ([b"v=spf1 include:_spf.us.example -all", b"v=spf1 -all"], WRONG),
    ],
)  # fmt: skip
def test_spf(records: list[bytes], state: RecordState) -> None:
    found = check_spf(DOMAIN, texts(*records), US)
    assert found.state is state
    assert bool(found.wanted) is (state is not RIGHT)


def test_spf_keeps_what_others_may_send_from() -> None:
    found = check_spf(DOMAIN, texts(b"v=spf1 ip4:192.0.2.1 -all"), US)
    assert found.wanted == ('post.example. IN TXT "v=spf1 include:_spf.us.example ip4:192.0.2.1 -all"',)
    results = [("192.0.2.7", SpfResult.PASS), ("192.0.2.8", SpfResult.SOFTFAIL)]
    assert check_spf(DOMAIN, texts(b"v=spf1 mx ~all"), US, results[:1]).state is RIGHT, (
        "its hosts pass, whatever is in it"
    )
    assert "192.0.2.8 (softfail)" in check_spf(DOMAIN, texts(b"v=spf1 mx ~all"), US, results).note


def key(state: KeyState) -> DomainKey:
    now = Calendar().now
    return DomainKey(DOMAIN, "e1", Algorithm.ED25519, state, PIN, now, now)


def test_dkim() -> None:
    signs = key(KeyState.ACTIVE)
    right = signs.record_text.encode()
    other = DomainKey(
        DOMAIN, "e1", Algorithm.ED25519, KeyState.ACTIVE, secrets.token_bytes(32), signs.made, signs.since
    )
    assert check_dkim(signs, texts(right)).state is RIGHT
    assert check_dkim(signs, texts()).wanted == (f'e1._domainkey.post.example. IN TXT "{signs.record_text}"',)
    assert check_dkim(signs, texts(other.record_text.encode())).state is WRONG
    assert check_dkim(signs, texts(right, other.record_text.encode())).state is WRONG
    assert check_dkim(signs, texts(b"v=DKIM1; p=")).state is WRONG
    assert check_dkim(signs, Answer(failed=True)).state is UNKNOWN
    assert [check_dkim(key(state), texts()).required for state in KeyState][:4] == [False, False, True, True]


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([b"v=DMARC1; p=reject"], RIGHT), ([b"v=DMARC1;p=none;rua=mailto:a@b.example"], RIGHT), ([], MISSING), ([b"p=reject"], MISSING),
        ([b"v=DMARC1"], WRONG), ([b"v=DMARC1; p=reject", b"v=DMARC1; p=none"], WRONG),
    ],
)  # fmt: skip
def test_dmarc(records: list[bytes], state: RecordState) -> None:
    assert check_dmarc(DOMAIN, texts(*records)).state is state
    above = parse_record(b"v=DMARC1; p=reject")
    assert above is not None
    covered = check_dmarc(DOMAIN, texts(), ("example", above))
    assert (covered.state, covered.wanted) == (RIGHT, ())


def test_mta_sts() -> None:
    none = Expected()
    right = POLICY.record_text.encode()
    assert check_sts_record(DOMAIN, texts(right), US, served=True).state is RIGHT
    for records, state in (([], MISSING), ([b"v=STSv1; id=old"], WRONG), ([right, right], WRONG)):
        found = check_sts_record(DOMAIN, texts(*records), US, served=True)
        assert (found.state, found.required) == (state, True)
        assert found.wanted == (f'_mta-sts.post.example. IN TXT "{POLICY.record_text}"',)
    assert not check_sts_record(DOMAIN, texts(), none, served=False).required
    assert check_sts_record(DOMAIN, texts(right), none, served=False).state is WRONG
    assert check_sts_record(DOMAIN, texts(right), none, served=True).state is RIGHT
    served = Fetched(POLICY.text.encode())
    assert check_sts_policy(DOMAIN, served, US, US.mx).state is RIGHT
    assert check_sts_policy(DOMAIN, served, US, ["mx.them.example"]).state is WRONG
    assert check_sts_policy(DOMAIN, Fetched(problem="HTTP 404"), US, US.mx).wanted == (
        "mta-sts.post.example. IN CNAME mail.us.example.",
    )
    assert check_sts_policy(DOMAIN, Fetched(problem="HTTP 404"), none, []).state is MISSING
    assert check_sts_policy(DOMAIN, Fetched(b"<html>"), US, US.mx).state is WRONG
    older = make_policy("testing", ["mx1.us.example"], 1)
    assert check_sts_policy(DOMAIN, Fetched(older.text.encode()), US, US.mx[:1]).state is WRONG


@pytest.mark.parametrize(
    ("record", "uris"),
    [
        (b"v=TLSRPTv1; rua=mailto:reports@example.com", ("mailto:reports@example.com",)),
        (b"v=TLSRPTv1;rua=https://r.example/v1 , mailto:a@b.example;", ("https://r.example/v1", "mailto:a@b.example")),
        (b"v=TLSRPTv1; x=1; rua=mailto:a@b.example", ("mailto:a@b.example",)), (b"v=TLSRPTv1; rua=", None),
        (b"v=TLSRPTv1; rua=http://r.example", None), (b"rua=mailto:a@b.example; v=TLSRPTv1", None), (b"v=TLSRPTv1", None),
    ],
)  # fmt: skip
def test_tls_rpt(record: bytes, uris: tuple[str, ...] | None) -> None:
    assert tls_report_uris(record) == uris
    state = check_tls_rpt(DOMAIN, texts(record)).state
    assert state is (RIGHT if uris else WRONG if record.startswith(b"v=") else MISSING)


@pytest.mark.parametrize(
    ("records", "is_proven", "state"),
    [
        ([(3, 1, 1, PIN)], True, RIGHT), ([(3, 1, 1, b"x" * 32), (3, 1, 1, PIN)], True, RIGHT), ([(3, 1, 1, PIN)], False, UNKNOWN),
        ([], True, MISSING), ([(3, 1, 1, b"x" * 32)], True, WRONG), ([(3, 1, 1, PIN[:31])], True, WRONG), ([(1, 1, 1, PIN)], True, WRONG),
        ([(2, 0, 1, b"x" * 32)], True, RIGHT),
    ],
)  # fmt: skip
def test_dane(records: list[tuple[int, int, int, bytes]], is_proven: bool, state: RecordState) -> None:
    answer = Answer(tuple(Association(*one) for one in records), proven=is_proven)
    assert check_dane("mx1.us.example", answer, US).state is state
    assert check_dane("mx1.us.example", Answer(), US).wanted == (f"_25._tcp.mx1.us.example. IN TLSA 3 1 1 {PIN.hex()}",)


def test_services_and_logo() -> None:
    label = "_submissions._tcp"
    wanted = ("_submissions._tcp.post.example. IN SRV 0 1 465 mail.us.example.",)
    assert check_service(DOMAIN, label, Answer((Service(0, 1, 465, "mail.us.example"),)), US).state is RIGHT
    for records in ((Service(0, 0, 0, ""),), (Service(0, 1, 465, "mail.them.example"),), ()):
        found = check_service(DOMAIN, label, Answer(records), US)
        assert (found.state, found.wanted) == (WRONG if records else MISSING, wanted)
    logo = b"v=BIMI1; l=https://b.example/logo.svg; a="
    assert check_bimi(DOMAIN, texts(logo), enforced=True).state is RIGHT
    assert check_bimi(DOMAIN, texts(logo), enforced=False).state is WRONG
    assert check_bimi(DOMAIN, texts(b"v=BIMI1; l=http://b.example/logo.png"), enforced=True).state is WRONG
    assert check_bimi(DOMAIN, texts(), enforced=True).state is MISSING
    assert bimi_tags(b"v=BIMI1; l=; a=") == {"l": "", "a": ""}


WORDS = st.sampled_from([
    b"v=spf1", b"v=DMARC1", b"v=DKIM1", b"v=STSv1", b"v=TLSRPTv1", b"v=BIMI1", b";", b" ", b"p=", b"reject", b"rua=", b"mailto:a@b", b",",
    b"include:", b"-all", b"id=", b"l=https://x.svg", b"\xff", b"\x00", b'"', b"\\", b"=",
])  # fmt: skip
RECORDS = st.lists(st.binary(max_size=100) | st.lists(WORDS, max_size=20).map(b"".join), max_size=4)
CHECKS: list[Callable[[Answer[Any]], Finding]] = [
    lambda answer: check_spf(DOMAIN, answer, US), lambda answer: check_dkim(key(KeyState.ACTIVE), answer),
    lambda answer: check_dmarc(DOMAIN, answer), lambda answer: check_sts_record(DOMAIN, answer, US, served=False),
    lambda answer: check_tls_rpt(DOMAIN, answer), lambda answer: check_bimi(DOMAIN, answer, enforced=False),
    lambda answer: check_sts_policy(DOMAIN, Fetched(b"".join(answer.records)), US, US.mx),
]  # fmt: skip


@given(RECORDS)
def test_whatever_strangers_publish_is_judged_and_safe_to_show(records: list[bytes]) -> None:
    for check in CHECKS:
        found = check(Answer(tuple(records)))
        lines = [*found.found, *found.wanted, found.note, found.name]
        assert all(line.replace("…", "").replace("§", "").isascii() and line.isprintable() for line in lines)
        assert found.state is not RIGHT or not found.wanted
