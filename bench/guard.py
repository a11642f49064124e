"""What a check of a child's mail costs: batches of 32 by gRPC as delivery sends them, with few children and with many.

The children and their 50 correspondents each are written straight into the tables: to make them one by one would take hours, and is not
what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg

import processes
from ours import Ours
from petitbleu.junior_guard.v1 import junior_guard_pb2 as pb
from petitbleu.junior_guard.v1 import junior_guard_pb2_grpc
from petitbleu_junior_guard.adapters.key_file import read_key
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_kit.identity import Signer
from petitbleu_kit.ids import new_blob_id, partition_of_account
from petitbleu_kit.rpc import Peer

BATCH: Final = 32
CORRESPONDENTS: Final = 50
_FIRST: Final = 1 << 62
_PROBES: Final = 2000
_CHUNK: Final = 5000
_FRIEND: Final = "friend@else.example"

_PARTITION: Final = "(get_byte(sha256(int8send(id)), 0) * 256 + get_byte(sha256(int8send(id)), 1)) >> 6"
_CHILDREN: Final = f"""INSERT INTO junior_guard.child (partition, account_id, tenant_id)
SELECT {_PARTITION}, id, 1 FROM generate_series($1::bigint, $2::bigint) AS g (id)"""
_STANDINGS: Final = f"""INSERT INTO junior_guard.standing (partition, account_id, address_hash, skeleton_hash, approved_until)
SELECT {_PARTITION}, id, sha256(int8send(id) || int4send(n)), sha256(int4send(n) || int8send(id)), timestamptz '9999-01-01 00:00Z'
FROM generate_series($1::bigint, $2::bigint) AS g (id), generate_series(2, {CORRESPONDENTS}) AS c (n)"""
_FRIENDS: Final = """INSERT INTO junior_guard.standing (partition, account_id, address_hash, skeleton_hash, approved_until)
SELECT *, timestamptz '9999-01-01 00:00Z' FROM unnest($1::smallint[], $2::bigint[], $3::bytea[], $4::bytea[]) ON CONFLICT DO NOTHING"""


def guard(
    root: Path, offset: int, sizes: Sequence[int], batches: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure a check for each number of children.

    Returns:
        For each size the number of `children`, `cpu_ms`, of client, guard and PostgreSQL together, a recipient, and the `ratio` to the first.
    """
    ours = Ours(root / "guard", offset)
    ours.start()
    try:
        return asyncio.run(_measure(ours, sizes, batches, say))
    finally:
        ours.stop()


async def _measure(ours: Ours, sizes: Sequence[int], batches: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    seal = Seal(read_key(ours.layout.data / "keys" / "junior-guard.key", may_make=False))
    connection = await asyncpg.connect(ours.superuser_dsn())
    target = f"unix:{ours.layout.service_socket('junior-guard')}"
    peer = Peer(target, "junior-guard", Signer.from_file("delivery", ours.identity("delivery")))
    rows: list[dict[str, Any]] = []
    have = 0
    try:
        for size in sizes:
            for start in range(have, size, _CHUNK):
                span = (_FIRST + start, _FIRST + min(start + _CHUNK, size) - 1)
                await connection.execute(_CHILDREN, *span, timeout=600)
                await connection.execute(_STANDINGS, *span, timeout=600)
            have = size
            probes = [_FIRST + n * size // min(size, _PROBES) for n in range(min(size, _PROBES))]
            await connection.execute(
                _FRIENDS, [partition_of_account(one) for one in probes], probes, [seal.hash(one, _FRIEND) for one in probes],
                [seal.skeleton_hash(one, _FRIEND) for one in probes], timeout=600,
            )  # fmt: skip
            await connection.execute("VACUUM (ANALYZE) junior_guard.child, junior_guard.standing, junior_guard.decision", timeout=600)  # fmt: skip
            await connection.execute("CHECKPOINT", timeout=600)
            cost = await _checks(ours, peer, probes, batches)
            rows.append({"children": size, **cost})
            rows[-1]["ratio"] = cost["cpu_ms"] / rows[0]["cpu_ms"]
            say(f"  {size:7} children {cost['cpu_ms']:6.3f} ms of CPU a recipient ({cost['by']})")
    finally:
        await peer.close()
        await connection.close()
    return rows


async def _checks(ours: Ours, peer: Peer, probes: Sequence[int], batches: int) -> dict[str, Any]:
    stub = junior_guard_pb2_grpc.GuardServiceStub(peer.channel)
    roots = {name: pid for name, pid in ours.roots().items() if name in {"junior-guard", "postgres"}}

    async def check(number: int) -> None:
        request = pb.CheckRequest()
        for n in range(BATCH):
            request.items.add(
                account_id=probes[(number * BATCH + n) * 7919 % len(probes)], accepted_id=new_blob_id(1, 0).bytes,
                mail_from=_FRIEND, header_from=_FRIEND, authenticated=True, size=8192,
            )  # fmt: skip
        answer = await peer.call(stub.Check, request, timeout=30)
        if any(one.verdict != pb.VERDICT_DELIVER for one in answer.decisions):
            raise RuntimeError("a friend's mail is held: what is measured is something else")

    for number in range(20):
        await check(number)
    before, own = processes.cpu_by_name(roots), time.process_time()
    for number in range(batches):
        await check(number)
    client = time.process_time() - own
    after = processes.cpu_by_name(roots)
    seconds = {"client": client, **{name: after[name] - before[name] for name in roots}}
    by = {name: round(value * 1000 / (batches * BATCH), 3) for name, value in seconds.items()}
    return {"cpu_ms": sum(seconds.values()) * 1000 / (batches * BATCH), "by": by}
