"""What a process gives up before it reads a stranger's file: memory, time, files, the network, other programs.

The limits of setrlimit(2) hold everywhere. On Linux (x86-64, arm64) a filter of system calls (seccomp(2)) comes on top, so that
not even a reader that was taken over by the file can open, connect, signal or start anything.
"""

from __future__ import annotations

import ctypes
import platform
import resource
import struct
import sys
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | 1  # with EPERM
_KILL: Final = 0x80000000
# Of classic BPF (linux/bpf_common.h): load a word, jump if equal, jump if at least, return
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06

# What an interpreter that has loaded everything still needs, in this order: read write close fstat lseek mmap mprotect munmap
# brk mremap madvise rt_sigaction rt_sigprocmask rt_sigreturn sched_yield getpid gettid gettimeofday clock_gettime futex
# getrandom exit exit_group
_CALLS: Final = {
    "x86_64": (0xC000003E, (0, 1, 3, 5, 8, 9, 10, 11, 12, 25, 28, 13, 14, 15, 24, 39, 186, 96, 228, 202, 318, 60, 231)),
    "aarch64": (0xC00000B7, (63, 64, 57, 80, 62, 222, 226, 215, 214, 216, 233, 134, 135, 139, 124, 172, 178, 169, 113, 98, 278, 93, 94)),
}  # fmt: skip
_X32_CALLS: Final = 0x40000000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def can_filter() -> bool:
    """Whether system calls can be filtered on this kind of machine."""
    return sys.platform == "linux" and platform.machine() in _CALLS


def enter(memory_octets: int, cpu_seconds: int) -> None:
    """Give everything up, for ever. All that is to be used must be loaded already.

    Raises:
        OSError: the filter was refused.
    """
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_octets),
        (resource.RLIMIT_NOFILE, 0),  # what is open stays open, and nothing is added
    ):
        resource.setrlimit(what, (most, most))
    if can_filter():
        _filter(*_CALLS[platform.machine()])


def _filter(architecture: int, calls: tuple[int, ...]) -> None:
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, len(calls), 0, _X32_CALLS),
        *[(_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)],
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join([struct.pack("=HBBI", *line) for line in program]))
    wanted = _Program(len(program), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    for call in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(wanted), 0, 0)):
        if prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "the filter of system calls was refused")
