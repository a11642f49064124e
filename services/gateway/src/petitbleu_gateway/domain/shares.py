"""With whom a mailbox is shared and with what rights: between `shareWith` (RFC 9670 §4) and what store keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.errors import invalid
from petitbleu_gateway.jmap import ids

RIGHTS: Final[dict[str, int]] = {
    "mayReadItems": pb.MAILBOX_RIGHT_READ_ITEMS,
    "mayAddItems": pb.MAILBOX_RIGHT_ADD_ITEMS,
    "mayRemoveItems": pb.MAILBOX_RIGHT_REMOVE_ITEMS,
    "maySetSeen": pb.MAILBOX_RIGHT_SET_SEEN,
    "maySetKeywords": pb.MAILBOX_RIGHT_SET_KEYWORDS,
    "mayCreateChild": pb.MAILBOX_RIGHT_CREATE_CHILD,
    "mayRename": pb.MAILBOX_RIGHT_RENAME,
    "mayDelete": pb.MAILBOX_RIGHT_DELETE,
}
# Rights that only the owner has: mail is submitted to no mailbox directly, and whoever a mailbox is shared with does not share it on.
_NEVER: Final = ("maySubmit", "mayShare")
SHARE_WITH: Final = "shareWith"


def rights_object(bits: int) -> dict[str, bool]:
    """Return the rights of one with whom a mailbox is shared (RFC 8621 §2, RFC 9670 §4)."""
    return {name: bool(bits & bit) for name, bit in RIGHTS.items()} | dict.fromkeys(_NEVER, False)


def share_with(shares: Iterable[pb.MailboxShare]) -> dict[str, dict[str, bool]] | None:
    """Return the `shareWith` of a mailbox: null when it is shared with nobody."""
    return {f"P{share.account_id}": rights_object(share.rights) for share in shares} or None


def read_shares(update: pb.MailboxUpdate, current: Mapping[int, int], given: Mapping[tuple[str, ...], Any]) -> None:
    """Read what a client sets of `shareWith` into an update.

    Args:
        update: The update.
        current: The rights that there are, by account.
        given: Values by what follows `shareWith` in their pointers: nothing, a principal, or a principal and a right.

    Raises:
        SetError: `invalidProperties`.
    """
    wanted: dict[int, int] = {}
    for path, value in given.items():
        if not path:
            update.replace_shares = True
            if value is not None and not isinstance(value, dict):
                raise invalid(SHARE_WITH)
            for principal, rights in (value or {}).items():
                wanted[_account(principal)] = _bits(rights)
        elif len(path) == 1:
            wanted[_account(path[0])] = 0 if value is None else _bits(value)
        else:
            account_id = _account(path[0])
            bit = _bit(path[1], value)
            had = wanted.get(account_id, current.get(account_id, 0))
            wanted[account_id] = had | bit if value is True else had & ~bit
    for account_id, bits in wanted.items():
        if bits and not bits & pb.MAILBOX_RIGHT_READ_ITEMS:
            raise invalid(SHARE_WITH, why="without mayReadItems there is nothing to see")
        update.shares.add(account_id=account_id, rights=bits)


def told_otherwise(
    update: pb.MailboxUpdate, current: Mapping[int, int], given: Mapping[tuple[str, ...], Any]
) -> dict[str, Any]:
    """Return `shareWith` as it is kept, if that is not what a client makes of what it sent (RFC 8620 §5.3); arguments as `read_shares`."""
    believed: Any = {f"P{one}": rights_object(bits) for one, bits in current.items()}
    for path, value in given.items():
        if not path:
            believed = value
        elif len(path) == 1:
            _patch(believed, path[0], value)
        else:
            _patch(believed.setdefault(path[0], {}), path[1], value)
    kept = {} if update.replace_shares else dict(current)
    kept.update({share.account_id: share.rights for share in update.shares})
    found = {f"P{one}": rights_object(bits) for one, bits in kept.items() if bits} or None
    return {} if found == believed else {SHARE_WITH: found}


def _patch(there: dict[str, Any], name: str, value: Any) -> None:
    """RFC 8620 §5.3: null removes."""
    if value is None:
        there.pop(name, None)
    else:
        there[name] = value


def _account(principal: object) -> int:
    account_id = ids.principal_number(principal)
    if account_id is None:
        raise invalid(SHARE_WITH, why="no such principal")
    return account_id


def _bits(rights: object) -> int:
    if not isinstance(rights, dict):
        raise invalid(SHARE_WITH)
    bits = 0
    for name, value in rights.items():
        bits |= _bit(name, value) if value is True else _bit(name, value) & 0
    return bits


def _bit(name: object, value: object) -> int:
    if not isinstance(value, bool) and value is not None:
        raise invalid(SHARE_WITH)
    if name in _NEVER and not value:
        return 0
    if not isinstance(name, str) or name not in RIGHTS:
        raise invalid(SHARE_WITH, why="no such right, or one that is not given")
    return RIGHTS[name]
