"""`petitbleu doctor`: is everything there, and does anything wait that should not."""

from __future__ import annotations

import asyncio
import json
import re
from argparse import Namespace
from typing import Any, Final

import grpc.aio

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.delivery.v1 import delivery_pb2, delivery_pb2_grpc
from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc
from petitbleu_cli.commands.store import counts
from petitbleu_cli.failure import explain
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands

_HEALTH_PORTS: Final = {
    "ingest": 2801, "store": 2802, "delivery": 2803, "junior-guard": 2804, "accounts": 2805, "gateway": 2806,
}  # fmt: skip
_SECONDS: Final = 5.0


async def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Return status and body of a page of a health port."""
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    status = head.split(b" ")[1:2]
    return (int(status[0]) if status and status[0].isdigit() else 0), body


async def _health(host: str, port: int) -> tuple[str, int]:
    """Return "" when a service is ready, else why not; and how many events its outbox could not publish yet."""
    try:
        status, body = await _get(host, port, "/health/ready")
        _, metrics = await _get(host, port, "/metrics")
    except (OSError, TimeoutError):
        return "does not answer", 0
    found = re.search(rb"^petitbleu_outbox_pending ([0-9.e+]+)$", metrics, re.MULTILINE)
    waiting = int(float(found[1])) if found else 0
    if status == 200:
        return "", waiting
    try:
        return "waits for " + ", ".join(json.loads(body)["failing"]), waiting
    except (ValueError, KeyError, TypeError):
        return "not ready", waiting


async def _ask(office: Office, service: str) -> tuple[dict[str, int], str]:
    """Return what a service counts, and "" or why its gRPC door does not work."""
    try:
        if service == "store":
            store = mailbox_pb2_grpc.AdminServiceStub(office.peer(service).channel)
            found = await office.call(service, store.GetStatus, mailbox_pb2.GetStatusRequest(), seconds=_SECONDS)
            return counts(found), ""
        if service == "delivery":
            delivery = delivery_pb2_grpc.RoutingServiceStub(office.peer(service).channel)
            status = await office.call(service, delivery.GetStatus, delivery_pb2.GetStatusRequest(), seconds=_SECONDS)
            return counts(status), ""
        accounts = accounts_pb2_grpc.AdminServiceStub(office.peer(service).channel)
        tenants = await office.call(service, accounts.ListTenants, accounts_pb2.ListTenantsRequest(), seconds=_SECONDS)
        return {"tenants": len(tenants.tenants)}, ""
    except grpc.aio.AioRpcError as error:
        return {}, explain(error, service)


async def _doctor(office: Office, _options: Namespace) -> int:
    settings = office.settings
    ports = {name: port + settings.port_offset for name, port in _HEALTH_PORTS.items()}
    health = await asyncio.gather(*(_health(settings.health_host, port) for port in ports.values()))
    rows: list[dict[str, Any]] = []
    ailing = False
    for (service, port), (state, waiting) in zip(ports.items(), health, strict=True):
        notes = [f"{waiting} events wait for the bus"] if waiting else []
        row: dict[str, Any] = {"service": service, "port": port, "health": state or "ready", "notes": notes}
        if service in {"store", "delivery", "accounts"}:
            found, trouble = await _ask(office, service)
            row["counts"] = found
            notes += [trouble] if trouble else [f"{name.replace('_', ' ')} {n}" for name, n in found.items() if n]
            ailing = ailing or bool(trouble)
        row["events_waiting"] = waiting
        ailing = ailing or bool(state)
        rows.append(row)
    office.table(rows, ["service", "port", "health", "notes"])
    return 1 if ailing else 0


def add_to(commands: Commands) -> None:
    """Add the command."""
    commands.add("doctor", "ask every service how it is; exits 1 when one is not well", _doctor)
