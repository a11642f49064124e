"""The SMTP door before the real accounts, store and bus."""

from __future__ import annotations

import random
import time

from tests.conformance.smtp.wire_client import Client
from tests.live_stack import DOMAIN, PASSWORD, LiveStack

MESSAGE = b"From: <a@b.example>\r\nSubject: x\r\n\r\nbody\r\n"


def _rcpt(port: int, address: str) -> tuple[int, str]:
    with Client(port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        answer = client.cmd(f"RCPT TO:<{address}>")
        return answer.code, answer.status


def _until(port: int, address: str, wanted: tuple[int, str], seconds: float) -> float:
    begun = time.monotonic()
    while (found := _rcpt(port, address)) != wanted:
        assert time.monotonic() - begun < seconds, f"{found} instead of {wanted} after {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - begun


def test_real_directory_gives_the_verdicts(live_stack: LiveStack) -> None:
    login = live_stack.new_account()
    port = live_stack.smtp_port
    assert _rcpt(port, login) == (250, "2.1.5")
    assert _rcpt(port, login.replace("@", "+detail@")) == (250, "2.1.5")
    assert _rcpt(port, f"nobody-at-all@{DOMAIN}") == (550, "5.1.1")
    assert _rcpt(port, "x@elsewhere.example") == (550, "5.7.1")
    assert _rcpt(port, f"postmaster@{DOMAIN}") == (250, "2.1.5")
    assert _rcpt(port, f"abuse@{DOMAIN}") == (250, "2.1.5")
    assert _rcpt(port, "postmaster") == (250, "2.1.5")


def test_unknown_recipient_is_known_soon_after_it_is_made(live_stack: LiveStack) -> None:
    """The event of accounts makes ingest forget its refusal at once, not only when it expires."""
    login = f"late{random.randrange(10**9)}@{DOMAIN}"
    assert _rcpt(live_stack.smtp_port, login) == (550, "5.1.1")
    live_stack.cli("account", "create", login, "--password", PASSWORD)
    assert _until(live_stack.smtp_port, login, (250, "2.1.5"), 30) < 5


def test_disabled_recipient_is_refused_soon(live_stack: LiveStack) -> None:
    login = live_stack.new_account()
    assert _rcpt(live_stack.smtp_port, login) == (250, "2.1.5")
    live_stack.cli("account", "disable", login)
    assert _until(live_stack.smtp_port, login, (550, "5.2.1"), 30) < 5


def test_full_mailbox_is_refused_within_the_minute_and_a_lowered_quota_soon(live_stack: LiveStack) -> None:
    filling, lowered = live_stack.new_account(), live_stack.new_account()
    live_stack.cli("account", "quota", filling, "1K")
    for login in (filling, lowered):
        with Client(live_stack.smtp_port) as client:
            client.begin(login)
            assert client.data(MESSAGE + (b"x" * 70 + b"\r\n") * 20 + b".\r\n").code == 250
    live_stack.wait_settled()
    live_stack.cli("account", "quota", lowered, "1K")
    assert _until(live_stack.smtp_port, lowered, (452, "4.2.2"), 30) < 5
    _until(live_stack.smtp_port, filling, (452, "4.2.2"), 60)
    live_stack.cli("account", "quota", filling, "none")
    assert _until(live_stack.smtp_port, filling, (250, "2.1.5"), 30) < 5


def test_small_and_large_messages_are_accepted_once(live_stack: LiveStack) -> None:
    login = live_stack.new_account()
    with Client(live_stack.smtp_port) as client:
        client.hello()
        for body in (MESSAGE, MESSAGE + b"y" * 998 + b"\r\n" + (b"z" * 998 + b"\r\n") * 2000):
            client.envelope(login)
            assert client.data(body + b".\r\n").code == 250
            client.envelope(login)
            client.send(b"BDAT %d LAST\r\n" % len(body) + body)
            assert client.reply().code == 250
    live_stack.wait_settled()


def test_rfc1047_repeat_is_one_message_in_store(live_stack: LiveStack) -> None:
    login = live_stack.new_account()
    answers = []
    for _ in range(2):
        with Client(live_stack.smtp_port) as client:
            client.begin(login, sender="repeat@b.example")
            answers.append(client.data(MESSAGE + b".\r\n"))
    assert [one.code for one in answers] == [250, 250]
    assert answers[0].text == answers[1].text
    with Client(live_stack.smtp_port) as client:
        client.begin(login, sender="repeat@b.example")
        assert client.data(MESSAGE + b".\r\n").code == 250
        assert client.cmd("QUIT").code == 221
    time.sleep(1)
    with Client(live_stack.smtp_port) as client:
        client.begin(login, sender="repeat@b.example")
        again = client.data(MESSAGE + b".\r\n")
    assert again.code == 250
    assert again.text != answers[0].text, "the 250 of the third was seen, so the fourth is a message of its own"
