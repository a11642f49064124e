"""Make the project's environment in .venv from requirements.lock, and do nothing when it is already so.

Runs with the machine's own python3 and its standard library. The one step without uv is to install uv, by pip with the
hashes of the lock. The workspace's own packages are installed in place (editable).
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "petitbleu.stamp"
LEAST_PYTHON = (3, 11)


class SetupError(Exception):
    """Why the environment cannot be made, in one line."""


def members() -> list[Path]:
    """Folders of the workspace's packages."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = root["tool"]["uv"]["workspace"]["members"]
    return sorted({path.parent for pattern in patterns for path in ROOT.glob(f"{pattern}/pyproject.toml")})


def fingerprint() -> str:
    """Digest of all that the environment is made from."""
    digest = hashlib.sha256(f"{sys.version}\n{ROOT}\n".encode())
    for path in (LOCK, Path(__file__), *(member / "pyproject.toml" for member in members())):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def run(what: str, *command: str) -> None:
    """Run a step; its output is shown only when it fails.

    Raises:
        SetupError: it failed.
    """
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "VIRTUAL_ENV": str(VENV)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stdout + done.stderr
        sys.stderr.write(said)
        raise SetupError(f"{what} failed; the reason is above{hint(said)}")


def hint(said: str) -> str:
    """What to do about a failure that means that no package index was reached; empty for others."""
    if re.search(r"name resolution|NewConnectionError|dns error|error sending request|timed out", said, re.IGNORECASE):
        return (
            ". The first start downloads packages: is there a network, or a mirror in PIP_INDEX_URL and UV_INDEX_URL?"
        )
    return ""


def make_venv() -> None:
    """Make .venv with the machine's python3.

    Raises:
        SetupError: python3-venv is missing.
    """
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise SetupError("python3-venv is missing; install it with: sudo apt-get install python3-venv")
    run("python3 -m venv", sys.executable, "-m", "venv", str(VENV))


def uv_requirement() -> str:
    """The lock's own lines for uv, hashes included.

    Raises:
        SetupError: the lock has none.
    """
    found = re.search(r"^uv==.*\n(?:    --hash=.*\n)+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SetupError("requirements.lock does not name uv; make it again with `make lock`")
    return found.group(0)


def install_uv() -> None:
    """Install uv by pip, checked against the lock's hashes."""
    requirement = VENV / "uv.txt"
    requirement.write_text(uv_requirement(), encoding="utf-8")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes")
    run("pip install uv", str(PYTHON), "-m", "pip", "install", *options, "-r", str(requirement))


def main() -> int:
    """Bring .venv up to date."""
    if sys.version_info < LEAST_PYTHON:
        sys.stderr.write("setup: Python 3.11 or later is needed; this python3 is " + sys.version.split()[0] + "\n")
        return 1
    with (ROOT / "pyproject.toml").open("rb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two `make` at once: the second finds the work done
        wanted = fingerprint()
        if PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="ascii") == wanted:
            return 0
        print("setting up .venv (once; a minute or two, most of it download)", flush=True)
        try:
            if not PYTHON.exists():
                make_venv()
            if not UV.exists():
                install_uv()
            target = ("--quiet", "--no-config", "--python", str(PYTHON))
            run("installing requirements.lock", str(UV), "pip", "sync", *target, "--require-hashes", str(LOCK))
            packages = [word for member in members() for word in ("-e", str(member))]
            options = ("--no-deps", "--no-build-isolation", "--offline")
            run("installing the workspace", str(UV), "pip", "install", *target, *options, *packages)
        except SetupError as error:
            sys.stderr.write(f"setup: {error}\n")
            return 1
        STAMP.write_text(wanted, encoding="ascii")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
