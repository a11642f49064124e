"""Judging at the final dot: the verdicts, our field, forged ones, policies, and what a stranger can make it cost."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from services.ingest.tests import ingest_fakes as fakes
from services.ingest.tests.judging_world import BROKEN, HELLO, JudgingBench, sealed, signed, table

from petitbleu_ingest.adapters.dns import DnsLimits
from petitbleu_ingest.config import IngestSettings
from petitbleu_ingest.domain.verdicts import Verdicts
from petitbleu_ingest.judging.block_lists import list_name
from petitbleu_mail.auth.results import AuthenticationResults, parse_results
from petitbleu_mail.headers import scan_headers

MESSAGE = b"From: Ann <ann@good.example>\r\nTo: alice@demo.test\r\nSubject: x\r\n\r\nbody\r\n"
ELSEWHERE = "198.51.100.7"


def results(bench: JudgingBench) -> AuthenticationResults:
    """Read the one field of ours on the last message."""
    message = bench.store.messages[-1]
    body = bench.store.uploads[-1].body if message.staged_id else message.body
    values = scan_headers(message.trace + body).all(b"authentication-results")
    assert len(values) == 1
    found = parse_results(values[0])
    assert found is not None
    assert found.authserv_id == "mx.test"
    return found


def said(bench: JudgingBench) -> dict[str, str]:
    return {f"{one.method}.{number}": one.result for number, one in enumerate(results(bench).results)}


def verdicts(bench: JudgingBench) -> Verdicts:
    found = bench.store.messages[-1].verdicts
    assert found is not None
    return found


async def test_rfc8601_what_is_right_passes_and_is_said() -> None:
    bench = JudgingBench()
    assert await bench.send(signed(signed(MESSAGE), kind="ed")) == "250 2.6.0"
    assert verdicts(bench) == Verdicts(True, True, "pass", "pass", "pass", "none")
    found = {(one.method, one.result) for one in results(bench).results}
    assert found == {("iprev", "pass"), ("spf", "pass"), ("dkim", "pass"), ("dmarc", "pass")}
    assert results(bench).results[-1].get("header", "from") == "good.example"
    message = bench.store.messages[-1]
    assert message.trace.startswith(b"Authentication-Results: mx.test;"), "RFC 8601 §4.1: above our Received field"
    assert b"\r\nReceived: from mail.good.example" in message.trace
    assert message.body == signed(signed(MESSAGE), kind="ed") or message.body.endswith(MESSAGE)


@pytest.mark.parametrize(("reject", "reply", "junk"), [("refuse", "550 5.7.1", None), ("junk", "250 2.6.0", True), ("none", "250 2.6.0", False)])  # fmt: skip
async def test_rfc9989_5_4_reject_is_what_the_setting_says(reject: str, reply: str, junk: bool | None) -> None:
    bench = JudgingBench(judge_reject=reject)
    assert await bench.send(MESSAGE, "x@other.example", ELSEWHERE) == reply
    if junk is None:
        assert bench.store.messages == []
    else:
        assert verdicts(bench).junk is junk
        assert verdicts(bench).dmarc == "fail"


async def test_rfc9989_5_4_quarantine_goes_to_junk() -> None:
    bench = JudgingBench()
    assert await bench.send(MESSAGE.replace(b"good", b"soft"), "x@other.example", ELSEWHERE) == "250 2.6.0"
    assert verdicts(bench).junk
    assert not verdicts(bench).from_authenticated


async def test_without_a_policy_the_very_domain_counts() -> None:
    bench = JudgingBench()
    message = MESSAGE.replace(b"good", b"none")
    await bench.send(message, "x@none.example")
    assert (verdicts(bench).from_authenticated, verdicts(bench).dmarc) == (True, "none")
    await bench.send(message, "x@none.example", ELSEWHERE)
    assert (verdicts(bench).from_authenticated, verdicts(bench).spf) == (False, "fail")
    await bench.send(signed(message, "none.example"), "x@none.example", ELSEWHERE)
    assert (verdicts(bench).from_authenticated, verdicts(bench).envelope_authenticated) == (True, True)


@pytest.mark.parametrize(
    "header",
    [
        b"From: ann@good.example\r\nFrom: eve@none.example\r\n",
        b"From: eve@none.example, ann@good.example\r\n",
        b"From: \r\n",
        b"",
        b"From: <<\r\n",
        b"From: ann@good.example\x00\r\n",
        b"From: Ann <ann@[192.0.2.9]>\r\n",
        b"X: y\r\n" * 1001 + b"From: ann@good.example\r\n",
    ],
)
async def test_rfc9989_11_5_no_single_author_never_passes(header: bytes) -> None:
    bench = JudgingBench(judge_reject="none")
    message = header + b"Subject: x\r\n\r\nbody\r\n"
    await bench.send(signed(signed(message), "none.example"), "a@good.example")
    assert not verdicts(bench).from_authenticated
    assert verdicts(bench).dmarc != "pass"


async def test_changed_mail_fails_and_signatures_of_others_do_not_align() -> None:
    bench = JudgingBench(judge_reject="none")
    await bench.send(signed(MESSAGE) + b"more\r\n", "x@other.example", ELSEWHERE)
    assert (verdicts(bench).dkim, verdicts(bench).dmarc) == ("fail", "fail")
    await bench.send(signed(MESSAGE, "other.example"), "x@other.example", ELSEWHERE)
    assert (verdicts(bench).dkim, verdicts(bench).dmarc, verdicts(bench).from_authenticated) == ("pass", "fail", False)


async def test_rfc6376_8_6_replayed_mail_keeps_only_what_is_signed() -> None:
    """Whoever replays a signed message can change neither what a reader sees nor add to it."""
    bench = JudgingBench(judge_reject="none")
    whole = signed(MESSAGE)
    for added in (b"Subject: buy\r\n", b"From: eve@other.example\r\n", b"To: all@demo.test\r\n"):
        await bench.send(added + whole, "x@other.example", ELSEWHERE)
        assert verdicts(bench).dkim == "fail"
        assert not verdicts(bench).from_authenticated
    await bench.send(whole, "x@other.example", ELSEWHERE)
    assert verdicts(bench).from_authenticated, "as it was it is its author's, whoever brings it"
    assert not verdicts(bench).envelope_authenticated, "but a reply would hit the wrong one"


@pytest.mark.parametrize(("trusted", "reply"), [("", "550 5.7.1"), ("list.example", "250 2.6.0"), ("other.example", "550 5.7.1")])  # fmt: skip
async def test_rfc8617_7_2_a_trusted_chain_overrides(trusted: str, reply: str) -> None:
    bench = JudgingBench(arc_trusted=trusted)
    forwarded = await sealed(MESSAGE.replace(b"Subject: x", b"Subject: [list] x"), "list.example", bench.dns)
    assert await bench.send(forwarded, "bounce@list.example", ELSEWHERE) == reply
    if reply.startswith("250"):
        assert (verdicts(bench).arc, verdicts(bench).dmarc, verdicts(bench).junk) == ("pass", "fail", False)
        assert not verdicts(bench).from_authenticated
        assert results(bench).results[-1].comment == "overridden: trusted ARC chain"


async def test_a_broken_chain_overrides_nothing() -> None:
    bench = JudgingBench(arc_trusted="list.example")
    forwarded = await sealed(MESSAGE, "list.example", bench.dns)
    assert await bench.send(forwarded + b"more\r\n", "bounce@list.example", ELSEWHERE) == "550 5.7.1"


FORGED = [
    b"Authentication-Results: mx.test; dmarc=pass\r\n",
    b"authentication-results : MX.TEST;\r\n dmarc=pass\r\n",
    b'Authentication-Results: (x) "mx.test" 1; spf=pass\r\n',
    b"Authentication-Results: second.test; dkim=pass\r\n",
]  # fmt: skip
OTHERS = b"Authentication-Results: mx.elsewhere.example; spf=pass\r\n"


@pytest.mark.parametrize("judged", [True, False])
@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("staged", [False, True])
async def test_rfc8601_5_forged_fields_are_cut_out(forged: bytes, judged: bool, staged: bool) -> None:
    bench = JudgingBench(authserv_ids="second.test, third.test")
    if not judged:
        bench.door.judge = None
    whole = MESSAGE + (b"z" * 998 + b"\r\n") * (400 if staged else 1)
    assert await bench.send(OTHERS + forged + whole) == "250 2.6.0"
    message = bench.store.messages[-1]
    body = bench.store.uploads[-1].body if staged else message.body
    assert body == OTHERS + whole
    assert bool(message.staged_id) is staged
    assert (message.verdicts is not None) is judged


async def test_large_messages_are_judged_as_they_come() -> None:
    bench = JudgingBench()
    whole = signed(MESSAGE + (b"z" * 998 + b"\r\n") * 2000)
    assert await bench.send(whole) == "250 2.6.0"
    assert bench.store.messages[-1].staged_id
    assert bench.store.uploads[-1].body == whole
    assert (verdicts(bench).dkim, verdicts(bench).dmarc) == ("pass", "pass")
    assert await bench.send(whole + b"more\r\n", "x@other.example", ELSEWHERE) == "550 5.7.1"
    assert bench.store.uploads[-1].aborted, "what is refused is not kept"
    assert bench.door.budget.used == 0


@pytest.mark.parametrize("size", [300 << 10, 10 << 20])
@pytest.mark.parametrize("judged", [True, False])
async def test_a_header_has_a_bound(size: int, judged: bool) -> None:
    bench = JudgingBench()
    if not judged:
        bench.door.judge = None
    assert await bench.send(b"X: " + b"y" * 990 + b"\r\n" + b"X: y\r\n" * (size // 6) + MESSAGE) == "552 5.3.4"
    assert bench.store.uploads == []
    assert bench.door.budget.peak < 1 << 20
    assert await bench.send(b"X: y\r\n" * 30_000 + MESSAGE) == "250 2.6.0"


async def test_a_thousand_signatures_cost_what_eight_do() -> None:
    bench = JudgingBench()
    field = signed(MESSAGE, "other.example").removesuffix(MESSAGE)
    assert len(field) * 1000 > 256 << 10
    many = b"".join([field.replace(b"s=rsa", b"s=s%d" % number) for number in range(450)])
    assert await bench.send(many + MESSAGE) == "250 2.6.0"
    asked = {name for name, kind in bench.dns.questions if kind == "TXT" and "_domainkey" in name}
    assert len(asked) == 8
    assert sum(one.method == "dkim" for one in results(bench).results) == 20
    short = b"".join([b"DKIM-Signature: v=1; d=x%d.example; s=y\r\n" % number for number in range(1000)])
    assert await bench.send(short + MESSAGE) == "250 2.6.0"
    assert len(bench.store.messages[-1].trace) < 8192


async def test_names_that_never_answer_cost_a_bounded_time_and_no_mail() -> None:
    bench = JudgingBench()
    gate = asyncio.Event()

    async def never(_name: str, _kind: object) -> object:
        await gate.wait()
        raise AssertionError

    bench.dns.limits = DnsLimits(message=0.05)
    bench.dns._look_up = never  # type: ignore[method-assign,assignment]
    talk = bench.session()
    await talk.say(HELLO + b"MAIL FROM:<a@good.example>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n")
    await talk.say(signed(MESSAGE) + b".\r\n")
    async with asyncio.timeout(30):
        while talk.smtp.waiting:
            await asyncio.sleep(0.01)
    assert talk.replies()[-1] == "250 2.6.0"
    assert verdicts(bench) == Verdicts(False, False, "temperror", "temperror", "temperror", "none")
    await bench.door.judge.close()  # type: ignore[union-attr]


async def test_broken_names_are_temporary_errors() -> None:
    names = table() | {"_dmarc.good.example": [BROKEN]}
    bench = JudgingBench(names)
    assert await bench.send(MESSAGE, "x@other.example", ELSEWHERE) == "250 2.6.0"
    assert verdicts(bench).dmarc == "temperror"


async def test_an_error_of_our_own_refuses_nothing() -> None:
    bench = JudgingBench()

    async def broken(_name: str, _kind: object) -> object:
        raise ZeroDivisionError

    bench.dns._look_up = broken  # type: ignore[method-assign,assignment]
    assert await bench.send(signed(MESSAGE)) == "250 2.6.0"
    assert bench.store.messages[-1].verdicts is None


async def test_nothing_is_asked_for_who_names_nobody_here() -> None:
    bench = JudgingBench()
    talk = bench.session()
    await talk.say(HELLO + b"MAIL FROM:<a@good.example>\r\nRCPT TO:<nobody@demo.test>\r\nRSET\r\n")
    assert bench.dns.questions == []
    await talk.say(b"MAIL FROM:<a@good.example>\r\nRCPT TO:<alice@demo.test>\r\nRSET\r\n")
    await talk.settle()
    talk.smtp.connection_lost(None)


async def test_of_a_session_the_client_is_asked_for_once() -> None:
    bench = JudgingBench()
    talk = bench.session()
    for hello in (HELLO, b"", b"", b"EHLO other.example\r\n"):
        await talk.say(
            hello + b"MAIL FROM:<a@good.example>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n" + signed(MESSAGE) + b".\r\n"
        )
        await bench.until_answered(talk)
    assert len(bench.store.messages) == 4
    assert len(bench.dns.questions) == len(set(bench.dns.questions)), "each name is asked for once"
    helo = [one.get("smtp", "helo") for one in results(bench).results if one.method == "spf"]
    assert helo[0] == "other.example", "another name is another client"


async def test_a_peer_that_goes_while_it_is_judged_leaves_nothing() -> None:
    bench = JudgingBench()
    talk = bench.session()
    await talk.say(HELLO + b"MAIL FROM:<a@good.example>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n")
    talk.smtp.data_received(signed(MESSAGE) + b".\r\n")
    talk.smtp.connection_lost(None)
    await bench.until_answered(talk)
    assert bench.store.messages == []
    assert bench.door.budget.used == 0


@pytest.mark.parametrize(
    ("answer", "measure", "reply"),
    [
        (IPv4Address("127.0.0.2"), "refuse", "550 5.7.1"),
        (IPv4Address("127.0.0.2"), "junk", "250 2.6.0"),
        (IPv4Address("127.255.255.254"), "refuse", "250 2.6.0"),
        (IPv4Address("203.0.113.9"), "refuse", "250 2.6.0"),
        (BROKEN, "refuse", "250 2.6.0"),
        (None, "refuse", "250 2.6.0"),
    ],
)
async def test_rfc5782_2_1_block_lists_are_asked_for_the_client(answer: object, measure: str, reply: str) -> None:
    names = table() | ({} if answer is None else {"9.2.0.192.bl.example": [answer]})
    bench = JudgingBench(names, dnsbl="gone.example, bl.example", dnsbl_measure=measure)
    assert await bench.send(signed(MESSAGE)) == reply
    if measure == "junk":
        assert verdicts(bench).junk


def test_rfc5782_2_4_names_of_addresses_of_both_kinds() -> None:
    assert list_name(ip_address("192.0.2.99"), "bl.example") == "99.2.0.192.bl.example"
    assert list_name(ip_address("::ffff:192.0.2.99"), "bl.example") == "99.2.0.192.bl.example"
    nibbles = "1.0.0.0." + "0.0.0.0." * 5 + "8.b.d.0.1.0.0.2"
    assert list_name(ip_address("2001:db8::1"), "bl.example") == f"{nibbles}.bl.example"


def test_judging_is_on_where_a_resolver_is_named() -> None:
    assert not IngestSettings(dns="").judges
    assert IngestSettings(dns="127.0.0.1:53").judges
    assert IngestSettings(dns="", ingest_judge="on").judges
    assert not IngestSettings(dns="127.0.0.1:53", ingest_judge="off").judges


_pieces = st.sampled_from(
    [
        b"From: ann@good.example\r\n", b"From: x\r\n", b"\r\n", b"\n", b"\r", b" folded\r\n", b"DKIM-Signature: v=1;", b"ARC-Seal: i=1;",
        b"Authentication-Results: mx.test; spf=pass\r\n", b"ARC-Authentication-Results: i=1; mx.test\r\n", b"no field\r\n", b"Subject:",
        b"ARC-Message-Signature: i=1; a=rsa-sha256; b=AA==\r\n", b"LONG", b": ", b"\x00\xff", b"Received: by x\r\n" * 40,
    ]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(parts=[b"\n", b"LONG", b"From: ann@good.example\r\n", b"DKIM-Signature: v=1;"], cut=1)
@example(
    parts=[b"\x00", b"From: ann@good.example\r\n", b": ", b"From: ann@good.example\r\n", b"LONG", b"From: x\r\n", b"DKIM-Signature: v=1;"],
    cut=1,
)  # fmt: skip
@given(parts=st.lists(st.one_of(_pieces, st.binary(max_size=60)), max_size=12), cut=st.integers(1, 70_000))
def test_whatever_comes_is_judged_the_same_in_any_pieces(parts: list[bytes], cut: int) -> None:
    body = b"".join(parts).replace(b"LONG", b"x" * 70_000)

    async def judged(step: int) -> tuple[list[str], bytes, Verdicts | None]:
        bench = JudgingBench(ingest_inline=64 << 10, smtp_header_size=64 << 10)
        talk = bench.session()
        await talk.say(HELLO + b"MAIL FROM:<a@good.example>\r\nRCPT TO:<alice@demo.test>\r\n")
        wire = b"BDAT %d LAST\r\n" % len(body) + body
        for at in range(0, len(wire), step):
            await talk.say(wire[at : at + step])
        await bench.until_answered(talk)
        replies = talk.replies()
        talk.smtp.connection_lost(None)
        assert bench.door.budget.used == 0
        message = bench.store.messages[-1] if bench.store.messages else None
        kept = b"" if message is None else bench.store.uploads[-1].body if message.staged_id else message.body
        return replies, kept, message.verdicts if message is not None else None

    whole = asyncio.run(judged(len(body) + 100))
    assert asyncio.run(judged(max(cut, len(body) // 200 + 1))) == whole
    assert fakes  # the door of fakes stands behind both
