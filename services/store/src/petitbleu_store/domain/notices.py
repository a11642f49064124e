"""How many notifications of shares are kept (RFC 9670 §3.1): the oldest go first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

MAX_KEPT: Final = 100
"""Notifications of an account."""
MAX_OF_MAILBOX: Final = 10
"""Of them of one mailbox: one that is shared and not, over and over, leaves room for what others share."""


def surplus(kept: Sequence[tuple[int, int, int]], new: Sequence[tuple[int, int]]) -> list[int]:
    """Return the notifications that go when new ones come, oldest first.

    Args:
        kept: Those that there are, oldest first: id, owner and mailbox.
        new: Owner and mailbox of each that comes, one for a mailbox and at most `MAX_KEPT`.
    """
    of_mailbox = Counter(new)
    going: set[int] = set()
    staying: list[int] = []
    for notification_id, *what in reversed(kept):
        mailbox = (what[0], what[1])
        of_mailbox[mailbox] += 1
        if of_mailbox[mailbox] > MAX_OF_MAILBOX or len(staying) + len(new) >= MAX_KEPT:
            going.add(notification_id)
        else:
            staying.append(notification_id)
    return [one for one, _, _ in kept if one in going]
