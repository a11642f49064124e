"""What is pushed: StateChange objects (RFC 8620 §7.1), and the ids by which a client says how much it has seen."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from petitbleu_gateway.jmap import ids

_LOGGED: Final = ("Email", "Mailbox", "Thread", "Quota", "ShareNotification")
_DELIVERY: Final = "EmailDelivery"
_IDENTITY: Final = "Identity"
_SUBMISSION: Final = "EmailSubmission"
TYPES: Final = frozenset({*_LOGGED, _DELIVERY, _IDENTITY, _SUBMISSION})
"""Types whose changes are pushed; RFC 8621 §1.5 adds `EmailDelivery`, which changes only when a message was added."""
SHARED_TYPES: Final = frozenset({"Email", "Mailbox", "Thread"})
"""Types that accounts of others have for those with whom they share."""
_SEEN: Final = re.compile(r"(a[a-z2-7]{1,13})\.([0-9]{1,18})\.([0-9]{1,18})(?:\.([0-9]{1,18}))?(?:\.([0-9]{1,18}))?")


class AccountState(NamedTuple):
    """How far an account is: its modseq, which is the state of all types of its log, the id of its newest message, its identities, and its submissions."""

    modseq: int
    last_id: int
    identities: int = 0
    submissions: int = 0

    def later(self, other: AccountState) -> AccountState:
        """Return the later of both; events may come out of their order."""
        return AccountState(*map(max, self, other))

    def beyond(self, other: AccountState) -> bool:
        """Whether it knows anything that the other does not; `last_id` is no sign of it, a message that is destroyed takes its id along."""
        return self.modseq > other.modseq or self.identities > other.identities or self.submissions > other.submissions


NOTHING_SEEN: Final = AccountState(0, 0)


def state_change(
    account_id: int, types: AbstractSet[str], seen: AccountState, now: AccountState
) -> dict[str, Any] | None:
    """Return the StateChange (RFC 8620 §7.1) from one state to another in the types asked for, None when none changed."""
    changed = {}
    if now.modseq > seen.modseq:
        state = ids.state_text(now.modseq)
        changed = {name: state for name in _LOGGED if name in types}
    if now.last_id > seen.last_id and _DELIVERY in types:
        changed[_DELIVERY] = str(now.last_id)
    if now.identities > seen.identities and _IDENTITY in types:
        changed[_IDENTITY] = ids.state_text(now.identities)
    if now.submissions > seen.submissions and _SUBMISSION in types:
        changed[_SUBMISSION] = ids.state_text(now.submissions)
    if not changed:
        return None
    return {"@type": "StateChange", "changed": {ids.account_id_text(account_id): changed}}


def seen_text(account_id: int, state: AccountState) -> str:
    """Return the event id (RFC 8620 §7.3) and pushState (RFC 8887 §4.3.5.1) that stand for a state."""
    return f"{ids.account_id_text(account_id)}.{state.modseq}.{state.last_id}.{state.identities}.{state.submissions}"


def seen_state(account_id: int, text: str) -> AccountState:
    """Return the state that such a text stands for; one that is none of ours for this account has seen nothing."""
    found = _SEEN.fullmatch(text)
    if found is None or ids.account_number(found[1]) != account_id:
        return NOTHING_SEEN
    return AccountState(int(found[2]), int(found[3]), int(found[4] or 0), int(found[5] or 0))


def wanted_types(names: AbstractSet[str]) -> frozenset[str]:
    """Return which of the types that a client names are pushed; of one that we do not have nothing can change."""
    return TYPES & names
