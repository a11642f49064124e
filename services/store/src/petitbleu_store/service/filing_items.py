"""The items of a request to file, merged by account and message, and the outcomes that follow from what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from petitbleu.store.v1 import filing_pb2
from petitbleu_kit.ids import BlobId
from petitbleu_store.domain import keywords
from petitbleu_store.domain.description import Description
from petitbleu_store.domain.folders import MAX_FOLDERS, Folder, read_folder
from petitbleu_store.domain.outcome import Outcome, Settlement
from petitbleu_store.domain.standard_mailboxes import BY_ROLE, INBOX
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.filing_commit import Filing

MAX_ITEMS: Final = 1000
MAX_HEADER_OCTETS: Final = 1 << 20
"""Of a header that a rule edited: more is not taken."""
SETTLES: Final = {filing_pb2.FILE_STATUS_FILED: Outcome.FILED, filing_pb2.FILE_STATUS_HELD: Outcome.HELD}


@dataclass(slots=True)
class Wanted:
    """One accepted message for one account; several recipients of the envelope may lead to the same account."""

    account_id: int
    accepted_id: BlobId
    recipients: list[int]
    mailbox_ids: list[int]
    flags: int
    keywords: set[str]
    prefix: bytes
    tokens: list[str]
    filing: Filing | None = None
    status: filing_pb2.FileStatus.ValueType = filing_pb2.FILE_STATUS_UNSPECIFIED
    # Recipients of which this is the only item: their outcome is recorded in the commit that files.
    sole: set[int] = field(default_factory=set)
    settled: bool = False
    # Mailboxes that a rule names: they are found under the account's lock.
    folders: list[Folder] = field(default_factory=list)
    # Whether the words of the account may put it in Junk: if all items of it say so.
    weigh: bool = True
    # What a rule makes of the header (RFC 5293), and of how many octets of the blob it takes the place.
    header: bytes = b""
    skip: int = 0
    # The message with that header, once it was read.
    edited: Description | None = None


def wanted_of(items: Sequence[filing_pb2.FileItem]) -> tuple[list[Wanted], list[Wanted]]:
    """Merge the items of a request by account and message.

    Returns:
        What is wanted, and for each item the one that it is part of.

    Raises:
        StoreError: INVALID for an id or a keyword that is none.
    """
    if len(items) > MAX_ITEMS:
        raise StoreError(Problem.INVALID, "too many items")
    merged: dict[tuple[int, bytes], Wanted] = {}
    of_item: list[Wanted] = []
    for item in items:
        key = (item.account_id, item.recipient.accepted_id)
        if len(key[1]) != 16:
            raise StoreError(Problem.INVALID, "an accepted id is 16 octets")
        folders = folders_of(item)
        roles = {BY_ROLE.get(role, INBOX) for role in item.mailbox_roles} or (set() if folders else {INBOX})
        try:
            flags, others = keywords.split(item.keywords)
        except keywords.BadKeywordError:
            raise StoreError(Problem.INVALID, "not a keyword") from None
        one = merged.get(key)
        if one is None:
            one = merged[key] = Wanted(
                item.account_id, BlobId(UUID(bytes=key[1])), [], [], 0, set(), item.prefix, []
            )  # fmt: skip
        one.recipients.append(item.recipient.recipient_no)
        one.mailbox_ids = sorted(roles.union(one.mailbox_ids))
        one.folders += [folder for folder in folders if folder not in one.folders]
        one.flags |= flags
        one.keywords |= others
        if item.edited_header and not one.skip:
            if not item.edited_from > 0 or len(item.edited_header) > MAX_HEADER_OCTETS:
                raise StoreError(Problem.INVALID, "no header")
            one.header, one.skip = item.edited_header, item.edited_from
        one.weigh = one.weigh and item.weigh_words
        if item.sole:
            one.sole.add(item.recipient.recipient_no)
        if item.decision_token:
            one.tokens.append(item.decision_token)
        of_item.append(one)
    return list(merged.values()), of_item


def folders_of(item: filing_pb2.FileItem) -> list[Folder]:
    """Return the mailboxes that rules name for an item; what can be no mailbox's name is left out.

    Raises:
        StoreError: INVALID for too many.
    """
    if len(item.folders) > MAX_FOLDERS:
        raise StoreError(Problem.INVALID, "too many mailboxes")
    found = (read_folder(one.path, one.role, create=one.create, mailbox_id=one.mailbox_id) for one in item.folders)
    return [folder for folder in found if folder is not None]


def outcomes(wanted: Sequence[Wanted]) -> tuple[list[Settlement], dict[tuple[BlobId, int], list[int]]]:
    """Return the outcomes of recipients whose only item is filed or held, and who has it of the others."""
    settlements = []
    shared: dict[tuple[BlobId, int], list[int]] = {}
    for one in wanted:
        outcome = SETTLES.get(one.status)
        if outcome is None:
            continue
        settlements += [Settlement(one.accepted_id, number, outcome, (one.account_id,)) for number in one.sole]
        for number in one.recipients:
            if number not in one.sole:
                shared.setdefault((one.accepted_id, number), []).append(one.account_id)
    return settlements, shared
