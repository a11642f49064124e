"""Judging before the real stack and a real name server: what a mailbox shows of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from services.ingest.tests.judging_world import signed
from tests.conformance.jmap_client import JmapClient
from tests.conformance.smtp.wire_client import Client
from tests.integration.judging_names import Names, zone
from tests.live_stack import PASSWORD, LiveStack
from tests.ports import offset_of

OFFSET = offset_of(510)
HELO = "mail.good.example"
FORGED = b"Authentication-Results: mx.live.test; dmarc=pass header.from=bank.example\r\n"


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    with Names(zone()) as names:
        environment = {
            "PETITBLEU_DNS": names.address,
            "PETITBLEU_SMTP_HOSTNAME": "mx.live.test",
            "PETITBLEU_JUDGE_SECONDS": "3",
        }
        stack = LiveStack(tmp_path_factory.mktemp("judging") / "data", OFFSET, environment)
        try:
            stack.begin()
            yield stack
        finally:
            stack.stop()


@pytest.fixture
def person(judging: LiveStack) -> Iterator[JmapClient]:
    client = JmapClient(f"http://127.0.0.1:{judging.http_port}", judging.new_account(), PASSWORD)
    yield client
    client.http.close()


def message(author: str, to: str, octets: int = 100) -> bytes:
    return (
        f"From: Ann <{author}>\r\nTo: {to}\r\nSubject: x\r\nDate: Sun, 22 Nov 2026 01:00:00 +0000\r\n"
        f"Message-ID: <{time.monotonic_ns()}@good.example>\r\n\r\n"
    ).encode() + (b"y" * 70 + b"\r\n") * (octets // 72)


def send(stack: LiveStack, to: str, whole: bytes, sender: str = "ann@good.example") -> tuple[int, str]:
    with Client(stack.smtp_port, seconds=60) as client:
        assert client.hello(HELO).code == 250
        client.envelope(to, sender=sender)
        answer = client.data(whole + b".\r\n")
    return answer.code, answer.status


def filed(stack: LiveStack, person: JmapClient, role: str) -> tuple[bytes, list[str]]:
    """Return the one message of a mailbox as it is downloaded, and its Authentication-Results."""
    stack.wait_settled()
    found = person.call("Email/query", filter={"inMailbox": person.mailbox(role)})["ids"]
    assert len(found) == 1
    email = person.get(found[0], "blobId", "header:Authentication-Results:asText:all")
    return person.download(email["blobId"]).content, email["header:Authentication-Results:asText:all"]


@pytest.mark.parametrize("octets", [100, 2 << 20])
def test_what_was_found_stands_in_front_of_the_message(judging: LiveStack, person: JmapClient, octets: int) -> None:
    whole = signed(signed(message("ann@good.example", person.login, octets)), kind="ed")
    assert send(judging, person.login, FORGED + whole) == (250, "2.6.0")
    served, said = filed(judging, person, "inbox")
    assert served.endswith(whole)
    assert len(said) == 1
    words = said[0].split()
    assert words[0] == "mx.live.test;"
    results = [word.removesuffix(";") for word in words if word.partition("=")[0] in {"iprev", "spf", "dkim", "dmarc"}]
    assert results == ["iprev=pass", "spf=pass", "spf=pass", "dkim=pass", "dkim=pass", "dmarc=pass"]
    assert served.index(b"Authentication-Results: mx.live.test") < served.index(b"Received: ")
    assert FORGED not in served


def test_quarantine_goes_to_junk_and_reject_is_refused(judging: LiveStack, person: JmapClient) -> None:
    assert send(judging, person.login, message("x@soft.example", person.login), "x@soft.example") == (250, "2.6.0")
    assert "dmarc=fail" in filed(judging, person, "junk")[1][0]
    forged = message("ann@good.example", person.login)
    assert send(judging, person.login, forged, "x@soft.example") == (550, "5.7.1")
    changed = signed(forged).replace(b"Subject: x", b"Subject: y")
    assert send(judging, person.login, changed, "x@soft.example") == (550, "5.7.1")


def test_a_signed_message_may_be_replayed_but_not_changed(judging: LiveStack, person: JmapClient) -> None:
    """RFC 6376 §8.6: a replay keeps its author's word; nothing can be added to it."""
    whole = signed(message("ann@good.example", person.login))
    assert send(judging, person.login, b"Subject: buy this\r\n" + whole, "x@soft.example") == (550, "5.7.1")
    assert send(judging, person.login, b"From: x@soft.example\r\n" + whole, "x@soft.example") == (550, "5.7.1")
    assert send(judging, person.login, whole, "x@soft.example") == (250, "2.6.0")
    _, said = filed(judging, person, "inbox")
    assert "dmarc=pass" in said[0]
    assert "spf=fail" in said[0]


def test_names_that_never_answer_delay_mail_by_a_bound(judging: LiveStack, person: JmapClient) -> None:
    whole = signed(message("ann@hung.example", person.login), "hung.example")
    assert send(judging, person.login, whole, "ann@hung.example") == (250, "2.6.0")
    assert "dmarc=temperror" in filed(judging, person, "inbox")[1][0]


def test_a_thousand_signatures_are_taken_and_eight_are_looked_at(judging: LiveStack, person: JmapClient) -> None:
    field = b"DKIM-Signature: v=1; a=rsa-sha256; d=good.example; s=s%d; h=from; bh=AA==; b=AA==\r\n"
    many = b"".join([field % number for number in range(1000)])
    assert send(judging, person.login, many + message("ann@good.example", person.login)) == (250, "2.6.0")
    _, said = filed(judging, person, "inbox")
    assert said[0].count("dkim=") == 20
    assert said[0].count("too many signatures") == 12


def test_ten_megabytes_of_header_are_refused(judging: LiveStack, person: JmapClient) -> None:
    line = b"X-Filler: " + b"z" * 980 + b"\r\n"
    whole = line * ((10 << 20) // len(line)) + message("ann@good.example", person.login)
    assert send(judging, person.login, whole) == (552, "5.3.4")


@pytest.mark.parametrize("end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\n\n.\r\n"])
def test_smuggling_is_refused_where_mail_is_judged(judging: LiveStack, person: JmapClient, end: bytes) -> None:
    second = b"MAIL FROM:<admin@good.example>\r\nRCPT TO:<%b>\r\nDATA\r\n" % person.login.encode()
    inner = message("ann@good.example", person.login).removesuffix(b"\r\n") + end + second
    code, status = send(judging, person.login, inner + b"From: x\r\n\r\nsmuggled\r\n")
    assert (code, status) == (550, "5.6.0")
    judging.wait_settled()
    assert person.call("Email/query", filter=None)["ids"] == []
