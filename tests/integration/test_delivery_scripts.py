"""Rules of mailboxes on real services: scripts file, discard, send on, answer and refuse, each once whatever dies."""

from __future__ import annotations

import asyncio
import email
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from email.header import decode_header, make_header
from email.message import Message
from typing import Any

import pytest
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.delivery.v1 import scripts_pb2, scripts_pb2_grpc
from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.rule_peers import RulePeers
from petitbleu_delivery.service.scripts.erasure import erase_closed
from petitbleu_dev.stack import Stack
from petitbleu_kit.postgres import open_pool

OFFSET = offset_of(500)
REWRITTEN = re.compile(r"<SRS0=[a-z2-7]{8}=[a-z2-7]{2}=else\.test=peer@route\.test>")


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def scripts_stack(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Stack]:
    environment = {"PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{sink.port}"}
    with prepared_stack(tmp_path_factory.mktemp("scripts") / "data", OFFSET, environment) as stack:
        yield stack


@pytest.fixture
async def world(scripts_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(scripts_stack) as made:
        yield made


async def ask(world: DeliveryWorld, account: int, method: str, **fields: Any) -> Any:
    request = getattr(scripts_pb2, f"{method}Request")(account_id=account, **fields)
    return await world.call(
        "delivery", "gateway", scripts_pb2_grpc.ScriptServiceStub, method, request, world.principal(account)
    )


async def activate(world: DeliveryWorld, account: int, script: str, name: str = "main") -> None:
    """Make a script the one that is evaluated."""
    update = scripts_pb2.ScriptUpdate(name=name, content=script.encode())
    done = await ask(world, account, "UpdateScripts", updates=[update], activate_created_by=0)
    assert done.results[0].status == scripts_pb2.SCRIPT_STATUS_OK, done.results[0].reason
    assert done.activated_id


async def delivered(
    world: DeliveryWorld, to: str, sender: str = "peer@else.test", header: str = "", *, subject: str = "hello",
    body: str = "Hello", **more: Any,
) -> list[bytes]:  # fmt: skip
    """Accept a message, and wait until it has its outcome."""
    text = f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n{header}\r\n{body}\r\n".encode()
    ids = await world.accept(to, mail_from=sender, body=text, **more)
    await world.settled(ids)
    return ids


async def boxes(world: DeliveryWorld, account: int) -> Counter[str]:
    """Messages by the name (at the top: the role, where there is one) of their mailbox."""
    found = (await world.mailbox("ListMailboxes", account)).mailboxes
    return Counter({one.role or one.name: one.total_messages for one in found if one.total_messages})


async def mails(world: DeliveryWorld, account: int) -> list[Message]:
    """All messages of an account, newest first."""
    return [email.message_from_bytes(await world.text(account, number)) for number in await world.messages(account)]


async def arrived(world: DeliveryWorld, account: int, count: int = 1) -> list[Message]:
    """Wait for messages that delivery itself sends."""
    deadline = time.monotonic() + 40
    while len(found := await mails(world, account)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} came"
        await asyncio.sleep(0.1)
    return found


async def test_rfc5228_4_1_a_script_files(world: DeliveryWorld) -> None:
    address, account = await world.person()
    await activate(
        world, account,
        'require ["fileinto", "mailbox", "imap4flags", "envelope", "subaddress", "special-use"];'
        'if envelope :detail "to" "lists" { fileinto :create :flags ["\\\\Seen", "Work"] "Lists/python"; stop; }'
        'if header :contains "subject" "none" { discard; }'
        'elsif mailboxexists "Nowhere" { fileinto "Nowhere"; }'
        'elsif allof (exists "X-Old", specialuse_exists "\\\\Archive") { fileinto :specialuse "\\\\Archive" "Old"; }'
        'elsif exists "X-Missing" { fileinto "Nowhere/at/all"; }',
    )  # fmt: skip
    await delivered(world, address.replace("@", "+lists@"))
    assert await boxes(world, account) == {"python": 1}
    (number,) = await world.messages(account)
    (row,) = (await world.mailbox("GetMessages", account, message_ids=[number])).messages
    assert set(row.keywords) == {"$seen", "work"}
    await delivered(world, address)
    await delivered(world, address, header="X-Old: yes\r\n")
    await delivered(world, address, header="X-Missing: yes\r\n")
    assert await boxes(world, account) == {"python": 1, "inbox": 2, "archive": 1}


async def test_rfc5293_a_script_edits_the_header_that_its_owner_sees(world: DeliveryWorld) -> None:
    address, account = await world.person()
    other, two = await world.person()
    far, three = await world.person()
    last, four = await world.person()
    await activate(
        world, account,
        'require ["editheader", "fileinto", "mailbox", "variables", "copy"];'
        'if header :matches "Subject" "*" { set "was" "${1}"; }'
        'deleteheader "Subject"; addheader :last "Subject" "[liste] ${was} été"; deleteheader "X-Tracker"; deleteheader "Received";'
        f'redirect :copy "{far}"; addheader "X-Seen" "yes"; deleteheader "From"; addheader "From" "boss@demo.test";'
        f'redirect :copy "{last}"; fileinto :create "Edited";',
    )  # fmt: skip
    text = f"From: <peer@else.test>\r\nTo: <{address}>\r\nX-Tracker: 1\r\nSubject: hello\r\n\r\nHello\r\n".encode()
    await world.settled(await world.accept(address, other, body=text))
    assert await boxes(world, account) == {"Edited": 1}
    (mine,) = await mails(world, account)
    assert str(make_header(decode_header(mine["Subject"]))) == "[liste] hello été"
    assert (mine["X-Seen"], mine["X-Tracker"], mine["From"]) == ("yes", None, "boss@demo.test")
    assert mine["Received"], "how it came here stays"
    (number,) = await world.messages(account)
    assert (await world.text(account, number)).endswith(b"\r\n\r\nHello\r\n")
    (theirs,) = await mails(world, two)
    assert (theirs["Subject"], theirs["X-Tracker"], theirs["X-Seen"]) == ("hello", "1", None)
    (first,), (second,) = await arrived(world, three), await arrived(world, four)
    assert (first["X-Tracker"], first["X-Seen"]) == (None, None)
    assert (second["X-Seen"], second["From"]) == ("yes", "<peer@else.test>"), (
        "who wrote it is not a rule's to say to others"
    )


async def test_rfc5293_a_childs_mail_is_what_its_guardians_decided_on(world: DeliveryWorld) -> None:
    mother, _ = await world.person("mother")
    child, account = await world.person("child", guarded=True, guardians=(mother,))
    await activate(world, account, 'require "editheader"; deleteheader "From"; addheader "From" "friend@demo.test";')
    await world.settled(
        await world.accept(child, mail_from=mother, verdicts=accept_pb2.AuthenticationVerdicts(from_authenticated=True))
    )
    (found,) = await mails(world, account)
    assert found["From"] == f"<{mother}>"


async def test_rfc5228_4_4_discard_settles_and_files_nothing(world: DeliveryWorld) -> None:
    address, account = await world.person()
    other, two = await world.person()
    await activate(world, account, "discard;")
    await delivered(world, address)
    ids = await world.accept(address, other)
    await world.settled(ids)
    assert (await world.messages(account), len(await world.messages(two))) == ([], 1)
    assert not set(ids) & set(await world.parked())
    # a script that is no longer active does nothing
    await ask(world, account, "UpdateScripts", deactivate=True)
    await delivered(world, address)
    assert await boxes(world, account) == {"inbox": 1}


async def test_rfc7352_3_duplicates_and_rfc6609_includes(world: DeliveryWorld) -> None:
    address, account = await world.person()
    update = scripts_pb2.ScriptUpdate(name="inner", content=b'require "fileinto"; fileinto "Trash";')
    await ask(world, account, "UpdateScripts", updates=[update])
    await activate(world, account, 'require ["duplicate", "include"]; if duplicate { include :personal "inner"; }')
    for _ in range(3):
        await delivered(world, address, header="Message-ID: <same@else.test>\r\n")
    await delivered(world, address, header="Message-ID: <other@else.test>\r\n")
    assert await boxes(world, account) == {"inbox": 2, "trash": 2}


async def test_rfc5228_4_2_redirect_to_a_local_account(world: DeliveryWorld) -> None:
    address, account = await world.person()
    other, two = await world.person()
    await activate(world, account, f'redirect "{other}";')
    await delivered(world, address, header="X-Mark: sent on\r\n")
    (mail,) = await arrived(world, two)
    assert mail["X-Mark"] == "sent on"
    assert {"i=1", "cv=none", "d=route.test"} <= {one.strip() for one in mail["ARC-Seal"].split(";")}  # RFC 8617 §5.1
    assert REWRITTEN.fullmatch(mail["Return-Path"])
    assert [one.strip("<>") for one in mail.get_all("Delivered-To", [])] == [other, address]
    assert await world.messages(account) == []
    # what comes back is kept: it would go in circles
    await activate(world, two, f'redirect "{address}";', "back")
    await delivered(world, address, header="X-Mark: circle\r\n")
    (mail,) = await arrived(world, account)
    assert mail["X-Mark"] == "circle"
    assert len(await world.messages(two)) == 1
    # with :copy both have it
    third, three = await world.person()
    await activate(world, three, f'require "copy"; redirect :copy "{other}";')
    await ask(world, two, "UpdateScripts", deactivate=True)
    await delivered(world, third, sender="")
    (mail, _) = await arrived(world, two, 2)
    assert mail["Return-Path"] == "<>"  # the null path stays null
    assert len(await world.messages(three)) == 1


async def test_what_rules_send_leaves_for_other_servers_sealed_and_signed(world: DeliveryWorld, sink: Sink) -> None:
    address, account = await world.person()
    await activate(world, account, 'require "vacation"; redirect "far@third.test"; vacation :subject "Away" "away";')
    await delivered(world, address, sender="anna@else.test", header="X-Mark: far\r\n")
    deadline = time.monotonic() + 40
    while len(found := [one for one in sink.taken if address.encode() in one.content]) < 2:
        assert time.monotonic() < deadline, f"{len(found)} of 2 left"
        await asyncio.sleep(0.1)
    by_target = {tuple(one.recipients): one for one in found}
    sent_on, answer = by_target[("far@third.test",)], by_target[("anna@else.test",)]
    assert sent_on.mail_from.endswith("=else.test=anna@route.test")
    assert answer.mail_from == "<>"
    assert b"ARC-Seal:" in sent_on.content
    assert b"X-Mark: far" in sent_on.content
    mail = email.message_from_bytes(answer.content)
    assert (mail["Subject"], mail["Auto-Submitted"]) == ("Away", "auto-replied (vacation)")
    assert "DKIM-Signature" in mail


async def test_rfc5230_a_local_person_is_answered_once(world: DeliveryWorld) -> None:
    address, account = await world.person()
    other, two = await world.person()
    await activate(
        world, account, 'require "vacation"; vacation :days 3 :subject "Là-bas" "Zurück im September.\\r\\nÀ bientôt";'
    )
    ids = await delivered(world, address, sender=other, header="Message-ID: <first@else.test>\r\n")
    (mail,) = await arrived(world, two)
    assert str(email.header.make_header(email.header.decode_header(mail["Subject"]))) == "Là-bas"
    assert mail["Auto-Submitted"].startswith("auto-replied")
    assert (mail["In-Reply-To"], mail["References"]) == ("<first@else.test>", "<first@else.test>")
    assert address in mail["From"]
    assert mail["Return-Path"] == "<>"
    assert "Zurück im September." in (mail.get_payload(decode=True) or b"").decode()  # type: ignore[union-attr]
    # once in three days, never to machines, lists, or where the owner is not named
    await delivered(world, address, sender=other)
    await delivered(world, address, sender=other, header="Auto-Submitted: auto-generated\r\n")
    third, three = await world.person()
    await delivered(world, address, sender=third, header="List-Id: <list.else.test>\r\n")
    await delivered(world, address, sender=third, header="Precedence: bulk\r\n")
    body = b"From: x\r\nTo: somebody@else.test\r\n\r\nHello\r\n"
    await world.settled(await world.accept(address, mail_from=third, body=body))
    await delivered(world, address, sender="")
    await world.quiet()
    assert len(await world.messages(two)) == 1
    assert await world.messages(three) == []
    assert len(await world.messages(account)) == 7
    assert ids


async def test_rfc5436_2_somebody_is_told_by_mail_and_not_in_circles(world: DeliveryWorld) -> None:
    address, account = await world.person()
    other, two = await world.person()
    await activate(
        world,
        account,
        f'require "enotify"; notify :importance "1" :message "Da ist Post" "mailto:{other}?body=Look%20at%20it";',
    )
    await activate(world, two, f'require "enotify"; notify "mailto:{address}";')
    await delivered(world, address)
    (mail,) = await arrived(world, two)
    assert (mail["Subject"], mail["Auto-Submitted"], mail["Importance"]) == ("Da ist Post", "auto-notified", "High")
    assert mail["Return-Path"] == "<>"
    assert address in mail["From"]
    assert "Look at it" in mail.get_payload()
    await world.quiet()
    assert (len(await world.messages(account)), len(await world.messages(two))) == (1, 1)


async def test_rfc8621_8_the_response_set_without_a_script(world: DeliveryWorld) -> None:
    address, account = await world.person()
    other, two = await world.person()
    away = scripts_pb2.Vacation(enabled=True, subject="Away", html_body="<p>Back <b>soon</b></p>")
    await ask(world, account, "SetVacation", vacation=away)
    await delivered(world, address, sender=other)
    await delivered(world, address, sender=other)
    (mail,) = await arrived(world, two)
    assert mail["Subject"] == "Away"
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    # over: nobody is answered any more
    away.to = 1_000_000_000
    await ask(world, account, "SetVacation", vacation=away)
    third, three = await world.person()
    await delivered(world, address, sender=third)
    await world.quiet()
    assert (len(await world.messages(two)), await world.messages(three)) == (1, [])


async def test_rfc5429_2_1_reject_tells_whom_it_may_tell(world: DeliveryWorld) -> None:
    address, account = await world.person()
    other, two = await world.person()
    await activate(world, account, 'require "reject"; reject "Not for me.\\r\\nBye";')
    # who sent it is not known: nobody is bothered, and the owner may look in Junk
    await delivered(world, address, sender=other)
    assert await boxes(world, account) == {"junk": 1}
    await delivered(
        world, address, sender=other, verdicts=accept_pb2.AuthenticationVerdicts(envelope_authenticated=True)
    )
    (mail,) = await arrived(world, two)
    assert mail.get_content_type() == "multipart/report"
    assert mail["Return-Path"] == "<>"
    text = b"".join(part.get_payload(decode=True) or b"" for part in mail.walk() if not part.is_multipart()).decode()  # type: ignore[misc]
    assert "Not for me." in text
    report = str(mail)
    assert f"rfc822; {address}" in report
    assert "Status: 5.7.1" in report
    assert await boxes(world, account) == {"junk": 1}


async def test_rfc5228_2_10_6_a_script_that_fails_keeps_and_its_owner_is_told_once(world: DeliveryWorld) -> None:
    address, account = await world.person()
    await activate(world, account, 'require "include"; include :personal "not there";')
    await delivered(world, address)
    await delivered(world, address)
    found = await arrived(world, account, 3)
    await world.quiet()
    assert len(await world.messages(account)) == 3
    (notice,) = [mail for mail in found if mail["Subject"] == "A rule of your mailbox failed"]
    assert "line 1" in notice.get_payload()


async def test_nothing_goes_out_of_a_childs_account_for_a_rule(world: DeliveryWorld) -> None:
    parent, _ = await world.person()
    address, account = await world.person(guarded=True, guardians=(parent,))
    other, two = await world.person()
    await activate(
        world, account, f'require ["vacation", "fileinto"]; redirect "{other}"; vacation "away"; fileinto "Archive";'
    )
    ids = await world.accept(address, mail_from=parent, authenticated=True)
    await world.settled(ids)
    await world.quiet()
    assert await world.messages(two) == []


async def test_the_rules_of_a_closed_account_are_erased_and_those_of_others_stay(
    world: DeliveryWorld, scripts_stack: Stack
) -> None:
    address, account = await world.person()
    _, other = await world.person()
    for number in (account, other):
        await activate(world, number, "if false { discard; }")
        await ask(world, number, "SetVacation", vacation=scripts_pb2.Vacation(enabled=True, text_body="away"))
    await world.admin("CloseAccount", accounts_pb2.CloseAccountRequest(address=address))
    pool = await open_pool(scripts_stack.environment("delivery")["PETITBLEU_PG_DSN"], "delivery", 2)
    try:
        peers = RulePeers(world.peer("store", "delivery"), world.peer("accounts", "delivery"), 5, 5)
        await erase_closed(pool, peers)
        left = await pool.fetch(
            "/* cold:test.books */ SELECT b.account_id FROM script_book b JOIN script s ON s.account_id = b.account_id"
        )
        assert account not in {row["account_id"] for row in left}
        assert other in {row["account_id"] for row in left}
    finally:
        await pool.close()


async def test_junk_goes_to_junk_unless_the_owner_says_otherwise_by_name(world: DeliveryWorld) -> None:
    address, account = await world.person()
    junk = accept_pb2.AuthenticationVerdicts(treatment=accept_pb2.TREATMENT_JUNK)
    await delivered(world, address, verdicts=junk)
    assert await boxes(world, account) == {"junk": 1}
    await activate(world, account, 'require "fileinto"; if header "subject" "hello" { fileinto "Archive"; }')
    await delivered(world, address, verdicts=junk)
    assert await boxes(world, account) == {"junk": 1, "archive": 1}


async def test_a_killed_delivery_does_what_rules_say_exactly_once(world: DeliveryWorld) -> None:
    address, account = await world.person()
    other, two = await world.person()
    senders = [await world.person() for _ in range(6)]
    await activate(
        world, account,
        'require ["vacation", "copy", "fileinto", "mailbox"]; vacation "away"; '
        f'redirect :copy "{other}"; fileinto :create "Kept";',
    )  # fmt: skip
    ids: list[bytes] = []
    for round_no in range(10):
        for sender, _ in senders:
            body = f"From: <{sender}>\r\nTo: <{address}>\r\nSubject: {round_no}\r\n\r\nHello\r\n".encode()
            ids += await world.accept(address, mail_from=sender, body=body, count=2)
        if round_no in {2, 5, 8}:
            world.stack.wait_ready(name="delivery")
            await asyncio.sleep(0.05 * round_no)
            world.stack.kill("delivery", signal.SIGKILL)
    world.stack.wait_ready(name="delivery")
    await world.settled(ids)
    await arrived(world, two, 120)
    for _, number in senders:
        await arrived(world, number)
    await world.quiet()
    assert await boxes(world, account) == {"Kept": 120}
    assert len(await world.messages(two)) == 120
    assert [len(await world.messages(number)) for _, number in senders] == [1] * 6
