"""RFC 8621 §7.5 on the wire: mail goes out, is held, is held back, and is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient

PROPERTIES = {
    "id", "identityId", "emailId", "threadId", "envelope", "sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds", "mdnBlobIds",
}  # fmt: skip
HELD = {"HOLDFOR": "3600"}


def identity(jmap: JmapClient) -> str:
    return str(jmap.call("Identity/get", ids=None)["list"][0]["id"])


def letter(jmap: JmapClient, **properties: Any) -> str:
    """Make a draft that is fit to be sent; its id."""
    given = {
        "from": [{"email": jmap.login}], "to": [{"email": "bob@x.example"}], "subject": "Hello",
        "bodyValues": {"1": {"value": "Hello"}}, "textBody": [{"partId": "1", "type": "text/plain"}], **properties,
    }  # fmt: skip
    return str(jmap.draft(**{name: value for name, value in given.items() if value is not None})["id"])


def envelope(jmap: JmapClient, *recipients: str, sender: str | None = None, **parameters: str | None) -> dict[str, Any]:
    return {
        "mailFrom": {"email": jmap.login if sender is None else sender, "parameters": parameters or None},
        "rcptTo": [{"email": one, "parameters": None} for one in recipients],
    }


def submit(jmap: JmapClient, email: str, **properties: Any) -> dict[str, Any]:
    """Submit and return what is told of it."""
    given = {"identityId": identity(jmap), "emailId": email, **properties}
    done = jmap.call("EmailSubmission/set", create={"s": given})
    assert done["notCreated"] is None, done["notCreated"]
    return dict(done["created"]["s"])


def refused(jmap: JmapClient, email: str, **properties: Any) -> dict[str, Any]:
    """Submit what must be refused."""
    given = {"identityId": identity(jmap), "emailId": email, **properties}
    done = jmap.call("EmailSubmission/set", create={"s": given})
    assert done["created"] is None
    return dict(done["notCreated"]["s"])


def shown(jmap: JmapClient, submission: str) -> dict[str, Any]:
    (found,) = jmap.call("EmailSubmission/get", ids=[submission])["list"]
    return dict(found)


def subjects(jmap: JmapClient) -> list[str]:
    inbox = jmap.call("Email/query", filter={"inMailbox": jmap.mailbox("inbox")}, limit=100)["ids"]
    return [one["subject"] for one in jmap.call("Email/get", ids=inbox, properties=["subject"])["list"]]


def eventually(look: Any, seconds: float = 30) -> Any:
    """Look until there is something to see."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.1)
    return found


def on_stack(jmap: JmapClient) -> bool:
    return jmap.login.endswith("@live.test")


def test_rfc8621_7_5_a_message_is_sent_once(jmap: JmapClient, jmap_other: JmapClient) -> None:
    email = letter(jmap, to=[{"email": jmap_other.login}], subject="one letter")
    before = jmap.call("EmailSubmission/get", ids=[])["state"]
    made = submit(jmap, email)
    assert set(made) == PROPERTIES - {"identityId", "emailId"}
    assert made["undoStatus"] == "final"
    assert made["envelope"] == envelope(jmap, jmap_other.login)
    whole = shown(jmap, made["id"])
    assert set(whole) == PROPERTIES
    assert whole["emailId"] == email
    assert whole["threadId"] == jmap.get(email, "threadId")["threadId"]
    assert set(whole["deliveryStatus"]) == {jmap_other.login}
    assert set(whole["deliveryStatus"][jmap_other.login]) == {"smtpReply", "delivered", "displayed"}
    assert (whole["dsnBlobIds"], whole["mdnBlobIds"]) == ([], [])
    assert jmap.call("EmailSubmission/get", ids=[])["state"] != before
    if on_stack(jmap):
        eventually(lambda: "one letter" in subjects(jmap_other))
        assert subjects(jmap_other) == ["one letter"]


def test_rfc8621_7_delivery_status_follows_the_mail(jmap: JmapClient, jmap_other: JmapClient) -> None:
    domain = jmap.login.partition("@")[2]
    nobody = f"nobody.at.all@{domain}"
    email = letter(jmap, to=[{"email": jmap_other.login}, {"email": nobody}], subject="followed")
    made = submit(jmap, email)["id"]
    state = jmap.call("EmailSubmission/get", ids=[])["state"]
    if not on_stack(jmap):
        return  # nobody delivers
    found = eventually(
        lambda: (
            {
                to: one["delivered"]
                for to, one in shown(jmap, made)["deliveryStatus"].items()
                if one["delivered"] != "queued"
            }
            == {jmap_other.login: "yes", nobody: "no"}
            and shown(jmap, made)["deliveryStatus"]
        )
    )
    assert found[jmap_other.login]["smtpReply"].startswith("250 ")
    assert found[nobody]["smtpReply"].startswith("550 ")
    assert jmap.call("EmailSubmission/changes", sinceState=state)["updated"] in ([made], [])


def test_rfc8621_7_the_envelope_follows_from_the_header(jmap: JmapClient) -> None:
    email = letter(
        jmap, to=[{"email": "bob@x.example"}, {"email": "Ann@X.example"}], cc=[{"name": "B", "email": "BOB@x.example"}],
        bcc=[{"email": "secret@x.example"}],
    )  # fmt: skip
    made = submit(jmap, email, envelope=None)
    found = [one["email"] for one in made["envelope"]["rcptTo"]]
    assert found == ["bob@x.example", "Ann@X.example", "secret@x.example"]
    assert made["envelope"]["mailFrom"] == {"email": jmap.login, "parameters": None}


def test_rfc8621_7_blind_copies_do_not_leave(jmap: JmapClient, jmap_other: JmapClient) -> None:
    email = letter(jmap, to=[{"email": jmap_other.login}], bcc=[{"email": "secret@x.example"}], subject="blind")
    submit(jmap, email, envelope=envelope(jmap, jmap_other.login))
    assert jmap.get(email, "bcc")["bcc"] == [{"name": None, "email": "secret@x.example"}]
    if on_stack(jmap):
        eventually(lambda: "blind" in subjects(jmap_other))
        (found,) = jmap_other.call("Email/query", filter={"subject": "blind"})["ids"]
        whole = jmap_other.download(jmap_other.get(found, "blobId")["blobId"]).content
        assert b"secret@" not in whole
        assert b"Bcc" not in whole


def test_rfc8621_7_5_invalid_email(jmap: JmapClient) -> None:
    error = refused(jmap, letter(jmap, **{"from": None}))
    assert (error["type"], error["properties"]) == ("invalidEmail", ["from"])


def test_rfc8621_7_5_invalid_email_of_what_was_imported(jmap: JmapClient) -> None:
    head = f"From: {jmap.login}\r\nTo: b@x.example\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\n"
    for raw, names in (
        ("From: no address\r\nTo: b@x.example\r\n\r\nHello\r\n", ["from"]),
        (f"{head}From: a@x.example\r\n\r\nHello\r\n", ["from"]), (f"{head}To: c@x.example\r\n\r\nHello\r\n", ["to"]),
        (f"From: {jmap.login}, {jmap.login}\r\nTo: b@x.example\r\n\r\nHello\r\n", ["sender"]),
        (f"From: {jmap.login}\r\nTo: b@x.example\r\nDate: soon\r\n\r\nHello\r\n", ["sentAt"]),
    ):  # fmt: skip
        given = {"blobId": jmap.upload(raw.encode()), "mailboxIds": {jmap.mailbox("drafts"): True}}
        email = jmap.call("Email/import", emails={"i": given})["created"]["i"]["id"]
        error = refused(jmap, email)
        assert (error["type"], error["properties"]) == ("invalidEmail", names), raw


def test_rfc6409_8_a_header_that_readers_read_differently_is_not_sent(jmap: JmapClient) -> None:
    head = f"From: {jmap.login}\r\nTo: b@x.example\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\n"
    second = "From: head@x.example\r\n"
    behind = "\r\n\r\nHello\r\n"
    for hidden in (
        f"Subject: x\r{second}", f"Subject: x\n{second}", "Subject: x\rBcc: secret@x.example\r", f"Subject: x\r\n\n{second}",
        f"Subject: x\0{second}", f"no field\r\nnone either\r\n{second}", f"no field\r\n{second}", "X: y\r\n" * 1001 + second,
    ):  # fmt: skip
        given = {
            "blobId": jmap.upload(f"{head}{hidden}{behind}".encode()),
            "mailboxIds": {jmap.mailbox("drafts"): True},
        }
        email = jmap.call("Email/import", emails={"i": given})["created"]["i"]["id"]
        error = refused(jmap, email)
        assert (error["type"], error["properties"]) == ("invalidEmail", ["headers"]), hidden
        assert error["description"].startswith("The header has ")


def test_rfc8621_7_5_forbidden_from(jmap: JmapClient, jmap_other: JmapClient) -> None:
    for address in (jmap_other.login, "anna@x.example"):
        assert refused(jmap, letter(jmap, **{"from": [{"email": address}]}))["type"] == "forbiddenFrom"
    assert refused(jmap, letter(jmap, sender=[{"email": jmap_other.login}]))["type"] == "forbiddenFrom"
    local, _, domain = jmap.login.partition("@")
    submit(jmap, letter(jmap, **{"from": [{"email": f"{local}+shop@{domain}"}]}))
    alias = jmap.alias()
    made = submit(jmap, letter(jmap, **{"from": [{"email": alias}]}))
    # RFC 8621 §7: what the identity does not allow is not the sender of the envelope
    assert made["envelope"]["mailFrom"]["email"] == jmap.login


def test_rfc8621_7_5_forbidden_mail_from(jmap: JmapClient, jmap_other: JmapClient) -> None:
    email = letter(jmap)
    for sender in (jmap_other.login, "anna@x.example", "no address"):
        error = refused(jmap, email, envelope=envelope(jmap, "bob@x.example", sender=sender))
        assert error["type"] == "forbiddenMailFrom", sender
    made = submit(jmap, email, envelope=envelope(jmap, "bob@x.example", sender=""))
    assert shown(jmap, made["id"])["envelope"]["mailFrom"]["email"] == ""


def test_rfc8621_7_5_recipients(jmap: JmapClient) -> None:
    email = letter(jmap, to=None)
    assert refused(jmap, email)["type"] == "noRecipients"
    assert refused(jmap, email, envelope=envelope(jmap))["type"] == "noRecipients"
    error = refused(jmap, email, envelope=envelope(jmap, "bob@x.example", "bob", "a@[192.0.2.1]"))
    assert (error["type"], error["invalidRecipients"]) == ("invalidRecipients", ["bob", "a@[192.0.2.1]"])
    many = [f"p{number}@x.example" for number in range(1001)]
    error = refused(jmap, email, envelope=envelope(jmap, *many))
    assert (error["type"], error["maxRecipients"]) == ("tooManyRecipients", 1000)


@pytest.mark.parametrize(
    "wrong",
    [
        7, [], {}, {"rcptTo": []}, {"mailFrom": {"email": 7}, "rcptTo": []}, {"mailFrom": {"email": "a@x.example"}, "rcptTo": {}},
        {"mailFrom": {"email": "", "x": 1}, "rcptTo": []}, {"mailFrom": {"email": ""}, "rcptTo": ["b@x.example"]},
        {"mailFrom": {"email": "", "parameters": {"XUNKNOWN": None}}, "rcptTo": [{"email": "b@x.example"}]},
        {"mailFrom": {"email": "", "parameters": {"HOLDFOR": "99999999"}}, "rcptTo": [{"email": "b@x.example"}]},
        {"mailFrom": {"email": "", "parameters": {"HOLDFOR": "-1"}}, "rcptTo": [{"email": "b@x.example"}]},
        {"mailFrom": {"email": "", "parameters": {"HOLDUNTIL": "tomorrow"}}, "rcptTo": [{"email": "b@x.example"}]},
        {"mailFrom": {"email": "", "parameters": {"RET": "ALL"}}, "rcptTo": [{"email": "b@x.example"}]},
        {"mailFrom": {"email": "", "parameters": {"RET": "FULL\r\nRCPT TO:<x@x.example>"}}, "rcptTo": [{"email": "b@x.example"}]},
        {"mailFrom": {"email": ""}, "rcptTo": [{"email": "b@x.example", "parameters": {"NOTIFY": "NEVER,DELAY"}}]},
    ],
)  # fmt: skip
def test_rfc8621_7_envelopes_that_are_none(jmap: JmapClient, wrong: Any) -> None:
    error = refused(jmap, letter(jmap), envelope=wrong)
    assert (error["type"], error["properties"]) == ("invalidProperties", ["envelope"])


def test_rfc8620_5_3_invalid_properties_of_submissions(jmap: JmapClient) -> None:
    email, mine = letter(jmap), identity(jmap)
    for given, names in (
        ({}, {"identityId", "emailId"}), ({"identityId": mine}, {"emailId"}), ({"identityId": "I999", "emailId": email}, {"identityId"}),
        ({"identityId": mine, "emailId": "M999"}, {"emailId"}), ({"identityId": 7, "emailId": []}, {"identityId", "emailId"}),
        ({"identityId": mine, "emailId": email, "undoStatus": "final", "x": 1}, {"undoStatus", "x"}),
    ):  # fmt: skip
        done = jmap.call("EmailSubmission/set", create={"s": given})
        assert done["notCreated"]["s"]["type"] == "invalidProperties"
        assert set(done["notCreated"]["s"]["properties"]) == names, given


def test_rfc8621_7_held_and_canceled(jmap: JmapClient) -> None:
    email = letter(jmap)
    made = submit(jmap, email, envelope=envelope(jmap, "bob@x.example", **HELD))
    assert (made["undoStatus"], made["deliveryStatus"]) == ("pending", None)
    whole = shown(jmap, made["id"])
    assert whole["envelope"]["mailFrom"]["parameters"] == HELD
    seconds = time.mktime(time.strptime(whole["sendAt"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())
    assert 3500 < seconds <= 3600
    done = jmap.call("EmailSubmission/set", update={made["id"]: {"undoStatus": "canceled"}})
    assert done["updated"] == {made["id"]: None}
    assert shown(jmap, made["id"])["undoStatus"] == "canceled"
    again = jmap.call("EmailSubmission/set", update={made["id"]: {"undoStatus": "canceled"}})
    assert again["updated"] == {made["id"]: None}
    assert again["oldState"] == again["newState"]


def test_rfc8621_7_5_cannot_unsend(jmap: JmapClient) -> None:
    made = submit(jmap, letter(jmap))
    done = jmap.call("EmailSubmission/set", update={made["id"]: {"undoStatus": "canceled"}})
    assert done["notUpdated"][made["id"]]["type"] == "cannotUnsend"


def test_rfc8621_7_nothing_else_can_change(jmap: JmapClient) -> None:
    made = submit(jmap, letter(jmap), envelope=envelope(jmap, "bob@x.example", **HELD))
    for patch, kind in (
        ({"undoStatus": "final"}, "invalidProperties"), ({"emailId": "M999"}, "invalidProperties"), ({"x": 1}, "invalidProperties"),
        ({"envelope/mailFrom": {}}, "invalidPatch"),
    ):  # fmt: skip
        done = jmap.call("EmailSubmission/set", update={made["id"]: patch})
        assert done["notUpdated"][made["id"]]["type"] == kind
    done = jmap.call("EmailSubmission/set", update={made["id"]: {"sendAt": made["sendAt"]}, "E999": {}, "x": {}})
    assert done["updated"] == {made["id"]: None}
    assert {error["type"] for error in done["notUpdated"].values()} == {"notFound"}


def test_rfc8621_7_5_destroying_a_submission_is_not_unsending(jmap: JmapClient, jmap_other: JmapClient) -> None:
    email = letter(jmap, to=[{"email": jmap_other.login}], subject="goes anyway")
    made = submit(jmap, email, envelope=envelope(jmap, jmap_other.login, HOLDFOR="2"))
    done = jmap.call("EmailSubmission/set", destroy=[made["id"], "E999"])
    assert done["destroyed"] == [made["id"]]
    assert done["notDestroyed"]["E999"]["type"] == "notFound"
    assert jmap.call("EmailSubmission/get", ids=[made["id"]])["notFound"] == [made["id"]]
    if on_stack(jmap):
        eventually(lambda: "goes anyway" in subjects(jmap_other))


def test_rfc8621_7_5_on_success_update_email(jmap: JmapClient) -> None:
    email, mine = letter(jmap), identity(jmap)
    drafts, sent = jmap.mailbox("drafts"), jmap.mailbox("sent")
    patch = {f"mailboxIds/{drafts}": None, f"mailboxIds/{sent}": True, "keywords/$draft": None}
    answers = jmap.responses(
        ["EmailSubmission/set", {
            "accountId": jmap.account, "create": {"s": {"identityId": mine, "emailId": email}, "t": {"emailId": "M999"}},
            "onSuccessUpdateEmail": {"#s": patch, "#t": {"keywords/$flagged": True}},
        }, "c"],
    )  # fmt: skip
    assert [(name, call) for name, _, call in answers] == [("EmailSubmission/set", "c"), ("Email/set", "c")]
    assert answers[1][1]["updated"] == {email: None}
    assert jmap.get(email, "mailboxIds")["mailboxIds"] == {sent: True}


def test_rfc8621_7_5_on_success_destroy_email(jmap: JmapClient, jmap_other: JmapClient) -> None:
    mine = identity(jmap)
    gone, kept = letter(jmap, to=[{"email": jmap_other.login}], subject="last"), letter(jmap)
    held = {"identityId": mine, "emailId": kept, "envelope": envelope(jmap, "bob@x.example", **HELD)}
    answers = jmap.responses(
        ["EmailSubmission/set", {
            "accountId": jmap.account, "create": {"s": {"identityId": mine, "emailId": gone}, "h": held},
            "onSuccessDestroyEmail": ["#s", "#h"],
        }, "c"],
    )  # fmt: skip
    done = answers[1][1]
    assert done["destroyed"] == [gone]
    assert done["notDestroyed"][kept]["type"] == "forbidden"
    assert jmap.get(kept, "id")
    if on_stack(jmap):
        eventually(lambda: "last" in subjects(jmap_other))


def test_rfc8621_7_5_what_failed_at_once_is_not_destroyed(jmap: JmapClient) -> None:
    if on_stack(jmap):
        pytest.skip("there is no scanner behind it")
    email = letter(jmap, subject="malware")
    answers = jmap.responses(
        ["EmailSubmission/set", {
            "accountId": jmap.account,
            "create": {"s": {"identityId": identity(jmap), "emailId": email, "envelope": envelope(jmap, "malware@x.example")}},
            "onSuccessDestroyEmail": ["#s"],
        }, "c"],
    )  # fmt: skip
    status = answers[0][1]["created"]["s"]["deliveryStatus"]["malware@x.example"]
    assert (status["delivered"], status["smtpReply"][:9]) == ("no", "550 5.7.1")
    assert answers[1][1]["notDestroyed"][email]["type"] == "forbidden"
    assert jmap.get(email, "id")


def test_rfc8621_7_5_on_success_of_cancelling(jmap: JmapClient) -> None:
    email = letter(jmap)
    made = submit(jmap, email, envelope=envelope(jmap, "bob@x.example", **HELD))["id"]
    answers = jmap.responses(
        ["EmailSubmission/set", {
            "accountId": jmap.account, "update": {made: {"undoStatus": "canceled"}, "E999": {"undoStatus": "canceled"}},
            "onSuccessUpdateEmail": {made: {"keywords/$flagged": True}, "E999": {"keywords/$seen": True}},
        }, "c"],
    )  # fmt: skip
    assert answers[1][1]["updated"] == {email: None}
    assert "$flagged" in jmap.get(email, "keywords")["keywords"]


def test_rfc8620_5_3_creation_ids_of_submissions(jmap: JmapClient) -> None:
    mine, drafts = identity(jmap), jmap.mailbox("drafts")
    draft = {
        "mailboxIds": {drafts: True},
        "from": [{"email": jmap.login}],
        "to": [{"email": "bob@x.example"}],
        "subject": "new",
    }
    answers = jmap.responses(
        ["Email/set", {"accountId": jmap.account, "create": {"d": draft}}, "a"],
        ["EmailSubmission/set", {
            "accountId": jmap.account, "create": {"s": {"identityId": mine, "emailId": "#d", "envelope": envelope(jmap, "b@x.example", **HELD)}},
            "update": {"#s": {"undoStatus": "canceled"}},
        }, "b"],
        ["EmailSubmission/get", {"accountId": jmap.account, "ids": ["#s"], "properties": ["undoStatus", "emailId"]}, "c"],
    )  # fmt: skip
    made = answers[1][1]["created"]["s"]["id"]
    assert answers[1][1]["updated"] == {made: None}
    assert answers[2][1]["list"] == [
        {"id": made, "undoStatus": "canceled", "emailId": answers[0][1]["created"]["d"]["id"]}
    ]


def test_rfc8620_5_3_if_in_state_of_submissions(jmap: JmapClient) -> None:
    state = jmap.call("EmailSubmission/get", ids=[])["state"]
    given = {"identityId": identity(jmap), "emailId": letter(jmap)}
    assert jmap.call("EmailSubmission/set", ifInState=state, create={"s": given})["notCreated"] is None
    for stale in (state, "x"):
        assert jmap.fails("EmailSubmission/set", ifInState=stale, create={"s": given})["type"] == "stateMismatch"


def test_rfc8620_5_3_submissions_are_bounded(jmap: JmapClient) -> None:
    given = {f"c{number}": {"identityId": "I1", "emailId": "M1"} for number in range(501)}
    assert jmap.fails("EmailSubmission/set", create=given)["type"] == "requestTooLarge"


def test_rfc8621_7_submissions_of_others_are_out_of_reach(jmap: JmapClient, jmap_other: JmapClient) -> None:
    for method in ("get", "changes", "query", "queryChanges", "set"):
        extra = {"changes": {"sinceState": "0"}, "queryChanges": {"sinceQueryState": "0"}}.get(method, {})
        found = jmap.fails(f"EmailSubmission/{method}", accountId=jmap_other.account, **extra)
        assert found["type"] == "accountNotFound"
    theirs = letter(jmap_other)
    assert refused(jmap, theirs)["type"] == "invalidProperties"


def test_rfc8621_7_5_what_was_deleted_before_its_time_is_not_sent(jmap: JmapClient) -> None:
    email = letter(jmap)
    made = submit(jmap, email, envelope=envelope(jmap, "bob@x.example", HOLDFOR="1"))["id"]
    jmap.call("Email/set", destroy=[email])
    if on_stack(jmap):
        found = eventually(lambda: shown(jmap, made)["deliveryStatus"])
        found = eventually(
            lambda: (s := shown(jmap, made)["deliveryStatus"])["bob@x.example"]["delivered"] == "no" and s
        )
        assert found["bob@x.example"]["smtpReply"].startswith("554 5.6.0")
