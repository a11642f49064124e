"""What a client wants of a mailbox (RFC 8621 §2.5), read into what store takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.json_pointers import unescape
from petitbleu_gateway.domain.mailbox_view import SERVER_SET, MailboxView
from petitbleu_gateway.domain.shares import SHARE_WITH, read_shares, told_otherwise
from petitbleu_gateway.errors import Invalid, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_mail.mailbox_rules import FREE_ROLES, STANDARD_ROLES, normal_name

# Properties that are objects, and how long a pointer into them is at most.
_DEEPEST: Final = {"myRights": 2, SHARE_WITH: 3}
_SORT_ORDER_END: Final = 1 << 31


@dataclass(slots=True)
class Wanted:
    """A creation or change of a mailbox.

    Attributes:
        update: It, as store takes it.
        given: The properties that the client gave.
        below: The creation id of its new parent, where that is made in the same call.
        of: The creation id of the mailbox itself, where that is made in the same call.
        kept: Properties that are kept otherwise than they were sent.
    """

    update: pb.MailboxUpdate
    given: dict[str, Any] = field(default_factory=dict)
    below: str | None = None
    of: str | None = None
    kept: dict[str, Any] = field(default_factory=dict)


class MailboxReader:
    """Reads the objects of one Mailbox/set.

    Args:
        view: The account's mailboxes.
        made: What is created in the same call, by creation ids.
        resolve: Gives the id behind a creation id of an earlier call, or the id itself.
    """

    def __init__(self, view: MailboxView, made: Mapping[str, Any], resolve: Callable[[str], str]) -> None:
        self._view = view
        self._made = made
        self._resolve = resolve

    def made_here(self, text: str) -> str | None:
        """Return the creation id that a text names, if it is of the same call: the latest one counts (RFC 8620 §5.3)."""
        return text[1:] if text.startswith("#") and text[1:] in self._made else None

    def number(self, text: str) -> int | None:
        """Return the mailbox that an id names, if it is there."""
        number = ids.mailbox_number(self._resolve(text))
        return number if number in self._view.by_id else None

    def new(self, given: dict[str, Any]) -> Wanted:
        """Read a mailbox to create.

        Raises:
            SetError: `invalidProperties` naming all that are.
        """
        # RFC 8621 §2: isSubscribed is true for what a person makes
        wanted = Wanted(pb.MailboxUpdate(parent_id=0, subscribed=True), given)
        wrong = Invalid()
        if "name" not in given:
            with wrong:
                raise invalid("name")
        for name, value in given.items():
            with wrong:
                if name == SHARE_WITH:
                    self._share(wanted, {}, {(): value})
                else:
                    self._set(wanted, name, value)
        wrong.settle()
        if self._view.with_shares and SHARE_WITH not in given:
            wanted.kept[SHARE_WITH] = None
        return wanted

    def change(self, number: int | None, patch: dict[str, Any], made: Wanted | None = None) -> Wanted:
        """Read a patch for a mailbox, or for one made in the same call when there is no number.

        Raises:
            SetError: `invalidPatch`; `invalidProperties` naming all that are.
        """
        found = None if number is None else self._view.by_id[number]
        wanted = Wanted(pb.MailboxUpdate(mailbox_id=number or 0))
        wrong = Invalid()
        paths = _paths(patch)
        shares = {path[1:]: value for path, value in paths.items() if path[0] == SHARE_WITH}
        if shares:
            with wrong:
                there = found.shares if found else made.update.shares if made else ()
                self._share(wanted, {share.account_id: share.rights for share in there}, shares)
        for path, value in paths.items():
            if path[0] == SHARE_WITH:
                continue
            with wrong:
                if path[0] in SERVER_SET:
                    self._same(found, path, value)
                else:
                    wanted.given[path[0]] = value
                    self._set(wanted, path[0], value)
        wrong.settle()
        return wanted

    def _same(self, found: pb.Mailbox | None, path: tuple[str, ...], value: Any) -> None:
        """RFC 8620 §5.3: what the server sets may be given with the value that it has."""
        current = None if found is None else self._view.value(found, path[0])
        if len(path) == 2:
            current = current.get(path[1]) if current else None
        if current is None or type(current) is not type(value) or current != value:
            raise invalid(path[0], why="the server sets it")

    def _share(self, wanted: Wanted, current: Mapping[int, int], given: Mapping[tuple[str, ...], Any]) -> None:
        """RFC 9670 §4: only whoever mayShare sets with whom."""
        if not self._view.with_shares:
            raise invalid(SHARE_WITH)
        if self._view.shared:
            raise SetError(SetFault.FORBIDDEN)
        read_shares(wanted.update, current, given)
        wanted.kept |= told_otherwise(wanted.update, current, given)

    def _set(self, wanted: Wanted, name: str, value: Any) -> None:
        update = wanted.update
        if name == "name":
            if not isinstance(value, str) or normal_name(value) is None:
                raise invalid("name")
            update.name = value
        elif name == "parentId":
            self._set_parent(wanted, value)
        elif name == "role":
            if value is not None and not (isinstance(value, str) and value in FREE_ROLES | STANDARD_ROLES):
                raise invalid("role")
            update.role = value or ""
        elif name == "sortOrder":
            # RFC 8620 §5.3: null sets the default
            if value is not None and (type(value) is not int or not 0 <= value < _SORT_ORDER_END):
                raise invalid("sortOrder")
            update.sort_order = value or 0
        elif name == "isSubscribed":
            if value is not None and not isinstance(value, bool):
                raise invalid("isSubscribed")
            update.subscribed = value is not False
        else:
            raise invalid(name)

    def _set_parent(self, wanted: Wanted, value: Any) -> None:
        if value is None:
            wanted.update.parent_id = 0
            return
        if not isinstance(value, str):
            raise invalid("parentId")
        wanted.below = self.made_here(value)
        if wanted.below is None:
            number = self.number(value)
            if number is None:
                raise invalid("parentId", why="no such mailbox")
            wanted.update.parent_id = number


def _paths(patch: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """Return a PatchObject by the tokens of its pointers (RFC 8620 §5.3)."""
    paths: dict[tuple[str, ...], Any] = {}
    for pointer, value in patch.items():
        tokens = tuple(unescape(pointer) or ())
        if not tokens or tokens in paths or len(tokens) > _DEEPEST.get(tokens[0], 1):
            raise SetError(SetFault.INVALID_PATCH, "nothing can be patched there")
        paths[tokens] = value
    if any(tokens[:length] in paths for tokens in paths for length in range(1, len(tokens))):
        raise SetError(SetFault.INVALID_PATCH, "one pointer holds another")
    return paths
