"""Who keeps what only one mailbox may have (RFC 8621 §2): a name among its siblings, a role of the account.

It is settled for a whole request at once: whatever a thousand changes ask, it takes the time of a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import TypeVar

Thing = TypeVar("Thing", bound=Hashable)


def losers(
    having: Mapping[int, Thing],
    taken_by: Mapping[int, int],
    home: Callable[[int], Thing | None],
    reserved: Iterable[Thing] = (),
    doubtful: Collection[int] = (),
) -> list[int]:
    """Return the mailboxes that may not have what a request would give them.

    Of several that come to the same thing the first change wins, unless a mailbox is there that stays. Whoever loses goes back to what
    it had, and wins there.

    Args:
        having: What each mailbox would have.
        taken_by: By which change a mailbox has come to that, for those that have.
        home: Gives what a mailbox has when its change is left out, None when that is nothing.
        reserved: Things that nobody may come to.
        doubtful: Changes that are left out for something else: nobody loses to them.
    """
    rivals: dict[Thing, list[int]] = {}
    for one, thing in having.items():
        rivals.setdefault(thing, []).append(one)
    lost: dict[int, None] = {}
    held = set(reserved)
    waiting = list(dict.fromkeys(having[one] for one in taken_by if one in having))
    while waiting:
        thing = waiting.pop()
        here = [one for one in rivals.get(thing, ()) if one not in lost]
        coming = sorted((one for one in here if one in taken_by), key=lambda one: taken_by[one])
        if thing not in held and len(coming) == len(here):
            coming = [one for one in coming if taken_by[one] not in doubtful][1:]
        for one in coming:
            lost[one] = None
            back = home(one)
            if back is not None and back not in held:
                held.add(back)
                waiting.append(back)
    return list(lost)
