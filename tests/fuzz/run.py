"""Fuzz one target until something breaks or time is over: `python -m tests.fuzz.run TARGET [SECONDS] [CORPUS]`.

The corpus (a folder, kept between runs when it is named) begins with `seeds`. A finding is written to the current folder as
libFuzzer does (`crash-…`, `timeout-…`, `oom-…`); `python -m tests.fuzz.run TARGET 0 FILE` tries it again.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import atheris

MAX_OCTETS = 65_536
# Instrumented code is some ten times slower; 64 KiB take a tenth of a second without.
CPU_SECONDS = 8.0
MEMORY_MEBIBYTES = 2048


def main() -> int:
    name, seconds, place = sys.argv[1], int((*sys.argv, "60")[2]), (*sys.argv, "", "", "")[3]
    with atheris.instrument_imports(include=["petitbleu_mail", "petitbleu_gateway.domain"]):
        from tests.fuzz.seeds import seeds
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    if place and Path(place).is_file():
        target(Path(place).read_bytes())
        return 0
    folder = Path(place or tempfile.mkdtemp(prefix="pbfuzz"))
    folder.mkdir(parents=True, exist_ok=True)
    for octets in seeds(name):
        (folder / hashlib.sha256(octets).hexdigest()[:16]).write_bytes(octets)

    def one(data: bytes) -> None:
        began = time.process_time()
        target(data)
        assert time.process_time() - began < CPU_SECONDS, f"{len(data)} octets took too long"

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    options = [
        f"-max_total_time={seconds}", f"-max_len={MAX_OCTETS}", "-timeout=60", f"-rss_limit_mb={MEMORY_MEBIBYTES}", "-print_final_stats=1",
        "-verbosity=1", str(folder),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
