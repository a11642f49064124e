"""What makes messages one conversation: shared message ids and the same base subject (RFC 8621 §3, RFC 5256 §2.1)."""

from __future__ import annotations

import re

from petitbleu_mail.structure import ParsedMessage

# Keys of one message; of more, the middle ones are left out (the root of the thread and the nearest parents remain).
MAX_KEYS = 64
_MAX_SUBJECT = 998

_BLANKS = re.compile(r"\s+")
# RFC 5256 §5: subj-leader = (*subj-blob subj-refwd) / WSP, subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
_LEADER = re.compile(r" ++|(?:\[[^\[\]]*+\] *+)*+(?:re|fwd?) *+(?:\[[^\[\]]*+\] *+)?:", re.IGNORECASE)
_BLOB = re.compile(r"\[[^\[\]]*+\] *+")


def base_subject(subject: str) -> str:
    """Return the base subject of a decoded subject in lower case, so that equal ones compare equal."""
    return bare_subject(subject).casefold()


def bare_subject(subject: str) -> str:
    """Return the base subject (RFC 5256 §2.1) of a decoded subject as it is written."""
    # (1) blanks run together; encoded words are decoded already
    text = _BLANKS.sub(" ", subject[:_MAX_SUBJECT])
    while True:
        text = _strip_trailer(text)  # (2)
        text = _strip_leaders(text)  # (3), (4), (5)
        # (6) subj-fwd-hdr and subj-fwd-trl
        if text[:5].lower() == "[fwd:" and text.endswith("]"):
            text = text[5:-1]
            continue
        return text


def _strip_trailer(text: str) -> str:
    while True:
        short = text.rstrip(" ")
        if short[-5:].lower() == "(fwd)":
            short = short[:-5]
        if short == text:
            return text
        text = short


def _strip_leaders(text: str) -> str:
    at = 0
    while True:
        found = _LEADER.match(text, at)
        if found is None:
            found = _BLOB.match(text, at)
            if found is None or found.end() == len(text):  # (4): only if something remains
                return text[at:]
        at = found.end()


def thread_ids(message: ParsedMessage) -> list[str]:
    """Return the message ids that tie a message to its thread: its own first, then those that it answers, each once."""
    ids = list(dict.fromkeys([*(message.message_id or ()), *(message.references or ()), *(message.in_reply_to or ())]))
    if len(ids) > MAX_KEYS:
        ids = ids[: MAX_KEYS // 2] + ids[-MAX_KEYS // 2 :]
    return ids


def thread_keys(message: ParsedMessage) -> list[tuple[str, str]]:
    """Return the keys (message id, base subject): messages with a key in common are one thread (RFC 8621 §3)."""
    base = base_subject(message.subject or "")
    return [(message_id, base) for message_id in thread_ids(message)]
