"""The verdicts that `make bench` prints come from its numbers: each promise can be met, missed, and not measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_PATH = Path(__file__).parents[2] / "bench" / "verdicts.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_verdicts", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["bench_verdicts"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


verdicts = _load()


def _results(cost: float, speed: float) -> dict[str, Any]:
    """Results in which everything that should be small is `cost` times its limit, and the rest `speed` times."""
    main = [(verdicts.KEPT, 0.40, 2.5), (verdicts.NOT_KEPT, 0.50, 2.0)]
    return {
        "mail": [
            {"name": name, "cpu_ratio": cpu * cost, "throughput_ratio": rate * speed} for name, cpu, rate in main
        ],
        "lone": {"ours": {"visible_ms": {"p99": 20 * cost}}, "peer": {"visible_ms": {"p99": 20}}},
        "judging": {"more_ms": 2.0 * cost},
        "push": {"connections": 2000, "pss_more_mib": 100 * cost, "all_told_ms": {"p99": 200 * cost}},
        "search": {"others": 1_000_000, "kinds": {"word": {"ratio": 1.2 * cost}}},
        "boxes": [
            {"messages": size, "action": action, "ratio": ratio * cost}
            for size in (1000, 100_000)
            for action, ratio in (("list", 4.0), ("flags", 4.0), ("search", 1.0 if size == 100_000 else 9.0))
        ],
        "mails_per_segment_put": 50 * speed,
        "reads": [{"messages": 1000, "ratio": 1.0}, {"messages": 100_000, "ratio": 1.5 * cost}],
        "accounts": [
            {"accounts": 1000, "ratio": 1.0},
            {"accounts": 100_000, "ratio": 1.2 * cost},
            {"accounts": 100_000, "ratio": 0.1},  # mail to few of them: not what is promised
        ],
        "guard": [
            {"children": 1000, "cpu_ms": 0.1 * cost, "ratio": 1.0},
            {"children": 100_000, "cpu_ms": 0.15 * cost, "ratio": 1.2 * cost},
        ],
        "outbound": {
            "cells": [
                {"destinations": count, "throughput_ratio": 1.0 * speed, "cpu_ratio": 1.0 * cost} for count in (1, 1000)
            ],
            "hanging": {"ours": {"ratio": 1.2 * cost}},
        },
        "alerts": {"shown_ms": {"p99": 1000 * cost}},
        "signups": {"failed": 1 if cost > 1 else 0, "mail_failed": [], "ratio": 2.0 * cost, "accept_ratio": 1.0},
        "idle": {"pss_mib": 1536 * cost, "core_percent": 5 * cost},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cost", "speed", "verdict"), [(0.99, 1.01, "met"), (1.01, 0.99, "NOT MET"), (1.0, 1.0, "met")]
)
def test_each_promise_of_the_benchmark_is_judged_by_its_number(cost: float, speed: float, verdict: str) -> None:
    rows = verdicts.table(_results(cost, speed))
    assert len(rows) == len(verdicts.PROMISES)
    assert {row["promise"]: row["verdict"] for row in rows} == {row["promise"]: verdict for row in rows}


def test_what_was_not_measured_is_not_judged() -> None:
    small = {
        "reads": [{"messages": 200, "ratio": 1.0}, {"messages": 1000, "ratio": 1.0}],
        "mails_per_segment_put": None,
    }
    partly: list[dict[str, Any]] = [{}, small, {"mail": []}]
    for results in partly:
        assert {row["verdict"] for row in verdicts.table(results)} == {"not measured"}


def test_the_table_of_verdicts_shows_value_and_limit() -> None:
    line = next(line for line in verdicts.lines(verdicts.table(_results(2, 1))) if "PSS, idle" in line)
    assert line.split() == ["PSS,", "idle", "3072.00", "<=", "1536", "NOT", "MET", "(MiB)"]
