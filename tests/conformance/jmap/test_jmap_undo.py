"""Undo on the wire (docs/undo.md): deleted mail and mailboxes are shown, brought back, and deleted for ever."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conformance.jmap_client import CORE, MAIL, UNDO, JmapClient


def destroy(jmap: JmapClient, *ids: str) -> None:
    assert jmap.call("Email/set", destroy=list(ids))["destroyed"] == list(ids)


def restore(jmap: JmapClient, *ids: str, **arguments: Any) -> dict[str, Any]:
    return jmap.call("DeletedEmail/restore", restore=dict.fromkeys(ids), **arguments)


def new_mailbox(jmap: JmapClient, name: str, **properties: Any) -> str:
    made = jmap.call("Mailbox/set", create={"m": {"name": name, **properties}})
    return str(made["created"]["m"]["id"])


def drop(jmap: JmapClient, *ids: str) -> None:
    gone = jmap.call("Mailbox/set", destroy=list(ids), onDestroyRemoveEmails=True)["destroyed"]
    assert sorted(gone) == sorted(ids)


def put(jmap: JmapClient, email: str, *mailboxes: str) -> None:
    jmap.call("Email/set", update={email: {"mailboxIds": dict.fromkeys(mailboxes, True)}})


def deleted(jmap: JmapClient, **arguments: Any) -> list[str]:
    found: list[str] = jmap.call("DeletedEmail/query", **arguments)["ids"]
    return found


def when(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_rfc8620_1_8_undo_is_a_capability_of_its_own(jmap: JmapClient) -> None:
    assert jmap.session["capabilities"][UNDO] == {}
    assert jmap.session["accounts"][jmap.account]["accountCapabilities"][UNDO] == {}
    assert jmap.session["primaryAccounts"][UNDO] == jmap.account
    answer = jmap.responses(["DeletedEmail/get", {"accountId": jmap.account, "ids": []}, "c"], using=(CORE, MAIL))
    assert answer[0][1]["type"] == "unknownMethod"


def test_undo_deleted_email_is_shown(jmap: JmapClient) -> None:
    email = jmap.mail("Bonjour")
    was = jmap.get(email, "threadId", "mailboxIds", "keywords", "size", "receivedAt", "subject", "from", "preview")
    before = jmap.call("DeletedEmail/get", ids=None)
    assert before["list"] == []
    destroy(jmap, email)
    told = jmap.call("DeletedEmail/get", ids=None)
    assert told["state"] != before["state"]
    (found,) = told["list"]
    assert {name: found[name] for name in was} == was
    assert set(found) == {
        "id", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "sentAt", "from", "to", "cc", "bcc", "subject", "preview",
        "hasAttachment", "deletedAt", "expiresAt", "withMailbox",
    }  # fmt: skip
    assert when(found["expiresAt"]) - when(found["deletedAt"]) == timedelta(days=30)
    assert found["withMailbox"] is False


def test_undo_no_other_method_shows_it(jmap: JmapClient) -> None:
    email = jmap.mail()
    blob = jmap.get(email, "blobId")["blobId"]
    destroy(jmap, email)
    assert jmap.call("Email/get", ids=[email])["notFound"] == [email]
    assert jmap.call("Email/query")["ids"] == []
    assert jmap.call("Thread/get", ids=None)["list"] == []
    assert jmap.download(blob).status_code == 404
    assert jmap.call("Blob/get", ids=[blob])["notFound"] == [blob]


def test_rfc8620_5_1_deleted_emails_by_id_and_property(jmap: JmapClient) -> None:
    email = jmap.mail("x")
    destroy(jmap, email)
    told = jmap.call("DeletedEmail/get", ids=[email, "M4711", "nonsense", email], properties=["subject", "deletedAt"])
    assert [set(one) for one in told["list"]] == [{"id", "subject", "deletedAt"}]
    assert sorted(told["notFound"]) == ["M4711", "nonsense"]
    assert jmap.fails("DeletedEmail/get", ids=[], properties=["bodyValues"])["type"] == "invalidArguments"
    limit = jmap.session["capabilities"][CORE]["maxObjectsInGet"]
    ids = [f"M{number}" for number in range(1, limit + 2)]
    assert jmap.fails("DeletedEmail/get", ids=ids)["type"] == "requestTooLarge"


def test_rfc8620_5_2_changes_are_told_from_the_current_state_only(jmap: JmapClient) -> None:
    state = jmap.call("DeletedEmail/get", ids=[])["state"]
    told = jmap.call("DeletedEmail/changes", sinceState=state)
    assert (told["newState"], told["created"], told["hasMoreChanges"]) == (state, [], False)
    destroy(jmap, jmap.mail())
    assert jmap.fails("DeletedEmail/changes", sinceState=state)["type"] == "cannotCalculateChanges"
    assert jmap.fails("DeletedMailbox/changes", sinceState=state)["type"] == "cannotCalculateChanges"
    state = jmap.call("DeletedMailbox/get", ids=[])["state"]
    assert jmap.call("DeletedMailbox/changes", sinceState=state)["destroyed"] == []


def test_rfc8620_5_5_deleted_emails_are_queried(jmap: JmapClient) -> None:
    ids = [jmap.mail(body="x" * octets + "\r\n") for octets in (300, 100, 200)]
    archive = jmap.mailbox("archive")
    put(jmap, ids[2], archive)
    for one in ids:
        destroy(jmap, one)
    told = jmap.call("DeletedEmail/query", calculateTotal=True)
    assert (told["ids"], told["total"], told["position"]) == (ids[::-1], 3, 0)
    assert told["canCalculateChanges"] is False
    assert told["queryState"] == jmap.call("DeletedEmail/get", ids=[])["state"]
    assert told["limit"] > 0
    assert deleted(jmap, sort=[{"property": "deletedAt"}]) == ids
    assert deleted(jmap, sort=[{"property": "size", "isAscending": False}]) == [ids[0], ids[2], ids[1]]
    assert deleted(jmap, sort=[{"property": "receivedAt"}]) == ids
    assert deleted(jmap, filter={"inMailbox": archive}) == [ids[2]]
    assert deleted(jmap, filter={"after": "2999-01-01T00:00:00Z"}) == []
    assert deleted(jmap, filter={"before": "2999-01-01T00:00:00Z", "after": "2001-01-01T00:00:00Z"}) == ids[::-1]
    assert deleted(jmap, position=1, limit=1) == [ids[1]]
    assert deleted(jmap, position=-1) == [ids[0]]
    assert deleted(jmap, limit=0) == []
    assert deleted(jmap, anchor=ids[1], anchorOffset=-1, limit=1) == [ids[2]]
    assert jmap.fails("DeletedEmail/query", anchor="M4711")["type"] == "anchorNotFound"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"filter": {"operator": "AND", "conditions": []}}, "unsupportedFilter"),
        ({"filter": {"text": "x"}}, "invalidArguments"),
        ({"filter": {"before": "yesterday"}}, "invalidArguments"),
        ({"filter": {"inMailbox": "nonsense"}}, "invalidArguments"),
        ({"sort": [{"property": "subject"}]}, "unsupportedSort"),
        ({"sort": [{"property": "size", "isAscending": "no"}]}, "invalidArguments"),
        ({"limit": -1}, "invalidArguments"),
    ],
)
def test_rfc8620_5_5_deleted_emails_are_not_queried_so(jmap: JmapClient, arguments: dict[str, Any], fault: str) -> None:
    assert jmap.fails("DeletedEmail/query", **arguments)["type"] == fault


def test_undo_restored_email_is_the_same_again(jmap: JmapClient) -> None:
    root = jmap.mail("Plan", message_id="root@undo.example")
    reply = jmap.mail("Re: Plan", fields="In-Reply-To: <root@undo.example>\r\nReferences: <root@undo.example>\r\n")
    jmap.call("Email/set", update={root: {"keywords": {"$seen": True, "travail": True}}})
    before = jmap.call("Email/get", ids=[root, reply])
    raw = jmap.download(jmap.get(root, "blobId")["blobId"]).content
    destroy(jmap, root, reply)
    state = jmap.call("Email/get", ids=[])["state"]
    threads = jmap.call("Thread/get", ids=[])["state"]
    told = restore(jmap, reply, root)
    assert told["oldState"] == state
    assert told["notRestored"] is None
    assert set(told["restored"][root]) == {
        "id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt",
    }  # fmt: skip
    after = jmap.call("Email/get", ids=[root, reply])
    assert after["list"] == before["list"]
    assert after["state"] == told["newState"]
    assert jmap.download(jmap.get(root, "blobId")["blobId"]).content == raw
    changes = jmap.call("Email/changes", sinceState=state)
    assert (sorted(changes["created"]), changes["updated"], changes["destroyed"]) == (sorted([root, reply]), [], [])
    assert jmap.call("Thread/changes", sinceState=threads)["created"] == [before["list"][0]["threadId"]]
    assert deleted(jmap) == []


def test_rfc8620_5_2_who_did_not_look_meanwhile_is_told_of_a_change(jmap: JmapClient) -> None:
    email = jmap.mail()
    state = jmap.call("Email/get", ids=[])["state"]
    destroy(jmap, email)
    restore(jmap, email)
    changes = jmap.call("Email/changes", sinceState=state)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [email], [])


def test_undo_restoring_again_changes_nothing(jmap: JmapClient) -> None:
    email = jmap.mail()
    destroy(jmap, email)
    first = restore(jmap, email)
    again = restore(jmap, email)
    assert again["oldState"] == again["newState"] == first["newState"]
    assert again["restored"] == first["restored"]


def test_undo_what_cannot_be_restored_is_named(jmap: JmapClient) -> None:
    email, other, third = (jmap.mail() for _ in range(3))
    destroy(jmap, email, other, third)
    told = jmap.call(
        "DeletedEmail/restore",
        restore={
            "M4711": None, "x": None, email: {"mailboxIds": {"F4711": True}}, other: {"keywords": {}}, third: {"mailboxIds": {}},
        },
    )  # fmt: skip
    assert {one: error["type"] for one, error in told["notRestored"].items()} == {
        "M4711": "notFound", "x": "notFound", email: "invalidProperties", other: "invalidProperties", third: "invalidProperties",
    }  # fmt: skip
    assert told["notRestored"][other]["properties"] == ["keywords"]
    assert told["restored"] is None
    assert len(deleted(jmap)) == 3
    limit = jmap.session["capabilities"][CORE]["maxObjectsInSet"]
    ids = {f"M{number}": None for number in range(1, limit + 2)}
    assert jmap.fails("DeletedEmail/restore", restore=ids)["type"] == "requestTooLarge"


def test_undo_restores_to_chosen_mailboxes_and_in_a_state(jmap: JmapClient) -> None:
    email = jmap.mail()
    destroy(jmap, email)
    archive = jmap.mailbox("archive")
    assert jmap.fails("DeletedEmail/restore", restore={email: None}, ifInState="nonsense")["type"] == "stateMismatch"
    state = jmap.call("Email/get", ids=[])["state"]
    told = jmap.call("DeletedEmail/restore", restore={email: {"mailboxIds": {archive: True}}}, ifInState=state)
    assert told["restored"][email]["mailboxIds"] == {archive: True}
    assert jmap.fails("DeletedEmail/restore", restore={email: None}, ifInState=state)["type"] == "stateMismatch"


def test_rfc8620_5_3_a_deleted_email_is_destroyed_for_ever(jmap: JmapClient) -> None:
    email, other = jmap.mail(), jmap.mail()
    destroy(jmap, email, other)
    told = jmap.call("DeletedEmail/set", destroy=[email, "M4711"], create={"a": {}}, update={other: {"keywords": {}}})
    assert told["destroyed"] == [email]
    assert told["notDestroyed"] == {"M4711": {"type": "notFound"}}
    assert told["notCreated"] == {"a": {"type": "forbidden"}}
    assert told["notUpdated"] == {other: {"type": "forbidden"}}
    assert told["newState"] != told["oldState"]
    assert restore(jmap, email)["notRestored"][email]["type"] == "notFound"
    assert deleted(jmap) == [other]
    wrong = jmap.fails("DeletedEmail/set", destroy=[other], ifInState=told["oldState"])
    assert wrong["type"] == "stateMismatch"
    assert jmap.call("DeletedEmail/set", destroy=[other], ifInState=told["newState"])["destroyed"] == [other]


def test_undo_mailbox_comes_back_with_its_emails(jmap: JmapClient) -> None:
    inbox = jmap.mailbox("inbox")
    parent = new_mailbox(jmap, "Projets", sortOrder=7)
    child = new_mailbox(jmap, "Été", parentId=parent)
    alone, both, living = (jmap.mail() for _ in range(3))
    put(jmap, alone, parent)
    put(jmap, both, parent, child)
    put(jmap, living, child, inbox)
    drop(jmap, child, parent)
    assert jmap.get(living, "mailboxIds")["mailboxIds"] == {inbox: True}
    told = {one["id"]: one for one in jmap.call("DeletedMailbox/get", ids=None)["list"]}
    assert set(told[parent]) == {
        "id", "name", "parentId", "role", "sortOrder", "isSubscribed", "totalEmails", "deletedAt", "expiresAt",
    }  # fmt: skip
    assert (told[parent]["name"], told[parent]["sortOrder"], told[parent]["totalEmails"]) == ("Projets", 7, 2)
    assert (told[child]["parentId"], told[child]["totalEmails"]) == (parent, 2)
    assert all(one["withMailbox"] for one in jmap.call("DeletedEmail/get", ids=None)["list"])
    state = jmap.call("Mailbox/get", ids=[])["state"]
    done = jmap.call("DeletedMailbox/restore", ids=[child, parent, "F4711"])
    assert done["oldState"] == state
    assert done["notRestored"] == {"F4711": {"type": "notFound"}}
    assert done["restored"][child] == {"id": child, "name": "Été", "role": None, "parentId": parent, "emails": 2}
    assert jmap.get(alone, "mailboxIds")["mailboxIds"] == {parent: True}
    assert jmap.get(both, "mailboxIds")["mailboxIds"] == {parent: True, child: True}
    assert jmap.get(living, "mailboxIds")["mailboxIds"] == {child: True, inbox: True}
    changes = jmap.call("Mailbox/changes", sinceState=state)
    assert {parent, child} <= set(changes["created"])
    assert jmap.call("DeletedMailbox/get", ids=None)["list"] == []
    again = jmap.call("DeletedMailbox/restore", ids=[parent])
    assert again["oldState"] == again["newState"]
    assert again["restored"][parent]["emails"] == 0


def test_undo_mailbox_whose_name_is_taken_gets_another(jmap: JmapClient) -> None:
    box = new_mailbox(jmap, "Projets", role="important")
    drop(jmap, box)
    new_mailbox(jmap, "Projets", role="important")
    done = jmap.call("DeletedMailbox/restore", ids=[box])["restored"][box]
    assert (done["name"], done["role"]) == ("Projets (2)", None)
    (found,) = jmap.call("Mailbox/get", ids=[box])["list"]
    assert (found["name"], found["role"], found["parentId"]) == ("Projets (2)", None, None)


def test_undo_mailbox_alone_and_its_email_alone(jmap: JmapClient) -> None:
    box = new_mailbox(jmap, "b")
    first, second = jmap.mail(), jmap.mail()
    put(jmap, first, box)
    put(jmap, second, box)
    drop(jmap, box)
    archive = jmap.mailbox("archive")
    assert restore(jmap, first)["restored"][first]["mailboxIds"] == {archive: True}
    done = jmap.call("DeletedMailbox/restore", ids=[box], withEmails=False)
    assert done["restored"][box]["emails"] == 0
    assert jmap.get(first, "mailboxIds")["mailboxIds"] == {archive: True}
    assert restore(jmap, second)["restored"][second]["mailboxIds"] == {box: True}


def test_rfc8620_5_3_a_deleted_mailbox_is_destroyed_for_ever(jmap: JmapClient) -> None:
    box = new_mailbox(jmap, "b")
    email = jmap.mail()
    put(jmap, email, box)
    drop(jmap, box)
    told = jmap.call("DeletedMailbox/get", ids=[box, "F4711"], properties=["name"])
    assert told["list"] == [{"id": box, "name": "b"}]
    assert told["notFound"] == ["F4711"]
    assert jmap.fails("DeletedMailbox/get", ids=[], properties=["myRights"])["type"] == "invalidArguments"
    done = jmap.call("DeletedMailbox/set", destroy=[box])
    assert (done["destroyed"], done["notDestroyed"]) == ([box], None)
    assert jmap.call("DeletedMailbox/restore", ids=[box])["notRestored"][box]["type"] == "notFound"
    assert deleted(jmap) == [email]


def test_undo_nobody_sees_or_restores_another_s(jmap: JmapClient, jmap_other: JmapClient) -> None:
    email = jmap.mail()
    destroy(jmap, email)
    for method, arguments in (
        ("DeletedEmail/get", {"ids": None}),
        ("DeletedEmail/query", {}),
        ("DeletedEmail/restore", {"restore": {email: None}}),
        ("DeletedEmail/set", {"destroy": [email]}),
        ("DeletedMailbox/get", {"ids": None}),
        ("DeletedMailbox/restore", {"ids": ["F64"]}),
    ):
        assert jmap_other.fails(method, **{**arguments, "accountId": jmap.account})["type"] == "accountNotFound"
    assert deleted(jmap_other) == []
    assert deleted(jmap) == [email]


def test_rfc8621_4_7_what_is_destroyed_by_a_copy_or_a_draft_s_next_version_is_kept_too(jmap: JmapClient) -> None:
    draft = jmap.draft(subject="v1")["id"]
    email = {"mailboxIds": {jmap.mailbox("drafts"): True}, "subject": "v2"}
    jmap.call("Email/set", create={"d": email}, destroy=[draft])
    assert deleted(jmap) == [draft]
