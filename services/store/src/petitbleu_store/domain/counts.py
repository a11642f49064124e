"""What a thread adds to the counters of mailboxes (RFC 8621 §2), so that counters change by differences and are never recounted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from petitbleu_store.domain.standard_mailboxes import TRASH

# Messages, unread messages, threads, unread threads of one mailbox.
Counts = tuple[int, int, int, int]
_NOTHING: Final[Counts] = (0, 0, 0, 0)


def of_single(mailbox_ids: Sequence[int], *, unread: bool) -> dict[int, Counts]:
    """Return what a thread of one message adds to each mailbox."""
    # With one message, being in another mailbox and being in the trash cannot differ: see of_thread.
    if unread:
        if TRASH in mailbox_ids or len(mailbox_ids) > 1:
            return of_thread([(mailbox_ids, True)])
        return {mailbox_ids[0]: (1, 1, 1, 1)} if mailbox_ids else {}
    return dict.fromkeys(mailbox_ids, (1, 0, 1, 0))


def of_thread(messages: Iterable[tuple[Sequence[int], bool]]) -> dict[int, Counts]:
    """Return what a thread adds to each mailbox.

    Args:
        messages: For each message of the thread the mailboxes it is in, and whether it is unread.
    """
    totals: dict[int, int] = {}
    unreads: dict[int, int] = {}
    unread_outside = unread_in_trash = False
    for mailbox_ids, unread in messages:
        for mailbox_id in mailbox_ids:
            totals[mailbox_id] = totals.get(mailbox_id, 0) + 1
        if unread:
            for mailbox_id in mailbox_ids:
                unreads[mailbox_id] = unreads.get(mailbox_id, 0) + 1
            # RFC 8621 §2, unreadThreads: what is only in the trash does not count for other mailboxes, and what is not in the
            # trash does not count for it.
            in_trash = TRASH in mailbox_ids
            unread_in_trash |= in_trash
            unread_outside |= not in_trash or len(mailbox_ids) > 1
    return {
        mailbox_id: (
            total,
            unreads.get(mailbox_id, 0),
            1,
            int(unread_in_trash if mailbox_id == TRASH else unread_outside),
        )
        for mailbox_id, total in totals.items()
    }


def add(into: dict[int, Counts], what: Mapping[int, Counts], sign: int = 1) -> None:
    """Add (or with -1 subtract) what a thread adds."""
    for mailbox_id, (total, unread, threads, unread_threads) in what.items():
        had = into.get(mailbox_id, _NOTHING)
        into[mailbox_id] = (
            had[0] + sign * total, had[1] + sign * unread, had[2] + sign * threads, had[3] + sign * unread_threads,
        )  # fmt: skip
