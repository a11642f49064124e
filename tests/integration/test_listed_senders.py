"""Lists of senders, and words, on real services: what a person says over JMAP, and where mail goes for it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from tests.conformance.jmap_client import CORE, JmapClient
from tests.integration.delivery_world import ONLY, PASSWORD, DeliveryWorld, prepared_stack, world_of
from tests.integration.test_delivery_scripts import activate, arrived, boxes, delivered
from tests.ports import offset_of

from petitbleu.delivery.v1 import senders_pb2, senders_pb2_grpc
from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc
from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.adapters.reputation_rows import ReputationRows
from petitbleu_delivery.adapters.rule_peers import RulePeers
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.domain.senders import MAX_SENDERS, Listing, TooManySendersError
from petitbleu_delivery.service.scripts.erasure import erase_closed
from petitbleu_delivery.service.scripts.senders import SenderLists
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack
from petitbleu_kit.identity import Principal
from petitbleu_kit.postgres import open_pool

SENDERS = "urn:uuid:40b14be7-eaa3-4813-8ad7-74ee893dabc5"
ANN, EVE = "ann@good.test", "eve@evil.test"
KNOWN = accept_pb2.AuthenticationVerdicts(from_authenticated=True)
KNOWN_JUNK = accept_pb2.AuthenticationVerdicts(from_authenticated=True, treatment=accept_pb2.TREATMENT_JUNK)
JUNK = accept_pb2.AuthenticationVerdicts(treatment=accept_pb2.TREATMENT_JUNK)


@pytest.fixture(scope="module")
def listing_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    path = tmp_path_factory.mktemp("senders") / "data"
    with prepared_stack(path, offset_of(618), only=f"{ONLY},ingest,gateway") as stack:
        yield stack


@pytest.fixture
async def world(listing_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(listing_stack) as made:
        yield made


async def said(stack: Stack, address: str, method: str, **arguments: Any) -> dict[str, Any]:
    """Make one call over JMAP as a person; its result, or its error with `type`."""

    def call() -> dict[str, Any]:
        client = JmapClient(f"http://127.0.0.1:{stack.port('http')}", address, PASSWORD)
        try:
            assert client.session["primaryAccounts"][SENDERS] == client.account
            answered = client.responses(
                [method, {"accountId": client.account, **arguments}, "c"], using=(CORE, SENDERS)
            )[0]
            return dict(answered[1])
        finally:
            client.http.close()

    return await asyncio.to_thread(call)


async def say(stack: Stack, address: str, sender: str, action: str) -> None:
    done = await said(stack, address, "ListedSender/say", sender=sender, action=action)
    assert "type" not in done, done


async def test_a_person_lists_and_forgets(world: DeliveryWorld, listing_stack: Stack) -> None:
    address, _ = await world.person()
    await say(listing_stack, address, " Eve@EVIL.test ", "block")
    await say(listing_stack, address, "@bücher.test", "allow")
    await say(listing_stack, address, EVE, "allow")
    found = (await said(listing_stack, address, "ListedSender/get"))["list"]
    assert [(one["sender"], one["action"]) for one in found] == [(EVE, "allow"), ("xn--bcher-kva.test", "allow")]
    assert all(one["listedAt"].endswith("Z") for one in found)
    await say(listing_stack, address, EVE, "forget")
    await say(listing_stack, address, "bücher.test", "forget")
    assert (await said(listing_stack, address, "ListedSender/get"))["list"] == []
    for wrong in (
        {"sender": "com", "action": "block"},
        {"sender": EVE, "action": "burn"},
        {"sender": "x" * 600, "action": "block"},
    ):
        assert (await said(listing_stack, address, "ListedSender/say", **wrong))["type"] == "invalidArguments"


async def test_who_is_blocked_comes_to_junk(world: DeliveryWorld, listing_stack: Stack) -> None:
    address, account = await world.person()
    other, other_account = await world.person()
    await say(listing_stack, address, "evil.test", "block")
    await delivered(world, address, EVE, verdicts=KNOWN)
    await delivered(world, address, "x@deep.evil.test")
    await delivered(world, address, ANN)
    await world.settled(await world.accept(address, other, mail_from=EVE))
    assert await boxes(world, account) == {"junk": 3, "inbox": 1}
    assert await boxes(world, other_account) == {"inbox": 1}, "a list is its owner's alone"
    await say(listing_stack, address, "evil.test", "forget")
    await delivered(world, address, EVE)
    assert (await boxes(world, account))["inbox"] == 2


async def test_who_is_allowed_is_not_junk_when_known_to_be_who_it_says(
    world: DeliveryWorld, listing_stack: Stack
) -> None:
    address, account = await world.person()
    await say(listing_stack, address, ANN, "allow")
    await delivered(world, address, ANN, verdicts=KNOWN_JUNK)
    assert await boxes(world, account) == {"inbox": 1}
    await delivered(world, address, ANN, verdicts=JUNK)
    assert await boxes(world, account) == {"inbox": 1, "junk": 1}, "anybody could write that name"
    # a tenant's own wish for this recipient is the same junk
    one = accept_pb2.AuthenticationVerdicts(from_authenticated=True, junk_recipients=[0])
    await delivered(world, address, ANN, verdicts=one)
    assert await boxes(world, account) == {"inbox": 2, "junk": 1}


async def test_a_script_is_told_of_it(world: DeliveryWorld, listing_stack: Stack) -> None:
    address, account = await world.person()
    await activate(
        world,
        account,
        'require ["fileinto", "mailbox"]; if header :contains "X-Way" "named" { fileinto :create "Named"; }',
    )
    await say(listing_stack, address, EVE, "block")
    await delivered(world, address, EVE)
    await delivered(world, address, EVE, header="X-Way: named\r\n")
    await delivered(world, address, ANN)
    assert await boxes(world, account) == {"junk": 1, "Named": 1, "inbox": 1}


def mark_all(stack: Stack, address: str, subject: str, patch: dict[str, Any]) -> int:
    """Change all messages with a subject over JMAP; how many."""
    client = JmapClient(f"http://127.0.0.1:{stack.port('http')}", address, PASSWORD)
    try:
        boxes = {one["role"]: one["id"] for one in client.call("Mailbox/get", ids=None)["list"] if one["role"]}
        ids = client.call("Email/query", filter={"subject": subject})["ids"]
        patch = {name.format(**boxes): value for name, value in patch.items()}
        done = client.call("Email/set", update=dict.fromkeys(ids, patch))
        assert not done.get("notUpdated"), done
        return len(ids)
    finally:
        client.http.close()


async def learns_junk(world: DeliveryWorld, stack: Stack, address: str, account: int) -> None:
    """Have a person call casino mail junk, having read what anna writes, until mail like it goes to Junk."""
    for number in range(12):
        await delivered(
            world, address, f"x{number}@s{number}.test", body="casino bonus loterie gagnez jackpot", subject="casino"
        )
    for number in range(22):
        await delivered(world, address, ANN, body=f"réunion cantine école jardin {number}", subject="famille")
    assert await asyncio.to_thread(mark_all, stack, address, "famille", {"keywords/$seen": True}) == 22
    junk = {"keywords/$junk": True, "mailboxIds/{junk}": True, "mailboxIds/{inbox}": None}
    assert await asyncio.to_thread(mark_all, stack, address, "casino", junk) == 12
    for _ in range(60):
        before = (await boxes(world, account))["junk"]
        await delivered(world, address, "new@other.test", body="casino jackpot loterie", subject="casino")
        if (await boxes(world, account))["junk"] > before:
            return
        await asyncio.sleep(0.5)
    raise AssertionError("nothing was learnt")


async def test_words_of_what_was_called_junk_put_mail_in_junk_and_answer_nobody(
    world: DeliveryWorld, listing_stack: Stack
) -> None:
    address, account = await world.person()
    await learns_junk(world, listing_stack, address, account)
    inbox, junk = (await boxes(world, account))["inbox"], (await boxes(world, account))["junk"]
    await delivered(world, address, ANN, body="réunion école", subject="famille")
    assert (await boxes(world, account))["inbox"] == inbox + 1
    # who is away answers none of it, and a script is told of it
    await activate(
        world, account, 'require ["vacation", "fileinto", "mailbox"]; vacation "away";'
        ' if header :contains "subject" "famille" { fileinto :create "Kin"; }',
    )  # fmt: skip
    friend, mailbox = await world.person()
    known = {
        "mail_from": friend,
        "verdicts": accept_pb2.AuthenticationVerdicts(from_authenticated=True, envelope_authenticated=True),
    }
    for subject, text in (("casino", "casino jackpot loterie"), ("famille", "réunion école")):
        body = f"From: <{friend}>\r\nTo: <{address}>\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()
        await world.settled(await world.accept(address, body=body, **known))  # type: ignore[arg-type]
    assert await boxes(world, account) == {"inbox": inbox + 1, "junk": junk + 1, "Kin": 1}
    (answer,) = await arrived(world, mailbox)
    assert "famille" in answer["Subject"]
    # whom they allow is judged by nothing else
    await say(listing_stack, address, EVE, "allow")
    await delivered(world, address, EVE, body="casino jackpot loterie", subject="casino", verdicts=KNOWN)
    assert (await boxes(world, account))["inbox"] == inbox + 2


async def writes(world: DeliveryWorld, account: int, sender: str, to: str) -> None:
    """Have a person send mail to somebody here."""
    body = f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: x\r\n\r\nHello\r\n".encode()
    item = accept_pb2.AcceptItem(
        idempotency_key=os.urandom(32), mail_from=sender, recipients=[accept_pb2.AcceptRecipient(address=to, tenant_id=1)],
        trace=b"Received: x\r\n", body=body, header_from=sender, origin=accept_pb2.ORIGIN_SUBMITTED, submitter_account_id=account,
        submitter_tenant_id=1,
    )  # fmt: skip
    done = await world.call(
        "store", "ingest", accept_pb2_grpc.AcceptServiceStub, "Accept", accept_pb2.AcceptRequest(items=[item])
    )
    await world.settled([done.results[0].accepted_id])


async def test_rfc6134_a_script_knows_whom_its_owner_knows(world: DeliveryWorld, listing_stack: Stack) -> None:
    address, account = await world.person()
    friend, _ = await world.person()
    await activate(
        world, account,
        'require ["extlists", "fileinto", "mailbox", "envelope"];'
        'if not valid_ext_list "urn:ietf:params:sieve:addrbook:default" { discard; stop; }'
        'if anyof (address :list "from" ":addrbook:default", envelope :list "from" ":AddrBook:Default") { fileinto :create "Known"; }'
        'elsif header :list "subject" ":addrbook:default" { discard; }',
    )  # fmt: skip
    await delivered(world, address, ANN)
    assert await boxes(world, account) == {"inbox": 1}
    await say(listing_stack, address, ANN, "allow")
    await delivered(world, address, ANN.upper())
    await delivered(world, address, "x@deep.good.test")
    assert await boxes(world, account) == {"inbox": 2, "Known": 1}
    await delivered(world, address, friend)
    assert (await boxes(world, account))["inbox"] == 3
    await writes(world, account, address, friend)
    for _ in range(50):
        await delivered(world, address, friend.replace("@", "+work@"))
        if (await boxes(world, account))["Known"] == 2:
            break
        await asyncio.sleep(0.2)
    assert (await boxes(world, account))["Known"] == 2
    await say(listing_stack, address, ANN, "block")
    before = (await boxes(world, account))["Known"]
    await delivered(world, address, ANN)
    assert (await boxes(world, account))["Known"] == before


async def test_a_childs_list_opens_no_gate(world: DeliveryWorld, listing_stack: Stack) -> None:
    mother, _ = await world.person("mother")
    child, account = await world.person("child", guarded=True, guardians=(mother,))
    await say(listing_stack, child, ANN, "allow")
    await say(listing_stack, child, "good.test", "allow")
    for verdicts in (KNOWN, KNOWN_JUNK, JUNK):
        await delivered(world, child, ANN, verdicts=verdicts)
    assert await world.messages(account) == []
    # nor does a list keep from a child what its guardians write: it is in the child's Junk, and no further
    await delivered(world, child, mother, verdicts=KNOWN)
    assert await boxes(world, account) == {"inbox": 1}
    await say(listing_stack, child, mother, "block")
    await delivered(world, child, mother, verdicts=KNOWN)
    assert await boxes(world, account) == {"inbox": 1, "junk": 1}


async def test_what_is_said_of_a_message_counts_once_whatever_the_order(listing_stack: Stack) -> None:
    context = Context(listing_stack.layout, listing_stack.ports, None, print)  # type: ignore[arg-type]
    pool = await open_pool(postgres.dsn(context, "delivery"), "delivery", 4)
    try:
        rows = ReputationRows(pool)
        today = int(time.time()) // 86_400
        await rows.count({"bulk.test": 40, "other.test": 1}, today)

        async def junk() -> float:
            return (await rows.read(["bulk.test", "nobody.test"]))["bulk.test"].junk

        async def say(account: int, message: int, version: int, *, junk: bool) -> bool:
            accepted = message.to_bytes(16, "big")
            return await rows.teach(account, accepted, "bulk.test", today, junk=junk, version=version)

        assert await say(1, 1, 1, junk=True)
        assert not await say(1, 1, 1, junk=True), "offered again"
        assert await junk() == 1
        assert await say(1, 1, 2, junk=False)
        assert not await say(1, 1, 1, junk=True), "an old word"
        assert await junk() == 0
        assert not await say(2, 1, 5, junk=False), "the later word came first"
        assert not await say(2, 1, 4, junk=True)
        assert await junk() == 0
        said = await asyncio.gather(*(say(3, number % 5, 1, junk=True) for number in range(20)))
        assert 3 <= sum(said) <= 5, "about three a day, whatever comes at once"
        assert await junk() == sum(said)
        assert not await say(3, 77, 1, junk=True)
        standing = (await rows.read(["bulk.test"]))["bulk.test"]
        assert (standing.mails, standing.day) == (40, today)
        await rows.count({"bulk.test": 1}, today + 14)
        assert (await rows.read(["bulk.test"]))["bulk.test"].mails == pytest.approx(21)
        await rows.count({"bulk.test": 1}, today)
        assert (await rows.read(["bulk.test"]))["bulk.test"].day == today + 14, "a process whose clock is behind"
        await pool.execute("/* cold:test */ UPDATE sender_domain SET day = $1", today - 200)
        await pool.execute("/* cold:test */ UPDATE sender_lesson SET taught_at = now() - interval '61 days'")
        await rows.prune()
        assert await rows.read(["bulk.test", "other.test"]) == {}
        assert await pool.fetchval("/* cold:test */ SELECT count(*) FROM sender_lesson") == 0
    finally:
        await pool.close()


async def test_a_list_is_bounded_is_nobody_elses_and_ends_with_its_account(
    world: DeliveryWorld, listing_stack: Stack
) -> None:
    address, account = await world.person()
    _, other = await world.person()
    context = Context(listing_stack.layout, listing_stack.ports, None, print)  # type: ignore[arg-type]
    pool = await open_pool(postgres.dsn(context, "delivery"), "delivery", 4)
    try:
        who = Principal(account, 1, ("person",), 0)
        key = listing_stack.layout.data / "keys" / "delivery.key"
        lists = SenderLists(pool, Seal(read_key(key), "senders"))
        for number in range(MAX_SENDERS):
            await lists.say(who, f"x{number}@bulk.test", Listing.BLOCK)
        with pytest.raises(TooManySendersError):
            await lists.say(who, EVE, Listing.BLOCK)
        assert (await said(listing_stack, address, "ListedSender/say", sender=EVE, action="block"))[
            "type"
        ] == "forbidden"
        await lists.say(who, "x0@bulk.test", Listing.ALLOW)
        assert len(await lists.listed(who)) == MAX_SENDERS
        statement = "/* cold:test.senders */ SELECT count(*) FROM listed_sender WHERE account_id = $1"
        sealed = await pool.fetch(
            "/* cold:test.sealed */ SELECT sender_sealed FROM listed_sender WHERE account_id = $1 LIMIT 5", account
        )
        assert not any(b"bulk" in row["sender_sealed"] for row in sealed)
        stub = senders_pb2_grpc.SenderListServiceStub
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.call(
                "delivery",
                "gateway",
                stub,
                "ListSenders",
                senders_pb2.ListSendersRequest(account_id=account),
                world.principal(other),
            )
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(grpc.aio.AioRpcError):
            await world.call(
                "delivery", "ingest", stub, "ListSenders", senders_pb2.ListSendersRequest(account_id=account)
            )
        assert await pool.fetchval(statement, account) == MAX_SENDERS
        gone = Principal(2**62 + 5, 1, ("person",), 0)
        await lists.say(gone, EVE, Listing.BLOCK)
        peers = RulePeers(world.peer("store", "delivery"), world.peer("accounts", "delivery"), 10, 10)
        assert await erase_closed(pool, peers) == 1
        assert await pool.fetchval(statement, gone.account_id) == 0
        assert await pool.fetchval(statement, account) == MAX_SENDERS
    finally:
        await pool.close()
