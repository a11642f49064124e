"""Every page: no violation that axe finds, 320 px wide, by the keyboard alone, small, and with nothing from elsewhere."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from tests.browser.conftest import ROOT, Home, Visit, Visitor

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
FIRST_LOAD = 200 << 10


def _signed_in(visit: Visit, name: str, link: str = "", **how: Any) -> Visitor:
    one = visit(name, **how)
    page = one.enter()
    if link:
        page.get_by_role("link", name=link).click()
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_timeout(500)
    return one


LEAVE = "#/leave/https%3A%2F%2Fxn--chool-g2e.example%2Fa%3Fto%3Dhttps%3A%2F%2Fevil.example%2F" + "a" * 200
DOORS = {
    "sign-in": "",
    "open": "#/open",
    "back": "#/back",
    "leave": LEAVE,
    "leave-refused": "#/leave/javascript%3Aalert(1)",
}
PAGES = {
    "mail": ("alice", "Mail", ""),
    "write": ("alice", "Mail", "Write"),
    "family": ("alice", "Family", ""),
    "used-link": ("alice", "Family", "#/family/at/AAAAAAAAAAAAAAAAAAAAAA"),
    "open-child": ("alice", "Family", "Open an account for a child"),
    "child": ("zoe", "", ""),
    "letter": ("zoe", "", "Write a letter"),
}


def _axe(page: Page) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")
    return [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]


def _shown(visit: Visit, which: str, **how: Any) -> Page:
    if which in DOORS:
        page = visit("alice", **how).page
        page.goto(visit("alice").home.url + DOORS[which])
        page.get_by_role("heading", level=1).wait_for()
        return page
    name, link, button = PAGES[which]
    page = _signed_in(visit, name, link, **how).page
    if button.startswith("#"):
        page.evaluate(f"location.hash = '{button}'")
        page.get_by_text("This link was used already").wait_for()
    elif which == "open-child":
        page.get_by_role("link", name=button).click()
        page.get_by_role("heading", level=1, name=button).wait_for()
    elif button:
        page.get_by_role("button", name=button).first.click()
        page.get_by_role("dialog").wait_for()
    return page


@pytest.fixture(scope="module")
def someone_waits(home: Home) -> None:
    home.stranger_writes("zoe", "waits@else.example", "Waits")


@pytest.mark.usefixtures("someone_waits")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("which", [*DOORS, *PAGES])
def test_axe_finds_no_violation(visit: Visit, which: str, dark: bool) -> None:
    if not AXE.is_file():
        pytest.skip("PEER MISSING: web/node_modules has no axe-core")
    assert _axe(_shown(visit, which, dark=dark)) == []


@pytest.mark.usefixtures("someone_waits")
@pytest.mark.parametrize("which", [*DOORS, *PAGES])
def test_a_page_fits_in_320_pixels(visit: Visit, which: str) -> None:
    page = _shown(visit, which, phone=True)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 320
    wide = page.evaluate(
        "[...document.querySelectorAll('button,input,select,textarea,a')].filter(e => e.getBoundingClientRect().right > 321).map(e => e.outerHTML)"
    )
    assert wide == []


def test_the_keyboard_is_enough(home: Home, visit: Visit) -> None:
    home.stranger_writes("max", "keys@else.example", "Keys")
    parent = visit("bob")
    page = parent.page
    page.goto(home.url)
    page.get_by_label("Address").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.type("bob@live.test")
    page.keyboard.press("Tab")
    page.keyboard.type(home.stack.password)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Family").wait_for()
    _tab_to(page, "Family")
    page.keyboard.press("Enter")
    page.get_by_text("keys@else.example").first.wait_for()
    _tab_to(page, "Deliver this time (keys@else.example)")
    page.keyboard.press("Enter")
    page.get_by_text("Done.").wait_for()
    page = _signed_in(visit, "max").page
    page.get_by_text("Keys", exact=True).wait_for()
    _tab_to(page, "Write a letter")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    # focus stays in what lies over the page, and Escape closes it
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement.closest('[role=dialog]') !== null || document.activeElement === document.body"
        )
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")


def _tab_to(page: Page, name: str) -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith(name):
            return
    raise AssertionError(f"{name} is not reached by Tab")


def test_the_childs_first_load_is_small_and_all_from_here(visit: Visit) -> None:
    child = visit("zoe")
    scripts: dict[str, int] = {}

    def count(answer: Any) -> None:
        if answer.request.resource_type == "script":
            scripts[answer.url] = len(gzip.compress(answer.body(), 9))

    child.page.on("response", count)
    page = child.enter()
    page.get_by_role("button", name="Write a letter").click()
    page.get_by_role("dialog").wait_for()
    assert scripts
    assert sum(scripts.values()) <= FIRST_LOAD
    assert not any("Family" in Path(url).name for url in scripts)
    assert child.foreign == []
