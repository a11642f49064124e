"""The web app's build: `web/dist` is committed, so that to serve it takes no Node; a stamp says of which sources it is.

`check` compares, `build` makes it anew with npm, `fresh` builds when the sources are others and npm is there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
STAMP = WEB / "dist" / "stamp.txt"
_ALONE = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")


def digest(web: Path = WEB) -> str:
    """Return SHA-256 (hexadecimal) of all that a build is made of, names and octets."""
    found = sha256()
    for path in sorted([web / name for name in _ALONE] + [one for one in (web / "src").rglob("*") if one.is_file()]):
        data = path.read_bytes()
        found.update(f"{path.relative_to(web).as_posix()}\0{len(data)}\0".encode() + data)
    return found.hexdigest()


def is_fresh() -> bool:
    """Whether the committed build is of these sources."""
    return STAMP.is_file() and STAMP.read_text(encoding="ascii").strip() == digest()


def build() -> None:
    """Install what the lock names, check the types and build."""
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=WEB, check=True)
    subprocess.run(["npm", "run", "build"], cwd=WEB, check=True)
    STAMP.write_text(digest() + "\n", encoding="ascii")


def main(verb: str) -> int:
    """Do what the first argument says."""
    if verb == "build" or (verb == "fresh" and not is_fresh() and shutil.which("npm")):
        build()
    elif not is_fresh():
        sys.stderr.write("web/dist is not of these sources: run `make web` (it needs npm)\n")
        return 1 if verb == "check" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "check"))
