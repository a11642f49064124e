"""Some 280 pairs of script and message: what Pigeonhole's `sieve-test` would do, ours would do too; where not, docs/sieve.md says why."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.sieve.cases import EXPLAINED, cases
from tests.conformance.sieve.pigeonhole import COMMAND, Case, Pigeonhole, our_answer

PAGE = Path(__file__).parents[3] / "docs" / "sieve.md"


@pytest.fixture(scope="module")
def pigeonhole() -> Iterator[Pigeonhole]:
    if COMMAND is None:
        pytest.skip("sieve-test is not there: apt-get install dovecot-sieve")
    # not below pytest's own directory, which nobody else may enter
    with tempfile.TemporaryDirectory(prefix="sieve-") as directory:
        yield Pigeonhole(Path(directory))


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{number:03}") for number, case in enumerate(cases())])
def test_rfc5228_as_pigeonhole_does(pigeonhole: Pigeonhole, case: Case) -> None:
    theirs, ours = pigeonhole.answer(case), our_answer(case)
    if case.differs:
        assert ours != theirs, "the two agree: take the row out of the table"
    else:
        assert ours == theirs, case.script


def test_each_difference_is_explained_and_each_explanation_needed() -> None:
    rows = {line.split("|")[1].strip().strip("`") for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert set(EXPLAINED.values()) == rows
    used = {case.differs for case in cases()} - {""}
    assert used == rows
    assert len(cases()) >= 200
