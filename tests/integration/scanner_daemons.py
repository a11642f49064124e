"""A private rspamd and clamd, from Debian's packages, on the loopback, without root's rights or anything downloaded."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.ports import free_port

RSPAMD: Final = shutil.which("rspamd")
CLAMD: Final = shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# The test file of the European Institute for Computer Antivirus Research, and rspamd's own test patterns
EICAR: Final = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_GTUBE: Final = b"JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
SPAM: Final = b"X" + _GTUBE
PROBABLE: Final = b"Y" + _GTUBE
_USER: Final = "nobody"


@contextlib.contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    user = _USER if os.geteuid() == 0 else None
    if user is not None:
        owner = pwd.getpwnam(user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, user=user, group="nogroup" if user else None, cwd=folder
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def rspamd(folder: Path, rules: str = "") -> Iterator[str]:
    """Run one with its built-in patterns, and more configuration if there is any; gives its URL."""
    assert RSPAMD is not None
    folder.mkdir()
    port = free_port()
    (folder / "rspamd.conf").write_text(
        textwrap.dedent(f"""\
            options {{
              pidfile = "{folder}/rspamd.pid";
              tempdir = "{folder}";
              filters = "";
              enable_test_patterns = true;
              dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
              control_socket = "{folder}/control.sock mode=0600";
              rrd = "";
              history_file = "";
              cache_file = "{folder}/symbols.cache";
            }}
            logging {{ type = "console"; level = "warning"; }}
            actions {{ reject = 15; add_header = 6; greylist = 4; }}
            worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
            """)
        + rules
    )
    with _running([RSPAMD, "-f", "-c", str(folder / "rspamd.conf")], port, folder):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def clamd(folder: Path) -> Iterator[str]:
    """Run one that knows the test file and nothing else; gives its place."""
    assert CLAMD is not None
    (folder / "db").mkdir(parents=True)
    port = free_port()
    (folder / "db" / "own.ndb").write_text(f"Test.File:0:*:{EICAR.hex()}\n")
    (folder / "clamd.conf").write_text(
        textwrap.dedent(f"""\
            DatabaseDirectory {folder}/db
            TCPSocket {port}
            TCPAddr 127.0.0.1
            Foreground yes
            LogFile {folder}/clamd.log
            TemporaryDirectory {folder}
            StreamMaxLength 4M
            """)
    )
    with _running([CLAMD, "-c", str(folder / "clamd.conf")], port, folder):
        yield f"127.0.0.1:{port}"
