"""What families notice: how soon a guardian's page says that mail waits, and what a wave of sign-ups does to mail.

The wave asks for work as the deployment ships it but at the lowest difficulty, so that the client, which runs on the same machine, costs little; passwords
are hashed as shipped.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
from playwright.sync_api import sync_playwright

import processes
from load import JmapEyes, Sender, message, wait_for
from mailpath import percentile
from ours import PASSWORD, Ours
from petitbleu_accounts.domain.proof_of_work import proves

CHILDREN: Final = 5
_PAUSE: Final = 0.2
_OCTETS: Final = 8192
MAILS_A_SECOND: Final = 20
SIGN_UPS_A_SECOND: Final = 20
_PROBES_A_SECOND: Final = 2
_READERS: Final = 20
_MAILS_A_SESSION: Final = 1000
_LOWEST: Final = {
    "PETITBLEU_SIGN_UP_LOWEST_BITS": "1", "PETITBLEU_SIGN_UP_HIGHEST_BITS": "1", "PETITBLEU_SIGN_UP_NETWORK_HOUR": "1000000",
    # all come from one address
    "PETITBLEU_HTTP_EXEMPT": "127.0.0.0/8",
}  # fmt: skip


def alerts(root: Path, offset: int, tries: int) -> dict[str, Any]:
    """Send strangers' mail to children whose guardian has the family's page open; time from the 250 until the page shows the sender.

    Returns:
        `tries`, and `shown_ms` with p50, p99 and max.

    Raises:
        RuntimeError: when Chromium is not installed, or a sender is not shown within 30 s.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("no browser: Chromium is not installed")
    ours = Ours(root / "alerts", offset)
    ours.start()
    try:
        ours.create("parent")
        for number in range(CHILDREN):
            ours.cli(
                "account", "create", f"child{number}@demo.test", "--password", PASSWORD, "--guarded", "--guardian", "parent@demo.test"
            )  # fmt: skip
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_context(locale="en-GB").new_page()
            page.goto(f"http://localhost:{ours.http_port}/")
            page.get_by_label("Address").fill("parent@demo.test")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("link", name="Family").click()
            page.get_by_role("heading", level=2).nth(CHILDREN - 1).wait_for()
            time.sleep(2)
            sender = Sender(ours.smtp_port)
            seconds = []
            for number in range(tries):
                stranger = f"stranger{number}@else.example"
                body = message(number, _OCTETS, f"child{number % CHILDREN}@demo.test").replace(
                    b"bench@sender.example", stranger.encode()
                )
                sender.send(f"child{number % CHILDREN}@demo.test", body)
                started = time.perf_counter()
                page.get_by_text(stranger, exact=True).first.wait_for(timeout=30_000)
                seconds.append(time.perf_counter() - started)
                time.sleep(_PAUSE)
            sender.close()
            browser.close()
    finally:
        ours.stop()
    found = {"p50": percentile(seconds, 0.5), "p99": percentile(seconds, 0.99), "max": max(seconds)}
    return {"tries": tries, "shown_ms": {name: value * 1000 for name, value in found.items()}}


class _Mail:
    """Twenty mails a second, of which two are watched until they are visible."""

    def __init__(self, ours: Ours) -> None:
        self._ours = ours
        self.accept: list[float] = []
        self.visible: list[float] = []
        self.failed: list[str] = []
        self._stop = threading.Event()

    def run(self, seconds: float) -> None:
        """Send for so many seconds."""
        self.accept, self.visible = [], []
        self._stop.clear()
        threads = [threading.Thread(target=self._guarded, args=(one,)) for one in (self._flow, self._probe)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self._stop.set()
        for thread in threads:
            thread.join(120)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 — told as what failed
            self.failed.append(f"{type(error).__name__}: {error}"[:200])

    def _paced(self, rate: float) -> Any:
        due = time.perf_counter()
        number = 0
        while not self._stop.is_set():
            due += 1 / rate
            yield number
            number += 1
            time.sleep(max(0.0, due - time.perf_counter()))

    def _flow(self) -> None:
        sender = Sender(self._ours.smtp_port)
        for number in self._paced(MAILS_A_SECOND - _PROBES_A_SECOND):
            if number % _MAILS_A_SESSION == _MAILS_A_SESSION - 1:  # ours ends a session of very many
                sender.close()
                sender = Sender(self._ours.smtp_port)
            to = f"reader{number % _READERS}@demo.test"
            self.accept.append(sender.send(to, message(number, _OCTETS, to)))
        sender.close()

    def _probe(self) -> None:
        eyes, sender = JmapEyes(self._ours.http_port, "probe@demo.test", PASSWORD), Sender(self._ours.smtp_port)
        count = eyes.count()
        for number in self._paced(_PROBES_A_SECOND):
            started = time.perf_counter()
            self.accept.append(sender.send("probe@demo.test", message(number, _OCTETS, "probe@demo.test")))
            count += 1
            wait_for(eyes, count, pause=0.005)
            self.visible.append(time.perf_counter() - started)
        sender.close()
        eyes.close()

    def row(self) -> dict[str, float]:
        """What was measured, milliseconds."""
        return {
            "mails": len(self.accept), "accept_p99_ms": percentile(self.accept, 0.99) * 1000,
            "visible_p50_ms": percentile(self.visible, 0.5) * 1000, "visible_p99_ms": percentile(self.visible, 0.99) * 1000,
        }  # fmt: skip


def _wave(port: int, seconds: float, results: Any) -> None:
    """Open accounts for so many seconds, each when it is due whatever became of those before; in a process of its own."""

    async def one(http: httpx.AsyncClient, number: int) -> str:
        given = (await http.post("/api/sign-up/challenge")).json()
        answer = next(str(n) for n in range(1 << 20) if proves(given["challenge"], str(n), given["bits"]))
        # letters alone: digits look like letters
        name = "".join("bghjkmpqtx"[int(digit)] for digit in f"{number:06}")
        body = {
            "name": f"z{name}", "domain": "demo.test", "displayName": "Wave", "password": f"{PASSWORD}{number}", "challenge": given["challenge"],
            "answer": answer,
        }  # fmt: skip
        done = await http.post("/api/sign-up", json=body)
        return "" if done.status_code == httpx.codes.CREATED else f"HTTP {done.status_code} {done.text[:120]}"

    async def run() -> tuple[list[float], list[str]]:
        clocks, failed = [], []
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits) as http:

            async def timed(number: int) -> None:
                started = time.perf_counter()
                try:
                    fault = await one(http, number)
                except Exception as error:  # noqa: BLE001 — told as what failed
                    fault = f"{type(error).__name__}: {error}"
                clocks.append(time.perf_counter() - started)
                if fault:
                    failed.append(fault)

            began = time.perf_counter()
            tasks = []
            for number in range(int(seconds * SIGN_UPS_A_SECOND)):
                await asyncio.sleep(max(0.0, began + number / SIGN_UPS_A_SECOND - time.perf_counter()))
                tasks.append(asyncio.create_task(timed(number)))
            await asyncio.gather(*tasks)
        return clocks, failed

    results.put(asyncio.run(run()))


def sign_ups(root: Path, offset: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Let mail flow for a while, then with a wave of sign-ups beside it.

    Returns:
        `alone` and `beside`, each with the mails and their times in ms; the `ratio` of the p99 until a mail is visible, and of its 250; `sign_ups`,
        `failed` with some of the reasons, `sign_up_p99_ms`, and `cpu_ms` of all our processes a sign-up, mail subtracted.
    """
    ours = Ours(root / "sign-ups", offset, _LOWEST)
    ours.start()
    try:
        ours.cli("domain", "sign-up", "demo.test", "open")
        ours.create("probe")
        ours.create_many("reader%d", _READERS)
        mail = _Mail(ours)
        mail.run(min(30.0, seconds / 2))  # until caches are warm and files are there
        before = processes.usage(ours.pids()).cpu
        calm = max(60.0, seconds / 5) if seconds > 60 else seconds
        mail.run(calm)
        alone = mail.row()
        cpu_alone = (processes.usage(ours.pids()).cpu - before) / calm
        say(f"  mail alone: {alone}")
        results: Any = multiprocessing.get_context("spawn").Queue()
        wave = multiprocessing.get_context("spawn").Process(
            target=_wave, args=(ours.http_port, seconds, results), daemon=True
        )
        before = processes.usage(ours.pids()).cpu
        wave.start()
        mail.run(seconds)
        clocks, failed = results.get(timeout=300)
        wave.join(60)
        cpu = processes.usage(ours.pids()).cpu - before
        beside = mail.row()
    finally:
        ours.stop()
    return {
        "seconds": seconds, "alone": alone, "beside": beside,
        "ratio": beside["visible_p99_ms"] / alone["visible_p99_ms"], "accept_ratio": beside["accept_p99_ms"] / alone["accept_p99_ms"],
        "sign_ups": len(clocks), "failed": len(failed), "reasons": sorted(set(failed))[:5], "mail_failed": mail.failed,
        "sign_up_p99_ms": percentile(clocks, 0.99) * 1000, "cpu_ms": (cpu - cpu_alone * seconds) * 1000 / max(1, len(clocks)),
    }  # fmt: skip
