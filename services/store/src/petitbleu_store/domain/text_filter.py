"""The texts of a filter (RFC 8621 §4.4.1): what is looked for, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.errors import Problem, QueryRefusedError, StoreError
from petitbleu_text.query import Query, QueryTooLongError, parse
from petitbleu_text.searchable import SCOPES, Field

# Texts of one filter: each is looked up for itself.
MAX_TEXTS: Final = 32
# RFC 5322 §2.2: a field name is printable; nobody has a longer one.
MAX_HEADER_NAME: Final = 100
_HEADER_TEXT: Final = 1000

_SCOPES: Final = {
    mailbox_pb2.TEXT_SCOPE_TEXT: SCOPES["text"],
    mailbox_pb2.TEXT_SCOPE_FROM: SCOPES["from"],
    mailbox_pb2.TEXT_SCOPE_TO: SCOPES["to"],
    mailbox_pb2.TEXT_SCOPE_CC: SCOPES["cc"],
    mailbox_pb2.TEXT_SCOPE_BCC: SCOPES["bcc"],
    mailbox_pb2.TEXT_SCOPE_SUBJECT: SCOPES["subject"],
    mailbox_pb2.TEXT_SCOPE_BODY: SCOPES["body"],
}
_BODIES: Final = frozenset({mailbox_pb2.TEXT_SCOPE_TEXT, mailbox_pb2.TEXT_SCOPE_BODY})
_SUBJECTS: Final = frozenset({mailbox_pb2.TEXT_SCOPE_TEXT, mailbox_pb2.TEXT_SCOPE_SUBJECT})


@dataclass(frozen=True, slots=True)
class TextLeaf:
    """A text that is looked for.

    Attributes:
        fields: Where; none for a header field of any name.
        query: What, when there are fields.
        text: The same as it was written; of a header field, what it must contain: empty when it is enough that it is there.
        header: Name of the header field in lower case, when there are no fields.
    """

    fields: tuple[Field, ...]
    query: Query
    text: str = ""
    header: str = ""


def leaf_of(condition: mailbox_pb2.TextCondition) -> TextLeaf:
    """Read a condition.

    Raises:
        StoreError: INVALID for one without a scope, or a field name that is none.
        QueryRefusedError: for a text that is too long.
    """
    if condition.scope == mailbox_pb2.TEXT_SCOPE_HEADER:
        name = condition.header_name.lower()
        plain = name.isascii() and name.isprintable() and " " not in name and ":" not in name
        if not name or not plain:
            raise StoreError(Problem.INVALID, "no header field")
        if len(name) > MAX_HEADER_NAME or len(condition.text) > _HEADER_TEXT:
            raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_FILTER)
        return TextLeaf((), Query(()), condition.text, name)
    fields = _SCOPES.get(condition.scope)
    if fields is None:
        raise StoreError(Problem.INVALID, "a text without a scope")
    try:
        return TextLeaf(fields, parse(condition.text), condition.text)
    except QueryTooLongError:
        raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_FILTER) from None


def text_leaves(given: mailbox_pb2.MessageFilter) -> list[TextLeaf]:
    """Return the texts of a filter, each once.

    Raises:
        StoreError: as `leaf_of`.
        QueryRefusedError: as `leaf_of`, or for too many.
    """
    found = dict.fromkeys(leaf_of(condition) for condition, _ in _conditions(given, asked=True))
    if len(found) > MAX_TEXTS:
        raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_FILTER)
    return list(found)


def has_texts(given: mailbox_pb2.MessageFilter) -> bool:
    """Whether a filter looks for any text."""
    return bool(given.texts) or any(has_texts(inner) for inner in given.conditions)


def shown_texts(given: mailbox_pb2.MessageFilter) -> tuple[list[str], list[str]]:
    """Return what snippets mark in subjects, and in bodies (RFC 8621 §5); what must not be there is not marked.

    Raises:
        StoreError: INVALID, as `leaf_of`.
    """
    asked = [condition for condition, wanted in _conditions(given, asked=True) if wanted and leaf_of(condition)]
    subjects = dict.fromkeys(one.text for one in asked if one.scope in _SUBJECTS)
    bodies = dict.fromkeys(one.text for one in asked if one.scope in _BODIES)
    return list(subjects), list(bodies)


def _conditions(given: mailbox_pb2.MessageFilter, *, asked: bool) -> Iterator[tuple[mailbox_pb2.TextCondition, bool]]:
    """Give the texts, each with whether it is asked for (not under NOT)."""
    for condition in given.texts:
        yield condition, asked
    inside = asked != (given.operator == mailbox_pb2.FILTER_OPERATOR_NOT)
    for inner in given.conditions:
        yield from _conditions(inner, asked=inside)
