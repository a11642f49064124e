"""Write the chart's values.schema.json and the table of its README from values.yaml and the comments in it.

`--check` only compares. A value is documented by the comment above it; a type is that of its default.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[1] / "deploy" / "helm" / "petitbleu"
START, END = "<!-- values -->\n", "<!-- end of values -->\n"
OPEN = ("resources", "env", "annotations", "monitoring")
"""Values whose keys are the operator's own."""

CHOICES = {
    "pullPolicy": ["Always", "IfNotPresent", "Never"],
    "type": ["ClusterIP", "NodePort", "LoadBalancer"],
}


def documented(text: str) -> dict[str, str]:
    """Path of each value that has a comment → that comment."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if said := re.match(r" *# (.*)", line):
            comment.append(said.group(1))
        elif key := re.match(r"( *)([\w-]+):", line):
            path = [(depth, name) for depth, name in path if depth < len(key.group(1))] + [
                (len(key.group(1)), key.group(2))
            ]
            if comment:
                found[".".join(name for _, name in path)] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


def schema(value: Any, name: str = "") -> dict[str, Any]:
    """JSON Schema of a value: what is not in values.yaml is refused, so that a slip of the pen is."""
    if isinstance(value, dict):
        if name in OPEN:
            return {"type": "object"}
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {key: schema(inner, key) for key, inner in value.items()}
            | ({"global": {}} if not name else {}),
        }
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    if isinstance(value, list):
        return {"type": "array"}
    return {"type": "string"} | ({"enum": CHOICES[name]} if name in CHOICES else {})


def leaves(value: Any, path: str = "", name: str = "") -> dict[str, Any]:
    """Path of each value that an operator sets → its default."""
    if isinstance(value, dict) and value and name not in OPEN:
        return {
            each: default
            for key, inner in value.items()
            for each, default in leaves(inner, f"{path}.{key}".lstrip("."), key).items()
        }
    return {path: value}


def table(text: str) -> str:
    """Table of all values, in Markdown.

    Raises:
        ValueError: a value has no comment.
    """
    said = documented(text)
    defaults = leaves(yaml.safe_load(text))
    if missing := defaults.keys() - said.keys():
        raise ValueError(f"values without a comment: {', '.join(sorted(missing))}")
    rows = [f"| `{path}` | `{json.dumps(default)}` | {said[path]} |" for path, default in defaults.items()]
    return "| value | default | says |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def made() -> dict[Path, str]:
    """Each file that is made, with what it should hold."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    whole = {"$schema": "http://json-schema.org/draft-07/schema#"} | schema(yaml.safe_load(text))
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    before, _, rest = readme.partition(START)
    after = rest.partition(END)[2]
    return {
        CHART / "values.schema.json": json.dumps(whole, indent=1) + "\n",
        CHART / "README.md": before + START + table(text) + END + after,
    }


def main() -> int:
    """Write the files, or say which differ."""
    stale = [path for path, text in made().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.name} does not follow values.yaml: run tools/chart_values.py\n")
        return bool(stale)
    for path in stale:
        path.write_text(made()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
