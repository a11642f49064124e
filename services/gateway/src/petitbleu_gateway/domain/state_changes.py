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
_SCRIPT: Final = "SieveScript"
_VACATION: Final = "VacationResponse"
# of the extension of ADR 34: told to whom listens just then, and known from nobody afterwards
_FAMILY: Final = ("GuardedChild", "WaitingSender", "Correspondent")
TYPES: Final = frozenset({*_LOGGED, _DELIVERY, _IDENTITY, _SUBMISSION, _SCRIPT, _VACATION, *_FAMILY})
"""Types whose changes are pushed; RFC 8621 §1.5 adds `EmailDelivery`, which changes only when a message was added."""
SHARED_TYPES: Final = frozenset({"Email", "Mailbox", "Thread"})
"""Types that accounts of others have for those with whom they share."""
_SEEN: Final = re.compile(r"(a[a-z2-7]{1,13})\.([0-9]{1,18})\.([0-9]{1,18})((?:\.[0-9]{1,18}){0,5})")
"""Up to five numbers may follow the first two: older texts end earlier."""


class AccountState(NamedTuple):
    """How far an account is.

    Attributes:
        modseq: The state of all types of its log.
        last_id: The id of its newest message.
        identities: State of its identities.
        submissions: State of its submissions.
        scripts: State of its Sieve scripts.
        vacation: State of its answer while away.
        family: When what it sees of its family changed last, as far as it was heard (Unix microseconds).
    """

    modseq: int
    last_id: int
    identities: int = 0
    submissions: int = 0
    scripts: int = 0
    vacation: int = 0
    family: int = 0

    def later(self, other: AccountState) -> AccountState:
        """Return the later of both; events may come out of their order."""
        return AccountState(*map(max, self, other))

    def beyond(self, other: AccountState) -> bool:
        """Whether it knows anything that the other does not; `last_id` is no sign of it, a message that is destroyed takes its id along."""
        mine, theirs = self._replace(last_id=0), other._replace(last_id=0)
        return any(one > two for one, two in zip(mine, theirs, strict=True))


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
    for name, before, after in (
        (_IDENTITY, seen.identities, now.identities),
        (_SUBMISSION, seen.submissions, now.submissions),
        (_SCRIPT, seen.scripts, now.scripts),
        (_VACATION, seen.vacation, now.vacation),
        *((name, seen.family, now.family) for name in _FAMILY),
    ):
        if after > before and name in types:
            changed[name] = ids.state_text(after)
    if not changed:
        return None
    return {"@type": "StateChange", "changed": {ids.account_id_text(account_id): changed}}


def seen_text(account_id: int, state: AccountState) -> str:
    """Return the event id (RFC 8620 §7.3) and pushState (RFC 8887 §4.3.5.1) that stand for a state."""
    return ".".join((ids.account_id_text(account_id), *map(str, state)))


def seen_state(account_id: int, text: str) -> AccountState:
    """Return the state that such a text stands for; one that is none of ours for this account has seen nothing."""
    found = _SEEN.fullmatch(text)
    if found is None or ids.account_number(found[1]) != account_id:
        return NOTHING_SEEN
    return AccountState(int(found[2]), int(found[3]), *map(int, found[4].split(".")[1:]))


def wanted_types(names: AbstractSet[str]) -> frozenset[str]:
    """Return which of the types that a client names are pushed; of one that we do not have nothing can change."""
    return TYPES & names
