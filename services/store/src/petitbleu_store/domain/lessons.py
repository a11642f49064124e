"""What a message is to its owner, by what they did with it: junk, wanted, or neither. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from petitbleu_store.domain import keywords
from petitbleu_store.domain.change_log import Op
from petitbleu_store.domain.standard_mailboxes import DRAFTS, JUNK, TRASH
from petitbleu_store.domain.words import Class, WordModel

_JUNK, _NOT_JUNK = keywords.split(["$junk"])[0], keywords.split(["$notjunk"])[0]
_KEPT_ON_PURPOSE: Final = keywords.split(["$answered", "$forwarded", "$flagged"])[0]
MARKS: Final = frozenset({"$junk", "$notjunk"})
"""Keywords by which a person, or their program, says so (IANA "IMAP and JMAP Keywords")."""


LESSON: Final = 64
"""Messages learnt in one commit."""
# Read mail is what most people have most of: more of it than this tells nothing new.
_READ_AT_LEAST: Final = 40
_READ_TO_JUNK: Final = 3


class State(NamedTuple):
    """A message as it is: its flags (None when it is no more), where it is, and what it was learnt as."""

    flags: int | None
    mailbox_ids: Collection[int]
    known: Class


@dataclass(slots=True)
class Lessons:
    """What a log says that is not learnt yet.

    Attributes:
        through: The modseq up to which it is learnt with this.
        more: Whether the log goes on.
        learn: Message id, what it was and what it is.
        gone: Messages that are no more: what they taught stays, as nobody can read it again.
    """

    through: int
    more: bool
    learn: list[tuple[int, Class, Class]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)


def calls_junk(log: Sequence[tuple[int, int, int]], states: Mapping[int, State]) -> bool:
    """Whether anything in a log of messages, (modseq, id, op), is called junk."""
    moved = _moved(log)
    return any(
        state.flags is not None
        and class_of(state.flags, state.mailbox_ids, Class.NONE, moved=message_id in moved)[0] is Class.JUNK
        for message_id, state in states.items()
    )


def lessons_of(
    log: Sequence[tuple[int, int, int]], states: Mapping[int, State], model: WordModel, *, more: bool
) -> Lessons:
    """Return the first lesson of a log of messages, at most `LESSON` of them.

    Args:
        log: modseq, message id and op (`change_log.Op`), by modseq; not empty.
        states: What there is of each message in it.
        model: What was learnt before: of mail that was read and no more, there is to be no more than tells something.
        more: Whether the log goes on behind.
    """
    moved = _moved(log)
    first: dict[int, int] = {}
    for modseq, message_id, _ in log:
        first.setdefault(message_id, modseq)
    found = Lessons(log[-1][0], more)
    room = max(_READ_AT_LEAST, _READ_TO_JUNK * (model.junk + 1)) - model.wanted
    for message_id, begins in first.items():
        flags, mailbox_ids, known = states[message_id]
        if flags is None:
            if known is not Class.NONE:
                found.gone.append(message_id)
            continue
        now, said = class_of(flags, mailbox_ids, known, moved=message_id in moved)
        if now is known:
            continue
        if len(found.learn) == LESSON:
            # all that is known of this one and of those behind it comes from here on: the next lesson begins here
            found.through, found.more = begins - 1, True
            break
        if now is Class.WANTED and known is Class.NONE and not said:
            room -= 1
            if room < 0:
                continue
        found.learn.append((message_id, known, now))
    return found


def _moved(log: Sequence[tuple[int, int, int]]) -> set[int]:
    return {message_id for _, message_id, op in log if op == Op.UPDATED}


def class_of(flags: int, mailbox_ids: Collection[int], known: Class, *, moved: bool) -> tuple[Class, bool]:
    """Return what a message is to its owner, and whether they said so themselves.

    A mark goes before a place, a place before what else was done. That we put a message in Junk says nothing: a filter that learns from
    itself believes itself. So Junk counts for messages that were moved since, or were learnt as junk already.

    Args:
        flags: The message's (`domain.keywords`).
        mailbox_ids: Where it is.
        known: What it was learnt as before.
        moved: Whether its mailboxes were changed since it came.
    """
    if flags & _NOT_JUNK:
        return Class.WANTED, True
    if flags & _JUNK:
        return Class.JUNK, True
    if JUNK in mailbox_ids:
        return (Class.JUNK, True) if moved or known is Class.JUNK else (Class.NONE, False)
    if flags & keywords.DRAFT or TRASH in mailbox_ids or DRAFTS in mailbox_ids:
        return Class.NONE, False
    if flags & _KEPT_ON_PURPOSE or moved:
        return Class.WANTED, True
    # read, and left where it is
    return (Class.WANTED if flags & keywords.SEEN or known is Class.WANTED else Class.NONE), False
