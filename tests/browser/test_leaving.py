"""The page between a child's letter and another site: it goes nowhere by itself, and not everywhere at a press."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from tests.browser.conftest import Home, Visit, Visitor


def _at(home: Home, visit: Visit, target: str) -> Visitor:
    one = visit("zoe")
    one.page.goto(f"{home.url}#/leave/{quote(target, safe='')}")
    one.page.get_by_role("heading", level=1).wait_for()
    return one


def test_it_shows_where_a_link_leads_and_waits_for_a_press(home: Home, visit: Visit) -> None:
    one = _at(home, visit, "https://ёлка.example/a?to=https://evil.example")
    page = one.page
    shown = page.locator(".where")
    assert shown.inner_text() == "https://xn--80atc1g.example/a?to=https://evil.example"
    assert shown.locator("strong").inner_text() == "xn--80atc1g.example"
    assert page.locator("p.bad").count() == 2  # letters that may look like others, and an address within
    link = page.get_by_role("link", name="Go there")
    assert link.get_attribute("href") == "https://xn--80atc1g.example/a?to=https://evil.example"
    assert link.get_attribute("referrerpolicy") == "no-referrer"
    assert "noopener" in str(link.get_attribute("rel"))
    page.wait_for_timeout(1000)
    assert page.url.startswith(home.url)
    assert one.foreign == []


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "blob:https://a.example/x",
        "file:///etc/passwd", "mailto:a@b.example", "//evil.example", "/path", "", "https://bank.fr@evil.example", "https://bank.fr:x@evil.example",
        "http://127.1", "http://2130706433", "http://0x7f000001", "http://[::1]/", "http://localhost:8080/", "https://intranet", "https://a.example/" + "a" * 3000,
    ],
)  # fmt: skip
def test_what_is_no_place_on_the_web_is_not_opened(home: Home, visit: Visit, target: str) -> None:
    one = _at(home, visit, target)
    assert one.page.get_by_role("heading", level=1).inner_text() == "This link cannot be opened"
    assert [link.get_attribute("href") for link in one.page.get_by_role("link").all()] == ["#/"]
    assert one.foreign == []


def test_what_is_no_percent_encoding_is_not_opened(home: Home, visit: Visit) -> None:
    page = visit("zoe").page
    page.goto(f"{home.url}#/leave/%E0%A4")
    page.get_by_role("heading", level=1, name="This link cannot be opened").wait_for()
