"""Halving: a batch that a peer refuses as a whole is split until the bad item stands alone (architecture, promise 3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from petitbleu_delivery.errors import PeerRefusedError

Item = TypeVar("Item")
Result = TypeVar("Result")


async def by_halves(
    items: Sequence[Item], call: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], most: int
) -> list[Result | PeerRefusedError]:
    """Call a peer on a batch; give each item its own result, or the refusal that it earned alone.

    Args:
        items: The batch; empty makes no call.
        call: Takes at most `most` items and answers in order.
        most: Most items a call.

    Raises:
        PeerUnavailableError: as the call does; what was done before stays done, since every call is idempotent.
    """
    results: list[Result | PeerRefusedError] = []
    todo = [items[start : start + most] for start in range(0, len(items), most)]
    todo.reverse()  # a stack, so that results come in order
    while todo:
        part = todo.pop()
        try:
            results.extend(await call(part))
        except PeerRefusedError as error:
            if len(part) == 1:
                results.append(error)
            else:
                middle = len(part) // 2
                todo += [part[middle:], part[:middle]]
    return results
