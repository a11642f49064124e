"""Two workers of one run start their stacks at the same time."""

from __future__ import annotations

import itertools

from tests.ports import FIRST, offset_of

from petitbleu_dev.layout import Ports

# Of tests/conftest.py, tests/faults, tests/browser and tests/integration
OWN = (300, 310, 320, 330, 345, 419, 500, 510, 962, *range(360, 470, 10), *range(480, 670, 10), 545)


def ports(own: int, worker: int) -> set[int]:
    made = Ports(offset_of(own, worker) - FIRST)
    return {*made.backends().values(), *made.services().values(), *(port + 10 for port in made.services().values())}


def test_no_stack_meets_one_of_another_worker() -> None:
    for one, other in itertools.product(OWN, OWN):
        assert not ports(one, 0) & ports(other, 1), (one, other)
    assert max(max(ports(one, 1)) for one in OWN) < 32768
