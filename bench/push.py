"""What clients that only listen cost: memory of idle connections, and how soon a change is told to all who listen to an account.

Half of the connections are event streams, half WebSockets, over TLS, each account with as many of both as a family's devices and
open pages might be. A change is a draft that its owner writes; its time runs from the request that writes it to the last listener.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import resource
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

import processes
from growth import quiet
from mailpath import percentile
from ours import PASSWORD, Ours

_EACH = 25
"""Listeners of one account; it may have 32."""
_OPENED_AT_ONCE = 50
_SETTLE_SECONDS = 10.0
_WAIT_SECONDS = 20.0
_QUIET_SECONDS = 30.0
_PAUSE_SECONDS = 0.12
_ENABLE = b'{"@type":"WebSocketPushEnable","dataTypes":null}'


@dataclass
class _Listened:
    """An account, and when each of its listeners was told of the change that is under way."""

    login: str
    listeners: int = 0
    told: list[float] = field(default_factory=list)
    all_told: asyncio.Event = field(default_factory=asyncio.Event)

    def heard(self) -> None:
        self.told.append(time.perf_counter())
        if len(self.told) == self.listeners:
            self.all_told.set()


def _basic(login: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{PASSWORD}".encode()).decode()


def _head(login: str, *, web_socket: bool) -> bytes:
    if not web_socket:
        return (
            "GET /jmap/eventsource?types=*&closeafter=no&ping=3600 HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: {_basic(login)}\r\n\r\n"
        ).encode()
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        "GET /jmap/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: jmap\r\nSec-WebSocket-Key: {key}\r\nAuthorization: {_basic(login)}\r\n\r\n"
    ).encode()


async def _listen(port: int, trust: ssl.SSLContext, account: _Listened, *, web_socket: bool) -> asyncio.Task[None]:
    """Open one connection, and hear what it is told from then on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, limit=4096)
    writer.write(_head(account.login, web_socket=web_socket))
    status = await reader.readuntil(b"\r\n\r\n")
    if web_socket:
        if b" 101 " not in status:
            raise RuntimeError(f"no WebSocket: {status[:80]!r}")
        writer.write(bytes([0x81, 0x80 | len(_ENABLE)]) + bytes(4) + _ENABLE)  # masked with nothing
    else:
        if b" 200 " not in status:
            raise RuntimeError(f"no event stream: {status[:80]!r}")
        await reader.readuntil(b":\n\n")
    account.listeners += 1

    async def hear() -> None:
        try:
            while octets := await reader.read(4096):
                if b"StateChange" in octets:
                    account.heard()
        finally:
            writer.close()

    return asyncio.create_task(hear())


async def _change(client: httpx.AsyncClient, account: _Listened, drafts: str, account_id: str) -> float:
    """Write a draft; return when it was asked for, once all listeners of its account were told."""
    account.told.clear()
    account.all_told.clear()
    body = {
        "using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
        "methodCalls": [["Email/set", {"accountId": account_id, "create": {"d": {"mailboxIds": {drafts: True}}}}, "c"]],
    }
    began = time.perf_counter()
    answer = await client.post("/jmap/api", json=body, headers={"Authorization": _basic(account.login)})
    if not answer.json()["methodResponses"][0][1].get("created"):
        raise RuntimeError("a draft was not written")
    async with asyncio.timeout(_WAIT_SECONDS):
        await account.all_told.wait()
    return began


async def _drafts(client: httpx.AsyncClient, login: str) -> tuple[str, str]:
    headers = {"Authorization": _basic(login)}
    session = (await client.get("/.well-known/jmap", headers=headers)).json()
    account_id = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
    body = {
        "using": list(session["capabilities"])[:2],
        "methodCalls": [["Mailbox/get", {"accountId": account_id}, "c"]],
    }
    found = (await client.post("/jmap/api", json=body, headers=headers)).json()["methodResponses"][0][1]["list"]
    return account_id, next(box["id"] for box in found if box["role"] == "drafts")


async def _measure(ours: Ours, count: int, changes: int, say: Callable[[str], None]) -> dict[str, Any]:
    accounts = [_Listened(f"push{number}@demo.test") for number in range(max(count // _EACH, 1))]
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ours.http_port}", timeout=60) as client:
        # every password is hashed once before anything is weighed
        places = [await _drafts(client, account.login) for account in accounts]
        await asyncio.to_thread(quiet, ours, say, _QUIET_SECONDS)
        before, gateway = _memory(ours)
        listeners: list[asyncio.Task[None]] = []
        began = time.perf_counter()
        wanted = [(account, bool(place % 2)) for place in range(_EACH) for account in accounts][:count]
        for at in range(0, len(wanted), _OPENED_AT_ONCE):
            listeners += await asyncio.gather(*(
                _listen(ours.https_port, trust, account, web_socket=web_socket)
                for account, web_socket in wanted[at : at + _OPENED_AT_ONCE]
            ))  # fmt: skip
        opened = time.perf_counter() - began
        await asyncio.sleep(_SETTLE_SECONDS)
        after, gateway_after = _memory(ours)
        cpu = processes.usage(ours.pids()).cpu
        await asyncio.sleep(_SETTLE_SECONDS)
        cpu = (processes.usage(ours.pids()).cpu - cpu) / _SETTLE_SECONDS
        all_ms, each_ms = [], []
        for number in range(changes):
            account = accounts[number % len(accounts)]
            account_id, drafts = places[number % len(accounts)]
            asked = await _change(client, account, drafts, account_id)
            all_ms.append((max(account.told) - asked) * 1000)
            each_ms += [(told - asked) * 1000 for told in account.told]
            await asyncio.sleep(_PAUSE_SECONDS)
        lost = sum(task.done() for task in listeners)
        for task in listeners:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*listeners, return_exceptions=True)
    if lost:
        raise RuntimeError(f"{lost} connections ended while they listened")
    return {
        "connections": len(listeners), "accounts": len(accounts), "each": _EACH, "opened_seconds": opened, "changes": changes,
        "pss_more_mib": after - before, "gateway_pss_more_mib": gateway_after - gateway, "idle_core_percent": cpu * 100,
        "all_told_ms": _spread(all_ms), "told_ms": _spread(each_ms),
    }  # fmt: skip


def _spread(values: list[float]) -> dict[str, float]:
    return {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": max(values)}


def _memory(ours: Ours) -> tuple[float, float]:
    roots = ours.roots()
    return processes.pss_mib(list(roots.values())), processes.pss_mib([roots["gateway"]])


def push(ours: Ours, count: int, changes: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Open so many idle connections, weigh them, then tell them of changes.

    Args:
        ours: The stack.
        count: Connections.
        changes: Changes, one after the other, each of one account.
        say: Told of what takes long.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    number = max(count // _EACH, 1)
    ours.cli("account", "create", "push%d@demo.test", "--count", str(number), "--password", PASSWORD)
    return asyncio.run(_measure(ours, count, changes, say))


def lines(found: dict[str, Any]) -> list[str]:
    """Return what was measured as text."""
    told, everybody = found["told_ms"], found["all_told_ms"]
    weighed = (
        f"  {found['connections']} connections of {found['accounts']} accounts opened in {found['opened_seconds']:.0f} s: "
        f"{found['pss_more_mib']:.0f} MiB PSS more ({found['gateway_pss_more_mib']:.0f} of the gateway), "
        f"idle {found['idle_core_percent']:.1f} % of a core"
    )
    heard = (
        f"  a change is told to one of {found['each']} listeners in p50 {told['p50']:.0f} p99 {told['p99']:.0f} ms, "
        f"to all of them in p50 {everybody['p50']:.0f} p99 {everybody['p99']:.0f} max {everybody['max']:.0f} ms"
    )
    return [weighed, heard]
