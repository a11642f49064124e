"""What a door may do with the connection below a request that goes on for long: an event stream or a WebSocket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol

LONG_CONNECTION: Final = "petitbleu.connection"
"""Name of the ASGI extension that is the `LongConnection`."""

# A peer that went without a word is found out after two minutes of silence and four tries.
_PROBE_IDLE_SECONDS: Final = 120
_PROBE_EACH_SECONDS: Final = 30
_PROBES: Final = 4


class Guest(Protocol):
    """Who speaks another protocol on a connection that was HTTP's (RFC 9110 §7.8)."""

    def received(self, data: bytes) -> None:
        """Take octets."""

    def write_paused(self) -> None:
        """The peer reads more slowly than we write."""

    def write_resumed(self) -> None:
        """The peer caught up."""


class LongConnection(Protocol):
    """A connection that may be held for long."""

    @property
    def closing(self) -> bool:
        """Whether it is about to end."""

    @property
    def write_paused(self) -> bool:
        """Whether the peer reads more slowly than we write."""

    def hold(self, on_lost: Callable[[], None]) -> None:
        """Say when the peer has gone."""

    def switch(self, guest: Guest, answer: bytes) -> None:
        """Write the answer of an upgrade; what comes from then on is the guest's."""

    def write(self, data: bytes) -> None:
        """Write, once it was switched."""

    async def drain(self) -> None:
        """Wait until the peer has read enough, or has gone."""

    def pause_reading(self, *, paused: bool) -> None:
        """Read no more, or go on."""

    def close(self) -> None:
        """Write what is to be written, then end."""

    def cut(self, why: str) -> None:
        """End at once."""


def keep_probing(transport: asyncio.Transport) -> None:
    """Let the kernel ask now and then whether a silent peer is still there (RFC 9293 §3.8.4)."""
    found = transport.get_extra_info("socket")
    if found is None:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _PROBE_IDLE_SECONDS), ("TCP_KEEPINTVL", _PROBE_EACH_SECONDS), ("TCP_KEEPCNT", _PROBES),
    ):  # fmt: skip
        if hasattr(socket, name):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
