"""RFC 8621 §2 and §3: mailboxes and threads."""

from __future__ import annotations

from tests.conformance.jmap_client import JmapClient


def test_rfc8621_2_mailbox_has_every_property(jmap: JmapClient) -> None:
    found = jmap.call("Mailbox/get", ids=None)
    wanted = {
        "id", "name", "parentId", "role", "sortOrder", "totalEmails", "unreadEmails", "totalThreads", "unreadThreads", "myRights",
        "isSubscribed",
    }  # fmt: skip
    assert all(set(mailbox) == wanted for mailbox in found["list"])
    assert {"inbox", "drafts", "sent", "trash", "junk"} <= {mailbox["role"] for mailbox in found["list"]}
    assert len({mailbox["id"] for mailbox in found["list"]}) == len(found["list"])
    assert found["accountId"] == jmap.account
    assert found["notFound"] == []


def test_rfc8621_2_rights_are_complete(jmap: JmapClient) -> None:
    rights = jmap.call("Mailbox/get", ids=[jmap.mailbox("inbox")])["list"][0]["myRights"]
    assert set(rights) == {
        "mayReadItems", "mayAddItems", "mayRemoveItems", "maySetSeen", "maySetKeywords", "mayCreateChild", "mayRename",
        "mayDelete", "maySubmit",
    }  # fmt: skip
    assert rights["mayReadItems"]
    assert not rights["maySubmit"]
    assert all(type(value) is bool for value in rights.values())


def test_rfc8621_2_counts_of_emails_and_threads(jmap: JmapClient) -> None:
    root = jmap.mail("Topic", message_id="root@x.example")
    jmap.mail("Re: Topic", message_id="leaf@x.example", fields="In-Reply-To: <root@x.example>\r\n")
    jmap.mail("Other")
    jmap.call("Email/set", update={root: {"keywords/$seen": True}})
    inbox = jmap.call("Mailbox/get", ids=[jmap.mailbox("inbox")])["list"][0]
    assert (inbox["totalEmails"], inbox["unreadEmails"]) == (3, 2)
    assert (inbox["totalThreads"], inbox["unreadThreads"]) == (2, 2)


def test_rfc8620_5_1_get_of_chosen_properties_and_ids(jmap: JmapClient) -> None:
    inbox = jmap.mailbox("inbox")
    found = jmap.call("Mailbox/get", ids=[inbox, "F999999", inbox], properties=["name"])
    assert [set(mailbox) for mailbox in found["list"]] == [{"id", "name"}]
    assert found["notFound"] == ["F999999"]
    assert jmap.call("Mailbox/get", ids=[])["list"] == []


def test_rfc8621_2_2_changes_of_counts_are_said_to_be_that(jmap: JmapClient) -> None:
    state = jmap.call("Mailbox/get", ids=[])["state"]
    assert jmap.call("Mailbox/changes", sinceState=state)["updated"] == []
    jmap.mail()
    found = jmap.call("Mailbox/changes", sinceState=state)
    assert found["updated"] == [jmap.mailbox("inbox")]
    assert found["updatedProperties"] == ["totalEmails", "unreadEmails", "totalThreads", "unreadThreads"]
    assert (found["oldState"], found["hasMoreChanges"]) == (state, False)


def test_rfc8621_3_1_thread_lists_its_emails_oldest_first(jmap: JmapClient) -> None:
    first = jmap.mail("Talk", message_id="a@x.example")
    second = jmap.mail("Re: Talk", message_id="b@x.example", fields="References: <a@x.example>\r\n")
    thread = jmap.get(first, "threadId")["threadId"]
    assert jmap.get(second, "threadId")["threadId"] == thread
    found = jmap.call("Thread/get", ids=[thread, "T99999"])
    assert found["list"] == [{"id": thread, "emailIds": [first, second]}]
    assert found["notFound"] == ["T99999"]
    assert jmap.call("Thread/get", ids=[thread], properties=["id"])["list"] == [{"id": thread}]


def test_rfc8621_3_2_thread_changes(jmap: JmapClient) -> None:
    first = jmap.mail()
    state = jmap.call("Email/get", ids=[])["state"]
    second = jmap.mail()
    found = jmap.call("Thread/changes", sinceState=state)
    threads = {jmap.get(email, "threadId")["threadId"] for email in (first, second)}
    changed = set(found["created"]) | set(found["updated"])
    assert changed == threads - {jmap.get(first, "threadId")["threadId"]}


def test_rfc8620_5_1_all_threads_when_they_are_few(jmap: JmapClient) -> None:
    assert jmap.call("Thread/get", ids=None)["list"] == []
    first = jmap.mail("Talk", message_id="p@x.example")
    second = jmap.mail("Re: Talk", fields="References: <p@x.example>\r\n")
    other = jmap.mail()
    found = jmap.call("Thread/get", ids=None)
    assert sorted(thread["emailIds"] for thread in found["list"]) == sorted([[first, second], [other]])
    assert found["notFound"] == []
    assert jmap.call("Thread/get") == found  # as with every other type
    assert jmap.call("Thread/changes", sinceState=found["state"])["created"] == []
    limit = jmap.session["capabilities"]["urn:ietf:params:jmap:core"]["maxObjectsInGet"]
    assert jmap.fails("Thread/get", ids=[f"T{number}" for number in range(1, limit + 2)])["type"] == "requestTooLarge"
    assert jmap.fails("Thread/get", ids=[], properties=["subject"])["type"] == "invalidArguments"


def test_rfc8621_3_2_threads_change_when_emails_come_and_go(jmap: JmapClient) -> None:
    first = jmap.mail("Talk", message_id="q@x.example")
    thread = jmap.get(first, "threadId")["threadId"]
    state = jmap.call("Thread/get", ids=[])["state"]
    jmap.call("Email/set", update={first: {"keywords/$seen": True}})
    found = jmap.call("Thread/changes", sinceState=state)
    assert (found["created"], found["updated"], found["destroyed"]) == ([], [], []), "a keyword changes no thread"
    second = jmap.mail("Re: Talk", fields="In-Reply-To: <q@x.example>\r\n")
    found = jmap.call("Thread/changes", sinceState=found["newState"])
    assert (found["created"], found["updated"], found["destroyed"]) == ([], [thread], [])
    jmap.call("Email/set", destroy=[first])
    found = jmap.call("Thread/changes", sinceState=found["newState"])
    assert (found["created"], found["updated"], found["destroyed"]) == ([], [thread], [])
    assert jmap.call("Thread/get", ids=[thread])["list"] == [{"id": thread, "emailIds": [second]}]
    jmap.call("Email/set", destroy=[second])
    found = jmap.call("Thread/changes", sinceState=found["newState"])
    assert (found["created"], found["updated"], found["destroyed"]) == ([], [], [thread])
    assert jmap.call("Thread/get", ids=[thread])["notFound"] == [thread]
    assert set(found) == {"accountId", "oldState", "newState", "hasMoreChanges", "created", "updated", "destroyed"}
    assert jmap.fails("Thread/changes", sinceState="nonsense")["type"] == "cannotCalculateChanges"
    assert jmap.fails("Thread/changes", sinceState=state, maxChanges=0)["type"] == "invalidArguments"
