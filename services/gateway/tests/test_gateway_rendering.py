"""The cell in which messages are rendered: what it reads, its bounds, and that nothing of one message reaches another."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator

import pytest

from petitbleu_gateway.adapters.rendering_pool import RenderingLimits, RenderingPool
from petitbleu_gateway.domain.image_urls import ImageKeys
from petitbleu_gateway.domain.rendering import RenderingJob, render
from petitbleu_gateway.domain.rendering_choice import Choice, merged
from petitbleu_gateway.errors import BusyError, UnreadableError
from petitbleu_gateway.ports import Identity
from petitbleu_gateway.service.fetch_limits import Buckets
from petitbleu_mail.structure import encode_meta, parse_message

GIF = base64.b64encode(base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"))
HEAD = b"From: a@b.example\r\nMIME-Version: 1.0\r\n"
PLAIN = HEAD + b"\r\nBonjour"


def job(raw: bytes, *, embed: bool = True) -> RenderingJob:
    return RenderingJob("B1", "B1", "https://mail.example/jmap/download/a/", len(raw), b"", [(0, raw)], embed)


def html(*bodies: bytes) -> bytes:
    parts = b"".join(b"--b\r\nContent-Type: text/html\r\n\r\n" + body + b"\r\n" for body in bodies)
    return HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"


HEAVY = html(*[b"<b><i><a href=//x>" * 55_000] * 8)


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    made = RenderingPool(RenderingLimits(), workers=1)
    yield made
    await made.close()


async def test_one_process_renders_message_after_message(pool: RenderingPool) -> None:
    for text in ("one", "two", "three"):
        found = await pool.render(job(HEAD + b"\r\n" + text.encode()))
        assert found is not None
        assert found.text == text
    assert await pool.render(job(b"\x89PNG no mail")) is None
    assert pool.replaced == 0


async def test_a_childs_links_are_rendered_where_nothing_can_be_loaded(pool: RenderingPool) -> None:
    asked = job(HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\nhttps://\xd1\x95chool.example/")
    asked.leave = "https://mail.example/#/leave/"
    found = await pool.render(asked)
    assert found is not None
    assert 'href="https://mail.example/#/leave/https%3A%2F%2Fxn--chool-g2e.example%2F"' in found.html


async def test_processor_time_is_bounded_and_the_next_message_is_rendered(pool: RenderingPool) -> None:
    pool.limits = RenderingLimits(cpu_seconds=1)
    with pytest.raises(UnreadableError):
        await pool.render(job(HEAVY))
    pool.limits = RenderingLimits()
    assert await pool.render(job(PLAIN)) is not None
    assert pool.replaced == 1


async def test_memory_time_and_the_answer_are_bounded(pool: RenderingPool) -> None:
    for limits, raw in (
        (RenderingLimits(memory_octets=60 << 20), HEAVY),
        (RenderingLimits(wall_seconds=0.2), HEAVY),
        (RenderingLimits(answer_octets=10), PLAIN),
    ):
        pool.limits = limits
        with pytest.raises(UnreadableError):
            await pool.render(job(raw))
    pool.limits = RenderingLimits()
    assert await pool.render(job(PLAIN)) is not None


async def test_who_leaves_takes_the_process_along_and_too_many_are_told(pool: RenderingPool) -> None:
    task = asyncio.create_task(pool.render(job(HEAVY)))
    await asyncio.sleep(0.5)
    pool._most = 1
    with pytest.raises(BusyError):
        await pool.render(job(PLAIN))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.render(job(PLAIN)) is not None


async def test_a_process_that_ended_while_idle_is_replaced(pool: RenderingPool) -> None:
    await pool.render(job(PLAIN))
    worker, _ = pool._idle[0]
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait()
    assert await pool.render(job(PLAIN)) is not None


async def test_an_idle_process_ends() -> None:
    pool = RenderingPool(RenderingLimits(idle_seconds=0.05), workers=1)
    await pool.render(job(PLAIN))
    worker, _ = pool._idle[0]
    async with asyncio.timeout(10):
        await worker.wait()
    assert pool._idle == []
    await pool.close()


def test_bodies_beyond_what_is_shown_are_cut() -> None:
    found = render(job(html(*[b"<p>" + b"x" * 900_000] * 5)))
    assert found is not None
    assert found.is_truncated
    assert 1_900_000 < len(found.html) < 2_100_000


RELATED = (
    HEAD + b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<img src=cid:c>\r\n--b\r\n"
    b"Content-ID: <c>\r\nContent-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n\r\n" + GIF + b"\r\n--b\r\n"
    b"Content-Type: application/pdf; name=large.pdf\r\n\r\n" + b"%" * 500_000 + b"\r\n--b--\r\n"
)  # fmt: skip


def test_only_what_is_shown_is_read() -> None:
    meta = parse_message(RELATED)
    ranges = merged(Choice(meta.root, embed=True).ranges())
    assert sum(end - start for start, end in ranges) < 1000
    pieces = [(start, RELATED[start:end]) for start, end in ranges]
    found = render(RenderingJob("B1", "B1", "/", len(RELATED), encode_meta(meta), pieces, embed=True))
    whole = render(RenderingJob("B1", "B1", "/", len(RELATED), b"", [(0, RELATED)], embed=True))
    assert found == whole
    assert found is not None
    assert "data:image/gif" in found.html
    assert [one.name for one in found.attachments] == ["large.pdf"]


def test_a_picture_that_is_named_often_is_written_within_bounds() -> None:
    picture = base64.encodebytes(b"GIF89a" + bytes(500_000)).replace(b"\n", b"\r\n")
    raw = RELATED.replace(b"<img src=cid:c>", b"<img src=cid:c>" * 1000).replace(GIF, picture)
    found = render(job(raw))
    assert found is not None
    assert len(found.html) < 9 << 20
    assert found.html.count("data:image/gif") > 5
    assert found.html.count("data-cid") > 900


def test_ranges_that_lie_close_together_are_joined() -> None:
    assert merged([(200_000, 200_010), (0, 5), (3, 9), (20, 20), (60_000, 60_001)]) == [(0, 60_001), (200_000, 200_010)]


def test_addresses_of_images_are_for_one_account_and_time() -> None:
    keys = ImageKeys(b"secret")
    url = keys.signer("https://mail.example", "a4", 1000).url("http://x.example/a?b=1&c=é")
    prefix, _, query = url.partition("?url=")
    assert query == "http%3A%2F%2Fx.example%2Fa%3Fb%3D1%26c%3D%C3%A9"
    mac = prefix.rpartition("/")[2]
    assert keys.is_signed("a4", 1000, mac, "http://x.example/a?b=1&c=é")
    assert not keys.is_signed("a5", 1000, mac, "http://x.example/a?b=1&c=é")
    assert not keys.is_signed("a4", 1001, mac, "http://x.example/a?b=1&c=é")
    assert not ImageKeys(b"another").is_signed("a4", 1000, mac, "http://x.example/a?b=1&c=é")
    assert b"secret" not in keys.signer("", "a4", 1).key


@pytest.mark.parametrize(
    ("roles", "adult"), [((1,), True), ((1, 3), True), ((2,), False), ((1, 2), False), ((), False), ((4,), False)]
)
def test_only_who_is_surely_an_adult_may_see_images_from_elsewhere(roles: tuple[int, ...], adult: bool) -> None:
    assert Identity(1, 1, "", "", roles, 0, "", 0).is_adult is adult


def test_buckets_fill_with_time() -> None:
    now = [0.0]
    buckets = Buckets(2.0, 3, lambda: now[0])
    assert [buckets.has_taken(1) for _ in range(4)] == [True, True, True, False]
    assert buckets.has_taken(2)
    now[0] = 0.5
    assert [buckets.has_taken(1) for _ in range(2)] == [True, False]
    now[0] = 1000
    assert [buckets.has_taken(1) for _ in range(4)] == [True, True, True, False]
