"""gRPC's core as the kit sets it up: what takes part in a call, and that every service does so in time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SERVICES = ("ingest", "store", "delivery", "junior_guard", "accounts", "gateway")
CALLS = 200

# A process that answers itself over a unix socket, and prints how often each thread gave up its processor.
TALK = f"""
import asyncio, os, sys
import petitbleu_kit
import grpc, grpc.aio

same = lambda octets: octets

async def many(requests, context):
    async for request in requests:
        yield request

def switches():
    found = {{}}
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{{thread}}/comm") as name, open(f"/proc/self/task/{{thread}}/schedstat") as stat:
            found[thread] = (name.read().strip(), int(stat.read().split()[2]))
    return found

async def main():
    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(many, same, same)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {{"Many": handler}}),))
    server.add_insecure_port("unix:" + sys.argv[1])
    await server.start()
    channel = grpc.aio.insecure_channel("unix:" + sys.argv[1])
    call = channel.stream_stream("/t/Many", same, same)()
    async def once():
        await call.write(b"x")
        await call.read()
    await once()
    before = switches()
    for _ in range({CALLS}):
        await once()
    after = switches()
    print(sum(after[thread][1] - before.get(thread, ("", 0))[1] for thread in after if after[thread][0] == "event_engine"))
    await channel.close()
    await server.stop(0)

asyncio.run(main())
"""


def test_the_event_engine_takes_no_part_in_a_call(tmp_path: Path) -> None:
    """With it, each message wakes its threads some four times (ADR 12); a release of grpcio may stop heeding that it is off."""
    done = subprocess.run(
        [sys.executable, "-c", TALK, str(tmp_path / "s")], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < CALLS / 2


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_sets_the_core_up_before_it_is_loaded(service: str) -> None:
    asked = f"import sys, petitbleu_{service}; print('petitbleu_kit' in sys.modules, 'grpc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True", "False"]
