"""Queries against a naive reference, and the door: a person reaches their own account only."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.integration import mailing
from tests.integration.arriving import TENANT
from tests.integration.mailing import file_new, mail, new_account, parts_of, update

from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc
from petitbleu_kit.identity import OperatorToken, Principal, PrincipalVerifier, Signer, Verifier, principal_claims
from petitbleu_kit.rpc import IdentityInterceptor, make_server
from petitbleu_store.bootstrap import ALLOWED, PERSON_METHODS, Store
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, INBOX, JUNK
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import queries

Filter = mailbox_pb2.MessageFilter
AND, OR, NOT = mailbox_pb2.FILTER_OPERATOR_AND, mailbox_pb2.FILTER_OPERATOR_OR, mailbox_pb2.FILTER_OPERATOR_NOT
KEYWORDS = ("$seen", "$flagged", "travail")
ATTACHED = (
    b"From: a@x.test\r\nSubject: with\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
    b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\nx\r\n--b--\r\n"
)


def matches(one: mailbox_pb2.Message, given: Filter, attached: set[int]) -> bool:
    """RFC 8621 §4.4.1, said naively."""
    parts = [matches(one, condition, attached) for condition in given.conditions]
    if given.operator == AND:
        return all(parts)
    if given.operator == OR:
        return any(parts)
    if given.operator == NOT:
        return not any(parts)
    return (
        (not given.in_mailbox or given.in_mailbox in one.mailbox_ids)
        and (not given.in_mailbox_other_than or bool(set(one.mailbox_ids) - set(given.in_mailbox_other_than)))
        and (not given.before_ms or one.received_at_ms < given.before_ms)
        and (not given.after_ms or one.received_at_ms >= given.after_ms)
        and (not given.min_size or one.size >= given.min_size)
        and (not given.max_size or one.size < given.max_size)
        and (not given.has_keyword or given.has_keyword.lower() in one.keywords)
        and (not given.not_keyword or given.not_keyword.lower() not in one.keywords)
        and (not given.HasField("has_attachment") or given.has_attachment == (one.message_id in attached))
    )


def reference(
    messages: Sequence[mailbox_pb2.Message], request: mailbox_pb2.QueryMessagesRequest, attached: set[int]
) -> tuple[list[int], int, int, bool]:
    """RFC 8620 §5.5, said naively: ids, position, total, anchor not found."""
    found = [one for one in messages if matches(one, request.filter, attached)]
    newest_first = not (request.sort and request.sort[0].property == 1 and request.sort[0].ascending)
    found.sort(key=lambda one: (one.received_at_ms, one.message_id), reverse=newest_first)
    for sort in reversed(request.sort):
        if sort.property == mailbox_pb2.SORT_PROPERTY_RECEIVED_AT:
            found.sort(key=lambda one: one.received_at_ms, reverse=not sort.ascending)
        elif sort.property == mailbox_pb2.SORT_PROPERTY_SIZE:
            found.sort(key=lambda one: one.size, reverse=not sort.ascending)
        elif sort.property == mailbox_pb2.SORT_PROPERTY_HAS_KEYWORD:
            found.sort(key=lambda one, keyword=sort.keyword: keyword in one.keywords, reverse=not sort.ascending)  # type: ignore[misc]
    if request.collapse_threads:
        met: set[int] = set()
        found = [one for one in found if not (one.thread_id in met or met.add(one.thread_id))]  # type: ignore[func-returns-value]
    ids = [one.message_id for one in found]
    position = request.position if request.position >= 0 else max(0, len(ids) + request.position)
    if request.anchor:
        if request.anchor not in ids:
            return [], 0, len(ids), True
        position = max(0, ids.index(request.anchor) + request.anchor_offset)
    return ids[position : position + request.limit], position, len(ids), False


def random_filter(chooser: random.Random, depth: int = 0) -> Filter:
    if depth < 2 and chooser.random() < 0.35:
        return Filter(
            operator=chooser.choice([AND, OR, NOT]),
            conditions=[random_filter(chooser, depth + 1) for _ in range(chooser.randrange(4))],
        )
    given = Filter()
    for name, value in {
        "in_mailbox": chooser.choice([INBOX, INBOX, JUNK, ARCHIVE]), "before_ms": chooser.randrange(10**6), "after_ms": chooser.randrange(10**6),
        "min_size": chooser.randrange(400, 900), "max_size": chooser.randrange(400, 900), "has_keyword": chooser.choice(KEYWORDS),
        "not_keyword": chooser.choice(KEYWORDS).title(), "has_attachment": chooser.random() < 0.5,
    }.items():  # fmt: skip
        if chooser.random() < (0.5 if name == "in_mailbox" else 0.12):
            setattr(given, name, value)
    if chooser.random() < 0.1:
        given.in_mailbox_other_than.extend(chooser.sample([INBOX, JUNK, ARCHIVE], 2))
    return given


def random_request(chooser: random.Random, account_id: int, ids: Sequence[int]) -> mailbox_pb2.QueryMessagesRequest:
    request = mailbox_pb2.QueryMessagesRequest(
        account_id=account_id, filter=random_filter(chooser), limit=chooser.choice([0, 1, 3, 10, 1000]),
        collapse_threads=chooser.random() < 0.5, calculate_total=chooser.random() < 0.5,
    )  # fmt: skip
    for _ in range(chooser.choice([0, 0, 1, 1, 2])):
        request.sort.add(
            property=chooser.choice([1, 1, 2, 4]), ascending=chooser.random() < 0.5, keyword=chooser.choice(KEYWORDS)
        )
    if chooser.random() < 0.3:
        request.anchor = chooser.choice([*ids, 4711])
        request.anchor_offset = chooser.randrange(-4, 5)
    else:
        request.position = chooser.randrange(-6, 12)
    return request


async def test_queries_find_what_a_naive_reference_finds(store: Store) -> None:
    chooser = random.Random(11)
    account_id = await new_account(store)
    ids: list[int] = []
    attached: set[int] = set()
    account = await mailing.known(store, account_id)
    for number in range(60):
        body = mail(
            f"s{number % 9}",
            message_id=f"q{number}@x",
            answers=[f"q{number - 9}@x"] if number > 9 else [],
            octets=number * 7 + 1,
        )
        if number % 10 == 3:
            body = ATTACHED
        made = await parts_of(store).cases.imports.add(
            account,
            mailbox_pb2.ImportMessageRequest(
                account_id=account_id, body=body, idempotency_key=chooser.randbytes(16), received_at_ms=chooser.randrange(1, 30) * 30_000,
                mailbox_ids=chooser.sample([INBOX, JUNK, ARCHIVE], chooser.choice([1, 1, 2])),
                keywords=chooser.sample(KEYWORDS, chooser.randrange(3)),
            ),
        )  # fmt: skip
        ids.append(made.message.message_id)
        if body is ATTACHED:
            attached.add(ids[-1])
    messages = list((await mailing.messages(store, account_id, ids)).values())
    queries = parts_of(store).cases.queries
    for _ in range(400):
        request = random_request(chooser, account_id, ids)
        found = await queries.query(account, request)
        wanted_ids, position, total, missing = reference(messages, request, attached)
        assert (list(found.message_ids), found.anchor_not_found) == (wanted_ids, missing), request
        assert found.position == position
        assert found.total == (total if request.calculate_total else -1)


async def test_what_is_no_query_is_refused(store: Store) -> None:
    account_id = await new_account(store)
    account = await mailing.known(store, account_id)
    deep = Filter(has_keyword="$seen")
    for _ in range(17):
        deep = Filter(operator=AND, conditions=[deep])
    for request in (
        mailbox_pb2.QueryMessagesRequest(limit=1001),
        mailbox_pb2.QueryMessagesRequest(limit=-1),
        mailbox_pb2.QueryMessagesRequest(filter=Filter(has_keyword="no keyword")),
        mailbox_pb2.QueryMessagesRequest(sort=[mailbox_pb2.MessageSort()]),
    ):
        with pytest.raises(StoreError) as refused:
            await parts_of(store).cases.queries.query(account, request)
        assert refused.value.problem is Problem.INVALID
    # RFC 8620 §5.5: what is right and too much is said to be that
    for request, refusal in (
        (mailbox_pb2.QueryMessagesRequest(filter=deep), mailbox_pb2.QUERY_REFUSAL_FILTER),
        (
            mailbox_pb2.QueryMessagesRequest(filter=Filter(operator=OR, conditions=[Filter()] * 211)),
            mailbox_pb2.QUERY_REFUSAL_FILTER,
        ),
        (
            mailbox_pb2.QueryMessagesRequest(
                sort=[mailbox_pb2.MessageSort(property=mailbox_pb2.SORT_PROPERTY_SIZE)] * 9
            ),
            mailbox_pb2.QUERY_REFUSAL_SORT,
        ),
    ):
        assert (await parts_of(store).cases.queries.query(account, request)).refusal == refusal


async def test_the_list_of_a_mailbox_is_one_walk_over_its_index(store: Store) -> None:
    """The plan, not a clock: an index-only walk that stops at its limit, for the plain list and for one message a thread."""
    account_id = await new_account(store)
    await file_new(store, account_id, *[mail() for _ in range(50)])
    account = await mailing.known(store, account_id)
    for statement, values in (
        (queries._NEWEST, (account.partition, account_id, INBOX, 0, 50)),
        (queries._WALK, (account.partition, account_id, INBOX, 1 << 62, 1 << 62, 50)),
    ):
        async with store.core.pool.acquire() as connection, connection.transaction():
            plan = "\n".join(
                row[0]
                for row in await connection.fetch("/* cold:test */ EXPLAIN " + statement.partition("*/")[2], *values)
            )
        assert "Index Only Scan Backward using mailbox_message_pkey" in plan
        assert "Sort" not in plan
        assert "Seq Scan" not in plan


@pytest.fixture
async def door(
    store: Store, tmp_path: Path
) -> AsyncIterator[tuple[mailbox_pb2_grpc.MailboxServiceAsyncStub, Signer, Signer]]:
    """The gRPC door of this store, with keys of gateway and accounts."""
    signers = {}
    for service in ("gateway", "accounts", "delivery"):
        key = Ed25519PrivateKey.generate()
        (tmp_path / f"{service}.pub").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        signers[service] = Signer(service, key)
    interceptor = IdentityInterceptor(
        "store", Verifier("store", tmp_path), PrincipalVerifier(tmp_path), OperatorToken(None), ALLOWED, PERSON_METHODS
    )
    server = make_server(interceptor)
    store.mailboxes.add_to(server, store.acceptance)
    address = f"unix:{tmp_path}/s.sock"
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield mailbox_pb2_grpc.MailboxServiceStub(channel), signers["gateway"], signers["accounts"]
    await server.stop(None)


def credentials(gateway: Signer, accounts: Signer, account_id: int, tenant_id: int = TENANT) -> list[tuple[str, str]]:
    principal = accounts.sign("petitbleu", principal_claims(Principal(account_id, tenant_id, ("person",), 1)), 60)
    return [("authorization", f"Bearer {gateway.service_token('store')}"), ("x-principal", principal)]


async def test_a_person_reaches_their_own_account_only(
    store: Store, door: tuple[mailbox_pb2_grpc.MailboxServiceAsyncStub, Signer, Signer]
) -> None:
    stub, gateway, accounts = door
    mine, other = await new_account(store), await new_account(store)
    (message_id,) = await file_new(store, mine, mail())
    own = credentials(gateway, accounts, mine)
    requests: dict[Any, Any] = {
        stub.GetState: mailbox_pb2.GetStateRequest, stub.ListMailboxes: mailbox_pb2.ListMailboxesRequest,
        stub.QueryMessages: mailbox_pb2.QueryMessagesRequest, stub.GetMessages: mailbox_pb2.GetMessagesRequest,
        stub.QueryMessageChanges: mailbox_pb2.QueryMessageChangesRequest,
        stub.GetThreads: mailbox_pb2.GetThreadsRequest, stub.GetChanges: mailbox_pb2.GetChangesRequest,
        stub.UpdateMessages: mailbox_pb2.UpdateMessagesRequest, stub.ImportMessage: mailbox_pb2.ImportMessageRequest,
        stub.UpdateMailboxes: mailbox_pb2.UpdateMailboxesRequest,
    }  # fmt: skip
    for method, request in requests.items():
        for metadata in (credentials(gateway, accounts, other), credentials(gateway, accounts, mine, TENANT + 1)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await method(request(account_id=mine), metadata=metadata, timeout=20)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    stream = stub.ReadBlob(
        mailbox_pb2.ReadBlobRequest(account_id=mine, message_id=message_id),
        metadata=credentials(gateway, accounts, other), timeout=20,
    )  # fmt: skip
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stream.read()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED

    found = await stub.GetMessages(
        mailbox_pb2.GetMessagesRequest(account_id=mine, message_ids=[message_id]), metadata=own, timeout=20
    )
    assert [one.message_id for one in found.messages] == [message_id]
    pieces = [
        piece.data
        async for piece in stub.ReadBlob(
            mailbox_pb2.ReadBlobRequest(account_id=mine, message_id=message_id), metadata=own, timeout=20
        )
    ]
    assert len(b"".join(pieces)) == found.messages[0].size
    for wrong, status in (
        (
            mailbox_pb2.GetChangesRequest(account_id=mine, kind=mailbox_pb2.CHANGE_KIND_MESSAGE, since_modseq=10**9),
            grpc.StatusCode.FAILED_PRECONDITION,
        ),
        (mailbox_pb2.GetChangesRequest(account_id=mine), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetChanges(wrong, metadata=own, timeout=20)
        assert refused.value.code() is status


async def test_a_page_of_a_large_mailbox_costs_what_a_page_of_a_small_one_costs(store: Store) -> None:
    """Pages read are counted by PostgreSQL itself, so the load of the machine does not matter."""
    small, large = await new_account(store), await new_account(store)
    for account_id, count in ((small, 200), (large, 20_000)):
        account = await mailing.known(store, account_id)
        await store.core.cold.execute(
            "/* cold:test */ INSERT INTO mailbox_message (partition, account_id, mailbox_id, received_ms, message_id, thread_id, uid) "
            "SELECT $1, $2, 1, n, n, n, n FROM generate_series(1, $3::int) n", account.partition, account_id, count,
        )  # fmt: skip
    await store.core.cold.execute("/* cold:test */ VACUUM mailbox_message")
    read = {}
    for account_id in (small, large):
        account = await mailing.known(store, account_id)
        values = (account.partition, account_id, INBOX, 0, 50)
        async with store.core.pool.acquire() as connection:
            explain = "/* cold:test */ EXPLAIN (ANALYZE, BUFFERS) " + queries._NEWEST.partition("*/")[2]
            await connection.fetch(explain, *values)
            started = time.process_time()
            plan = "\n".join(row[0] for row in await connection.fetch(explain, *values))
            assert time.process_time() - started < 1
        scan = plan[plan.index("Index Only Scan Backward") :]
        read[account_id] = int(scan[scan.index("shared hit=") + 11 :].split()[0])
        assert "rows=50" in scan
    assert read[large] <= 1.5 * read[small] + 2


async def test_one_message_a_thread_is_found_behind_a_long_thread(store: Store) -> None:
    account_id = await new_account(store)
    account = await mailing.known(store, account_id)
    # The newest 2,500 entries are of one thread; below, every message has its own.
    await store.core.cold.execute(
        "/* cold:test */ INSERT INTO mailbox_message (partition, account_id, mailbox_id, received_ms, message_id, thread_id, uid) "
        "SELECT $1, $2, 1, n, n, CASE WHEN n > 500 THEN 501 ELSE n END, n FROM generate_series(1, 3000) n",
        account.partition, account_id,
    )  # fmt: skip
    await store.core.cold.execute(
        "/* cold:test */ UPDATE mailbox SET threads = 501 WHERE account_id = $1 AND mailbox_id = 1", account_id
    )
    heads = [3000, *range(500, 0, -1)]
    for position, limit in ((0, 1), (0, 50), (490, 50), (600, 5), (-3, 10), (0, 0)):
        request = mailbox_pb2.QueryMessagesRequest(
            account_id=account_id,
            filter=Filter(in_mailbox=INBOX),
            position=position,
            limit=limit,
            collapse_threads=True,
            calculate_total=True,
        )
        found = await parts_of(store).cases.queries.query(account, request)
        start = position if position >= 0 else len(heads) + position
        assert (list(found.message_ids), found.position, found.total) == (heads[start : start + limit], start, 501)


async def test_rfc8620_5_5_a_window_far_down_is_not_walked_to_and_one_behind_the_end_is_empty(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await new_account(store)
    heads = [*reversed(await file_new(store, account_id, *[mail() for _ in range(7)]))]
    monkeypatch.setattr(queries, "_LAST_PAGE", 2)
    monkeypatch.setattr(queries, "_MOST_WALKED", 4)
    for position, limit in (
        (0, 2),
        (1, 3),
        (3, 2),
        (5, 9),
        (7, 1),
        (2**53 - 1, 1000),
        (-2, 1),
        (-7, 7),
        (-(2**53) + 1, 3),
    ):
        request = mailbox_pb2.QueryMessagesRequest(
            account_id=account_id,
            filter=Filter(in_mailbox=INBOX),
            position=position,
            limit=limit,
            collapse_threads=True,
        )
        found = await parts_of(store).cases.queries.query(await mailing.known(store, account_id), request)
        start = position if position >= 0 else max(0, len(heads) + position)
        assert (list(found.message_ids), found.position) == (heads[start : start + limit], start), position


async def test_updates_reach_the_lists(store: Store) -> None:
    account_id = await new_account(store)
    ids = await file_new(store, account_id, *[mail() for _ in range(3)])
    await update(
        store,
        account_id,
        mailbox_pb2.MessageUpdate(message_id=ids[1], add_mailbox_ids=[JUNK], remove_mailbox_ids=[INBOX]),
    )
    account = await mailing.known(store, account_id)
    for mailbox_id, wanted in ((INBOX, [ids[2], ids[0]]), (JUNK, [ids[1]])):
        request = mailbox_pb2.QueryMessagesRequest(
            account_id=account_id, filter=Filter(in_mailbox=mailbox_id), limit=10
        )
        assert list((await parts_of(store).cases.queries.query(account, request)).message_ids) == wanted
