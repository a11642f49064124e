"""What a session reads, and why it does not: plain numbers, since each is looked at several times a command."""

from __future__ import annotations

from typing import Final

# What the next octets are
PROXY: Final = 0
COMMAND: Final = 1
DATA: Final = 2
CHUNK: Final = 3

# Why nothing is read from the peer now; bits
WAITING: Final = 1  # a command waits for its answer and enough is buffered
BUDGET: Final = 2  # the worker holds too many octets
UPLOAD: Final = 4  # this session's message leaves too slowly
UNREAD: Final = 8  # the peer does not read our replies
HANDSHAKE: Final = 16  # STARTTLS was answered and TLS has not begun
