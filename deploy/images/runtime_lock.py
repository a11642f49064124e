"""Cut from requirements.lock what the services need at run time, hashes included.

The lock holds the development tools and the embedded backends too. What needs what is in its `# via` lines, so the cut
asks no registry. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEVELOPMENT = ("deploy/dev",)
"""Members of the workspace that are not in the image: the embedded stack."""

BUILD = ("editables", "hatchling", "setuptools")
"""What makes the workspace's wheels; in the stage that builds and nowhere else."""

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Pin:
    """A package of the lock: its name and version, its lines, and which packages ask for it."""

    name: str
    version: str
    lines: tuple[str, ...]
    wanted_by: frozenset[str]


def normalised(name: str) -> str:
    """Return a project's name as indexes compare it (PEP 503), without extras and versions."""
    found = NAME.match(name)
    if found is None:
        raise ValueError(f"not a requirement: {name!r}")
    return re.sub(r"[-_.]+", "-", found.group(0)).lower()


def pins(text: str) -> dict[str, Pin]:
    """Read a lock as `uv pip compile --generate-hashes` writes it.

    Raises:
        ValueError: a line is none that uv writes.
    """
    entries: list[list[str]] = []
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            entries.append([])
        if entries:
            entries[-1].append(line)
    found = {}
    for lines in entries:
        name = normalised(lines[0])
        version = re.match(r"[^=]*==([^ ;\\]+)", lines[0])
        if version is None or not any(line.strip().startswith("--hash=sha256:") for line in lines):
            raise ValueError(f"{name} is not pinned with hashes")
        comments = [line.strip().removeprefix("#").strip().removeprefix("via").strip() for line in lines if "#" in line]
        found[name] = Pin(
            name,
            version.group(1),
            tuple(line for line in lines if not line.strip().startswith("#")),
            frozenset(normalised(comment) for comment in comments if comment),
        )
    return found


def members(root: Path = ROOT) -> list[Path]:
    """Folders of the workspace's packages that are in the image."""
    patterns = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["workspace"][
        "members"
    ]
    found = {path.parent for pattern in patterns for path in root.glob(f"{pattern}/pyproject.toml")}
    return sorted(path for path in found if str(path.relative_to(root)) not in DEVELOPMENT)


def roots(root: Path = ROOT) -> set[str]:
    """Names of what the members ask for and do not make themselves."""
    projects = [
        tomllib.loads((member / "pyproject.toml").read_text(encoding="utf-8"))["project"] for member in members(root)
    ]
    ours = {normalised(project["name"]) for project in projects}
    return {normalised(need) for project in projects for need in project.get("dependencies", [])} - ours


def closure(lock: dict[str, Pin], wanted: set[str]) -> list[Pin]:
    """What is wanted, and what that needs in turn, by name.

    Raises:
        ValueError: something wanted is not in the lock.
    """
    if missing := wanted - lock.keys():
        raise ValueError(f"requirements.lock has no {', '.join(sorted(missing))}; write it anew with `make lock`")
    chosen = set(wanted)
    while more := {name for name, pin in lock.items() if name not in chosen and pin.wanted_by & chosen}:
        chosen |= more
    return [lock[name] for name in sorted(chosen)]


def runtime(root: Path = ROOT) -> list[Pin]:
    """Every third-party package of the image."""
    return closure(pins((root / "requirements.lock").read_text(encoding="utf-8")), roots(root))


def main() -> int:
    """Print the cut as a requirements file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("runtime", "build", "members"))
    what = parser.parse_args().what
    if what == "members":
        sys.stdout.write("".join(f"{member}\n" for member in members()))
        return 0
    if what == "build":
        chosen = closure(pins((ROOT / "requirements.lock").read_text(encoding="utf-8")), set(BUILD))
    else:
        chosen = runtime()
    sys.stdout.write("".join(f"{line}\n" for pin in chosen for line in pin.lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
