"""RFC 9007 on the wire: notifications that a message was displayed, read from blobs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import CORE, MAIL, MDN, JmapClient

DISPOSITION = "manual-action/MDN-sent-manually; displayed"


def notification(
    fields: str = "", disposition: str = DISPOSITION, third: str = "", subject: str = "Read: Hello"
) -> bytes:
    """A notification as RFC 8098 §3 has it."""
    return (
        f"From: Joe <joe@x.example>\r\nTo: anna@x.example\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nDisplayed, voilà.\r\n\r\n"
        f"--b\r\nContent-Type: message/disposition-notification\r\n\r\n{fields}Disposition: {disposition}\r\n\r\n{third}--b--\r\n"
    ).encode()


FIELDS = (
    "Reporting-UA: joes-pc.cs.example.com; Foomail 97.1\r\nMDN-Gateway: dns; gate.example\r\n"
    "Original-Recipient: rfc822;joe@example.com\r\nFinal-Recipient: rfc822; joe@x.example\r\n"
    "Original-Message-ID: <199509192301.23456@example.org>\r\nX-Colour: blue\r\n"
)


def parsed(jmap: JmapClient, raw: bytes) -> dict[str, Any]:
    """Upload octets and return the MDN that they are."""
    blob = jmap.upload(raw, "message/rfc822")
    answer = jmap.call("MDN/parse", blobIds=[blob])
    assert (answer["notParsable"], answer["notFound"]) == (None, None)
    return dict(answer["parsed"][blob])


def test_rfc9007_1_3_capability(jmap: JmapClient) -> None:
    assert jmap.session["capabilities"][MDN] == {}
    assert jmap.session["accounts"][jmap.account]["accountCapabilities"][MDN] == {}
    assert jmap.session["primaryAccounts"][MDN] == jmap.account
    call = ["MDN/parse", {"accountId": jmap.account, "blobIds": []}, "c"]
    assert jmap.responses(call, using=(CORE, MAIL))[0][1]["type"] == "unknownMethod"


def test_rfc9007_2_2_every_property(jmap: JmapClient) -> None:
    assert parsed(jmap, notification(FIELDS)) == {
        "forEmailId": None,
        "subject": "Read: Hello",
        "textBody": "Displayed, voilà.\n",
        "includeOriginalMessage": False,
        "reportingUA": "joes-pc.cs.example.com; Foomail 97.1",
        "disposition": {"actionMode": "manual-action", "sendingMode": "mdn-sent-manually", "type": "displayed"},
        "mdnGateway": "dns; gate.example",
        "originalRecipient": "rfc822; joe@example.com",
        "finalRecipient": "rfc822; joe@x.example",
        "originalMessageId": "<199509192301.23456@example.org>",
        "error": None,
        "extensionFields": {"X-Colour": "blue"},
    }


def test_rfc9007_2_2_what_is_not_there_is_null(jmap: JmapClient) -> None:
    found = parsed(jmap, notification(subject="=?utf-8?q?Lu=C2=A0?="))
    assert found["subject"] == "Lu\u00a0"
    for name in (
        "reportingUA",
        "mdnGateway",
        "originalRecipient",
        "finalRecipient",
        "originalMessageId",
        "error",
        "extensionFields",
    ):
        assert found[name] is None


@pytest.mark.parametrize("action", ["manual-action", "Automatic-Action"])
@pytest.mark.parametrize("sending", ["MDN-sent-manually", "mdn-sent-automatically"])
@pytest.mark.parametrize("kind", ["deleted", "dispatched", "Displayed", "processed"])
def test_rfc9007_2_dispositions(jmap: JmapClient, action: str, sending: str, kind: str) -> None:
    found = parsed(jmap, notification(disposition=f"{action} / {sending} (by hand);{kind}"))["disposition"]
    assert found == {"actionMode": action.lower(), "sendingMode": sending.lower(), "type": kind.lower()}


def test_rfc9007_2_errors_are_told(jmap: JmapClient) -> None:
    found = parsed(jmap, notification("Error: too odd\r\nError: and late\r\n", f"{DISPOSITION}/error"))
    assert found["error"] == ["too odd", "and late"]
    assert found["disposition"]["type"] == "displayed"


def test_rfc9007_2_the_original_message_is_there_or_its_header_is(jmap: JmapClient) -> None:
    whole = "--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@x.example\r\n\r\nHello\r\n"
    assert parsed(jmap, notification(third=whole))["includeOriginalMessage"] is True
    header = "--b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: a@x.example\r\n"
    assert parsed(jmap, notification(third=header))["includeOriginalMessage"] is False


def test_rfc9007_2_2_notifications_that_came_as_mail(jmap: JmapClient) -> None:
    email = jmap.put(notification(FIELDS))
    blob = jmap.get(email, "blobId")["blobId"]
    found = jmap.call("MDN/parse", blobIds=[blob])["parsed"][blob]
    assert found["finalRecipient"] == "rfc822; joe@x.example"


def test_rfc9007_2_2_not_parsable_and_not_found(jmap: JmapClient) -> None:
    blobs = [
        jmap.upload(raw, "message/rfc822")
        for raw in (
            b"From: a@x.example\r\nSubject: Hi\r\n\r\nHello\r\n", b"\x89PNG\r\n", b"", notification(disposition="read"),
            notification(disposition="manual-action/mdn-sent-manually; denied"), notification().replace(b"report;", b"mixed;"),
            notification().replace(b"message/disposition-notification", b"message/delivery-status"),
        )
    ]  # fmt: skip
    good = jmap.upload(notification(FIELDS))
    answer = jmap.call("MDN/parse", blobIds=[*blobs, good, "U99999", "x", good])
    assert answer["notParsable"] == blobs
    assert list(answer["parsed"]) == [good]
    assert answer["notFound"] == ["U99999", "x"]


def test_rfc9007_2_2_limits_and_arguments(jmap: JmapClient) -> None:
    assert jmap.fails("MDN/parse", blobIds=[f"U{number}" for number in range(1, 502)])["type"] == "requestTooLarge"
    assert jmap.fails("MDN/parse")["type"] == "invalidArguments"
    assert jmap.fails("MDN/parse", blobIds="U1")["type"] == "invalidArguments"
    assert jmap.fails("MDN/parse", accountId="aaaa", blobIds=[])["type"] == "accountNotFound"


def test_rfc9007_2_1_send_is_not_there_yet_and_says_so(jmap: JmapClient) -> None:
    email = jmap.mail()
    sent = {
        "forEmailId": email,
        "disposition": {"actionMode": "manual-action", "sendingMode": "mdn-sent-manually", "type": "displayed"},
    }
    error = jmap.fails(
        "MDN/send", identityId="I1", send={"m": sent}, onSuccessUpdateEmail={"#m": {"keywords/$mdnsent": True}}
    )
    assert error["type"] == "unknownMethod"
    assert "$mdnsent" not in jmap.get(email, "keywords")["keywords"]
