"""The door before a real rspamd and a real clamd, and before scanners that are gone, silent, or out of their mind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from services.ingest.tests.judging_world import JudgingBench, signed
from services.ingest.tests.submission_world import SubmissionBench
from tests.folders import enterable
from tests.integration.scanner_daemons import CLAMD, EICAR, PROBABLE, RSPAMD, SPAM, clamd, rspamd
from tests.ports import free_port

from petitbleu_ingest import metrics
from petitbleu_ingest.domain.verdicts import Verdicts
from petitbleu_ingest.judging.judge import Judge, ScanRules, judge_of_submitted
from petitbleu_kit.scanners.clamd import Clamd
from petitbleu_kit.scanners.rspamd import Rspamd
from petitbleu_kit.scanners.scanning import Scanner, Scanners

HEAD = (
    b"From: Ann <ann@good.example>\r\nTo: alice@demo.test\r\nSubject: x\r\nDate: Sun, 22 Nov 2026 01:00:00 +0000\r\n"
    b"Message-ID: <1@good.example>\r\n\r\n"
)
LINES = (b"z" * 70 + b"\r\n") * 15_000  # a megabyte: streamed


@pytest.fixture(scope="module")
def rspamd_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if RSPAMD is None:
        pytest.skip("rspamd is not installed: mail is not sent through it")
    folder = tmp_path_factory.mktemp("rspamd")
    enterable(folder)
    with rspamd(folder / "run") as url:
        yield url


@pytest.fixture(scope="module")
def clamd_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if CLAMD is None:
        pytest.skip("clamd is not installed: mail is not sent through it")
    folder = tmp_path_factory.mktemp("clamd")
    enterable(folder)
    with clamd(folder / "run") as place:
        yield place


def with_text(text: bytes, *, large: bool) -> bytes:
    """A signed message with this text, and behind it a megabyte that makes it one that is streamed."""
    if not large:
        return signed(HEAD + text + b"\r\n")
    header = HEAD.removesuffix(b"\r\n") + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    parts = b"--b\r\nContent-Type: text/plain\r\n\r\n%b\r\n--b\r\nContent-Type: application/x-z\r\n\r\n%b--b--\r\n"
    return signed(header + parts % (text, LINES))


class ScanningBench(JudgingBench):
    """A door that judges by a table and scans by real scanners."""

    def scan_by(self, *scanners: Scanner, seconds: float = 20, rules: ScanRules | None = None) -> None:
        chosen = self.door.settings
        self.door.judge = Judge(
            self.dns, chosen.own_names[0], chosen.hostname, chosen.rules, Scanners(scanners, seconds, time.monotonic), rules
        )  # fmt: skip

    async def until_answered(self, talk: object) -> None:
        smtp = talk.smtp  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            while smtp.waiting:
                await asyncio.sleep(0.005)
        if self.door.judge is not None and self.door.judge.resolver is not None:
            await asyncio.sleep(0)


def verdicts(bench: JudgingBench) -> Verdicts:
    found = bench.store.messages[-1].verdicts
    assert found is not None
    return found


@pytest.mark.parametrize("large", [False, True])
async def test_rspamd_is_obeyed(rspamd_url: str, *, large: bool) -> None:
    bench = ScanningBench()
    bench.scan_by(Rspamd(rspamd_url))
    assert await bench.send(with_text(b"hello", large=large)) == "250 2.6.0"
    assert (verdicts(bench).junk, verdicts(bench).from_authenticated) == (False, True)
    assert await bench.send(with_text(PROBABLE, large=large)) == "250 2.6.0"
    assert verdicts(bench).junk
    assert verdicts(bench).spam_score > 0
    taken = len(bench.store.messages)
    assert await bench.send(with_text(SPAM, large=large)) == "550 5.7.1"
    assert len(bench.store.messages) == taken
    bench.scan_by(Rspamd(rspamd_url), rules=ScanRules(refuse_spam=False))
    assert await bench.send(with_text(SPAM, large=large)) == "250 2.6.0"
    assert verdicts(bench).junk
    assert bench.door.budget.used == 0


@pytest.mark.parametrize("filler", [b"", LINES])
async def test_clamd_is_obeyed(clamd_place: str, filler: bytes) -> None:
    bench = ScanningBench()
    bench.scan_by(Clamd(clamd_place))
    assert await bench.send(signed(HEAD + filler)) == "250 2.6.0"
    infected = signed(HEAD + filler + b"\r\n" + EICAR + b"\r\n")
    assert await bench.send(infected) == "550 5.7.0"
    assert len(bench.store.messages) == 1
    assert bench.door.budget.used == 0


async def test_what_is_too_long_for_clamd_is_as_if_it_were_down(clamd_place: str) -> None:
    bench = ScanningBench()
    for must_answer, reply in ((False, "250 2.6.0"), (True, "451 4.7.0")):
        bench.scan_by(Clamd(clamd_place), rules=ScanRules(virus_scanner_must_answer=must_answer))
        assert await bench.send(signed(HEAD + LINES * 6)) == reply


async def test_scanners_without_judging(rspamd_url: str) -> None:
    bench = ScanningBench()
    bench.door.judge = Judge(
        None, "mx.test", "mx.test", bench.door.settings.rules, Scanners([Rspamd(rspamd_url)], 20, time.monotonic)
    )
    assert await bench.send(HEAD + PROBABLE + b"\r\n") == "250 2.6.0"
    assert verdicts(bench).junk
    assert b"Authentication-Results" not in bench.store.messages[-1].trace
    assert bench.dns.questions == []


@asynccontextmanager
async def answering(said: bytes | None) -> AsyncIterator[int]:
    """A server that reads and then says this; None for nothing ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        if said is not None:
            writer.write(said)
        else:
            await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    "said",
    [
        None,
        b"",
        b"HTTP/1.1 500 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{",
        b"\x00",
        b"stream: what ERROR\x00",
        b"x" * 200_000,
    ],
)
@pytest.mark.parametrize("filler", [b"", LINES])
async def test_open_when_down(said: bytes | None, filler: bytes) -> None:
    bench = ScanningBench()
    async with answering(said) as port:
        bench.scan_by(Rspamd(f"http://127.0.0.1:{port}"), Clamd(f"127.0.0.1:{port}"), seconds=0.3)
        assert await bench.send(signed(HEAD + filler)) == "250 2.6.0"
    assert not verdicts(bench).junk
    assert bench.door.budget.used == 0


async def test_one_that_is_gone_is_left_alone_for_a_while() -> None:
    bench = ScanningBench()
    clock = 0.0
    scanners = Scanners([Clamd(f"127.0.0.1:{free_port()}")], 5, lambda: clock)
    chosen = bench.door.settings
    rules = ScanRules(virus_scanner_must_answer=True)
    bench.door.judge = Judge(bench.dns, "mx.test", chosen.hostname, chosen.rules, scanners, rules)
    for _ in range(4):
        assert await bench.send(signed(HEAD)) == "451 4.7.0"
    async with answering(b"stream: OK\x00") as port:
        scanners._scanners[0]._place = f"127.0.0.1:{port}"  # type: ignore[attr-defined]
        assert await bench.send(signed(HEAD)) == "451 4.7.0", "it rests"
        clock = 60.0
        assert await bench.send(signed(HEAD)) == "250 2.6.0"


OWN = b"From: me@own.test\r\nTo: far@else.test\r\nSubject: x\r\n\r\n"


def submitting(*scanners: Scanner, seconds: float = 20, must_answer: bool = False) -> SubmissionBench:
    """A door of submission whose mail is looked through."""
    bench = SubmissionBench()
    bench.door.judge = judge_of_submitted(
        "mx.test", Scanners(scanners, seconds, time.monotonic), virus_scanner_must_answer=must_answer
    )
    return bench


@pytest.mark.parametrize("filler", [b"", LINES])
@pytest.mark.parametrize("to", [b"far@else.test", b"alice@demo.test"])
async def test_a_virus_is_not_submitted(clamd_place: str, filler: bytes, to: bytes) -> None:
    bench = submitting(Clamd(clamd_place))
    for chunked in (False, True):
        assert await bench.send(OWN + filler + b"\r\n" + EICAR + b"\r\n", chunked=chunked, to=to) == "550 5.7.1"
    assert bench.store.messages == []
    assert await bench.send(OWN + filler, to=to) == "250 2.6.0"
    found = bench.store.messages[-1].verdicts
    assert found is not None
    assert (found.from_authenticated, found.envelope_authenticated, found.junk) == (True, True, False)
    assert bench.door.budget.used == 0


async def test_what_rspamd_says_of_submitted_mail_is_counted_and_refuses_nothing(rspamd_url: str) -> None:
    bench = submitting(Rspamd(rspamd_url))
    before = submitted_spam("spam"), submitted_spam("clean")
    assert await bench.send(OWN + SPAM + b"\r\n") == "250 2.6.0"
    found = bench.store.messages[-1].verdicts
    assert found is not None
    assert not found.junk
    assert found.spam_score > 0
    assert await bench.send(OWN + b"hello\r\n") == "250 2.6.0"
    assert (submitted_spam("spam"), submitted_spam("clean")) == (before[0] + 1, before[1] + 1)


def submitted_spam(advice: str) -> float:
    return float(metrics.submitted_scans.labels("rspamd", advice)._value.get())


@pytest.mark.parametrize(("must_answer", "reply"), [(False, "250 2.6.0"), (True, "451 4.7.0")])
@pytest.mark.parametrize("filler", [b"", LINES])
async def test_submission_is_open_when_scanners_are_down(filler: bytes, must_answer: bool, reply: str) -> None:
    async with answering(None) as port:
        both = (Rspamd(f"http://127.0.0.1:{port}"), Clamd(f"127.0.0.1:{port}"))
        bench = submitting(*both, seconds=0.3, must_answer=must_answer)
        before = metrics.submitted_scans.labels("clamd", "down")._value.get()
        assert await bench.send(OWN + filler) == reply
    assert metrics.submitted_scans.labels("clamd", "down")._value.get() == before + 1
    assert bench.door.budget.used == 0
