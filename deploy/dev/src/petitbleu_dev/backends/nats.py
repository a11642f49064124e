"""NATS with JetStream: carries facts, owns nothing. Each service has a user that may do what its events need."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError

from petitbleu_dev import binaries, credentials
from petitbleu_dev.backends.context import Context
from petitbleu_dev.process import Program

STREAM_OWNERS = {"MAIL": "store", "ACCOUNTS": "accounts", "DELIVERY": "delivery"}
"""Who publishes in a stream."""

STREAM_SUBJECTS = {"MAIL": "mail.>", "ACCOUNTS": "accounts.>", "DELIVERY": "delivery.>"}

ADMINISTRATOR = "operator"
"""User with every right, for the operator's tools and for tests."""

SUPERVISOR = "supervisor"
"""User of the system account, who may ask how the server is and nothing else."""

HEALTH = "$SYS.REQ.SERVER.PING.HEALTHZ"
ROOM_OCTETS = 16 * 1024 * 1024
"""With less than this free on its disk, a new start would only fail again."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a service does on the bus: streams that it pulls from by its durable consumer, subjects that it listens to, and those that no stream keeps."""

    pulls: tuple[str, ...] = ()
    listens: tuple[str, ...] = ()
    says: tuple[str, ...] = ()


ACCESS = {
    "ingest": Access(listens=("accounts.>",)),
    "store": Access(pulls=("ACCOUNTS",)),
    "delivery": Access(pulls=("MAIL", "ACCOUNTS"), listens=("accounts.>",)),
    "junior-guard": Access(pulls=("MAIL", "ACCOUNTS"), says=("junior.>",)),
    "accounts": Access(pulls=("MAIL",), listens=("accounts.>",)),
    "gateway": Access(listens=("accounts.>", "mail.>", "delivery.>", "junior.>")),
}

MEMORY_LIMIT = "192MiB"
PROCESSORS = "1"
"""One is plenty for a machine's events: with more, each lone event wakes threads that look for work and find none."""


def url(context: Context) -> str:
    """Address for clients."""
    return f"nats://127.0.0.1:{context.ports.of('nats')}"


def password(context: Context, user: str) -> str:
    """Password of a service's user."""
    return credentials.password(context.layout.secrets, f"nats-{user}")


def permissions(service: str) -> dict[str, list[str]]:
    """Subjects that a service may publish to and subscribe to (NATS authorization, JetStream wire API)."""
    access = ACCESS[service]
    owned = [stream for stream, owner in STREAM_OWNERS.items() if owner == service]
    publish = ["$JS.API.INFO", "$JS.API.STREAM.NAMES", *(STREAM_SUBJECTS[stream] for stream in owned), *access.says]
    for stream in sorted({*owned, *access.pulls}):
        # Whoever comes first after the bus was wiped makes the stream again.
        publish += [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE")]
    for stream in access.pulls:
        publish += [
            f"$JS.API.CONSUMER.CREATE.{stream}.{service}",
            f"$JS.API.CONSUMER.CREATE.{stream}.{service}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{service}",
            f"$JS.API.CONSUMER.INFO.{stream}.{service}",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{service}",
            f"$JS.ACK.{stream}.{service}.>",
        ]
    return {"publish": publish, "subscribe": ["_INBOX.>", *access.listens]}


def configuration(context: Context) -> str:
    """The server's configuration file; NATS reads JSON."""
    users: list[dict[str, object]] = [
        {"user": service, "password": password(context, service), "permissions": permissions(service)}
        for service in ACCESS
    ]
    users.append({"user": ADMINISTRATOR, "password": password(context, ADMINISTRATOR)})
    settings = {
        "listen": f"127.0.0.1:{context.ports.of('nats')}",
        "server_name": "petitbleu",
        "jetstream": {
            "store_dir": str(context.layout.nats),
            "max_memory_store": 16 * 1024 * 1024,
            "max_file_store": 4 * 1024 * 1024 * 1024,
        },
        "max_connections": 256,
        "max_payload": 1024 * 1024,
        "max_pending": 64 * 1024 * 1024,
        "logtime": True,
        "authorization": {"users": users, "timeout": 5},
        "accounts": {
            "SYS": {
                "users": [
                    {
                        "user": SUPERVISOR,
                        "password": password(context, SUPERVISOR),
                        "permissions": {"publish": [HEALTH], "subscribe": ["_INBOX.>"]},
                    }
                ]
            }
        },
        "system_account": "SYS",
    }
    return json.dumps(settings, indent=1)


def program(context: Context) -> Program:
    """NATS as a program to supervise."""
    file = context.layout.run / "nats.conf"

    async def prepare() -> None:
        context.layout.nats.mkdir(mode=0o700, exist_ok=True)
        credentials.write_private(file, configuration(context).encode())

    return Program(
        name="nats",
        argv=(str(binaries.nats_server()), "--config", str(file)),
        environment={**context.environment, "GOMEMLIMIT": MEMORY_LIMIT, "GOMAXPROCS": PROCESSORS},
        log=context.layout.log("nats"),
        probe=lambda: _answers(context),
        fault=lambda: _stopped_storing(context),
        prepare=prepare,
        stop_seconds=5,
    )


async def _answers(context: Context) -> bool:
    """Whether the server greets and has JetStream, which it does once the streams are recovered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", context.ports.of("nats"))
    try:
        greeting = await reader.readline()
    finally:
        writer.close()
    kind, _, body = greeting.partition(b" ")
    return kind == b"INFO" and bool(json.loads(body).get("jetstream"))


async def _stopped_storing(context: Context) -> str:
    """Why the server stores nothing more although there is room, or nothing."""
    if shutil.disk_usage(context.layout.nats).free < ROOM_OCTETS:
        return ""

    async def quietly(_: Exception) -> None:
        """Whatever it is, the next look will tell."""

    client = Client()
    try:
        await client.connect(
            url(context),
            user=SUPERVISOR,
            password=password(context, SUPERVISOR),
            allow_reconnect=False,
            error_cb=quietly,
        )
        answer = await client.request(HEALTH, b"", timeout=2)
    except NatsError:
        return ""  # it is not there, or busy: `probe` and the next look are for that
    finally:
        await client.close()
    return stopped_storing(answer.data)


def stopped_storing(health: bytes) -> str:
    """Return why a server stores nothing more until it is started anew, as its health check tells it, or nothing.

    A stream of nats-server (2.14 on) that failed to write takes nothing more, and a server that found no room may end its
    JetStream, however much room there is by then.

    Args:
        health: Answer to `$SYS.REQ.SERVER.PING.HEALTHZ`, JSON.
    """
    said = str(json.loads(health).get("data", {}).get("error", ""))
    final = "write error" in said or "JetStream not enabled" in said
    return f"it stores nothing more ({said})" if final else ""
