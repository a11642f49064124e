"""Write requirements.lock: every third-party package of the workspace, pinned with its hashes, for all platforms.

`make lock` runs it. What is asked for comes from the pyproject.toml of each member and the dependency groups of the root.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PYTHON = "3.11"
OURS = re.compile(r"petitbleu(-[a-z-]+)?\b")


def members() -> list[Path]:
    """Folders of the workspace's packages that have a pyproject.toml, as the root's names them."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = root["tool"]["uv"]["workspace"]["members"]
    found = {path.parent for pattern in patterns for path in ROOT.glob(f"{pattern}/pyproject.toml")}
    return sorted(found)


def wanted() -> set[str]:
    """Requirements of all members and groups that are not ours."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    requirements = [name for group in root["dependency-groups"].values() for name in group]
    for member in members():
        project = tomllib.loads((member / "pyproject.toml").read_text(encoding="utf-8"))
        requirements += project["project"].get("dependencies", [])
        requirements += project["build-system"]["requires"]
    return {requirement for requirement in requirements if not OURS.match(requirement)}


def main() -> int:
    """Compile, keeping the versions that the lock has unless `--upgrade` is given."""
    uv = Path(sys.executable).parent / "uv"
    compiled = subprocess.run(
        [
            str(uv), "pip", "compile", "--universal", "--generate-hashes", "--python-version", PYTHON, "--quiet",
            "--no-config", "--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock",
            "--output-file", str(LOCK), *sys.argv[1:], "-",
        ],
        input="\n".join(sorted(wanted())),
        text=True,
        check=False,
    )  # fmt: skip
    text = LOCK.read_text(encoding="utf-8").replace("    # via -r -\n", "").replace("    #   -r -\n", "")
    LOCK.write_text(text, encoding="utf-8")
    if re.search(r"https?://|/tmp/|/home/|/root/|file:", text):
        sys.stderr.write("requirements.lock names a host or a path\n")
        return 1
    return compiled.returncode


if __name__ == "__main__":
    raise SystemExit(main())
