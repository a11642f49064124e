"""What the rendering of a message needs of store: the octets that are looked at, or the whole of what lies within a blob."""

from __future__ import annotations

import asyncio

from petitbleu_gateway.domain.rendering import RenderingJob
from petitbleu_gateway.domain.rendering_choice import Choice, merged
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.methods.blobs import Take, blob_content, find_blob, parts_begin
from petitbleu_gateway.ports import Identity, MailStore
from petitbleu_mail.structure import decode_meta

_LARGE_META = 16384


async def rendering_job(store: MailStore, who: Identity, job: RenderingJob, take: Take) -> bool:
    """Fill in what is read of the message that a job's blob id names; False when there is no such blob in the account."""
    name = ids.blob_name(job.blob_id)
    if name is not None and name.message_id and name.part is None:
        return await _read_message(store, who, name.message_id, job, take)
    blob = await find_blob(store, who, job.blob_id, take)
    raw = None if blob is None else await blob_content(store, who, blob, take)
    if raw is None:
        return False
    if blob is not None:
        job.parts_begin = parts_begin(job.blob_id, blob)
    job.size, job.pieces = len(raw), [(0, raw)]
    return True


async def _read_message(store: MailStore, who: Identity, message_id: int, job: RenderingJob, take: Take) -> bool:
    answer = await store.messages(who, [message_id])
    if not answer.messages:
        return False
    row = answer.messages[0]

    def choose() -> list[tuple[int, int]]:
        return merged(Choice(decode_meta(row.meta).root, embed=job.embed).ranges())

    ranges = await asyncio.to_thread(choose) if len(row.meta) > _LARGE_META else choose()
    job.size, job.meta = row.size - row.prefix_octets, row.meta
    take(sum(end - start for start, end in ranges))
    for start, end in ranges:
        source = store.read(who, message_id, row.prefix_octets + start, end - start)
        job.pieces.append((start, b"".join([piece async for piece in source])))
    return True
