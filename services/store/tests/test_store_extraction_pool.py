"""The processes that read attachments: bounded, cut off from everything, replaced when they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from services.store.tests.attachment_files import docx, odt, pdf

from petitbleu_kit import sandbox
from petitbleu_store.adapters.extraction.outcomes import Extracted, Kind, Limits, Outcome
from petitbleu_store.adapters.extraction.pool import ExtractionPool

# Near as many elements as may come out of a file, of a kind that never fills the text: ten seconds, several on a fast machine too
SLOW = odt("<x/>" * 12_000_000)


@pytest.fixture
async def pool() -> AsyncIterator[ExtractionPool]:
    made = ExtractionPool()
    yield made
    await made.close()


async def test_one_worker_reads_file_after_file(pool: ExtractionPool) -> None:
    assert (await pool.extract(Kind.PDF, pdf("Bonjour"))).text == "Bonjour"
    assert (await pool.extract(Kind.ODF, odt("Contrat"))).text == "Contrat"
    assert (await pool.extract(Kind.OOXML, docx("Lettre"))).text == "Lettre\nnote de bas"
    assert (await pool.extract(Kind.HTML, b"<p>\xe9t\xe9</p>", "iso-8859-1")).text == "été"
    assert (await pool.extract(Kind.TEXT, "東京".encode("iso2022_jp"), "iso-2022-jp")).text == "東京"
    assert (await pool.extract(Kind.PDF, b"rubbish")).outcome is Outcome.BROKEN
    assert pool.replaced == 0


async def test_what_needs_no_worker_starts_none(pool: ExtractionPool) -> None:
    pool.limits = Limits(input_octets=10)
    assert await pool.extract(None, b"x") == Extracted(Outcome.UNSUPPORTED)
    assert await pool.extract(Kind.TEXT, b"") == Extracted(Outcome.EMPTY)
    assert await pool.extract(Kind.TEXT, b"x" * 11) == Extracted(Outcome.TOO_BIG)
    assert not pool._idle


async def test_a_large_file_goes_through_the_pipe_and_its_text_is_cut(pool: ExtractionPool) -> None:
    found = await pool.extract(Kind.TEXT, b"mot " * (5 << 20))
    assert (found.outcome, found.cut) == (Outcome.TEXT, True)
    assert pool.limits.output_octets - 10 < len(found.text) <= pool.limits.output_octets


@pytest.mark.parametrize("memory", [60 << 20, 120 << 20])
async def test_a_file_that_needs_too_much_memory_is_too_big(pool: ExtractionPool, memory: int) -> None:
    """Whether there is none for the octets, or none for the text."""
    pool.limits = Limits(memory_octets=memory)
    text = "é€".encode("utf-16-le") * (10 << 20)
    assert (await pool.extract(Kind.TEXT, text, "utf-16")).outcome is Outcome.TOO_BIG
    assert (await pool.extract(Kind.TEXT, b"encore")).text == "encore"


async def test_processor_time_is_bounded_and_the_worker_replaced(pool: ExtractionPool) -> None:
    pool.limits = Limits(cpu_seconds=1, wall_seconds=120)  # a busy machine gives the child little
    assert await pool.extract(Kind.ODF, SLOW) == Extracted(Outcome.TIMED_OUT)
    assert pool.replaced == 1
    assert (await pool.extract(Kind.TEXT, b"encore")).text == "encore"


async def test_wall_time_is_bounded_and_the_child_ended_too(pool: ExtractionPool) -> None:
    await pool.extract(Kind.TEXT, b"x")
    worker = pool._idle[0]
    pool.limits = Limits(wall_seconds=0.3)
    assert await pool.extract(Kind.ODF, SLOW) == Extracted(Outcome.TIMED_OUT)
    with pytest.raises(ProcessLookupError):
        os.killpg(worker.pid, 0)


async def test_a_worker_that_is_killed_is_replaced(pool: ExtractionPool) -> None:
    assert (await pool.extract(Kind.TEXT, b"un")).text == "un"
    os.kill(pool._idle[0].pid, signal.SIGKILL)
    assert (await pool.extract(Kind.TEXT, b"deux")).text == "deux"
    assert pool.replaced == 1


async def test_a_caller_that_goes_away_takes_its_worker_along(pool: ExtractionPool) -> None:
    asking = asyncio.create_task(pool.extract(Kind.ODF, SLOW))
    await asyncio.sleep(0.5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (pool.replaced, pool._idle) == (1, [])
    assert (await pool.extract(Kind.TEXT, b"encore")).text == "encore"


async def test_no_more_workers_than_allowed() -> None:
    pool = ExtractionPool(workers=2)
    try:
        found = await asyncio.gather(*[pool.extract(Kind.TEXT, b"mot %d" % number) for number in range(8)])
        assert [one.text for one in found] == [f"mot {number}" for number in range(8)]
        assert 1 <= len(pool._idle) <= 2
    finally:
        await pool.close()
    with pytest.raises(RuntimeError):
        await pool.extract(Kind.TEXT, b"x")


ATTEMPTS = {
    "open": "open('/etc/hostname')",
    "create": "open('/tmp/x', 'w')",
    "socket": "socket.socket()",
    "pair": "socket.socketpair()",
    "fork": "os.fork()",
    "run": "os.execv('/bin/true', ['true'])",
    "signal": "os.kill(os.getppid(), 0)",
    "list": "os.listdir('/')",
    "remove": "os.unlink('/tmp/none')",
}


@pytest.mark.skipif(not sandbox.can_filter(), reason="no filter of system calls here")
@pytest.mark.parametrize("attempt", sorted(ATTEMPTS))
def test_a_process_in_the_sandbox_can_do_nothing(attempt: str) -> None:
    code = (
        "import os, socket\n"
        "from petitbleu_kit import sandbox\n"
        "sandbox.enter(1 << 30, 5)\n"
        f"try:\n    {ATTEMPTS[attempt]}\n"
        "except PermissionError:\n    os.write(1, b'refused')\n"
        "except OSError as error:\n    os.write(1, b'refused' if error.errno == 24 else b'no')\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"refused"), done.stderr
