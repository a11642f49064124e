"""Every target takes its seeds; and for as long as the environment says, what atheris makes of them (`make soak`)."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("PETITBLEU_MIME_FUZZ_SECONDS", "0"))  # of each target
SHORT_SECONDS = 3.0


def mutated(octets: bytes, chooser: random.Random) -> bytes:
    """Cut, double, flip or fill with rubbish."""
    result = bytearray(octets[:20_000]) or bytearray(b"x")
    for _ in range(chooser.randrange(1, 5)):
        at = chooser.randrange(len(result) + 1)
        choice = chooser.randrange(4)
        if choice == 0:
            del result[at : at + chooser.randrange(1, 200)]
        elif choice == 1:
            result[at:at] = result[at : at + chooser.randrange(1, 2000)]
        elif choice == 2:
            result[at : at + 1] = chooser.randbytes(chooser.randrange(1, 8))
        else:
            result[at:at] = chooser.choice(
                [b"<", b'"', b"\0", b"{", b"=?", b"\r\n", b"(", b";", b"&#x", b"\\", b"--", b"\xff" * 4]
            )
    return bytes(result)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_and_mutations_of_them(name: str) -> None:
    chooser = random.Random(20261122)
    found = seeds(name)
    deadline = time.monotonic() + SHORT_SECONDS
    for octets in chooser.sample(found, min(len(found), 40)):
        TARGETS[name](octets)
    while time.monotonic() < deadline:
        octets = mutated(chooser.choice(found), chooser)
        try:
            TARGETS[name](octets)
        except Exception:
            print(repr(octets[:5000]))
            raise


@pytest.mark.skipif(SECONDS == 0, reason="PETITBLEU_MIME_FUZZ_SECONDS is not set: `make soak` sets it")
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="NO ATHERIS on this machine")
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_fuzzed(name: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", name, str(SECONDS), str(tmp_path / "corpus")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=SECONDS * 2 + 300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-5000:]
