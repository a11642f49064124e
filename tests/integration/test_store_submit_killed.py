"""Submit, when the store is killed before it answers: whoever asks again gets the same accepted message, of which there is one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import grpc
import pytest
from tests.integration.arriving import TENANT, TRACE, body_of
from tests.integration.conftest import Backends, Opener
from tests.integration.mailing import file_new, mail, new_account

from petitbleu.store.v1 import accept_pb2, outgoing_pb2, outgoing_pb2_grpc
from petitbleu_kit.identity import Signer
from petitbleu_kit.ids import BlobId
from petitbleu_kit.rpc import Peer

# A commit that takes its time: what the trigger waits for is when the rows are written, or when they are committed.
SLOW = """CREATE FUNCTION store.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON store.accepted DEFERRABLE INITIALLY {when} FOR EACH ROW EXECUTE FUNCTION store.slow()"""
QUICK = "DROP TRIGGER slow ON store.accepted; DROP FUNCTION store.slow()"


@contextlib.asynccontextmanager
async def running(backends: Backends, spool: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Peer]]:
    """A store of its own process, and delivery that asks it; the process is killed at the end."""
    layout = backends.stack.layout
    address = f"unix:{layout.run / 'store-killed.sock'}"
    environment = {
        **os.environ, **backends.environment("store"), "PETITBLEU_LISTEN": address, "PETITBLEU_HEALTH_PORT": "0",
        "PETITBLEU_SPOOL_DIR": str(spool),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "petitbleu_store", env=environment, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    peer = Peer(address, "store", Signer.from_file("delivery", layout.identity / "delivery.key"))
    try:
        stub = outgoing_pb2_grpc.OutgoingServiceStub(peer.channel)
        async with asyncio.timeout(60):
            while True:
                assert process.returncode is None
                try:
                    # of an account that does not exist: it only says that somebody answers
                    await peer.call(stub.Submit, request(1, 1), timeout=5)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(0.1)
                else:
                    break
        yield process, peer
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await peer.close()


def request(account_id: int, message_id: int) -> outgoing_pb2.SubmitRequest:
    return outgoing_pb2.SubmitRequest(
        submission_id=os.urandom(16), account_id=account_id, tenant_id=TENANT, message_id=message_id,
        mail_from="zoe@demo.test", header_from="zoe@demo.test", trace=TRACE,
        recipients=[accept_pb2.AcceptRecipient(address="far@else.test", tenant_id=TENANT)],
    )  # fmt: skip


async def slept(connection: asyncpg.Connection) -> None:
    """Return once a commit takes its time."""
    async with asyncio.timeout(30):
        while not await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
            await asyncio.sleep(0.02)


async def over(connection: asyncpg.Connection) -> None:
    """Return once the server has done with whoever died: what was being committed is, the rest is not."""
    async with asyncio.timeout(30):
        while await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'store' AND pid <> pg_backend_pid()"
        ):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("when", "committed", "octets"), [("DEFERRED", 1, 200), ("IMMEDIATE", 0, 200), ("DEFERRED", 1, 1_500_000)]
)
async def test_a_store_killed_before_it_answers_submits_once(
    open_store: Opener, backends: Backends, tmp_path: Path, when: str, committed: int, octets: int
) -> None:
    drafted = b"Bcc: secret@else.test\r\n" + mail("killed", octets=octets)
    async with open_store() as store:
        account = await new_account(store)
        (message_id,) = await file_new(store, account, drafted)
        before = await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM accepted")
    asked = request(account, message_id)
    connection = await asyncpg.connect(backends.superuser_dsn(), command_timeout=60)
    try:
        async with running(backends, tmp_path / "first") as (process, peer):
            stub = outgoing_pb2_grpc.OutgoingServiceStub(peer.channel)
            await connection.execute(SLOW.format(when=when))
            asking = asyncio.create_task(peer.call(stub.Submit, asked, timeout=60))
            await slept(connection)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await asking
        await over(connection)
        await connection.execute(QUICK)
        kept = await connection.fetch("SELECT accepted_id FROM store.accepted")
        assert len(kept) == before + committed
        async with running(backends, tmp_path / "second") as (_, peer):
            stub = outgoing_pb2_grpc.OutgoingServiceStub(peer.channel)
            first = await peer.call(stub.Submit, asked, timeout=30)
            again = await peer.call(stub.Submit, asked, timeout=30)
        assert first.status == (outgoing_pb2.SUBMIT_STATUS_REPEAT if committed else outgoing_pb2.SUBMIT_STATUS_OK)
        assert (again.status, again.accepted_id) == (outgoing_pb2.SUBMIT_STATUS_REPEAT, first.accepted_id)
        rows = await connection.fetch("SELECT accepted_id FROM store.accepted WHERE origin = 2")
        assert [row["accepted_id"].bytes for row in rows] == [first.accepted_id]
        accepted_id = BlobId(rows[0]["accepted_id"])
    finally:
        await connection.close()
    async with open_store() as store:
        assert await body_of(store, accepted_id) == TRACE + TRACE + drafted.partition(b"\r\n")[2]
        # and it is told to delivery
        assert await store.core.cold.fetchval(
            "/* cold:test */ SELECT count(*) FROM outbox WHERE position($1::bytea IN payload) > 0", accepted_id.bytes
        )
