"""The operator's dashboard asks only for metrics that the services have, with labels that they carry."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "observability" / "grafana-petitbleu.json"
SOURCES = [*(ROOT / "services").glob("*/src/**/*.py"), *(ROOT / "libs" / "petitbleu_kit").glob("src/**/*.py")]
DEFINED = re.compile(r"(Counter|Gauge|Histogram)\(\s*\"(petitbleu_[a-z0-9_]+)\"(?P<rest>[^)]*?)\)", re.DOTALL)


def _metrics() -> dict[str, set[str]]:
    """Each metric's series name, with its labels."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        for definition in DEFINED.finditer(path.read_text()):
            name = definition.group(2)
            labels = set(re.findall(r"\"([a-z_]+)\"(?=[,\]])", definition["rest"].partition("[")[2]))
            if definition.group(1) == "Counter":
                name = name if name.endswith("_total") else f"{name}_total"
            found[name] = labels
    return found


def test_every_metric_of_the_dashboard_exists() -> None:
    known = _metrics()
    queries = [
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", [])
    ]
    assert len(queries) > 20
    for query in queries:
        for name in re.findall(r"petitbleu_[a-z0-9_]+", query):
            series = name.removesuffix("_bucket")
            assert series in known, f"{name} is in the dashboard and in no service"
        by = re.search(r"by \(([^)]*)\)", query)
        if by:
            wanted = {label.strip() for label in by.group(1).split(",")} - {"le"}
            series = re.findall(r"petitbleu_[a-z0-9_]+", query)[0].removesuffix("_bucket")
            assert wanted <= known[series], f"{series} has no label {wanted - known[series]}"
