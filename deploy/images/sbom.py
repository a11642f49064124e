"""Print what the image of the services is made of, as CycloneDX 1.6 JSON, from requirements.lock.

The same lock gives the same octets: neither a serial number nor a time is in it. What the base image brings is that
image's own list.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from runtime_lock import ROOT, members, normalised, runtime


def purl(name: str, version: str) -> str:
    """Return the package URL of a Python package (purl-spec, type `pypi`)."""
    return f"pkg:pypi/{name}@{version}"


def bill(root: Path = ROOT) -> dict[str, Any]:
    """Components of the image, and which needs which."""
    chosen = runtime(root)
    known = {pin.name: purl(pin.name, pin.version) for pin in chosen}
    projects = [
        tomllib.loads((each / "pyproject.toml").read_text(encoding="utf-8"))["project"] for each in members(root)
    ]
    ours = {normalised(each["name"]): f"petitbleu:{each['name']}@{each['version']}" for each in projects}
    components = [
        {
            "type": "application",
            "bom-ref": ours[normalised(each["name"])],
            "name": each["name"],
            "version": each["version"],
        }
        | {"licenses": [{"license": {"id": each["license"]}}]}
        for each in projects
    ]
    components += [
        {
            "type": "library",
            "bom-ref": known[pin.name],
            "name": pin.name,
            "version": pin.version,
            "purl": known[pin.name],
        }
        for pin in chosen
    ]
    needs = {
        ours[normalised(each["name"])]: {(ours | known)[normalised(need)] for need in each.get("dependencies", [])}
        for each in projects
    }
    needs |= {known[pin.name]: {known[other.name] for other in chosen if pin.name in other.wanted_by} for pin in chosen}
    whole = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": whole["name"], "version": whole["version"]}},
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bill(), indent=1) + "\n")
