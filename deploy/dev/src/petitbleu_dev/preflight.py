"""What must hold before anything is started, each refusal one line."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from petitbleu_dev.errors import StackError
from petitbleu_dev.layout import Layout

LAYOUT_VERSION = 1
"""Version of the data directory's layout; raised when an older program could not use it."""


def take_lock(layout: Layout) -> int:
    """Take the data directory for this process; the descriptor holds the lock until it is closed.

    Raises:
        StackError: another supervisor has it, or the directory cannot be made.
    """
    try:
        layout.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StackError(f"cannot use {layout.data} as the data directory: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StackError(
            f"a supervisor (process {holder}) already runs on {layout.data}; stop it or choose another PETITBLEU_DATA"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
    return descriptor


@contextmanager
def usable(layout: Layout) -> Iterator[None]:
    """Whatever the file system refuses below is about the data directory: one line that names the file.

    Raises:
        StackError: a file of the directory cannot be made, read or written.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or layout.data
        raise StackError(f"cannot use {layout.data} as the data directory: {where}: {error.strerror}") from None


def check_names(wanted: Collection[str], known: Collection[str]) -> None:
    """Refuse a name in `--only` that nothing has, and an empty choice: a stack of nothing would look like one that runs.

    Raises:
        StackError: names the first such name, and those that there are.
    """
    for name in sorted(wanted) or [""]:
        if name not in known:
            raise StackError(f"--only {name}: there is no such program; there are {', '.join(known)}")


def check_layout_version(layout: Layout) -> None:
    """Refuse a data directory of a newer program; mark a new one.

    Raises:
        StackError: the directory is newer than this program, or is not one of ours.
    """
    if not layout.version.exists():
        layout.version.write_text(f"{LAYOUT_VERSION}\n", encoding="ascii")
        return
    text = layout.version.read_text(encoding="utf-8", errors="replace").strip()
    if not text.isascii() or not text.isdecimal():
        raise StackError(f"{layout.version} does not name a version; this is not a data directory of Petit Bleu")
    if int(text) > LAYOUT_VERSION:
        raise StackError(
            f"{layout.data} has layout version {text} and this program knows {LAYOUT_VERSION}: "
            "use the newer Petit Bleu that made it, or another PETITBLEU_DATA"
        )


def check_ports(doors: Mapping[str, int]) -> None:
    """Refuse to start when a port is taken.

    Raises:
        StackError: names the first such port and the variable that moves all of them.
    """
    for door, port in doors.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
                raise StackError(
                    f"port {port} ({door}) {why}; free it, or move every port with PETITBLEU_PORT_OFFSET=<number>"
                ) from None


def check_python(prefix: Path) -> None:
    """Refuse to run outside the project's environment, where the backends' wheels are.

    Raises:
        StackError: this is not a virtual environment.
    """
    if not (prefix / "pyvenv.cfg").exists():
        raise StackError("not in the project's environment; start with `make run`")
