"""Stacks of one run do not meet: those of two workers at the same time, nor those of one that live as long as it does and those of a module."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from tests.ports import FIRST, offset_of

from petitbleu_dev.layout import Ports

ROOT = Path(__file__).parents[2]
# Of tests/faults, tests/conftest.py and tests/browser: once there, they stay for the session; tests/integration/junior's for its package.
LASTING = (300, 320, 419)
PACKAGE = 592
# They wait for others to be gone, or choose other ports where these are taken.
APART = {310, 330}


def ports(own: int, worker: int) -> set[int]:
    made = Ports(offset_of(own, worker) - FIRST)
    return {*made.backends().values(), *made.services().values(), *(port + 10 for port in made.services().values())}


def used() -> dict[int, set[Path]]:
    """Which stack is whose, as the tests say it."""
    found: dict[int, set[Path]] = {}
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("services/*/tests/*.py")]:
        for own in re.findall(r"\boffset_of\((\d+)", path.read_text(encoding="utf-8")):
            found.setdefault(int(own), set()).add(path.relative_to(ROOT))
    return found


def test_no_stack_meets_one_of_another_worker() -> None:
    for one, other in itertools.product(used(), repeat=2):
        assert not ports(one, 0) & ports(other, 1), (one, other)
    assert max(max(ports(one, 1)) for one in used()) < 32768


def test_no_stack_meets_one_that_stays() -> None:
    own = used()
    assert set(LASTING) | {PACKAGE} <= set(own)
    for one in set(own) - APART:
        for stays in LASTING:
            assert one == stays or not ports(one, 0) & ports(stays, 0), (one, stays, own[one])
        inside = any("junior" in path.parts for path in own[one])
        assert one == PACKAGE or not inside or not ports(one, 0) & ports(PACKAGE, 0), (one, own[one])
