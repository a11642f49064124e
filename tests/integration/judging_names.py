"""Names for tests of judging mail, as the test's name server has them, and a thread that it runs in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Self

from services.ingest.tests.judging_world import key_records
from tests.integration.dns_server import SILENT, NameServer, name_server


def quoted(text: str) -> str:
    """A TXT record as zone-file text, in character-strings of at most 255 octets (RFC 1035 §3.3.14)."""
    return "TXT " + " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))


def zone() -> dict[str, list[str]]:
    """`good` signs, sends from here and rejects; `soft` quarantines; `hung` never answers."""
    names = {
        "good.example": [quoted("v=spf1 ip4:127.0.0.1 -all")],
        "_dmarc.good.example": [quoted("v=DMARC1; p=reject")],
        "soft.example": [quoted("v=spf1 -all")],
        "_dmarc.soft.example": [quoted("v=DMARC1; p=quarantine")],
        "mail.good.example": ["A 127.0.0.1", quoted("v=spf1 a -all")],
        "1.0.0.127.in-addr.arpa": ["PTR mail.good.example."],
        "client.example": [],
        "hung.example": [SILENT],
        "_dmarc.hung.example": [SILENT],
        "rsa._domainkey.hung.example": [SILENT],
    }
    for kind, record in key_records().items():
        names[f"{kind}._domainkey.good.example"] = [quoted(record)]
    return names


class Names:
    """A name server in a thread of its own, for processes that are not the test's; `address` is host:port."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._names = names
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.address = ""
        self.server: NameServer | None = None

    def _serve(self) -> None:
        async def run() -> None:
            async with name_server(self._names) as (server, (host, port)):
                self.server = server
                self.address = f"{host}:{port}"
                self._ready.set()
                await self._over.wait()

        self._loop.run_until_complete(run())
        self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
