"""Redis, which holds only what may be lost: a socket, a bound on memory, no persistence."""

from __future__ import annotations

import asyncio

from petitbleu_dev import binaries
from petitbleu_dev.backends.context import Context
from petitbleu_dev.process import Program

MAX_MEMORY = "64mb"


def url(context: Context) -> str:
    """Address for clients."""
    return f"unix://{context.layout.redis_socket}"


def program(context: Context) -> Program:
    """Redis as a program to supervise."""
    settings = {
        "port": "0",
        "unixsocket": str(context.layout.redis_socket),
        "unixsocketperm": "600",
        "save": "",
        "appendonly": "no",
        "maxmemory": MAX_MEMORY,
        "maxmemory-policy": "allkeys-lru",
        "dir": str(context.layout.run),
        "daemonize": "no",
        "loglevel": "warning",
        # Its title would overwrite the environment that says whose process it is.
        "set-proc-title": "no",
    }
    argv = [str(binaries.redis_server())]
    for name, value in settings.items():
        argv += [f"--{name}", value]
    return Program(
        name="redis",
        argv=tuple(argv),
        environment=context.environment,
        log=context.layout.log("redis"),
        probe=lambda: _answers(context),
        stop_seconds=3,
    )


async def _answers(context: Context) -> bool:
    reader, writer = await asyncio.open_unix_connection(str(context.layout.redis_socket))
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    finally:
        writer.close()
