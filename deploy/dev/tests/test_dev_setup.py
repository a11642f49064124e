"""The environment's own tools: one lock, no host in it, one clear line when something is missing."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"petitbleu_tool_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lock_names_no_host_and_no_path() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|file:|@ |/tmp|/home|/root|--index|--find-links", text)


def test_the_lock_pins_everything_with_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9._-]+==.*$", text, re.MULTILINE)
    assert len(pins) > 60
    assert all(pin.endswith("\\") for pin in pins)


def test_the_lock_has_every_third_party_requirement_of_the_workspace() -> None:
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    wanted = {re.split(r"[^a-z0-9._-]", name.lower().replace("_", "-"))[0] for name in tool("lock").wanted()}
    assert wanted - pinned == set()


def test_uv_is_installed_by_the_hashes_of_the_lock() -> None:
    lines = tool("setup").uv_requirement().splitlines()
    assert re.fullmatch(r"uv==[0-9.]+ \\", lines[0])
    assert len(lines) > 5
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines[1:])
    assert not lines[-1].endswith("\\")


def test_a_missing_python3_venv_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setup = tool("setup")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else real(name))
    with pytest.raises(setup.SetupError, match="sudo apt-get install python3-venv") as caught:
        setup.make_venv()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "NewConnectionError('<...>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')",
        "error: Request failed after 3 retries\n  Caused by: client error (Connect)\n  Caused by: dns error: failed to lookup",
    ],
)
def test_without_a_network_the_last_line_says_so(said: str) -> None:
    setup = tool("setup")
    command = (sys.executable, "-c", f"import sys; sys.exit({said!r})")
    with pytest.raises(setup.SetupError, match="is there a network") as caught:
        setup.run("pip install uv", *command)
    assert "\n" not in str(caught.value)
    assert setup.hint("THESE PACKAGES DO NOT MATCH THE HASHES") == ""


def test_the_environment_follows_the_lock_and_every_member(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setup = tool("setup")
    before = setup.fingerprint()
    assert setup.fingerprint() == before
    changed = tmp_path / "requirements.lock"
    changed.write_text("uv==1\n")
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "LOCK", changed)
    monkeypatch.setattr(setup, "members", list)
    monkeypatch.setattr(setup, "__file__", str(changed))
    assert setup.fingerprint() != before
