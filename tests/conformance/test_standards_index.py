"""docs/standards.tsv is true: what it says yes to is cited where it is done, and tried by a test that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "standards.tsv"
HEADER = ["standard", "clause", "title", "state", "code", "test"]


class Row(NamedTuple):
    standard: str
    clause: str
    title: str
    state: str
    code: str
    test: str


def rows() -> list[Row]:
    lines = INDEX.read_text().splitlines()
    assert lines[0].split("\t") == HEADER
    found = [Row(*line.split("\t")) for line in lines[1:]]
    return [one._replace(clause=one.clause.removeprefix("§")) for one in found]


@cache
def names(path: Path) -> frozenset[str]:
    """Every name that a Python module defines or assigns, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return frozenset(found)


def cites(text: str, standard: str, clause: str) -> bool:
    """Whether a line names the standard and, where there is one, the clause exactly."""
    exact = re.compile(rf"§{re.escape(clause)}(?![0-9]|\.[0-9])") if clause else None
    return any(standard in line and (exact is None or exact.search(line)) for line in text.splitlines())


def check_code(row: Row) -> None:
    path, _, symbol = row.code.partition(":")
    file = ROOT / path
    assert file.is_file(), f"{path} does not exist"
    text = file.read_text()
    assert cites(text, row.standard, row.clause), f"{path} does not cite {row.standard} §{row.clause}"
    if file.suffix == ".py":
        assert symbol in names(file), f"{path} has no {symbol}"
    else:
        assert symbol in text, f"{path} has no {symbol}"


def check_test(row: Row) -> None:
    path, _, name = row.test.partition("::")
    file = ROOT / path
    assert file.is_file(), f"{path} does not exist"
    if file.suffix == ".py":
        assert name.startswith("test_")
        assert name in names(file), f"{path} has no {name}"
    else:
        assert name in file.read_text(), f"{path} has no {name}"


def test_rows_are_well_formed_and_no_clause_stands_twice() -> None:
    seen = set()
    for row in rows():
        assert row.state in {"yes", "partly", "planned"}, row
        assert row.standard, row
        assert row.title, row
        assert (row.standard, row.clause, row.title) not in seen, row
        seen.add((row.standard, row.clause, row.title))


@pytest.mark.parametrize(
    "row", [one for one in rows() if one.state == "yes"], ids=lambda row: f"{row.standard} {row.clause}"
)
def test_what_the_index_says_yes_to_is_done_and_tried(row: Row) -> None:
    check_code(row)
    check_test(row)
