"""The web app in Debian's Chromium, on a stack of its own with a family."""

from __future__ import annotations

import base64
import json
import os
import shutil
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.header import Header
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.live_stack import DOMAIN, PASSWORD, LiveStack
from tests.ports import offset_of
from tests.smtp_sink import Sink

CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).parents[2]
PHONE = {"width": 320, "height": 640}
DESKTOP = {"width": 1280, "height": 800}


@dataclass
class Home:
    """A stack with Alice and Bob, guardians of Zoe."""

    stack: LiveStack
    sink: Sink

    @property
    def url(self) -> str:
        return f"http://localhost:{self.stack.http_port}/"

    def stranger_writes(
        self, child: str, sender: str, subject: str, text: str = "How are you?", name: str = ""
    ) -> None:
        """Send by SMTP from nobody known."""
        letter = (
            f"From: {Header(name, 'utf-8').encode()} <{sender}>\r\nTo: <{child}@{DOMAIN}>\r\nSubject: {subject}\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\n"
            f"Message-ID: <{uuid4().hex}@{sender.partition('@')[2]}>\r\n\r\n{text}\r\n"
        )
        with smtplib.SMTP("127.0.0.1", self.stack.smtp_port, timeout=60) as client:
            client.sendmail(sender, [f"{child}@{DOMAIN}"], letter.encode())


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    if CHROMIUM is None:
        pytest.skip("PEER MISSING: Chromium is not installed")
    sink = Sink()
    environment = {"PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{sink.port}"}
    stack = LiveStack(tmp_path_factory.mktemp("browser") / "data", offset_of(419), environment)
    try:
        stack.begin()
        stack.cli("domain", "sign-up", DOMAIN, "open")
        for name in ("alice", "bob"):
            stack.cli("account", "create", f"{name}@{DOMAIN}", "--password", PASSWORD, "--name", name.title())
        for child in ("zoe", "max"):
            stack.cli(
                "account", "create", f"{child}@{DOMAIN}", "--password", PASSWORD, "--name", child.title(), "--guarded",
                "--guardian", f"alice@{DOMAIN}", "--guardian", f"bob@{DOMAIN}",
            )  # fmt: skip
        put_in_a_class(stack, "zoe")
        yield Home(stack, sink)
    finally:
        stack.stop()
        sink.stop()


# Of a module: while it is there its event loop counts as running in this thread, and no other test's could.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("PEER MISSING: Chromium is not installed")
    with sync_playwright() as playwright:
        # no user namespaces for its sandbox where tests may run as root; every page is our own
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def put_in_a_class(stack: LiveStack, child: str) -> None:
    """A class with a teacher, that nobody let in yet."""
    stack.cli("account", "create", f"miss@{DOMAIN}", "--password", PASSWORD, "--role", "teacher")
    domain = next(one for one in json.loads(stack.cli("domain", "list", "--json")) if one["domain"] == DOMAIN)
    tenants = json.loads(stack.cli("tenant", "list", "--json"))
    tenant = next(one["tenant"] for one in tenants if one["tenant_id"] == domain["tenant_id"])
    ends = (datetime.now(UTC) + timedelta(days=200)).date().isoformat()
    made = stack.cli("junior", "class", "put", "CM2", "--ends", ends, "--tenant", tenant, "--json")
    roster = stack.data / "roster.csv"
    roster.write_text(f"address,role\nmiss@{DOMAIN},teacher\n{child}@{DOMAIN},child\n")
    stack.cli("junior", "class", "roster", str(json.loads(made)["class_id"]), str(roster), "--tenant", tenant)


class Visitor:
    """A person before a browser: a context of its own, and what went wrong in it."""

    def __init__(
        self, browser: Browser, home: Home, name: str, *, language: str = "en", phone: bool = False, dark: bool = False
    ) -> None:
        self.context: BrowserContext = browser.new_context(
            viewport=PHONE if phone else DESKTOP, locale="fr-FR" if language == "fr" else "en-GB",  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
        )  # fmt: skip
        # everybody has a device of their own, which is known again: a new one opens no door for a day
        device = base64.urlsafe_b64encode(sha256(name.encode()).digest()[:16]).decode().rstrip("=")
        self.context.add_cookies(
            [{"name": "__Host-petitbleu-device", "value": device, "url": "https://localhost/", "secure": True, "httpOnly": True, "sameSite": "Strict"}]
        )  # fmt: skip
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.foreign: list[str] = []
        self.page.on(
            "request",
            lambda asked: None if asked.url.startswith((home.url, "data:")) else self.foreign.append(asked.url),
        )
        self.home = home
        self.name = name
        self.language = language
        self.shots = f"{'phone' if phone else 'desktop'}-{language}"

    def shoot(self, what: str) -> None:
        """Keep a picture of the page for the documentation, where one is wanted."""
        folder = os.environ.get("PETITBLEU_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=f"{folder}/{what}-{self.shots}.png", full_page=True)

    def choose_password(self, code: str) -> Page:
        """Come in by a code: that of a child's card, or a recovery code."""
        page = self.page
        page.goto(f"{self.home.url}#/back")
        french = self.language == "fr"
        page.get_by_label("Adresse" if french else "Address").fill(f"{self.name}@{DOMAIN}")
        page.get_by_label("Code de secours" if french else "Recovery code").fill(code)
        page.get_by_label("Un nouveau mot de passe" if french else "A new password").fill(PASSWORD)
        page.get_by_role("button", name="Choisir ce mot de passe" if french else "Choose this password").click()
        page.locator(".code code").wait_for()
        page.get_by_role("button", name="Je l’ai gardé" if french else "I have kept it").click()
        page.get_by_text(f"{self.name}@{DOMAIN}").first.wait_for()
        return page

    def enter(self) -> Page:
        """Sign in."""
        page = self.page
        page.goto(self.home.url)
        address, password, sign_in = (
            ("Adresse", "Mot de passe", "Se connecter") if self.language == "fr" else ("Address", "Password", "Sign in")
        )
        page.get_by_label(address).fill(f"{self.name}@{DOMAIN}")
        page.get_by_label(password).fill(PASSWORD)
        page.get_by_role("button", name=sign_in).click()
        page.get_by_text(f"{self.name}@{DOMAIN}").first.wait_for()
        return page


Visit: TypeAlias = Callable[..., Visitor]
"""Opens a context for somebody: name, language, phone, dark."""


@pytest.fixture
def visit(browser: Browser, home: Home) -> Iterator[Visit]:
    visitors: list[Visitor] = []

    class Mine(Visitor):
        def __init__(self, name: str, *, language: str = "en", phone: bool = False, dark: bool = False) -> None:
            super().__init__(browser, home, name, language=language, phone=phone, dark=dark)
            visitors.append(self)

    yield Mine
    for one in visitors:
        one.context.close()
