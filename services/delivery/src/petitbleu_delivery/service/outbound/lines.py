"""Who is next: notices before letters of people before bulk, and within a class each sender in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from petitbleu_delivery.adapters.queue_rows import Unit
from petitbleu_delivery.domain.outbound import Priority

Thing = TypeVar("Thing")
_CLASSES: Final = len(Priority)
# One turn in so many is the lowest class's: what waits behind others goes slowly, and goes.
_LOWEST_EACH: Final = 8


class _Turns:
    """Whose turn it is among classes of which some have something waiting."""

    def __init__(self) -> None:
        self._taken = 0

    def next(self, waiting: Sequence[object]) -> int:
        """Return the class whose turn it is; at least one has something."""
        present = [at for at, one in enumerate(waiting) if one]
        self._taken += 1
        return present[-1 if self._taken % _LOWEST_EACH == 0 else 0]

    def give_back(self) -> None:
        """Take the last turn for none."""
        self._taken -= 1


class Line:
    """Units that wait for one destination: by class, and within it by account, so that nobody's thousand letters are before another's one."""

    def __init__(self) -> None:
        self._classes: tuple[OrderedDict[int, deque[Unit]], ...] = tuple(OrderedDict() for _ in range(_CLASSES))
        self._turns = _Turns()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Unit]:
        return (unit for one in self._classes for units in one.values() for unit in units)

    @property
    def first_class(self) -> int:
        """The highest class that has something waiting, 0 the first; that of bulk for an empty line."""
        return next((at for at, one in enumerate(self._classes) if one), _CLASSES - 1)

    def append(self, unit: Unit) -> None:
        """Stand a unit behind what its account has in its class."""
        self._classes[_class_of(unit)].setdefault(unit.account_id, deque()).append(unit)
        self._length += 1

    def extend(self, units: Iterable[Unit]) -> None:
        """Stand several in line."""
        for unit in units:
            self.append(unit)

    def popleft(self) -> Unit:
        """Take the next."""
        chosen = self._classes[self._turns.next(self._classes)]
        account, units = next(iter(chosen.items()))
        unit = units.popleft()
        chosen.move_to_end(account)
        if not units:
            del chosen[account]
        self._length -= 1
        return unit

    def give_back(self, unit: Unit) -> None:
        """Stand a unit in line whose turn was for nothing: it is of a lower class than it seemed to be."""
        self._turns.give_back()
        self.append(unit)

    def clear(self) -> None:
        """Send all away."""
        for one in self._classes:
            one.clear()
        self._length = 0


class Ring(Generic[Thing]):
    """Things that stand in line by class, each class in its order; a thing may stand in several, and whoever takes it says which counts."""

    def __init__(self) -> None:
        self._classes: tuple[deque[Thing], ...] = tuple(deque() for _ in range(_CLASSES))
        self._turns = _Turns()

    def __bool__(self) -> bool:
        return any(self._classes)

    def append(self, thing: Thing, its_class: int) -> None:
        """Stand a thing at the end of a class."""
        self._classes[its_class].append(thing)

    def popleft(self) -> tuple[Thing, int]:
        """Take the next, and say in which class it stood."""
        chosen = self._turns.next(self._classes)
        return self._classes[chosen].popleft(), chosen

    def clear(self) -> None:
        """Forget all."""
        for one in self._classes:
            one.clear()


def _class_of(unit: Unit) -> int:
    return min(max(unit.priority, 0), _CLASSES - 1)
