"""The services, each with the environment that it needs and no more."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from petitbleu_dev import credentials
from petitbleu_dev.authority import Certificates
from petitbleu_dev.backends import nats, postgres, redis, seaweedfs
from petitbleu_dev.backends.context import Context
from petitbleu_dev.http_probe import get
from petitbleu_dev.layout import GRPC_SERVICES, HEALTH_PORTS
from petitbleu_dev.process import Program

CALLS = {
    "ingest": ("accounts", "store", "junior-guard", "delivery"),
    "store": (),
    "delivery": ("accounts", "store", "junior-guard"),
    "junior-guard": ("store", "accounts"),
    "accounts": ("store",),
    "gateway": GRPC_SERVICES,
}
"""Which services each may call: the edges of the architecture page."""

WEB_ROOT = Path(__file__).parents[4] / "web" / "dist"
"""The built web app, as it is committed: to serve it takes no Node."""

USES_REDIS = ("ingest", "gateway", "accounts")
USES_TLS = ("ingest", "gateway")
KEY_FILES = {"ingest": "ingest.key", "junior-guard": "junior-guard.key", "delivery": "delivery.key"}
"""Keys of keyed hashes and seals that a service needs and that no database of it keeps."""

KEY_VARIABLES = {
    "ingest": "PETITBLEU_INGEST_SECRET_FILE",
    "junior-guard": "PETITBLEU_JUNIOR_GUARD_KEY_FILE",
    "delivery": "PETITBLEU_DELIVERY_KEY_FILE",
}
SECRET_SUFFIXES = ("_TOKEN", "_PASSWORD", "_SECRET_KEY", "_DSN")
"""Variables of the caller's own environment that are not handed to every service."""


def variable(service: str) -> str:
    """A service's name inside a variable's name."""
    return service.upper().replace("-", "_")


def module(service: str) -> str:
    """Package of a service."""
    return f"petitbleu_{service.replace('-', '_')}"


def installed(service: str) -> bool:
    """Whether the service's package can be run here."""
    return importlib.util.find_spec(module(service)) is not None and _has_main(service)


def _has_main(service: str) -> bool:
    return importlib.util.find_spec(f"{module(service)}.__main__") is not None


def handed_down() -> dict[str, str]:
    """Settings of the caller for the services: `PETITBLEU_…` but secrets, and where traces go."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PETITBLEU_", "OTEL_")) and not name.endswith(SECRET_SUFFIXES)
    }


def peers(context: Context, names: tuple[str, ...]) -> dict[str, str]:
    """Where the gRPC doors of some services are."""
    return {f"PETITBLEU_{variable(peer)}_TARGET": f"unix:{context.layout.service_socket(peer)}" for peer in names}


def environment(context: Context, service: str) -> dict[str, str]:
    """Everything that a service is told; the secrets in it are its own."""
    layout = context.layout
    told = {
        **context.environment,
        **handed_down(),
        "PETITBLEU_DATA": str(layout.data),
        "PETITBLEU_RUN_DIR": str(layout.run),
        "PETITBLEU_PORT_OFFSET": str(context.ports.offset),
        "PETITBLEU_HEALTH_PORT": str(HEALTH_PORTS[service] + context.ports.offset),
        "PETITBLEU_NATS_URL": nats.url(context),
        "PETITBLEU_NATS_USER": service,
        "PETITBLEU_NATS_PASSWORD": nats.password(context, service),
        "PETITBLEU_IDENTITY_KEY": str(credentials.identity(layout.identity, service)),
        "PETITBLEU_IDENTITY_DIR": str(layout.identity),
        "PYTHONUNBUFFERED": "1",
        **peers(context, CALLS[service]),
    }
    if service in GRPC_SERVICES:
        told["PETITBLEU_LISTEN"] = f"unix:{layout.service_socket(service)}"
        told["PETITBLEU_PG_DSN"] = postgres.dsn(context, postgres.role_of(service))
        told["PETITBLEU_OPERATOR_TOKEN_FILE"] = str(layout.operator_token)
    if service in USES_REDIS:
        told["PETITBLEU_REDIS_URL"] = redis.url(context)
    if service in USES_TLS:
        certificates = Certificates(layout.tls)
        told["PETITBLEU_TLS_CERT"] = str(certificates.server)
        told["PETITBLEU_TLS_KEY"] = str(certificates.server_key)
    if service == "delivery":
        told["PETITBLEU_MX_CERT"] = str(Certificates(layout.tls).server)
    if service == "store":
        told |= {
            "PETITBLEU_S3_ENDPOINT": seaweedfs.endpoint(context),
            "PETITBLEU_S3_ACCESS_KEY": seaweedfs.access_key(context),
            "PETITBLEU_S3_SECRET_KEY": seaweedfs.secret_key(context),
            "PETITBLEU_S3_BUCKET": seaweedfs.BUCKET,
            "PETITBLEU_S3_SECURE": "false",
            "PETITBLEU_KEK_FILE": str(layout.keys / "kek.json"),
        }
    if service == "gateway":
        if WEB_ROOT.is_dir():
            told["PETITBLEU_WEB_ROOT"] = str(WEB_ROOT)
        told["PETITBLEU_VAPID_KEY"] = str(credentials.application_server_key(layout.keys / "vapid.pem"))
    if service == "junior-guard":
        told.setdefault("PETITBLEU_PUBLIC_URL", f"http://localhost:{context.ports.of('http')}")
    if service in KEY_FILES:
        told[KEY_VARIABLES[service]] = str(layout.keys / KEY_FILES[service])
    return told


def needs(service: str) -> tuple[str, ...]:
    """Backends that must answer before the service is started for the first time."""
    wanted = ["nats"]
    if service in GRPC_SERVICES:
        wanted.append("postgres")
    if service in USES_REDIS:
        wanted.append("redis")
    if service == "store":
        wanted.append("seaweedfs")
    return tuple(wanted)


def program(context: Context, service: str) -> Program:
    """A service as a program to supervise."""
    port = HEALTH_PORTS[service] + context.ports.offset

    async def ready() -> bool:
        status, _ = await get("127.0.0.1", port, "/health/ready")
        return status == 200

    def remove_socket() -> None:
        context.layout.service_socket(service).unlink(missing_ok=True)

    return Program(
        name=service,
        argv=(sys.executable, "-m", module(service)),
        environment=environment(context, service),
        log=context.layout.log(service),
        probe=ready,
        needs=needs(service),
        cleanup=remove_socket,
        stop_seconds=10,
        tier=2,
    )
