"""The embedded stack under real conditions: real backends, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nats
import psutil
import pytest
from minio import Minio
from nats.errors import Error as NatsError
from tests.small_disk import filled, mounted

from petitbleu_dev.control import ControlError
from petitbleu_dev.layout import Ports
from petitbleu_dev.logfile import rotate
from petitbleu_dev.stack import Stack, StackNotReadyError

BACKENDS = ("postgres", "nats", "redis", "seaweedfs")
OFFSET = int(os.environ.get("PETITBLEU_PORT_OFFSET") or 0) + 2500
"""Away from a stack that a developer may have running, and below the ports that connections are given."""

GONE_SECONDS = 10.0


def living(data: Path) -> list[str]:
    """Command lines of the live processes that carry this data directory in their environment or arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = process.cmdline()
            if process.environ().get("PETITBLEU_DATA") == str(data) or any(str(data) in word for word in words):
                found.append(" ".join(words))
        except psutil.Error:
            continue
    return found


def family(stack: Stack) -> list[psutil.Process]:
    """The supervisor and everything that descends from it."""
    supervisor = psutil.Process(stack.supervisor_pid)
    return [supervisor, *supervisor.children(recursive=True)]


def none_lives(data: Path) -> None:
    """Wait until no process of this data directory is left: what ends the others ends last."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := living(data):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def all_gone(processes: list[psutil.Process]) -> bool:
    def live(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + GONE_SECONDS
    while time.monotonic() < deadline:
        if not any(live(process) for process in processes):
            return True
        time.sleep(0.05)
    return False


def up(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `up` where it should refuse, and wait for its end."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "petitbleu_dev",
            "up",
            "--data",
            str(data),
            "--only",
            "backends",
            "--no-demo",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All four backends, for tests that leave them running."""
    with Stack(tmp_path_factory.mktemp("supervisor") / "data", OFFSET, only="backends") as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def short_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("short") / "data"


@pytest.fixture
def short(short_data: Path) -> Iterator[Stack]:
    """The backends that start at once, for tests that end the stack."""
    with Stack(short_data, OFFSET + 10, only="postgres,nats,redis") as running:
        running.wait_ready()
        yield running


def s3(stack: Stack) -> Minio:
    secrets = stack.layout.secrets
    return Minio(
        f"127.0.0.1:{stack.port('seaweedfs s3')}",
        access_key=(secrets / "s3-access-key").read_text(),
        secret_key=(secrets / "s3-secret-key").read_text(),
        secure=False,
        region="us-east-1",
    )


def test_killed_backends_come_back_with_what_they_held(stack: Stack) -> None:
    bucket = s3(stack)
    bucket.put_object("petitbleu", "kept", io.BytesIO(b"bytes"), 5)
    for name in BACKENDS:
        before = stack.kill(name, signal.SIGKILL)
        stack.wait_ready(60, name=name)
        assert stack.pid(name) not in {None, before}
        assert stack.status()["processes"][name]["restarts"] == 1
    answer = bucket.get_object("petitbleu", "kept")
    try:
        assert answer.read() == b"bytes"
    finally:
        answer.close()
        answer.release_conn()
    bucket.remove_object("petitbleu", "kept")


def test_a_process_can_be_held_down_and_started_with_other_settings(stack: Stack) -> None:
    stack.stop_process("nats")
    assert stack.pid("nats") is None
    stack.start_process("nats", environment={"PETITBLEU_PROBE": "yes"})
    pid = stack.pid("nats")
    assert pid is not None
    assert psutil.Process(pid).environ()["PETITBLEU_PROBE"] == "yes"
    stack.restart("nats")
    assert stack.pid("nats") not in {None, pid}
    with pytest.raises(ControlError, match="no process nobody"):
        stack.kill("nobody")


async def publish(stack: Stack, octets: int) -> None:
    """Publish one event and have it stored."""
    user, password = stack.nats_administrator
    client = await nats.connect(
        f"nats://127.0.0.1:{stack.port('nats')}", user=user, password=password, allow_reconnect=False
    )
    try:
        stream = client.jetstream()
        await stream.add_stream(name="MAIL", subjects=["mail.>"])
        await stream.publish("mail.event", bytes(octets), timeout=1)
    finally:
        await client.close()


def test_nats_that_could_not_write_is_started_anew_once_there_is_room(tmp_path: Path) -> None:
    """Its stream takes nothing more after a write that failed, however much room there is (nats-server 2.14 on)."""
    with mounted(tmp_path / "disk", 64) as disk, Stack(disk / "data", OFFSET + 90, only="nats") as stack:
        stack.wait_ready()
        asyncio.run(publish(stack, 10))
        log = stack.layout.log("nats")
        with filled(disk):
            with pytest.raises(NatsError):
                for _ in range(50):
                    asyncio.run(publish(stack, 100_000))
            with pytest.raises(OSError, match="No space left"):
                rotate(log, limit=0)
            assert log.stat().st_size
            assert not log.with_name("nats.log.1").exists()
        deadline = time.monotonic() + 60
        stored = False
        while not stored:
            assert time.monotonic() < deadline, "it never took an event again"
            with contextlib.suppress(NatsError, OSError):
                asyncio.run(publish(stack, 10))
                stored = True
        assert stack.status()["processes"]["nats"]["restarts"] == 1
        assert "it stores nothing more" in stack.output.read_text()


def test_ctrl_c_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Stack(data, OFFSET + 20, only="backends") as stack:
        stack.wait_ready()
        processes = family(stack)
        assert len(processes) > len(BACKENDS)
        assert stack.stop(signal.SIGINT) == 0
    assert all_gone(processes)
    none_lives(data)
    for part in ("master", "volume", "filer", "s3"):
        port = stack.port(f"seaweedfs {part} grpc")
        assert not Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").exists()


def test_killing_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Stack(data, OFFSET + 20, only="backends") as stack:
        stack.wait_ready()
        processes = family(stack)
        processes[0].kill()
        assert all_gone(processes)
        none_lives(data)


def test_a_kill_during_the_first_start_leaves_no_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for pause in (0.4, 0.8, 1.2):
        with Stack(data, OFFSET + 20, only="backends") as stack:
            time.sleep(pause)
            processes = family(stack)
            processes[0].kill()
            assert all_gone(processes)
            none_lives(data)
    with Stack(data, OFFSET + 20, only="postgres") as stack:
        stack.wait_ready()


def test_killing_supervisor_and_reaper_together_leaves_no_process(short: Stack, short_data: Path) -> None:
    processes = family(short)
    reapers = [process for process in processes if "petitbleu_dev.reaper" in process.cmdline()]
    assert len(reapers) == 1
    reapers[0].kill()
    processes[0].kill()
    assert all_gone(processes)
    none_lives(short_data)


def test_a_killed_reaper_is_replaced_and_still_does_its_work(short: Stack, short_data: Path) -> None:
    def reapers() -> list[int]:
        found = []
        for process in family(short):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended since it was listed
                if "petitbleu_dev.reaper" in process.cmdline():
                    found.append(process.pid)
        return found

    (first,) = reapers()
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + GONE_SECONDS
    while reapers() in ([], [first]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert reapers() not in ([], [first])
    processes = family(short)
    processes[0].kill()
    assert all_gone(processes)
    none_lives(short_data)


def test_every_process_carries_the_data_directory(stack: Stack) -> None:
    for name in BACKENDS:
        pid = stack.pid(name)
        assert pid is not None
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert f"PETITBLEU_DATA={stack.layout.data}".encode() in environment.split(b"\0"), name


def test_secrets_are_for_their_owner_alone(stack: Stack) -> None:
    layout = stack.layout
    private = [layout.operator_token, *layout.secrets.iterdir(), *layout.keys.iterdir(), *layout.identity.glob("*.key")]
    assert len(private) > 15
    assert {path.stat().st_mode & 0o777 for path in [*private, layout.tls / "ca.key", layout.tls / "server.key"]} == {
        0o600
    }
    assert {path.stat().st_mode & 0o777 for path in (layout.data, layout.run, layout.postgres)} == {0o700}


def test_a_second_supervisor_is_told_who_was_first(stack: Stack) -> None:
    refused = up(stack.layout.data, "--port-offset", str(OFFSET))
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert f"process {stack.supervisor_pid}" in refused.stderr


def test_a_port_in_use_is_one_line_with_port_and_variable(tmp_path: Path) -> None:
    port = Ports(OFFSET + 20).of("nats")
    with socket.create_server(("127.0.0.1", port)):
        refused = up(tmp_path / "data", "--port-offset", str(OFFSET + 20))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"port {port} (nats) is in use" in refused.stderr
    assert "PETITBLEU_PORT_OFFSET" in refused.stderr


def test_a_cluster_of_another_major_version_is_one_line(tmp_path: Path) -> None:
    cluster = tmp_path / "data" / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("17\n")
    refused = up(tmp_path / "data", "--port-offset", str(OFFSET + 20))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "PostgreSQL 17" in refused.stderr
    assert "PostgreSQL 18" in refused.stderr


def test_a_newer_data_directory_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "VERSION").write_text("999\n")
    refused = up(data, "--port-offset", str(OFFSET + 20))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "layout version 999" in refused.stderr


def test_a_backend_that_cannot_start_is_said_and_tried_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Stack(data, OFFSET + 20, only="nats") as stack:
        stack.wait_ready()
        stack.stop_process("nats")
        # A directory where a file of the stream store should be.
        broken = stack.layout.nats / "jetstream"
        broken.rename(data / "aside")
        broken.write_text("not a directory")
        with pytest.raises((ControlError, TimeoutError)):
            stack._ask("start", name="nats", seconds=3)
        printed = stack.output.read_text()
        assert "nats ended with status 1; starting it again" in printed
        assert "(its log ends: " in printed
        broken.unlink()
        (data / "aside").rename(broken)
        stack.wait_ready(30, name="nats")


def test_a_stack_that_refused_is_reported_with_what_it_printed(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("999\n")
    with (
        Stack(tmp_path, OFFSET + 20, only="redis") as stack,
        pytest.raises(StackNotReadyError, match="layout version 999"),
    ):
        stack.wait_ready(20)


def test_a_power_cut_that_loses_the_end_of_an_index_loses_no_object(tmp_path: Path) -> None:
    """SeaweedFS syncs a volume's data and not its index: what a power cut leaves is made here by hand."""
    body = os.urandom(50_000)
    names = [f"object-{number}" for number in range(5)]
    with Stack(tmp_path / "data", OFFSET + 20, only="backends") as stack:
        stack.wait_ready()
        for name in names:
            s3(stack).put_object("petitbleu", name, io.BytesIO(body), len(body))
        processes = family(stack)
        processes[0].kill()
        assert all_gone(processes)
    volumes = stack.layout.seaweedfs / "volumes"
    (index,) = volumes.glob("petitbleu_*.idx")
    os.truncate(index, index.stat().st_size // 2)
    with index.with_suffix(".dat").open("ab") as torn:
        torn.write(os.urandom(50))
    (stack.layout.seaweedfs / "running").write_text("another boot\n")
    with stack:
        stack.wait_ready()
        assert "rebuilding the indexes" in stack.output.read_text()
        for name in names:
            answer = s3(stack).get_object("petitbleu", name)
            with contextlib.closing(answer):
                assert answer.read() == body


def test_other_users_of_the_machine_get_nothing_from_the_inner_doors_of_s3(stack: Stack) -> None:
    bucket = s3(stack)
    bucket.put_object("petitbleu", "inner", io.BytesIO(b"bytes"), 5)
    doors = {
        "seaweedfs filer": ["/buckets/petitbleu/inner", "/buckets/petitbleu/"],
        "seaweedfs master": ["/dir/assign", "/dir/status", "/col/delete?collection=petitbleu"],
        "seaweedfs s3": ["/petitbleu/inner", "/petitbleu"],
    }
    for door, paths in doors.items():
        for path in paths:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{stack.port(door)}{path}", timeout=10)
            refused.value.close()
            assert refused.value.code in {401, 403, 404}, path
    for door in ("master", "volume", "filer", "s3"):
        with socket.create_connection(("127.0.0.1", stack.port(f"seaweedfs {door} grpc")), 5) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")  # RFC 9113 §3.4, without TLS
            plain.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert not plain.recv(100).startswith(b"\0\0"), f"{door} speaks HTTP/2 without TLS"
    bucket.remove_object("petitbleu", "inner")


def test_a_put_is_synced_before_it_is_answered(stack: Stack, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    bucket = s3(stack)
    bucket.put_object("petitbleu", "first", io.BytesIO(os.urandom(8192)), 8192)
    trace = tmp_path / "trace"
    pid = stack.pid("seaweedfs")
    tracing = "fsync,fdatasync,pwrite64,write"
    watcher = subprocess.Popen(
        [strace, "-f", "-e", f"trace={tracing}", "-s", "16", "-o", str(trace), "-p", str(pid)], stderr=subprocess.PIPE
    )
    assert watcher.stderr is not None
    if b"ttached" not in watcher.stderr.readline():
        watcher.wait()
        pytest.skip("strace may not attach here")
    try:
        bucket.put_object("petitbleu", "second", io.BytesIO(os.urandom(8192)), 8192)
    finally:
        watcher.send_signal(signal.SIGINT)
        watcher.wait(10)
        watcher.stderr.close()
    calls = trace.read_text(errors="replace").splitlines()
    data_written = next(index for index, call in enumerate(calls) if re.search(r"pwrite64.*= 8\d{3}$", call))
    synced = next(
        index for index, call in enumerate(calls) if index > data_written and "sync" in call and call.endswith("= 0")
    )
    answered = max(index for index, call in enumerate(calls) if '"HTTP/1.1 200 OK' in call)
    assert data_written < synced < answered
