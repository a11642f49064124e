"""Runs one program so that it dies with its supervisor, and without root's powers when asked.

Executed by its path (`python -I -S shim.py …`), it imports only the standard library: every process of the stack passes
through it. PostgreSQL refuses to run as root, so `--userns` gives the program a user namespace in which it is `nobody`
(and, outside, still the owner of its files), and `--user` switches to an unprivileged user where namespaces are
not allowed.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
NOBODY = 65534
"""User and group id of `nobody`, which every system knows: initdb looks its user up."""


def _call(name: str, *arguments: int) -> None:
    """Call the C library, raising OSError as Python's own wrappers do."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def enter_user_namespace() -> None:
    """Become `nobody` in a new user namespace, mapped on the caller; needs no privilege (user_namespaces(7))."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")


def become(uid: int) -> None:
    """Give up root for good."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def die_with_parent(parent: int, signum: int) -> None:
    """Ask the kernel for `signum` when the parent dies; leave at once if it already did.

    To be called after every change of credentials, which clears the wish (prctl(2), PR_SET_PDEATHSIG).
    """
    _call("prctl", PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        raise SystemExit(1)


def main() -> None:
    """Parse the command line and become the program."""
    parser = argparse.ArgumentParser(prog="petitbleu_dev.shim")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, default=int(signal.SIGKILL))
    parser.add_argument("--userns", action="store_true")
    parser.add_argument("--user", type=int)
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    program: list[str] = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if arguments.userns:
        enter_user_namespace()
    if arguments.user is not None:
        become(arguments.user)
    die_with_parent(arguments.parent, arguments.death_signal)
    os.execv(program[0], program)  # noqa: S606 - becoming the program is what this module is for


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.stderr.write(f"shim: {error}\n")
        raise SystemExit(126) from None
