"""Parts of ingest alone: recipients, acceptance, admission, PROXY headers, keys, the log."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from services.ingest.tests import ingest_fakes as fakes

from petitbleu.events.v1 import events_pb2
from petitbleu_ingest.config import IngestSettings
from petitbleu_ingest.consumers import directory_changed
from petitbleu_ingest.domain.message import Incoming, KeyMaker, Recipient, read_head
from petitbleu_ingest.ports import Place
from petitbleu_ingest.service.acceptance import Acceptance
from petitbleu_ingest.service.admission import Admission, Answer, client_of
from petitbleu_ingest.service.full_accounts import FullAccounts
from petitbleu_ingest.service.recipients import RecipientBook, Verdict, judge
from petitbleu_ingest.smtp.message_log import MessageLine, MessageLog
from petitbleu_ingest.smtp.proxy_protocol import SIGNATURE, ProxyError, parse_proxy_header
from petitbleu_ingest.smtp.tls import Certificate
from petitbleu_mail.addresses import Mailbox
from petitbleu_mail.smtp_grammar import Mail


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _book(clock: Clock, entries: int = 100) -> tuple[RecipientBook, Any, Any]:
    directory, store = fakes.FakeDirectory(), fakes.FakeStore()
    full = FullAccounts(store, clock)
    book = RecipientBook(directory, full, seconds=60, refusal_seconds=10, entries=entries, clock=clock)
    return book, directory, store


async def test_answers_are_remembered_and_coalesced() -> None:
    clock = Clock()
    book, directory, _ = _book(clock)
    answers = await asyncio.gather(*(book.look_up("alice@demo.test") for _ in range(5)), book.look_up("xx@demo.test"))
    assert [one.verdict for one in answers] == [Verdict.WELCOME] * 5 + [Verdict.UNKNOWN]
    assert directory.calls == [["alice@demo.test", "xx@demo.test"]]
    assert book.known("alice@demo.test") is answers[0]
    clock.now += 11
    assert book.known("xx@demo.test") is None, "a refusal is forgotten sooner"
    clock.now += 50
    assert book.known("alice@demo.test") is None


async def test_memory_of_answers_is_bounded() -> None:
    book, _, _ = _book(Clock(), entries=3)
    for name in "abcdef":
        await book.look_up(f"{name}@demo.test")
    assert len(book) == 3
    assert book.known("a@demo.test") is None
    assert book.known("f@demo.test") is not None


async def test_directory_change_forgets_account_domain_and_strangers() -> None:
    book, _, _ = _book(Clock())
    for address in ("alice@demo.test", "bob@demo.test", "none@demo.test", "x@remote.test"):
        await book.look_up(address)
    book.forget([ord("a")], [])
    assert book.known("alice@demo.test") is None
    assert book.known("bob@demo.test") is not None
    directory_changed(book, events_pb2.DirectoryChanged(tenant_id=3, domain_ids=[99]).SerializeToString())
    assert book.known("x@remote.test") is None, "a domain may be hosted from now on"
    assert book.known("bob@demo.test") is not None
    directory_changed(book, events_pb2.DirectoryChanged(tenant_id=3, domain_ids=[7]).SerializeToString())
    assert len(book) == 0
    await book.look_up("bob@demo.test")
    directory_changed(book, b"\xff\xff")
    assert len(book) == 0, "what cannot be read forgets everything"


async def test_answer_on_its_way_when_something_changes_is_not_remembered() -> None:
    book, directory, _ = _book(Clock())
    directory.gate = asyncio.Event()
    future = book.look_up("alice@demo.test")
    await asyncio.sleep(0.01)
    book.forget([12345], [])
    directory.gate.set()
    assert (await future).verdict is Verdict.WELCOME
    assert book.known("alice@demo.test") is None


async def test_trouble_is_a_verdict_and_not_remembered() -> None:
    book, directory, _ = _book(Clock())
    directory.broken = True
    assert (await book.look_up("alice@demo.test")).verdict is Verdict.TROUBLE
    assert book.known("alice@demo.test") is None
    directory.broken = False
    assert (await book.look_up("alice@demo.test")).verdict is Verdict.WELCOME


@pytest.mark.parametrize(
    ("address", "place", "full", "verdict"),
    [
        ("a@d.test", Place(1, (5,), 7, 3), {5}, Verdict.OVER_QUOTA),
        ("a@d.test", Place(1, (5, 6), 7, 3), {5}, Verdict.WELCOME),
        ("postmaster@d.test", Place(1, (5,), 7, 3), {5}, Verdict.WELCOME),
        ("Abuse@d.test", Place(2, (), 7, 3), set(), Verdict.WELCOME),
        ("postmaster@d.test", Place(3, (), 7, 3), set(), Verdict.WELCOME),
        ("postmaster@remote.test", Place(4, (), 0, 0), set(), Verdict.REMOTE),
        ("postmaster", Place(1, (), 7, 3), set(), Verdict.WELCOME),
        ("a@d.test", Place(0, (), 7, 3), set(), Verdict.TROUBLE),
        ("a@d.test", Place(3, (), 7, 3), set(), Verdict.DISABLED),
    ],
)
def test_verdicts(address: str, place: Place, full: set[int], verdict: Verdict) -> None:
    assert judge(address, place, frozenset(full)).verdict is verdict


def _message(key: bytes = b"k" * 32) -> Incoming:
    recipient = Recipient(Mailbox("alice", "demo.test"), "alice@demo.test", "", "", 3)
    return Incoming(key, Mail(None), [recipient], b"", b"body", b"", "", "")


def _acceptance(store: Any, mark_seconds: float = 0.05) -> Acceptance:
    return Acceptance(store, items=64, octets=1 << 20, queued=100, concurrency=2, mark_seconds=mark_seconds)


async def test_marks_travel_with_the_next_batch_or_alone() -> None:
    store = fakes.FakeStore()
    acceptance = _acceptance(store)
    acceptance.mark(b"1" * 32)
    await acceptance.submit(_message())
    assert (store.seen, store.calls) == ([b"1" * 32], [1])
    acceptance.mark(b"2" * 32)
    await asyncio.sleep(0.1)
    assert (store.seen[1:], store.calls) == ([b"2" * 32], [1, 0])


async def test_mark_on_its_way_comes_before_the_same_key() -> None:
    store = fakes.FakeStore()
    acceptance = _acceptance(store)
    store.gate = asyncio.Event()
    acceptance.mark(b"k" * 32)
    first = acceptance.submit(_message(b"x" * 32))
    await asyncio.sleep(0.01)
    same = acceptance.submit(_message())
    other = acceptance.submit(_message(b"y" * 32))
    await asyncio.sleep(0.01)
    assert not same.done()
    store.gate.set()
    await asyncio.gather(first, same, other)
    assert store.seen == [b"k" * 32]
    assert store.messages[0].key == b"x" * 32


async def test_mark_and_message_of_the_same_key_are_never_in_one_call() -> None:
    store = fakes.FakeStore()
    acceptance = _acceptance(store)
    acceptance.mark(b"k" * 32)
    await asyncio.gather(acceptance.submit(_message()), acceptance.submit(_message(b"y" * 32)))
    assert (store.seen, store.calls) == ([b"k" * 32], [0, 2])


async def test_marks_of_a_failed_call_are_sent_again() -> None:
    from petitbleu_ingest.ports import StoreAwayError

    store = fakes.FakeStore()
    acceptance = _acceptance(store)
    acceptance.mark(b"1" * 32)
    store.error = StoreAwayError()
    with pytest.raises(StoreAwayError):
        await acceptance.submit(_message())
    store.error = None
    await acceptance.submit(_message())
    assert store.seen == [b"1" * 32]


async def test_messages_gather_while_a_batch_is_under_way() -> None:
    store = fakes.FakeStore()
    acceptance = Acceptance(store, items=64, octets=1 << 20, queued=100, concurrency=1, mark_seconds=1)
    store.gate = asyncio.Event()
    futures = [acceptance.submit(_message(bytes([number]) * 32)) for number in range(3)]
    await asyncio.sleep(0.01)
    futures += [acceptance.submit(_message(bytes([100 + number]) * 32)) for number in range(10)]
    store.gate.set()
    await asyncio.gather(*futures)
    assert store.calls == [3, 10]


def test_admission_counts_clients_and_minutes() -> None:
    admission = Admission(4, 2, 3, ())
    first, ticket = admission.enter("192.0.2.1", 0)
    assert first is Answer.WELCOME
    assert admission.enter("192.0.2.1", 0)[0] is Answer.WELCOME
    assert admission.enter("192.0.2.1", 0)[0] is Answer.TOO_MANY_OF_CLIENT
    admission.leave(ticket)
    assert admission.enter("192.0.2.1", 1)[0] is Answer.WELCOME
    admission.leave(client_of("192.0.2.1"))
    assert admission.enter("192.0.2.1", 2)[0] is Answer.TOO_FAST
    assert admission.enter("192.0.2.1", 61)[0] is Answer.WELCOME
    assert admission.enter("2001:db8::1", 61)[0] is Answer.WELCOME
    assert admission.enter("2001:db8::2", 61)[0] is Answer.WELCOME
    assert admission.enter("2001:db8::3", 61)[0] is Answer.TOO_MANY
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff")
    assert client_of("::ffff:192.0.2.1") == client_of("192.0.2.1")


@given(st.binary(max_size=80))
def test_proxy_parser_takes_anything(data: bytes) -> None:
    for text in (data, SIGNATURE + data):
        try:
            header = parse_proxy_header(text)
        except ProxyError:
            continue
        if header is not None:
            assert header.size <= len(text)


@given(st.ip_addresses(v=4), st.integers(0, 65535), st.binary(max_size=30), st.integers(0, 60))
def test_proxy_header_is_found_across_seams(address: Any, port: int, tlv: bytes, cut: int) -> None:
    body = address.packed + bytes(4) + port.to_bytes(2, "big") + bytes(2) + tlv
    wire = SIGNATURE + b"\x21\x11" + len(body).to_bytes(2, "big") + body
    if cut < len(wire):
        assert parse_proxy_header(wire[:cut]) is None
    header = parse_proxy_header(wire + b"EHLO x\r\n")
    assert header is not None
    assert (header.size, header.source) == (len(wire), (str(address), port))


@given(st.binary(min_size=1, max_size=100), st.text(max_size=20), st.binary(min_size=32, max_size=32))
def test_idempotency_key_is_hmac_sha256(secret: bytes, sender: str, digest: bytes) -> None:
    sender = sender.encode("utf-8", "replace").decode()
    recipients = [Recipient(Mailbox(x, "d.test"), f"{x}@d.test", "", "", 1) for x in ("b", "a")]
    text = b"%d:%b" % (len(sender.encode()), sender.encode()) + b"8:a@d.test8:b@d.test" + digest
    key = KeyMaker(secret).key(sender, recipients, digest)
    assert key == hmac.new(secret, text, sha256).digest()
    assert key == KeyMaker(secret).key(sender, recipients[::-1], digest), "the order of recipients does not count"


def test_head_tells_hops_and_the_author() -> None:
    head = read_head(b"Received: a\r\nRECEIVED: b\r\nFrom: Ann <ann@x.test>\r\n\r\nReceived: no\r\n")
    assert (head.received, head.header_from) == (2, "ann@x.test")
    assert read_head(b"From: a@x.test, b@x.test\r\n\r\n").header_from == ""
    assert read_head(b"From: a@x.test\r\nFrom: b@x.test\r\n\r\n").header_from == ""
    assert read_head(b"no header at all").header_from == ""


async def test_message_log_is_json_lines_in_one_write() -> None:
    out = io.BytesIO()
    log = MessageLog(out)
    for number in range(3):
        log.write(MessageLine("2026-01-01T00:00:00.000Z", "s", "q", "accepted", number, 1, 1.5))
    assert out.getvalue() == b""
    await asyncio.sleep(0)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["octets"] for line in lines] == [0, 1, 2]
    assert {"event", "level", "service", "timestamp", "session", "verdict"} <= set(lines[0])


async def test_certificate_that_does_not_load_leaves_the_old_one(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text("rubbish")
    key.write_text("rubbish")
    holder = Certificate(certificate, key)
    await holder.poll()
    assert holder.context is None
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    holder.context = old
    await holder.poll()
    assert holder.context is old


@pytest.mark.parametrize(
    "wrong", [{"smtp_recipients": 99}, {"tls_cert": "x"}, {"smtp_exempt": "nonsense"}, {"ingest_cache_seconds": 61}]
)
def test_settings_that_break_a_promise_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        IngestSettings(**wrong)


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in IngestSettings.model_fields.items():
        assert field.description, name


async def test_a_line_of_the_message_log_that_cannot_be_written_is_lost_alone() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        log = MessageLog(full)
        log.write(MessageLine("", "", "", "accepted", 1, 1, 1.0))
        await asyncio.sleep(0)
        log.write(MessageLine("", "", "", "accepted", 1, 1, 1.0))
        log.flush()
    assert not log._lines
