"""The whole embedded stack as tests handle it: the operator's command line, and a hand on the bus."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import nats
from nats.errors import TimeoutError as NatsTimeoutError

from petitbleu_dev.stack import Stack

PASSWORD = "petit-bleu-test"
DOMAIN = "live.test"


class LiveStack(Stack):
    """The embedded stack, an operator's command line, and a hand on the bus."""

    password = PASSWORD

    def __init__(self, data: Path, offset: int, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(data, port_offset=offset, environment=environment)
        self.data = self.layout.data
        self.smtp_port = self.port("smtp")
        self.http_port = self.port("http")
        self._accounts = 0

    def cli(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "petitbleu_cli", *arguments],
            env={**os.environ, "PETITBLEU_DATA": str(self.data)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"petitbleu {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def begin(self) -> None:
        """Start, wait until all is ready, and make a tenant with one domain."""
        self.start()
        self.wait_ready()
        self.cli("tenant", "create", "live")
        self.cli("domain", "create", DOMAIN, "--tenant", "live")

    def new_account(self) -> str:
        self._accounts += 1
        login = f"person{self._accounts}@{DOMAIN}"
        self.cli("account", "create", login, "--password", PASSWORD)
        return login

    def open_recipients(self) -> int:
        return int(json.loads(self.cli("store", "status", "--json"))["open_recipients"])

    def wait_settled(self, seconds: float = 180) -> None:
        """Wait until nothing that was accepted waits for delivery."""
        deadline = time.monotonic() + seconds
        while (left := self.open_recipients()) > 0:
            assert time.monotonic() < deadline, f"{left} recipients still open after {seconds} s"
            time.sleep(0.3)

    def pack_quietly(self) -> None:
        """Ask for packing and do not care whether it works."""
        subprocess.run(
            [sys.executable, "-m", "petitbleu_cli", "store", "pack"],
            env={**os.environ, "PETITBLEU_DATA": str(self.data)},
            capture_output=True,
            check=False,
            timeout=120,
        )

    def pack_in_background(self) -> threading.Thread:
        thread = threading.Thread(target=self.pack_quietly, daemon=True)
        thread.start()
        return thread

    def replay_events(self, chooser: random.Random) -> None:
        """Publish events of the MAIL stream again, in any order, each up to three times."""
        asyncio.run(self._replay(chooser))

    async def _replay(self, chooser: random.Random) -> None:
        user, password = self.nats_administrator
        client = await nats.connect(f"nats://127.0.0.1:{self.port('nats')}", user=user, password=password)
        try:
            stream = client.jetstream()
            state = (await stream.stream_info("MAIL")).state
            found = []
            for sequence in range(max(state.first_seq, state.last_seq - 400), state.last_seq + 1):
                try:
                    message = await stream.get_msg("MAIL", sequence)
                except (NatsTimeoutError, nats.js.errors.Error):
                    continue
                if message.subject and message.subject.startswith("mail.message.accepted."):
                    found.append((message.subject, message.data or b""))
            assert found, "no accepted event in the stream"
            again = [event for event in found for _ in range(chooser.randrange(1, 4))]
            chooser.shuffle(again)
            for subject, payload in again:
                await stream.publish(subject, payload)
        finally:
            await client.close()
