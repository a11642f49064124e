"""kill -9 keeps the page cache, so durability is shown apart: strace sees the sync between the last body octet and the 250."""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from tests.live_stack import LiveStack

CALLS = "read,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync,truncate,ftruncate"
LINE = re.compile(r"(?P<pid>\d+)\s+(?P<at>\d+\.\d+) (?P<rest>.*)")


@dataclass
class Trace:
    """What strace saw, in order of time."""

    owners: dict[int, str]
    lines: list[tuple[float, str, str]] = field(default_factory=list)

    def times(self, owner: str, pattern: str) -> list[float]:
        """Return when a process of `owner` made a call that fits `pattern`."""
        return [at for at, name, rest in self.lines if name == owner and re.search(pattern, rest)]

    def synced(self, owner: str) -> list[float]:
        """Return when `owner` ended a sync with success."""
        return self.times(owner, r"^(<\.\.\. )?f(data)?sync(\(| resumed).*= 0$")


def _pids(stack: LiveStack, name: str) -> list[int]:
    pid = stack.pid(name)
    assert pid is not None
    root = psutil.Process(pid)
    return [pid, *(child.pid for child in root.children(recursive=True))]


@contextmanager
def traced(stack: LiveStack, names: list[str], out: Path) -> Iterator[Trace]:
    """Attach strace to programs of the stack, and read what it saw at the end."""
    if shutil.which("strace") is None:
        pytest.skip("NO STRACE: durability is not shown on this machine")
    owners = {pid: name for name in names for pid in _pids(stack, name)}
    command = ["strace", "-f", "-ttt", "-s", "400", "-e", f"trace={CALLS}", "-o", str(out)]
    tracer = subprocess.Popen([*command, *(f"-p{pid}" for pid in owners)], stderr=subprocess.PIPE, text=True)
    trace = Trace(owners)
    try:
        time.sleep(1.5)
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            pytest.skip(f"STRACE MAY NOT ATTACH HERE: {tracer.stderr.read().splitlines()[-1:]}")
        yield trace
        time.sleep(0.5)
    finally:
        # New processes and threads of a traced one are traced too; they belong to whom their parent belongs.
        for name in names:
            owners.update(dict.fromkeys(_pids(stack, name), name))
            for pid in _pids(stack, name):
                owners.update(dict.fromkeys((int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()), name))
        tracer.terminate()
        tracer.communicate(timeout=20)
    for line in out.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if found:
            trace.lines.append((float(found["at"]), owners.get(int(found["pid"]), "?"), found["rest"]))


def _send_slowly(port: int, recipient: str, octets: int, mark: str) -> None:
    """Send a mail whose last body octets travel in a packet of their own, so that their arrival is seen in the trace."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        replies = connection.makefile("rb")

        def answer() -> bytes:
            while (line := replies.readline())[3:4] == b"-":
                pass
            return line

        answer()
        for line in ("EHLO sender.example", "MAIL FROM:<a@sender.example>", f"RCPT TO:<{recipient}>", "DATA"):
            connection.sendall(line.encode() + b"\r\n")
            assert answer()[:1] in b"23"
        row = secrets.token_hex(35).encode() + b"\r\n"
        connection.sendall(b"Subject: durable\r\n\r\n" + b"".join(row for _ in range(octets // len(row))))
        time.sleep(0.5)
        connection.sendall(mark.encode() + b"\r\n.\r\n")
        assert answer().startswith(b"250"), "not accepted"
        connection.sendall(b"QUIT\r\n")
        answer()


@pytest.mark.parametrize(("octets", "keepers"), [(2_000, ["postgres"]), (2_000_000, ["seaweedfs", "postgres"])])
def test_the_sync_comes_between_the_last_body_octet_and_the_250(
    fault_stack: LiveStack, octets: int, keepers: list[str], tmp_path: Path
) -> None:
    login = fault_stack.new_account()
    mark = f"LAST-{secrets.token_hex(6)}"
    with traced(fault_stack, ["ingest", *keepers], tmp_path / "trace") as trace:
        _send_slowly(fault_stack.smtp_port, login, octets, mark)
    arrived = trace.times("ingest", mark)
    assert arrived, "the last octets were not seen to arrive"
    answered = [at for at in trace.times("ingest", r'"250 2\.[06]\.0') if at > arrived[0]]
    assert answered, "no 250 was seen"
    for keeper in keepers:
        between = [at for at in trace.synced(keeper) if arrived[0] < at < answered[0]]
        assert between, f"{keeper} did not sync between the last body octet and the 250"
    if len(keepers) == 2:
        body = min(at for at in trace.synced("seaweedfs") if at > arrived[0])
        record = max(at for at in trace.synced("postgres") if at < answered[0])
        assert body < record, "the record was synced before the body that it speaks of"


def test_a_segment_is_synced_before_its_hot_bodies_end(fault_stack: LiveStack, tmp_path: Path) -> None:
    login = fault_stack.new_account()
    for _ in range(5):
        _send_slowly(fault_stack.smtp_port, login, 3_000, "end")
    fault_stack.wait_settled()
    with traced(fault_stack, ["postgres", "seaweedfs"], tmp_path / "trace") as trace:
        fault_stack.cli("store", "pack")
    ended = trace.times("postgres", r'^truncate\("base/\d+/\d+", 0\)')
    assert ended, "no hot table was seen to be emptied"
    put = [at for at in trace.synced("seaweedfs") if at < ended[0]]
    assert put, "the segment was not synced before the hot bodies ended"
    assert [at for at in trace.synced("postgres") if put[0] < at < ended[0]], (
        "the places were not committed between the segment and the end of the hot bodies"
    )
