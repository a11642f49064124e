"""The committed build is of the sources beside it: the same files come out again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.browser.conftest import ROOT

WEB = ROOT / "web"


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "stamp.txt"
    }


def test_the_build_is_of_these_sources_and_types_fit(tmp_path: Path) -> None:
    if shutil.which("npm") is None or not (WEB / "node_modules" / "vite").is_dir():
        pytest.skip("PEER MISSING: npm, or web/node_modules")
    subprocess.run(["npm", "run", "check", "--silent"], cwd=WEB, check=True, timeout=300)
    subprocess.run(
        ["npx", "--no-install", "vite", "build", "--outDir", str(tmp_path / "dist"), "--logLevel", "error"],
        cwd=WEB,
        check=True,
        timeout=300,
    )
    assert _files(tmp_path / "dist") == _files(WEB / "dist")


def test_the_lock_names_no_registry() -> None:
    text = (WEB / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in text
    assert "https://" not in text.replace('"url": "https://', "")
