"""What a session reads, and why it does not."""

from __future__ import annotations

from enum import Enum, IntFlag


class Mode(Enum):
    """What the next octets are."""

    PROXY = "proxy"
    COMMAND = "command"
    DATA = "data"
    CHUNK = "chunk"


class Pause(IntFlag):
    """Why nothing is read from the peer now."""

    WAITING = 1  # a command waits for its answer and enough is buffered
    BUDGET = 2  # the worker holds too many octets
    UPLOAD = 4  # this session's message leaves too slowly
    UNREAD = 8  # the peer does not read our replies
    HANDSHAKE = 16  # STARTTLS was answered and TLS has not begun
