"""A request that holds its place among those of its account until it is told to end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping

import httpx

_TRIES = 400


def held_post(
    url: str, headers: Mapping[str, str], go: threading.Event, *, first: bytes, more: bytes, last: bytes = b""
) -> int:
    """Post a body that goes on until `go` is set; return the status.

    One that is refused by 429 comes again: whoever asks whether the last place is taken has it for that moment.
    """

    def body() -> Iterator[bytes]:
        yield first
        while not go.wait(0.1):
            yield more  # so that one that was refused learns of it
        yield last

    status = 429
    for _ in range(_TRIES):
        with contextlib.suppress(httpx.TransportError):
            status = httpx.post(url, content=body(), headers=headers, timeout=90).status_code
            if status != 429:
                break
        time.sleep(0.05)
    return status
