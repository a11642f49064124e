"""RFC 8621 §7.1 to §7.4 on the wire: what was submitted, found and followed."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap.test_jmap_submission_set import (
    HELD,
    envelope,
    eventually,
    identity,
    letter,
    shown,
    subjects,
    submit,
)
from tests.conformance.jmap_client import CORE, MAIL, JmapClient
from tests.conformance.jmap_push import listening
from tests.live_stack import LiveStack

from petitbleu_mail.reports import write_report


def held(jmap: JmapClient, email: str = "", seconds: int = 3600) -> str:
    """Submit something that waits; its id."""
    made = submit(jmap, email or letter(jmap), envelope=envelope(jmap, "bob@x.example", HOLDFOR=str(seconds)))
    return str(made["id"])


def cancel(jmap: JmapClient, submission: str) -> None:
    done = jmap.call("EmailSubmission/set", update={submission: {"undoStatus": "canceled"}})
    assert done["notUpdated"] is None


def test_rfc8621_1_3_2_submissions_are_of_their_capability(jmap: JmapClient) -> None:
    for method in ("get", "set", "query"):
        answer = jmap.responses([f"EmailSubmission/{method}", {"accountId": jmap.account}, "c"], using=(CORE, MAIL))
        assert answer[0][1]["type"] == "unknownMethod"


def test_rfc8621_7_1_get(jmap: JmapClient) -> None:
    assert jmap.call("EmailSubmission/get", ids=None)["list"] == []
    one, two = held(jmap), held(jmap)
    found = jmap.call("EmailSubmission/get", ids=None)
    assert [each["id"] for each in found["list"]] == [one, two]
    found = jmap.call("EmailSubmission/get", ids=[two, "E999", two, "x"], properties=["undoStatus"])
    assert found["list"] == [{"id": two, "undoStatus": "pending"}]
    assert found["notFound"] == ["E999", "x"]
    assert jmap.fails("EmailSubmission/get", properties=["password"])["type"] == "invalidArguments"
    assert jmap.fails("EmailSubmission/get", ids=[f"E{number}" for number in range(501)])["type"] == "requestTooLarge"


def test_rfc8621_7_2_changes(jmap: JmapClient) -> None:
    start = jmap.call("EmailSubmission/get", ids=[])["state"]
    one = held(jmap)
    between = jmap.call("EmailSubmission/get", ids=[])["state"]
    found = jmap.call("EmailSubmission/changes", sinceState=start)
    assert (found["created"], found["updated"], found["destroyed"]) == ([one], [], [])
    assert (found["oldState"], found["newState"], found["hasMoreChanges"]) == (start, between, False)
    cancel(jmap, one)
    assert jmap.call("EmailSubmission/changes", sinceState=between)["updated"] == [one]
    jmap.call("EmailSubmission/set", destroy=[one])
    assert jmap.call("EmailSubmission/changes", sinceState=between)["destroyed"] == [one]
    whole = jmap.call("EmailSubmission/changes", sinceState=start)
    assert (whole["created"], whole["updated"], whole["destroyed"]) == ([], [], [])
    for state in ("99999", "-1", "x", ""):
        assert jmap.fails("EmailSubmission/changes", sinceState=state)["type"] == "cannotCalculateChanges"
    assert jmap.fails("EmailSubmission/changes", sinceState=start, maxChanges=0)["type"] == "invalidArguments"


def test_rfc8621_7_2_changes_in_windows(jmap: JmapClient) -> None:
    state = jmap.call("EmailSubmission/get", ids=[])["state"]
    email = letter(jmap)
    made = {held(jmap, email) for _ in range(5)}
    seen: list[str] = []
    while True:
        found = jmap.call("EmailSubmission/changes", sinceState=state, maxChanges=2)
        assert len(found["created"]) <= 2
        seen += found["created"]
        state = found["newState"]
        if not found["hasMoreChanges"]:
            break
    assert len(seen) == 5
    assert set(seen) == made


def test_rfc8621_7_3_filters_and_sorts(jmap: JmapClient) -> None:
    email, other = letter(jmap), letter(jmap)
    one, two, three = held(jmap, email, 3000), held(jmap, other, 2000), held(jmap, email, 1000)
    cancel(jmap, two)
    mine = identity(jmap)
    thread = jmap.get(email, "threadId")["threadId"]

    def ids(condition: dict[str, Any] | None, **more: Any) -> list[str]:
        return list(jmap.call("EmailSubmission/query", filter=condition, **more)["ids"])

    assert ids(None) == [one, two, three]
    assert ids({"emailIds": [email]}) == [one, three]
    assert ids({"threadIds": [thread]}) == [one, three]
    assert ids({"identityIds": [mine]}) == [one, two, three]
    assert ids({"identityIds": []}) == []
    assert ids({"undoStatus": "canceled"}) == [two]
    assert ids({"operator": "NOT", "conditions": [{"undoStatus": "canceled"}, {"emailIds": ["M999"]}]}) == [one, three]
    date = jmap.call("EmailSubmission/get", ids=[two])["list"][0]["sendAt"]
    assert ids({"before": date}) == [three]
    assert ids({"after": date}) == [one, two]
    for name in ("sentAt", "sendAt"):
        assert ids(None, sort=[{"property": name}]) == [three, two, one]
    assert ids(None, sort=[{"property": "sentAt", "isAscending": False}]) == [one, two, three]
    assert ids(None, sort=[{"property": "emailId"}, {"property": "sentAt"}]) in ([three, one, two], [two, three, one])
    assert ids(None, sort=[{"property": "threadId"}], limit=1, position=1)
    assert jmap.fails("EmailSubmission/query", sort=[{"property": "undoStatus"}])["type"] == "unsupportedSort"
    assert jmap.fails("EmailSubmission/query", filter={"subject": "x"})["type"] == "invalidArguments"
    assert jmap.fails("EmailSubmission/query", filter={"before": "soon"})["type"] == "invalidArguments"


def test_rfc8621_7_3_windows(jmap: JmapClient) -> None:
    email = letter(jmap)
    made = [held(jmap, email) for _ in range(4)]
    found = jmap.call("EmailSubmission/query", position=1, limit=2, calculateTotal=True)
    assert (found["ids"], found["position"], found["total"], found["canCalculateChanges"]) == (made[1:3], 1, 4, True)
    assert jmap.call("EmailSubmission/query", anchor=made[2], anchorOffset=-1)["ids"] == made[1:]
    assert jmap.fails("EmailSubmission/query", anchor="E999")["type"] == "anchorNotFound"


@pytest.mark.parametrize("condition", [None, {"undoStatus": "pending"}])
def test_rfc8621_7_4_changes_lead_from_list_to_list(jmap: JmapClient, condition: dict[str, Any] | None) -> None:
    email = letter(jmap)
    one, two, three = (held(jmap, email) for _ in range(3))
    before = jmap.call("EmailSubmission/query", filter=condition)
    cancel(jmap, two)
    jmap.call("EmailSubmission/set", destroy=[one])
    four = held(jmap, email)
    found = jmap.call(
        "EmailSubmission/queryChanges", filter=condition, sinceQueryState=before["queryState"], calculateTotal=True
    )
    ids = [text for text in before["ids"] if text not in found["removed"]]
    for added in found["added"]:
        ids.insert(added["index"], added["id"])
    now = jmap.call("EmailSubmission/query", filter=condition)
    assert ids == now["ids"]
    assert four in ids
    assert three in ids
    assert (found["newQueryState"], found["total"]) == (now["queryState"], len(ids))
    again = {"filter": condition, "sinceQueryState": before["queryState"], "maxChanges": 1}
    assert jmap.fails("EmailSubmission/queryChanges", **again)["type"] == "tooManyChanges"
    for state in ("99999", "x"):
        error = jmap.fails("EmailSubmission/queryChanges", filter=condition, sinceQueryState=state)
        assert error["type"] == "cannotCalculateChanges"


def test_rfc8620_7_1_changes_of_submissions_are_pushed(jmap: JmapClient) -> None:
    email, _ = letter(jmap), identity(jmap)  # which is there from the first look on
    with listening(jmap, "EmailSubmission,Identity") as stream:
        submit(jmap, email, envelope=envelope(jmap, "bob@x.example", **HELD))
        state = jmap.call("EmailSubmission/get", ids=[])["state"]
        found = stream.next()
        assert found is not None
        assert found.data["changed"][jmap.account] == {"EmailSubmission": state}


def report(kind: str, machine: str, original: str) -> bytes:
    """A report as another server sends it."""
    head = f"Message-ID: <{original}>\r\nSubject: seen\r\n\r\n".encode()
    body = write_report(kind, "This is a report.\n", machine.replace("\n", "\r\n").encode(), head, header_only=True)
    return b"From: <mailer-daemon@far.example>\r\nSubject: Report\r\n" + body


def comes_back(stack: LiveStack, to: JmapClient, raw: bytes) -> str:
    """Have a report come without a sender; its blob."""
    before = set(to.call("Email/query", limit=1000)["ids"])
    with smtplib.SMTP("127.0.0.1", stack.smtp_port, timeout=30) as smtp:
        smtp.sendmail("", [to.login], raw)
    (email,) = eventually(lambda: set(to.call("Email/query", limit=1000)["ids"]) - before)
    return str(to.get(email, "blobId")["blobId"])


@pytest.fixture
def pair(jmap_stack: JmapServer) -> Iterator[tuple[JmapClient, JmapClient]]:
    """Two people of the whole stack."""
    found = jmap_stack.newcomer(), jmap_stack.newcomer()
    yield found
    for one in found:
        one.http.close()


def test_rfc8621_7_reports_are_listed_with_what_they_are_about(
    pair: tuple[JmapClient, JmapClient], live_stack: LiveStack
) -> None:
    jmap, other = pair
    email = letter(jmap, to=[{"email": other.login}, {"email": "far@x.example"}], subject="seen")
    (message_id,) = jmap.get(email, "messageId")["messageId"]
    made = submit(jmap, email, envelope=envelope(jmap, other.login, HOLDFOR="3600"))["id"]
    state = jmap.call("EmailSubmission/get", ids=[])["state"]
    receipt = f"Final-Recipient: rfc822; {other.login.upper()}\nOriginal-Message-ID: <{message_id}>\nDisposition: manual-action/MDN-sent-manually; displayed\n"
    first = comes_back(live_stack, jmap, report("disposition-notification", receipt, "nothing@x.example"))
    failed = (
        "Reporting-MTA: dns; mx.far.example\n\nFinal-Recipient: rfc822; far@x.example\nAction: failed\nStatus: 5.1.1\n"
    )
    second = comes_back(live_stack, jmap, report("delivery-status", failed, message_id))
    third = comes_back(live_stack, jmap, report("delivery-status", failed, message_id))
    whole = eventually(lambda: len((found := shown(jmap, made))["dsnBlobIds"]) == 2 and found)
    assert (whole["mdnBlobIds"], whole["dsnBlobIds"]) == ([first], [second, third])
    assert whole["deliveryStatus"] is None or whole["deliveryStatus"][other.login]["displayed"] == "yes"
    assert jmap.call("EmailSubmission/changes", sinceState=state)["updated"] == [made]
    octets = jmap.download(first).content
    assert b"Disposition: manual-action/MDN-sent-manually; displayed" in octets
    # of another message, and in an account that submitted nothing of the kind
    comes_back(live_stack, jmap, report("delivery-status", failed, "other@x.example"))
    mine = submit(other, letter(other, subject="mine"), envelope=envelope(other, jmap.login, HOLDFOR="3600"))["id"]
    comes_back(live_stack, other, report("delivery-status", failed, message_id))
    assert shown(jmap, made)["dsnBlobIds"] == [second, third]
    assert (shown(other, mine)["dsnBlobIds"], shown(other, mine)["mdnBlobIds"]) == ([], [])
    # an ordinary mail that looks like one has a sender
    jmap.put(report("delivery-status", failed, message_id))
    assert shown(jmap, made)["dsnBlobIds"] == [second, third]


def test_rfc8621_7_a_receipt_of_what_was_sent_shows_that_it_was_seen(
    pair: tuple[JmapClient, JmapClient], live_stack: LiveStack
) -> None:
    jmap, other = pair
    email = letter(jmap, to=[{"email": other.login}], subject="seen")
    (message_id,) = jmap.get(email, "messageId")["messageId"]
    made = submit(jmap, email)["id"]
    eventually(lambda: "seen" in subjects(other))
    receipt = f"Final-Recipient: rfc822; {other.login}\nOriginal-Message-ID: <{message_id}>\nDisposition: manual-action/MDN-sent-manually; displayed\n"
    comes_back(live_stack, jmap, report("disposition-notification", receipt, message_id))
    eventually(lambda: shown(jmap, made)["deliveryStatus"][other.login]["displayed"] == "yes")
