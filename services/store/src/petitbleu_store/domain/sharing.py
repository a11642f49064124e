"""Rights on another's mailboxes: what they are (RFC 8621 §2, RFC 9670), and what they allow.

Visibility is decided here and nowhere else: a message is seen through the mailboxes of a `View`, or not at all.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_store.domain import keywords

MAX_GRANTEES: Final = 100
"""Accounts that one mailbox is shared with, at most."""


class Right(enum.IntFlag):
    """What may be done with a shared mailbox (RFC 8621 §2 MailboxRights)."""

    READ_ITEMS = pb.MAILBOX_RIGHT_READ_ITEMS
    ADD_ITEMS = pb.MAILBOX_RIGHT_ADD_ITEMS
    REMOVE_ITEMS = pb.MAILBOX_RIGHT_REMOVE_ITEMS
    SET_SEEN = pb.MAILBOX_RIGHT_SET_SEEN
    SET_KEYWORDS = pb.MAILBOX_RIGHT_SET_KEYWORDS
    CREATE_CHILD = pb.MAILBOX_RIGHT_CREATE_CHILD
    RENAME = pb.MAILBOX_RIGHT_RENAME
    DELETE = pb.MAILBOX_RIGHT_DELETE


ALL_RIGHTS: Final = sum(Right)

# Conditions and orders that look at nothing but messages that are seen: those by what a message itself is, and those by its thread,
# of which they see what the view does (`FilterSql.source`). One that is not among them is refused: whoever adds one decides here.
_OF_WHAT_IS_SEEN: Final = frozenset(
    {
        "in_mailbox", "in_mailbox_other_than", "in_any_mailbox", "before_ms", "after_ms", "min_size", "max_size", "has_keyword",
        "not_keyword", "has_attachment", "texts", "all_in_thread_have_keyword", "some_in_thread_have_keyword",
        "none_in_thread_have_keyword",
    }
)  # fmt: skip
_ORDERS: Final = frozenset(
    {
        "SORT_PROPERTY_UNSPECIFIED", "SORT_PROPERTY_RECEIVED_AT", "SORT_PROPERTY_SIZE", "SORT_PROPERTY_SENT_AT",
        "SORT_PROPERTY_HAS_KEYWORD", "SORT_PROPERTY_FROM", "SORT_PROPERTY_TO", "SORT_PROPERTY_SUBJECT",
        "SORT_PROPERTY_ALL_IN_THREAD_HAVE_KEYWORD", "SORT_PROPERTY_SOME_IN_THREAD_HAVE_KEYWORD",
    }
)  # fmt: skip


def filter_is_of_what_is_seen(given: pb.MessageFilter) -> bool:
    """Whether a filter looks at nothing but messages that are seen."""
    if given.operator != pb.FILTER_OPERATOR_UNSPECIFIED:
        return all(filter_is_of_what_is_seen(condition) for condition in given.conditions)
    return all(field.name in _OF_WHAT_IS_SEEN for field, _ in given.ListFields())


def order_is_of_what_is_seen(sorts: Iterable[pb.MessageSort]) -> bool:
    """Whether an order looks at nothing but messages that are seen."""
    return all(pb.SortProperty.Name(sort.property) in _ORDERS for sort in sorts)


@dataclass(frozen=True, slots=True)
class View:
    """What one account sees of another's mailboxes.

    Attributes:
        grantee_id: Who sees.
        rights: Rights by mailbox; a mailbox that is not in it is not there for the grantee.
        subscribed: Those of the mailboxes that the grantee subscribed to.
        modseq: The owner's modseq at the instant of which this tells.
    """

    grantee_id: int
    rights: Mapping[int, int]
    subscribed: frozenset[int]
    modseq: int

    def shown(self, mailbox_ids: Iterable[int]) -> list[int]:
        """Return those of the mailboxes that are seen."""
        return [mailbox_id for mailbox_id in mailbox_ids if mailbox_id in self.rights]

    def sees(self, mailbox_ids: Iterable[int]) -> bool:
        """Whether a message in these mailboxes is seen."""
        return any(mailbox_id in self.rights for mailbox_id in mailbox_ids)

    def may(self, right: Right, mailbox_ids: Iterable[int]) -> bool:
        """Whether a right is had on all of the mailboxes, also on those that are not seen (RFC 8621 §2)."""
        return all(self.rights.get(mailbox_id, 0) & right for mailbox_id in mailbox_ids)

    def filtered(self, given: pb.MessageFilter) -> pb.MessageFilter:
        """Return a filter that matches what is seen of what the given one matches, and tells nothing of other mailboxes."""
        leaf = given.operator == pb.FILTER_OPERATOR_UNSPECIFIED
        if leaf and given.in_mailbox in self.rights:
            return self._rewritten(given)  # the mailbox alone decides that the message is seen
        visible = pb.MessageFilter(in_any_mailbox=pb.MailboxIds(mailbox_ids=sorted(self.rights)))
        return pb.MessageFilter(operator=pb.FILTER_OPERATOR_AND, conditions=[visible, self._rewritten(given)])

    def _rewritten(self, given: pb.MessageFilter) -> pb.MessageFilter:
        found = pb.MessageFilter()
        found.CopyFrom(given)
        if given.operator != pb.FILTER_OPERATOR_UNSPECIFIED:
            del found.conditions[:]
            found.conditions.extend([self._rewritten(condition) for condition in given.conditions])
            return found
        if given.in_mailbox and given.in_mailbox not in self.rights:
            return pb.MessageFilter(in_any_mailbox=pb.MailboxIds())
        if given.HasField("in_any_mailbox"):
            found.in_any_mailbox.CopyFrom(pb.MailboxIds(mailbox_ids=self.shown(given.in_any_mailbox.mailbox_ids)))
        if given.in_mailbox_other_than:
            del found.in_mailbox_other_than[:]
            seen = found.in_any_mailbox.mailbox_ids if given.HasField("in_any_mailbox") else self.rights
            others = sorted(set(seen) - set(given.in_mailbox_other_than))
            found.in_any_mailbox.CopyFrom(pb.MailboxIds(mailbox_ids=others))
        return found


def narrowed(view: View, update: pb.MessageUpdate, mailbox_ids: Collection[int]) -> pb.MessageUpdate:
    """Return an update of a message as far as it is about mailboxes that are seen: the message stays in the others."""
    found = pb.MessageUpdate()
    found.CopyFrom(update)
    removed = set(mailbox_ids) - set(update.add_mailbox_ids) if update.replace_mailboxes else update.remove_mailbox_ids
    found.replace_mailboxes = False
    found.remove_mailbox_ids[:] = view.shown(sorted(removed))
    return found


def refused(
    view: View,
    before: tuple[int, Collection[int], Collection[int]],
    after: tuple[int, Collection[int], Collection[int]],
) -> pb.UpdateStatus.ValueType | None:
    """Return why a message may not become what an update makes of it; None when it may.

    Args:
        view: Of whoever asks.
        before: Flags, hashes of other keywords, and mailboxes as they are.
        after: The same as they would be; no mailboxes for a message that would be destroyed.
    """
    flags, others, mailboxes = before
    new_flags, new_others, new_mailboxes = after
    if not new_mailboxes:
        # RFC 8621 §2 mayRemoveItems: on all the mailboxes that the Email is in
        return None if view.may(Right.REMOVE_ITEMS, mailboxes) else pb.UPDATE_STATUS_FORBIDDEN
    if not view.sees(new_mailboxes):
        return pb.UPDATE_STATUS_INVALID_MAILBOX  # RFC 8621 §4.1.1: none would be left
    changed = (flags ^ new_flags) & keywords.KEYWORD_BITS
    wanted = [
        (Right.REMOVE_ITEMS, set(mailboxes) - set(new_mailboxes)),
        (Right.ADD_ITEMS, set(new_mailboxes) - set(mailboxes)),
        # RFC 8621 §2 maySetSeen, maySetKeywords: on all the mailboxes that the Email is in
        (Right.SET_SEEN, set(mailboxes) if changed & keywords.SEEN else set()),
        (Right.SET_KEYWORDS, set(mailboxes) if changed & ~keywords.SEEN or set(others) != set(new_others) else set()),
    ]
    return None if all(view.may(right, some) for right, some in wanted) else pb.UPDATE_STATUS_FORBIDDEN
