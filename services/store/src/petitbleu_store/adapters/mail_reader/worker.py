"""The process: answers one request after the other from standard input until that ends."""

from __future__ import annotations

import os
import signal
import struct
import sys

import msgspec

from petitbleu_mail.header_values import as_text
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.structure import decode_meta
from petitbleu_store.adapters.mail_reader.features import features
from petitbleu_store.adapters.mail_reader.requests import (
    LENGTH,
    Answer,
    Done,
    Failed,
    Features,
    Leaf,
    Mail,
    Match,
    Outcome,
    Request,
    Terms,
)
from petitbleu_store.adapters.mail_reader.texts import body_texts, searchable
from petitbleu_store.domain.header_names import header_term
from petitbleu_text.matching import header_contains, matches
from petitbleu_text.query import Query, parse
from petitbleu_text.searchable import Field, Searchable
from petitbleu_text.snippets import mark_subject, preview
from petitbleu_text.terms import TermKey, message_terms

_DECODER = msgspec.msgpack.Decoder(Request)
_ENCODER = msgspec.msgpack.Encoder()
# Octets of a header that are looked at
_HEADER_OCTETS = 256 << 10


def answer(request: Request) -> Answer:
    """Answer a request. What a message does to its reader is an exception."""
    if isinstance(request, Terms):
        key = TermKey(request.key)
        return Answer(terms=[_terms(key, request.key, mail) for mail in request.mails])
    if isinstance(request, Features):
        return Answer(terms=[features(request.key, mail) for mail in request.mails])
    if isinstance(request, Match):
        sought = [(leaf, parse(leaf.text)) for leaf in request.leaves]
        return Answer(found=[_found(sought, mail) for mail in request.mails])
    subjects = [parse(text) for text in request.subjects]
    bodies = [parse(text) for text in request.bodies]
    return Answer(shown=[_shown(subjects, bodies, mail) for mail in request.mails])


def _terms(key: TermKey, secret: bytes, mail: Mail) -> bytes:
    message = searchable(decode_meta(mail.meta), mail.blob, mail.read)
    terms = set(message_terms(key, message))
    if mail.blob is not None:
        names = scan_headers(mail.prefix + mail.blob[:_HEADER_OCTETS]).names
        terms.update([header_term(secret, name) for name in set(names)])
    return struct.pack(f">{len(terms)}q", *sorted(terms))


def _found(sought: list[tuple[Leaf, Query]], mail: Mail) -> list[bool]:
    whole: Searchable | None = None
    found: list[bool] = []
    for leaf, query in sought:
        if leaf.header:
            found.append(_has_header(leaf, mail))
            continue
        if whole is None:
            whole = searchable(decode_meta(mail.meta), mail.blob, mail.read)
        found.append(matches(query, whole, [Field(number) for number in leaf.fields]))
    return found


def _has_header(leaf: Leaf, mail: Mail) -> bool:
    """RFC 8621 §4.4.1, `header`."""
    values = scan_headers(mail.prefix + (mail.blob or b"")[:_HEADER_OCTETS]).all(leaf.header.encode())
    return any(header_contains(as_text(value), leaf.text) for value in values)


def _shown(subjects: list[Query], bodies: list[Query], mail: Mail) -> tuple[str | None, str | None]:
    message = decode_meta(mail.meta)
    texts = [] if mail.blob is None else [*body_texts(message.root, mail.blob), *mail.read]
    return mark_subject(message.subject or "", subjects), preview(texts, bodies)


def main() -> int:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is the parent's
    os.nice(int(sys.argv[1]))
    take, give = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = take.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return 0
        outcome: Outcome
        try:
            outcome = Done(answer(_DECODER.decode(take.read(*LENGTH.unpack(head)))))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's mail does to a reader, others are still to be read
            outcome = Failed(type(error).__qualname__)
        octets = _ENCODER.encode(outcome)
        give.write(LENGTH.pack(len(octets)) + octets)
        give.flush()


if __name__ == "__main__":
    sys.exit(main())
