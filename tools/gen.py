"""Generate libs/petitbleu_proto from proto/: messages, services and their type stubs.

`make gen` runs it; `python tools/gen.py --check` fails when what is committed differs from what would be generated.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "libs" / "petitbleu_proto" / "src" / "petitbleu"


def generate(out: Path) -> None:
    """Write the generated packages below `out`."""
    bin_dir = Path(sys.executable).parent
    command = [
        sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}",
        f"--python_out={out}", f"--grpc_python_out={out}", f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet:{out}",
        f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
        *sorted(str(path) for path in PROTO.rglob("*.proto")),
    ]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    package = out / "petitbleu"
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text("")
        (folder / "py.typed").write_text("") if folder == package else None


def differences(left: Path, right: Path) -> list[str]:
    """Relative paths that differ between two trees of generated files."""
    names = {
        str(path.relative_to(base)) for base in (left, right) for path in base.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }  # fmt: skip
    return sorted(
        name
        for name in names
        if not ((left / name).is_file() and (right / name).is_file() and filecmp.cmp(left / name, right / name, False))
    )


def main() -> int:
    """Generate, or check that nothing would change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the committed files differ")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder) / "petitbleu"
        if check:
            changed = differences(fresh, TARGET)
            for name in changed:
                print(f"generated code differs: {name} (run `make gen`)", file=sys.stderr)
            return 1 if changed else 0
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(fresh, TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
