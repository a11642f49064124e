"""Filter, sort and tree order of Mailbox/query (RFC 8621 §2.3). An account's mailboxes are few, so lists are made of all of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.comparators import Comparator, FilterOperator, comparator_members
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_mail.collations import COLLATIONS, DEFAULT

_MAX_DEPTH: Final = 16
_MAX_CONDITIONS: Final = 200
_MAX_SORTS: Final = 8
Matcher = Callable[[pb.Mailbox], bool]
Kind = TypeVar("Kind")


class _Condition(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    parent_id: str | UnsetType | None = UNSET
    name: str | UnsetType = UNSET
    role: str | UnsetType | None = UNSET
    has_any_role: bool | UnsetType = UNSET
    is_subscribed: bool | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class MailboxList:
    """What a list is of, and its order."""

    filter: dict[str, Any] | None
    sort: list[dict[str, Any]] | None
    sort_as_tree: bool
    filter_as_tree: bool
    resolve: Callable[[str], str]

    @property
    def mutable(self) -> bool:
        """Whether a change of a mailbox may change the list; else it is all of them by id."""
        return bool(self.filter) or bool(self.sort) or self.sort_as_tree

    @property
    def as_tree(self) -> bool:
        """Whether a change of a mailbox may change the places of those below it."""
        return self.sort_as_tree or self.filter_as_tree

    def of(self, mailboxes: Sequence[pb.Mailbox]) -> list[int]:
        """Return the ids in the list.

        Raises:
            MethodError: `invalidArguments`, `unsupportedFilter`, `unsupportedSort`.
        """
        matches = (lambda _found: True) if self.filter is None else _matcher(self.filter, self.resolve, [0], 1)
        ordered = _sorted(mailboxes, self.sort or ())
        kept = {found.mailbox_id for found in mailboxes if matches(found)}
        if self.filter_as_tree:
            kept = _with_ancestors(mailboxes, kept)
        if self.sort_as_tree:
            ordered = _tree(ordered)
        return [found.mailbox_id for found in ordered if found.mailbox_id in kept]


def below(mailboxes: Iterable[pb.Mailbox], roots: Iterable[int]) -> set[int]:
    """Return some mailboxes and all that are below them."""
    children: dict[int, list[int]] = {}
    for found in mailboxes:
        children.setdefault(found.parent_id, []).append(found.mailbox_id)
    seen: set[int] = set()
    left = list(roots)
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left.extend(children.get(one, ()))
    return seen


def _convert(given: dict[str, Any], kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, f"filter or sort: {error}") from None


def _matcher(given: dict[str, Any], resolve: Callable[[str], str], count: list[int], depth: int) -> Matcher:
    count[0] += 1
    if depth > _MAX_DEPTH or count[0] > _MAX_CONDITIONS:
        raise MethodError(Fault.UNSUPPORTED_FILTER, "the filter is too large")
    if "operator" not in given:
        return _condition(_convert(given, _Condition), resolve)
    found = _convert(given, FilterOperator)
    inner = [_matcher(one, resolve, count, depth + 1) for one in found.conditions]
    if found.operator == "AND":
        return lambda mailbox: all(one(mailbox) for one in inner)
    if found.operator == "OR":
        return lambda mailbox: any(one(mailbox) for one in inner)
    return lambda mailbox: not any(one(mailbox) for one in inner)


def _condition(condition: _Condition, resolve: Callable[[str], str]) -> Matcher:
    wanted: list[Matcher] = []
    if condition.parent_id is not UNSET:
        text = condition.parent_id
        parent = 0 if text is None else ids.mailbox_number(resolve(text)) or -1
        wanted.append(lambda found: found.parent_id == parent)
    if condition.name is not UNSET:
        part = _folded(condition.name)
        wanted.append(lambda found: part in _folded(found.name))
    if condition.role is not UNSET:
        role = condition.role
        wanted.append(lambda found: (found.role or None) == role)
    if condition.has_any_role is not UNSET:
        any_role = condition.has_any_role
        wanted.append(lambda found: bool(found.role) == any_role)
    if condition.is_subscribed is not UNSET:
        subscribed = condition.is_subscribed
        wanted.append(lambda found: found.subscribed == subscribed)
    return lambda found: all(one(found) for one in wanted)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _sorted(mailboxes: Iterable[pb.Mailbox], sort: Sequence[dict[str, Any]]) -> list[pb.Mailbox]:
    """Return mailboxes in order; those that compare alike by their ids, so that the order is stable (RFC 8620 §5.5)."""
    if len(sort) > _MAX_SORTS:
        raise MethodError(Fault.UNSUPPORTED_SORT)
    found = sorted(mailboxes, key=lambda one: one.mailbox_id)
    for comparator in reversed([_convert(comparator_members(one), Comparator) for one in sort]):
        collation = DEFAULT if comparator.collation is UNSET else comparator.collation
        if comparator.property not in _SORTS or collation not in COLLATIONS:
            raise MethodError(Fault.UNSUPPORTED_SORT)
        found.sort(key=_SORTS[comparator.property](COLLATIONS[collation]), reverse=not comparator.is_ascending)
    return found


# RFC 8621 §2.3: `sortOrder` and `name` must be there. Each takes the collation and gives the key.
_SORTS: Final[dict[str, Callable[[Callable[[str], str]], Callable[[pb.Mailbox], Any]]]] = {
    "sortOrder": lambda _collate: lambda found: found.sort_order,
    "name": lambda collate: lambda found: collate(found.name),
    "role": lambda collate: lambda found: collate(found.role),
    "parentId": lambda _collate: lambda found: found.parent_id,
    "isSubscribed": lambda _collate: lambda found: found.subscribed,
}


def _with_ancestors(mailboxes: Iterable[pb.Mailbox], kept: set[int]) -> set[int]:
    """RFC 8621 §2.3, filterAsTree: keep those of which all ancestors are kept too."""
    parents = {found.mailbox_id: found.parent_id for found in mailboxes}

    def whole(one: int) -> bool:
        while one in parents:
            if one not in kept:
                return False
            one = parents[one]
        return True

    return {one for one in kept if whole(one)}


def _tree(ordered: Iterable[pb.Mailbox]) -> list[pb.Mailbox]:
    """RFC 8621 §2.3, sortAsTree: each mailbox before those in it, siblings in their order."""
    children: dict[int, list[pb.Mailbox]] = {}
    for found in ordered:
        children.setdefault(found.parent_id, []).append(found)
    result: list[pb.Mailbox] = []
    left = list(reversed(children.get(0, ())))
    while left:
        found = left.pop()
        result.append(found)
        left.extend(reversed(children.get(found.mailbox_id, ())))
    return result
