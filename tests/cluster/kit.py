"""The cluster kit and its tools, where there are any."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "petitbleu"
KIT = Path(os.environ.get("PETITBLEU_CLUSTER_KIT") or ROOT.parent / "shared" / "cluster") / "cluster"


@cache
def tool(name: str) -> str:
    """Path of helm or kubeconform: the kit's, or the machine's own. Skips the test when there is neither."""
    if KIT.is_file():
        folder = subprocess.run([KIT, "bin"], capture_output=True, text=True, check=True).stdout.strip()
        if (Path(folder) / name).exists():
            return str(Path(folder) / name)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: neither of the cluster kit ({KIT}, see `cluster setup --tools`) nor in PATH")
    return found
