"""The search finds what a plain scan of the decrypted mail finds, newest first.

`make test` plays a hundred random queries, `make soak` a thousand (`PETITBLEU_SOAK`).
"""

from __future__ import annotations

import os
import random
import time

from tests.integration.letters import letter, request
from tests.integration.mailing import all_ids, file_new, known, messages, new_account, parts_of, served

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_mail.header_values import as_text
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.structure import parse_message
from petitbleu_store.adapters.extraction.reading import read
from petitbleu_store.adapters.mail_reader.texts import attached, content_of, searchable
from petitbleu_store.bootstrap import Store
from petitbleu_text.matching import header_contains, matches
from petitbleu_text.query import parse
from petitbleu_text.searchable import SCOPES, Searchable

MESSAGES = 160
QUERIES = 1000 if os.environ.get("PETITBLEU_SOAK") else 100
SEED = int(os.environ.get("PETITBLEU_SEARCH_SEED", "4"))


class Scanned:
    """A message as it is served, taken apart anew."""

    def __init__(self, row: pb.Message, octets: bytes) -> None:
        self.row = row
        self.octets = octets
        message = parse_message(octets)
        self.has_attachment = message.has_attachment
        texts = [read(one.kind, content_of(octets, one.part), "", 1 << 20).text for one in attached(message.root)]
        self.words: Searchable = searchable(message, octets, texts)

    def matches(self, given: pb.MessageFilter) -> bool:
        parts = [self.matches(inner) for inner in given.conditions]
        if given.operator == pb.FILTER_OPERATOR_AND:
            return all(parts)
        if given.operator == pb.FILTER_OPERATOR_OR:
            return any(parts)
        if given.operator == pb.FILTER_OPERATOR_NOT:
            return not any(parts)
        fits = not given.HasField("has_attachment") or given.has_attachment == self.has_attachment
        return fits and all(self._has(one) for one in given.texts)

    def _has(self, wanted: pb.TextCondition) -> bool:
        if wanted.scope == pb.TEXT_SCOPE_HEADER:
            values = scan_headers(self.octets).all(wanted.header_name.lower().encode())
            return any(header_contains(as_text(value), wanted.text) for value in values)
        scope = pb.TextScope.Name(wanted.scope).removeprefix("TEXT_SCOPE_").lower()
        return matches(parse(wanted.text), self.words, SCOPES[scope])


def expected(scanned: list[Scanned], asked: pb.QueryMessagesRequest) -> list[int]:
    found = [one for one in scanned if one.matches(asked.filter)]
    found.sort(key=lambda one: (one.row.received_at_ms, one.row.message_id), reverse=True)
    for sort in asked.sort:
        found.sort(key=lambda one: one.row.size, reverse=not sort.ascending)
    if asked.collapse_threads:
        heads: dict[int, Scanned] = {}
        for one in found:
            heads.setdefault(one.row.thread_id, one)
        found = list(heads.values())
    return [one.row.message_id for one in found]


async def test_the_search_finds_what_a_plain_scan_finds(store: Store) -> None:
    chooser = random.Random(SEED)
    account_id, other = await new_account(store), await new_account(store)
    for _ in range(4):
        await file_new(store, account_id, *[letter(chooser) for _ in range(MESSAGES // 4)])
        await file_new(store, other, *[letter(chooser) for _ in range(10)])
    account = await known(store, account_id)
    rows = await messages(store, account_id, await all_ids(store, account_id))
    scanned = [Scanned(row, await served(store, account_id, number)) for number, row in rows.items()]
    assert len(scanned) == MESSAGES
    some = 0
    started = time.process_time()
    for number in range(QUERIES):
        asked = request(chooser, account_id)
        answer = await parts_of(store).cases.queries.query(account, asked)
        assert not answer.refusal
        wanted = expected(scanned, asked)
        window = wanted[asked.position : asked.position + asked.limit]
        assert list(answer.message_ids) == window, f"query {number} of seed {SEED}: {asked}"
        assert not asked.calculate_total or answer.total == len(wanted)
        some += bool(window)
        if number % 20 == 10:  # mail that comes meanwhile is found at once
            (fresh,) = await file_new(store, account_id, letter(chooser))
            row = (await messages(store, account_id, [fresh]))[fresh]
            scanned.append(Scanned(row, await served(store, account_id, fresh)))
    print(f"{QUERIES} queries, {some} with finds, {time.process_time() - started:.1f} s of CPU here")
    assert some > QUERIES / 5, "hardly anything was found: nothing was compared"
