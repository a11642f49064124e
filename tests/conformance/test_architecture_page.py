"""docs/architecture.md leads from each step of a message's way to its module and its test, and the paths exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = (
    "connect", "commands", "recipient", "directory", "room", "data", "judge", "wishes", "scan", "large-body", "batch", "accept", "seal", "outbox", "event", "round",
    "guard", "rules", "senders", "parse", "file", "settle", "queued-key", "submit", "held", "pack", "read", "list", "log-in", "change", "index", "search", "share", "undo", "render",
    "way-out", "enter", "send", "next", "source", "tls-report", "tell", "notice", "returned", "abuse", "push", "web-push", "egress", "fairness", "sign", "keys", "domain", "policy", "submission", "permit",
)  # fmt: skip
ROW = re.compile(r"^\| (?P<step>[a-z-]+) \| [^|]+ \| `(?P<module>[^`]+)` \| `(?P<test>[^`]+)` \|$", re.MULTILINE)
ROWS = {found["step"]: found for found in ROW.finditer((ROOT / "docs" / "architecture.md").read_text())}


@pytest.mark.parametrize("step", STEPS)
def test_step_names_a_module_and_a_test_that_exist(step: str) -> None:
    assert step in ROWS, f"docs/architecture.md does not say where the step {step} is made"
    module = ROOT / ROWS[step]["module"]
    test = ROOT / ROWS[step]["test"]
    assert module.is_file(), ROWS[step]["module"]
    assert test.is_file(), ROWS[step]["test"]
    assert "def test_" in test.read_text()


def test_the_page_names_no_step_that_nobody_checks() -> None:
    assert set(ROWS) == set(STEPS)


def test_every_path_in_the_page_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    paths = re.findall(r"`((?:services|libs|tests|docs|deploy|bench|proto|tools)/[^`*]*)`", text)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
