"""A day in the life of jmapc, a JMAP client of others (PyPI), unmodified: through its own classes, by HTTPS, with a password."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jmapc
import pytest
from jmapc import Comparator, Email, EmailAddress, EmailBodyPart, EmailBodyValue, EmailQueryFilterCondition, Ref
from jmapc.methods import (
    CoreEcho,
    CoreEchoResponse,
    CustomMethod,
    CustomResponse,
    EmailChanges,
    EmailChangesResponse,
    EmailGet,
    EmailGetResponse,
    EmailQuery,
    EmailQueryResponse,
    EmailSet,
    EmailSetResponse,
    MailboxChanges,
    MailboxChangesResponse,
    MailboxGet,
    MailboxGetResponse,
    MailboxQuery,
    MailboxQueryResponse,
    MailboxSet,
    MailboxSetResponse,
    ThreadChanges,
    ThreadChangesResponse,
    ThreadGet,
    ThreadGetResponse,
)
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_client import CORE, MAIL, JmapClient

LETTER = (
    b"From: Ana <ana@x.example>\r\nTo: Us <us@x.example>\r\nSubject: Imported letter\r\n"
    b"Message-ID: <import-%d@x.example>\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\n\r\nAs it came\r\n"
)


@pytest.fixture
def jmapc_client(server: JmapServer, jmap: JmapClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[jmapc.Client]:
    """The client as its documentation makes it; requests, below it, learns from the environment whom to trust."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.authority))
    client = jmapc.Client.create_with_password(server.secure, jmap.login, jmap.password)
    yield client
    client.requests_session.close()


def ask(client: jmapc.Client, method: Any) -> Any:
    return client.request(method, raise_errors=True, single_response=True)


def inbox(client: jmapc.Client) -> str:
    found = ask(client, MailboxQuery(filter=jmapc.MailboxQueryFilterCondition(role="inbox")))
    assert isinstance(found, MailboxQueryResponse)
    assert isinstance(found.ids, list)
    return found.ids[0]


def test_rfc8620_2_jmapc_reads_the_session(jmap: JmapClient, jmapc_client: jmapc.Client) -> None:
    assert jmapc_client.account_id == jmap.account
    session = jmapc_client.jmap_session
    assert session.username == jmap.login
    assert {CORE, MAIL} <= session.capabilities.urns
    answer = ask(jmapc_client, CoreEcho(data={"hello": [1, None, "x"]}))
    assert isinstance(answer, CoreEchoResponse)
    assert answer.data == {"hello": [1, None, "x"]}


def test_rfc8621_4_10_jmapc_lists_and_reads(jmap: JmapClient, jmapc_client: jmapc.Client) -> None:
    older = jmap.mail(subject="First of a thread", body="Bonjour é\r\n", message_id=f"t1.{id(jmap)}@x.example")
    newer = jmap.mail(subject="Re: First of a thread", fields=f"References: <t1.{id(jmap)}@x.example>\r\n")
    calls = [
        EmailQuery(
            filter=EmailQueryFilterCondition(in_mailbox=inbox(jmapc_client)),
            sort=[Comparator(property="receivedAt", is_ascending=False)],
            collapse_threads=True, calculate_total=True, limit=10,
        ),
        EmailGet(ids=Ref("/ids"), properties=["threadId"]),
        ThreadGet(ids=Ref("/list/*/threadId")),
        EmailGet(
            ids=Ref("/list/*/emailIds"), fetch_text_body_values=True, max_body_value_bytes=100,
            properties=["subject", "from", "receivedAt", "preview", "textBody", "bodyValues", "hasAttachment", "keywords"],
        ),
    ]  # fmt: skip
    listed, _, threads, emails = (one.response for one in jmapc_client.request(calls, raise_errors=True))
    assert isinstance(listed, EmailQueryResponse)
    assert listed.total == 1
    assert listed.ids == [newer]
    assert isinstance(threads, ThreadGetResponse)
    assert threads.data[0].email_ids == [older, newer]
    assert isinstance(emails, EmailGetResponse)
    first = next(one for one in emails.data if one.id == older)
    assert first.subject == "First of a thread"
    assert first.mail_from == [EmailAddress(name="Anna", email="anna@x.example")]
    assert first.received_at is not None
    assert first.has_attachment is False
    assert first.text_body is not None
    assert first.body_values is not None
    assert first.body_values[str(first.text_body[0].part_id)].value == "Bonjour é\n"


def test_rfc8621_4_6_jmapc_flags_moves_and_deletes(jmap: JmapClient, jmapc_client: jmapc.Client) -> None:
    email = jmap.mail()
    made = ask(jmapc_client, MailboxSet(create={"box": jmapc.Mailbox(name="Projects", is_subscribed=True)}))
    assert isinstance(made, MailboxSetResponse)
    assert made.created is not None
    box = made.created["box"]
    assert box is not None
    assert box.id is not None
    before = ask(jmapc_client, EmailGet(ids=[email]))
    assert isinstance(before, EmailGetResponse)
    assert before.state is not None
    done = ask(
        jmapc_client,
        EmailSet(update={email: {"keywords/$seen": True, "keywords/$flagged": True, "mailboxIds": {box.id: True}}}),
    )
    assert isinstance(done, EmailSetResponse)
    assert done.updated == {email: None}
    changed, boxes, threads = (
        one.response
        for one in jmapc_client.request(
            [EmailChanges(since_state=before.state), MailboxChanges(since_state=before.state),
             ThreadChanges(since_state=before.state)],
            raise_errors=True,
        )
    )  # fmt: skip
    assert isinstance(changed, EmailChangesResponse)
    assert changed.updated == [email]
    assert isinstance(boxes, MailboxChangesResponse)
    assert box.id in boxes.updated
    assert isinstance(threads, ThreadChangesResponse)
    after = ask(jmapc_client, EmailGet(ids=[email], properties=["keywords", "mailboxIds"])).data[0]
    assert after.keywords == {"$seen": True, "$flagged": True}
    assert after.mailbox_ids == {box.id: True}
    counts = ask(jmapc_client, MailboxGet(ids=[box.id]))
    assert isinstance(counts, MailboxGetResponse)
    assert (counts.data[0].total_emails, counts.data[0].unread_emails) == (1, 0)
    gone = ask(jmapc_client, EmailSet(destroy=[email]))
    assert gone.destroyed == [email]
    assert ask(jmapc_client, EmailGet(ids=[email])).not_found == [email]


def test_rfc8621_4_6_jmapc_writes_a_draft(jmap: JmapClient, jmapc_client: jmapc.Client, tmp_path: Path) -> None:
    picture = tmp_path / "plan d été.png"
    picture.write_bytes(b"\x89PNG" + bytes(range(256)) * 40)
    blob = jmapc_client.upload_blob(picture)
    assert (blob.type, blob.size) == ("image/png", picture.stat().st_size)
    draft = Email(
        mailbox_ids={jmap.mailbox("drafts"): True}, keywords={"$draft": True}, subject="Un été à Nîmes",
        mail_from=[EmailAddress(name="Moi", email=jmap.login)], to=[EmailAddress(email="bob@x.example")],
        body_values={"t": EmailBodyValue(value="Voilà\n")}, text_body=[EmailBodyPart(part_id="t", type="text/plain")],
        attachments=[EmailBodyPart(blob_id=blob.id, type="image/png", name=picture.name, disposition="attachment")],
    )  # fmt: skip
    made = ask(jmapc_client, EmailSet(create={"d": draft}))
    assert isinstance(made, EmailSetResponse)
    assert made.not_created is None
    assert made.created is not None
    created = made.created["d"]
    assert created is not None
    shown = ask(jmapc_client, EmailGet(ids=[str(created.id)])).data[0]
    assert shown.subject == "Un été à Nîmes"
    assert [part.name for part in shown.attachments or ()] == [picture.name]
    target = tmp_path / "again.png"
    jmapc_client.download_attachment(shown.attachments[0], target)
    assert target.read_bytes() == picture.read_bytes()


def test_rfc8621_4_8_jmapc_imports(jmap: JmapClient, jmapc_client: jmapc.Client, tmp_path: Path) -> None:
    letter = tmp_path / "letter.eml"
    letter.write_bytes(LETTER % id(jmap))
    blob = jmapc_client.upload_blob(letter)
    one = {"blobId": blob.id, "mailboxIds": {inbox(jmapc_client): True}, "keywords": {"$seen": True}}
    method = CustomMethod(data={"accountId": jmapc_client.account_id, "emails": {"i": one}})
    method.jmap_method = "Email/import"
    type(method).using = {MAIL}
    made = ask(jmapc_client, method)
    assert isinstance(made, CustomResponse)
    assert made.data is not None
    assert made.data["notCreated"] is None
    shown = ask(jmapc_client, EmailGet(ids=[made.data["created"]["i"]["id"]])).data[0]
    assert shown.subject == "Imported letter"
    assert shown.keywords == {"$seen": True}


def test_rfc8621_4_4_jmapc_searches(jmap: JmapClient, jmapc_client: jmapc.Client) -> None:
    wanted = jmap.mail(subject="The budget of the choir", body="Twelve violins\r\n")
    jmap.mail(subject="Something else")
    for condition in (
        EmailQueryFilterCondition(text="violins"), EmailQueryFilterCondition(body="violins"), EmailQueryFilterCondition(mail_from="anna", text="budget"),
    ):  # fmt: skip
        assert ask(jmapc_client, EmailQuery(filter=condition)).ids == [wanted]


def test_rfc8620_7_3_jmapc_is_pushed_to(jmap: JmapClient, jmapc_client: jmapc.Client) -> None:
    jmapc_client._event_source_config.types = "Email,Mailbox"
    found: list[jmapc.Event] = []
    opened = threading.Event()

    def listen() -> None:
        events = jmapc_client.events
        threading.Timer(1.0, opened.set).start()
        found.append(next(events))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert opened.wait(20)
    email = jmap.mail()
    listener.join(20)
    assert found, "nothing was pushed"
    changed = found[0].data.changed[jmap.account]
    assert changed.email == jmap.call("Email/get", ids=[email])["state"]
    assert changed.mailbox
    assert found[0].id
    assert jmapc_client._events is not None
    jmapc_client._events.resp.close()
