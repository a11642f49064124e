"""PatchObjects for Email/set (RFC 8620 §5.3, RFC 8621 §4.6): only keywords and mailboxes may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.json_pointers import unescape
from petitbleu_gateway.domain.keywords import is_keyword
from petitbleu_gateway.errors import Invalid, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids

_ROOTS: Final = ("keywords", "mailboxIds")
_MAX_KEYWORDS: Final = 256


def read_keywords(value: Any) -> list[str]:
    """Return the keywords of a `keywords` property, in lower case (RFC 8621 §4.1.1)."""
    if not isinstance(value, dict) or any(given is not True for given in value.values()):
        raise invalid("keywords")
    if not all(is_keyword(keyword) for keyword in value):
        raise invalid("keywords", why="not a keyword")
    if len(value) > _MAX_KEYWORDS:
        raise SetError(SetFault.TOO_MANY_KEYWORDS)
    return sorted({keyword.lower() for keyword in value})


def read_mailboxes(value: Any, resolve: Callable[[str], str]) -> list[int]:
    """Return the mailboxes of a `mailboxIds` property: at least one (RFC 8621 §4.1.1)."""
    if not isinstance(value, dict) or not value or any(given is not True for given in value.values()):
        raise invalid("mailboxIds")
    return sorted({_mailbox(text, resolve) for text in value})


def _mailbox(text: str, resolve: Callable[[str], str]) -> int:
    number = ids.mailbox_number(resolve(text))
    if number is None:
        raise invalid("mailboxIds", why="no such mailbox")
    return number


def split_patch(patch: dict[str, Any]) -> tuple[dict[tuple[str, ...], Any], dict[str, Any]]:
    """Return what a patch changes of keywords and mailboxes, by its path, and the other properties that it names.

    Raises:
        SetError: `invalidPatch` for pointers that are none, that go too deep, or of which one holds another.
    """
    paths: dict[tuple[str, ...], Any] = {}
    others: dict[str, Any] = {}
    for pointer, value in patch.items():
        # RFC 8620 §5.3: a JSON pointer with an implicit leading slash
        tokens = tuple(unescape(pointer) or ())
        if not tokens:
            raise SetError(SetFault.INVALID_PATCH, "not a JSON pointer")
        if tokens[0] in _ROOTS and len(tokens) <= 2:
            if tokens in paths:
                raise SetError(SetFault.INVALID_PATCH)
            paths[tokens] = value
        elif len(tokens) == 1:
            others[pointer] = value
        else:
            raise SetError(SetFault.INVALID_PATCH, "nothing can be patched there")
    for root in _ROOTS:
        if (root,) in paths and any(len(path) == 2 and path[0] == root for path in paths):
            raise SetError(SetFault.INVALID_PATCH, "one pointer holds another")
    return paths, others


def store_update(message_id: int, paths: dict[tuple[str, ...], Any], resolve: Callable[[str], str]) -> pb.MessageUpdate:
    """Return a message's patch as store takes it."""
    update = pb.MessageUpdate(message_id=message_id)
    wrong = Invalid()
    for path, value in paths.items():
        with wrong:
            _apply(update, path, value, resolve)
    wrong.settle()
    return update


def _apply(update: pb.MessageUpdate, path: tuple[str, ...], value: Any, resolve: Callable[[str], str]) -> None:
    if len(path) == 1:
        if path[0] == "keywords":
            update.replace_keywords = True
            # RFC 8620 §5.3: null sets the default, which is no keyword (RFC 8621 §4.1.1)
            update.add_keywords.extend([] if value is None else read_keywords(value))
        else:
            update.replace_mailboxes = True
            update.add_mailbox_ids.extend(read_mailboxes(value, resolve))
    elif value is not True and value is not None:
        raise invalid("/".join(path), why="must be true or null")
    elif path[0] == "keywords":
        if is_keyword(path[1]):
            (update.add_keywords if value else update.remove_keywords).append(path[1].lower())
        elif value:
            raise invalid("keywords", why="not a keyword")
    elif value:
        update.add_mailbox_ids.append(_mailbox(path[1], resolve))
    else:
        # RFC 8620 §5.3: null for a key that is not there is no error, even one that could not be there
        number = ids.mailbox_number(resolve(path[1]))
        update.remove_mailbox_ids.extend([] if number is None else [number])
