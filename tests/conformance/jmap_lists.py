"""Lists of a person's mail in memory, said naively: filters, orders, windows, and what became of a list (RFC 8621 §4.4, §4.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_mail.collations import ascii_casemap, unicode_casemap
from petitbleu_mail.header_values import as_text
from petitbleu_mail.mime import scan_message
from petitbleu_mail.structure import decode_meta
from petitbleu_mail.threading import bare_subject
from petitbleu_store.domain.query_scope import scope_of
from petitbleu_store.domain.text_filter import shown_texts, text_leaves
from petitbleu_store.errors import QueryRefusedError
from petitbleu_text.matching import header_contains
from petitbleu_text.matching import matches as text_matches
from petitbleu_text.query import parse
from petitbleu_text.searchable import SCOPES, Field, Searchable
from petitbleu_text.snippets import mark_subject, preview

COLLATIONS: dict[int, Callable[[str], str]] = {pb.COLLATION_ASCII_CASEMAP: ascii_casemap, pb.COLLATION_OCTET: str}


@dataclass
class Kept:
    """A message in memory."""

    row: pb.Message
    served: bytes
    created: int
    sent_at: int
    has_attachment: bool


Messages = Mapping[int, Kept]


def listed(messages: Messages, asked: pb.QueryMessagesRequest | pb.QueryMessageChangesRequest) -> list[int]:
    """Return all that a query finds, in order."""
    found = [kept for kept in messages.values() if matches(kept, asked.filter, messages)]
    # What nothing tells apart stands newest first, but in a list from the oldest.
    first = asked.sort[0] if asked.sort else pb.MessageSort()
    oldest_first = first.ascending and first.property == pb.SORT_PROPERTY_RECEIVED_AT
    found.sort(key=lambda kept: (kept.row.received_at_ms, kept.row.message_id), reverse=not oldest_first)
    for sort in reversed(asked.sort):
        found.sort(key=lambda kept: _key(kept, sort, messages), reverse=not sort.ascending)
    if asked.collapse_threads:
        heads: dict[int, Kept] = {}
        for kept in found:
            heads.setdefault(kept.row.thread_id, kept)
        found = list(heads.values())
    return [kept.row.message_id for kept in found]


def window(messages: Messages, asked: pb.QueryMessagesRequest, modseq: int) -> pb.QueryMessagesResponse:
    """Answer a query (RFC 8620 §5.5)."""
    numbers = listed(messages, asked)
    answer = pb.QueryMessagesResponse(
        total=len(numbers) if asked.calculate_total else -1, modseq=modseq, can_calculate_changes=True
    )
    start = asked.position if asked.position >= 0 else max(0, len(numbers) + asked.position)
    if asked.anchor:
        if asked.anchor not in numbers:
            answer.anchor_not_found = True
            return answer
        start = max(0, numbers.index(asked.anchor) + asked.anchor_offset)
    answer.position = start
    answer.message_ids.extend(numbers[start : start + asked.limit])
    return answer


def refused(given: pb.MessageFilter) -> bool:
    """Whether a filter's texts are more than store looks for."""
    try:
        text_leaves(given)
    except QueryRefusedError:
        return True
    return False


def snippets(messages: Messages, asked: pb.GetSnippetsRequest) -> pb.GetSnippetsResponse:
    """Show what is found in messages (RFC 8621 §5)."""
    subjects, bodies = ([parse(text) for text in texts] for texts in shown_texts(asked.filter))
    answer = pb.GetSnippetsResponse()
    for kept in [messages[number] for number in asked.message_ids if number in messages]:
        meta = decode_meta(kept.row.meta)
        subject, found = mark_subject(meta.subject or "", subjects), preview([meta.preview], bodies)
        answer.snippets.add(message_id=kept.row.message_id, subject=subject, preview=found)
    return answer


def became(
    before: Messages, now: Messages, touched: set[int], asked: pb.QueryMessageChangesRequest, modseq: int
) -> pb.QueryMessageChangesResponse:
    """Tell what became of a list (RFC 8620 §5.6), with no more than must be told but for the messages that were touched."""
    old, new = listed(before, asked), listed(now, asked)
    fixed = not scope_of(asked.filter, asked.sort).mutable
    if fixed:
        touched = set()
    removed = [number for number in old if number not in new or number in touched]
    known = set(old) - set(removed)
    answer = pb.QueryMessageChangesResponse(modseq=modseq, total=len(new) if asked.calculate_total else -1)
    answer.removed.extend(removed)
    for index, number in enumerate(new):
        if number not in known and not (fixed and asked.up_to in new[:index]):
            answer.added.add(message_id=number, index=index)
    if asked.HasField("max_changes") and len(answer.removed) + len(answer.added) > asked.max_changes:
        return pb.QueryMessageChangesResponse(refusal=pb.QUERY_REFUSAL_TOO_MANY_CHANGES)
    return answer


def _key(kept: Kept, sort: pb.MessageSort, messages: Messages) -> Any:
    names = _STRINGS.get(sort.property)
    if names is not None:
        return COLLATIONS.get(sort.collation, unicode_casemap)(names(decode_meta(kept.row.meta)))
    in_thread = _thread_has(kept, sort.keyword, messages)
    return {
        pb.SORT_PROPERTY_RECEIVED_AT: kept.row.received_at_ms,
        pb.SORT_PROPERTY_SIZE: kept.row.size,
        pb.SORT_PROPERTY_SENT_AT: kept.sent_at,
        pb.SORT_PROPERTY_HAS_KEYWORD: sort.keyword in kept.row.keywords,
        pb.SORT_PROPERTY_ALL_IN_THREAD_HAVE_KEYWORD: all(in_thread),
        pb.SORT_PROPERTY_SOME_IN_THREAD_HAVE_KEYWORD: any(in_thread),
    }[sort.property]


def _first(addresses: Sequence[Any] | None) -> str:
    """RFC 8621 §4.4.2: the name of the first address, else its email, else nothing."""
    return (addresses[0].name or addresses[0].email) if addresses else ""


_STRINGS: dict[int, Any] = {
    pb.SORT_PROPERTY_FROM: lambda meta: _first(meta.from_),
    pb.SORT_PROPERTY_TO: lambda meta: _first(meta.to),
    pb.SORT_PROPERTY_SUBJECT: lambda meta: bare_subject(meta.subject or ""),
}


def _thread_has(kept: Kept, keyword: str, messages: Messages) -> list[bool]:
    thread = kept.row.thread_id
    return [keyword in other.row.keywords for other in messages.values() if other.row.thread_id == thread]


def matches(kept: Kept, wanted: pb.MessageFilter, messages: Messages) -> bool:
    """Whether a message is what a filter wants (RFC 8621 §4.4.1)."""
    row = kept.row
    if wanted.operator == pb.FILTER_OPERATOR_AND:
        return all(matches(kept, inner, messages) for inner in wanted.conditions)
    if wanted.operator == pb.FILTER_OPERATOR_OR:
        return any(matches(kept, inner, messages) for inner in wanted.conditions)
    if wanted.operator == pb.FILTER_OPERATOR_NOT:
        return not any(matches(kept, inner, messages) for inner in wanted.conditions)
    every, some, none = (
        wanted.all_in_thread_have_keyword, wanted.some_in_thread_have_keyword, wanted.none_in_thread_have_keyword
    )  # fmt: skip
    return not (
        (wanted.in_mailbox and wanted.in_mailbox not in row.mailbox_ids)
        or (wanted.in_mailbox_other_than and not set(row.mailbox_ids) - set(wanted.in_mailbox_other_than))
        or (wanted.before_ms and row.received_at_ms >= wanted.before_ms)
        or (wanted.after_ms and row.received_at_ms < wanted.after_ms)
        or (wanted.min_size and row.size < wanted.min_size)
        or (wanted.max_size and row.size >= wanted.max_size)
        or (wanted.has_keyword and wanted.has_keyword not in row.keywords)
        or (wanted.not_keyword and wanted.not_keyword in row.keywords)
        or (wanted.HasField("has_attachment") and wanted.has_attachment != kept.has_attachment)
        or (every and not all(_thread_has(kept, every, messages)))
        or (some and not any(_thread_has(kept, some, messages)))
        or (none and any(_thread_has(kept, none, messages)))
        or not all(_has_text(kept, one) for one in wanted.texts)
    )


def _has_text(kept: Kept, wanted: pb.TextCondition) -> bool:
    if wanted.scope == pb.TEXT_SCOPE_HEADER:
        name = wanted.header_name.lower().encode()
        values = [as_text(value) for value in scan_message(kept.served)[1].all(name)]
        return any(header_contains(value, wanted.text) for value in values)
    scope = pb.TextScope.Name(wanted.scope).removeprefix("TEXT_SCOPE_").lower()
    return text_matches(parse(wanted.text), searchable(kept), SCOPES[scope])


def searchable(kept: Kept) -> Searchable:
    """Return what is searched of a message: of its body, what its preview has."""
    meta = decode_meta(kept.row.meta)
    people = {Field.FROM: meta.from_, Field.TO: meta.to, Field.CC: meta.cc, Field.BCC: meta.bcc}
    texts = {
        field: [text for one in addresses or () for text in (one.name, one.email) if text]
        for field, addresses in people.items()
    }
    return Searchable({**texts, Field.SUBJECT: [meta.subject or ""], Field.BODY: [meta.preview]})
