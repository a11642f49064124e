"""Submission by the mail programs of others, on the stack as it ships: who may send, as whom, and what is made of the message."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from libs.petitbleu_mail.tests.scram_client import ScramClient
from tests.live_stack import DOMAIN, PASSWORD, LiveStack
from tests.ports import offset_of
from tests.smtp_sink import Sink

OFFSET = offset_of(500)
HOUR_RECIPIENTS = 1100
MOST = 1000  # of one message


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[LiveStack]:
    environment = {
        "PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{sink.port}", "PETITBLEU_SMTP_UNKNOWN_DELAY": "0", "PETITBLEU_AUTHSERV_ID": "own.test",
        "PETITBLEU_PERMIT_ACCOUNT_HOUR": str(HOUR_RECIPIENTS), "PETITBLEU_SUBMISSION_STANDING_SECONDS": "1",
    }  # fmt: skip
    one = LiveStack(tmp_path_factory.mktemp("submission") / "data", OFFSET, environment)
    try:
        one.begin()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def login(stack: LiveStack) -> str:
    return stack.new_account()


def trust(stack: LiveStack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.layout.tls / "ca.pem"))


def starttls(stack: LiveStack) -> smtplib.SMTP:
    client = smtplib.SMTP("localhost", stack.port("submission"), timeout=30)
    client.starttls(context=trust(stack))
    return client


def letter(sender: str, to: str, **fields: str) -> tuple[str, EmailMessage]:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = token = os.urandom(6).hex()
    for name, value in fields.items():
        message[name] = value
    message.set_content("Bonjour\n.\n..dots\n")
    return token, message


def taken(sink: Sink, token: str, seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not sink.by_token(token):
        assert time.monotonic() < deadline, f"{token} did not leave"
        time.sleep(0.05)
    (one,) = sink.by_token(token)
    return one


def test_smtplib_over_starttls(stack: LiveStack, sink: Sink, login: str) -> None:
    token, message = letter(f"Me <{login}>", "far@else.test", Bcc="secret@else.test")
    with starttls(stack) as client:
        client.login(login, PASSWORD)
        client.sendmail(login, ["far@else.test", "secret@else.test"], message.as_bytes(policy=SMTP))
    one = taken(sink, token)
    assert sorted(one.recipients) == ["far@else.test", "secret@else.test"]
    header = one.content.partition(b"\r\n\r\n")[0].lower()
    assert b"secret" not in header
    assert b"\r\ndate: " in header
    assert b"\r\nmessage-id: <" in header
    assert b"127.0.0.1" not in header
    assert b"with esmtpsa" in header
    assert one.content.count(b"\r\n.\r\n..dots\r\n") == 1


def test_smtplib_over_tls_and_an_own_date_stays(stack: LiveStack, sink: Sink, login: str) -> None:
    fields = {"Date": "Sun, 22 Nov 2026 10:00:00 +0100", "Message-ID": "<own@live.test>"}
    token, message = letter(login, "far@else.test", **fields)
    with smtplib.SMTP_SSL("localhost", stack.port("submissions"), context=trust(stack), timeout=30) as client:
        client.login(login, PASSWORD)
        client.send_message(message)
    content = taken(sink, token).content
    assert content.count(b"\r\nDate: ") == 1
    assert b"Message-ID: <own@live.test>" in content


def test_a_bearer_session_opens_the_door(stack: LiveStack, login: str) -> None:
    session = bearer(stack, login)
    with starttls(stack) as client:
        client.ehlo()
        answer = base64.b64encode(f"n,a={login},\x01auth=Bearer {session}\x01\x01".encode()).decode()
        assert client.docmd("AUTH", f"OAUTHBEARER {answer}")[0] == 235
    with starttls(stack) as client:
        client.ehlo()
        answer = base64.b64encode(b"n,,\x01auth=Bearer nobodys\x01\x01").decode()
        code, challenge = client.docmd("AUTH", f"OAUTHBEARER {answer}")
        assert (code, base64.b64decode(challenge)) == (334, b'{"status":"invalid_token"}')
        assert client.docmd("AQ==")[0] == 535


def bearer(stack: LiveStack, login: str) -> str:
    """Open a session as a web client does."""
    basic = base64.b64encode(f"{login}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.http_port}/api/session", data=b'{"label":"test"}', method="POST",
        headers={"Authorization": f"Basic {basic}", "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.loads(answer.read())["token"])


def test_nobody_sends_without_a_login_or_as_somebody_else(stack: LiveStack, sink: Sink, login: str) -> None:
    other = stack.new_account()
    token, message = letter(other, "far@else.test")
    with smtplib.SMTP("localhost", stack.port("submission"), timeout=30) as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 538
        assert client.docmd("MAIL", f"FROM:<{login}>")[0] == 530
    with starttls(stack) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as wrong:
            client.login(login, "not it")
        assert wrong.value.smtp_code == 535
    with starttls(stack) as client:
        client.login(login, PASSWORD)
        assert client.mail(other)[0] == 553
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail(login, ["far@else.test"], message.as_bytes(policy=SMTP))
        assert refused.value.smtp_code == 550
        assert client.rcpt("x@y.test")[0] == 503
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail(login, [f"nobody-here@{DOMAIN}"], message.as_bytes(policy=SMTP))
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail(login, ["far@else.test"], b"Subject: no author\r\n\r\n")
        two = f"From: {login}, {other}\r\nSubject: {token}\r\n\r\n".encode()
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail(login, ["far@else.test"], two)
    assert sink.by_token(token) == []


def test_a_hidden_author_is_refused_by_data_and_in_chunks(stack: LiveStack, sink: Sink, login: str) -> None:
    token = os.urandom(6).hex()
    hiding = (
        f"From: {login}\r\nSubject: {token}\rFrom: head@{DOMAIN}\rBcc: secret@else.test\r\n\r\nBonjour\r\n",
        f"From: {login}\r\nSubject: {token}\nFrom: head@{DOMAIN}\r\n\r\nBonjour\r\n",
        f"From: {login}\r\nSubject: {token}\r\n{'X: y' * 3}\r\nno field\r\nnor this\r\nFrom: head@{DOMAIN}\r\n\r\nBonjour\r\n",
        f"From: {login}\r\nSubject: {token}\r\n" + "X: y\r\n" * 1001 + f"From: head@{DOMAIN}\r\n\r\nBonjour\r\n",
        f"From: {login}\r\nSubject: {token}\r\n\r\nBon\njour\r\n",
        "From: " + f"{login},\r\n " * 4000 + f"head@{DOMAIN}\r\nSubject: {token}\r\n\r\nBonjour\r\n",
    )
    with starttls(stack) as client:
        client.login(login, PASSWORD)
        for text in hiding:
            octets = text.encode()
            for chunked in (True, False):
                client.mail(login)
                client.rcpt("far@else.test")
                if chunked:
                    client.send(f"BDAT {len(octets)} LAST\r\n".encode() + octets)
                else:
                    assert client.docmd("DATA")[0] == 354
                    client.send(octets + b".\r\n")
                code, words = client.getreply()
                assert code in {550, 554}, text
                assert words.startswith(b"5.6.0"), text
        right = f"From: {login}\r\nSubject: {token}\r\n\r\nBonjour\r\n".encode()
        client.mail(login)
        client.rcpt("far@else.test")
        client.send(f"BDAT {len(right)} LAST\r\n".encode() + right)
        assert client.getreply()[0] == 250
    assert taken(sink, token).content.lower().count(b"from: ") == 1


def test_rfc4865_held_mail_goes_when_it_is_time_and_not_before(stack: LiveStack, sink: Sink, login: str) -> None:
    with starttls(stack) as client:
        client.login(login, PASSWORD)
        client.ehlo()
        assert client.esmtp_features["futurerelease"].startswith("2592000 ")
        held, message = letter(login, "far@else.test")
        client.sendmail(login, ["far@else.test"], message.as_bytes(policy=SMTP), mail_options=["HOLDFOR=4"])
        due = time.monotonic() + 4
        token, message = letter(login, "far@else.test")
        client.sendmail(login, ["far@else.test"], message.as_bytes(policy=SMTP))
    taken(sink, token)
    assert sink.by_token(held) == [] or time.monotonic() >= due
    taken(sink, held, 60)
    assert time.monotonic() >= due - 0.1


@pytest.mark.parametrize("how", ["password", "disabled", "session"])
def test_a_session_ends_with_what_it_was_opened_by(stack: LiveStack, how: str) -> None:
    sender = stack.new_account()
    token = bearer(stack, sender) if how == "session" else ""
    with starttls(stack) as client:
        if token:
            client.ehlo()
            answer = base64.b64encode(f"n,a={sender},\x01auth=Bearer {token}\x01\x01".encode()).decode()
            assert client.docmd("AUTH", f"OAUTHBEARER {answer}")[0] == 235
        else:
            client.login(sender, PASSWORD)
        for _ in range(2):
            assert client.mail(sender)[0] == 250
            assert client.rset()[0] == 250
            time.sleep(1.1)
        if how == "password":
            stack.cli("account", "password", sender, "--password", "another one")
        elif how == "disabled":
            stack.cli("account", "disable", sender)
        else:
            revoke(stack, token)
        time.sleep(1.1)
        code, words = client.mail(sender)
        assert (code, words[:5]) == (421, b"4.7.0")


def revoke(stack: LiveStack, token: str) -> None:
    """End a session as a web client does."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.http_port}/api/session", method="DELETE", headers={"Authorization": f"Bearer {token}"}
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status in {200, 204}


def test_guessing_ends_the_session(stack: LiveStack) -> None:
    with starttls(stack) as client:
        client.ehlo()
        answer = base64.b64encode(b"\0guess@live.test\0guess").decode()
        codes = [client.docmd("AUTH", f"PLAIN {answer}")[0] for _ in range(2)]
        assert codes == [535, 535]
        assert client.docmd("AUTH", "PLAIN")[0] == 334
        client.docmd("*")
        code, text = client.docmd("AUTH", f"PLAIN {answer}")
        assert code in {421, 535}
        if code == 535:
            assert b"421" in text or client.getreply()[0] == 421


def test_lines_behind_starttls_are_nobodys(stack: LiveStack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port("submission")), timeout=30) as plain:
        plain.recv(1000)
        plain.sendall(b"EHLO x\r\n")
        plain.recv(4000)
        plain.sendall(b"STARTTLS\r\nAUTH PLAIN AGEAYg==\r\n")
        assert plain.recv(1000).startswith(b"503")


def test_a_forged_result_and_a_return_path_do_not_pass(stack: LiveStack, sink: Sink, login: str) -> None:
    token, message = letter(login, "far@else.test")
    forged = b"Authentication-Results: own.test; dmarc=pass\r\nReturn-Path: <x@y.test>\r\n"
    with starttls(stack) as client:
        client.login(login, PASSWORD)
        client.sendmail(login, ["far@else.test"], forged + message.as_bytes(policy=SMTP))
    content = taken(sink, token).content
    assert b"Return-Path" not in content
    assert b"dmarc=pass" not in content


def test_a_large_message_is_completed_too(stack: LiveStack, sink: Sink, login: str) -> None:
    token, message = letter(login, "far@else.test", Bcc="secret@else.test")
    body = message.as_bytes(policy=SMTP) + b"x" * 76 * 40_000
    with starttls(stack) as client:
        client.login(login, PASSWORD)
        client.sendmail(login, ["far@else.test"], body.replace(b"x" * 76, b"x" * 76 + b"\r\n"))
    content = taken(sink, token).content
    assert b"secret" not in content.partition(b"\r\n\r\n")[0]
    assert b"\r\nMessage-ID: <" in content
    assert content.count(b"x" * 76 + b"\r\n") == 40_000


def test_too_many_recipients_in_an_hour_wait(stack: LiveStack, sink: Sink) -> None:
    sender = stack.new_account()
    token, message = letter(sender, "far@else.test")
    octets = message.as_bytes(policy=SMTP)
    large = octets + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 60_000
    many = [f"u{number}@else.test" for number in range(HOUR_RECIPIENTS)]
    with starttls(stack) as client:
        client.login(sender, PASSWORD)
        client.sendmail(sender, many[:MOST], octets)
        client.sendmail(sender, many[MOST:], octets)
        with pytest.raises(smtplib.SMTPDataError):  # the same again is another message: our 250 was seen
            client.sendmail(sender, many[MOST:], octets)
        for body in (octets + b"More\r\n", large):
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.sendmail(sender, ["far@else.test"], body)
            assert refused.value.smtp_code == 450
            assert b"4.7.1" in refused.value.smtp_error
            assert b"try again in" in refused.value.smtp_error
    deadline = time.monotonic() + 30
    while sum(len(one.recipients) for one in sink.by_token(token)) < HOUR_RECIPIENTS:
        assert time.monotonic() < deadline, "they did not leave"
        time.sleep(0.05)
    assert sorted(to for one in sink.by_token(token) for to in one.recipients) == sorted(many)


def test_rfc5321_4_5_3_1_10_of_ten_thousand_recipients_those_that_were_accepted_have_it(
    stack: LiveStack, sink: Sink
) -> None:
    sender = stack.new_account()
    token, message = letter(sender, "far@else.test")
    with starttls(stack) as client:
        client.login(sender, PASSWORD)
        client.mail(sender)
        codes: list[bytes] = []
        for start in range(0, 10 * MOST, 100):
            client.send(b"".join(b"RCPT TO:<u%d@else.test>\r\n" % number for number in range(start, start + 100)))
            for _ in range(100):
                code, words = client.getreply()
                codes.append(b"%d %b" % (code, words[:5]))
        assert codes == [b"250 2.1.5"] * MOST + [b"452 4.5.3"] * 9 * MOST
        assert client.data(message.as_bytes(policy=SMTP))[0] == 250
    deadline = time.monotonic() + 60
    while sum(len(one.recipients) for one in sink.by_token(token)) < MOST:
        assert time.monotonic() < deadline, "they did not leave"
        time.sleep(0.05)
    found = sorted(to for one in sink.by_token(token) for to in one.recipients)
    assert found == sorted(f"u{number}@else.test" for number in range(MOST))


@pytest.mark.skipif(shutil.which("swaks") is None, reason="PEER MISSING: swaks is not installed")
def test_swaks(stack: LiveStack, sink: Sink, login: str) -> None:
    for options in (
        ["--tls", "--port", str(stack.port("submission"))],
        ["--tls-on-connect", "--port", str(stack.port("submissions"))],
    ):
        token = os.urandom(6).hex()
        done = subprocess.run(
            ["swaks", "--server", "127.0.0.1", *options, "--auth", "PLAIN", "--auth-user", login, "--auth-password", PASSWORD,
             "--from", login, "--to", "far@else.test", "--h-Subject", token],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert taken(sink, token).mail_from == login


@pytest.mark.skipif(shutil.which("msmtp") is None, reason="PEER MISSING: msmtp is not installed")
def test_msmtp(stack: LiveStack, sink: Sink, login: str, tmp_path: Path) -> None:
    authority = stack.layout.tls / "ca.pem"
    for port, begins in ((stack.port("submission"), "on"), (stack.port("submissions"), "off")):
        token, message = letter(login, "far@else.test")
        settings = tmp_path / f"msmtprc-{port}"
        settings.write_text(
            f"account default\nhost localhost\nport {port}\nfrom {login}\nauth plain\nuser {login}\npassword {PASSWORD}\n"
            f"tls on\ntls_starttls {begins}\ntls_trust_file {authority}\n"
        )
        settings.chmod(0o600)
        done = subprocess.run(
            ["msmtp", f"--file={settings}", "--", "far@else.test"], input=message.as_bytes(policy=SMTP), capture_output=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert taken(sink, token).mail_from == login


def app_password(stack: LiveStack, login: str) -> str:
    return str(
        json.loads(stack.cli("--json", "account", "app-password", login, "--label", "x", "--protocol", "smtp"))[
            "app_password"
        ]
    )


def scram(client: smtplib.SMTP, login: str, password: str, binding: bytes = b"") -> int:
    """Log in by SCRAM; the code of the last reply."""
    client.ehlo()
    talk = ScramClient(login, password, binding)
    mechanism = "SCRAM-SHA-256-PLUS" if binding else "SCRAM-SHA-256"
    code, said = client.docmd("AUTH", f"{mechanism} {base64.b64encode(talk.first().encode()).decode()}")
    if code == 334:
        code, said = client.docmd(base64.b64encode(talk.final(base64.b64decode(said).decode()).encode()).decode())
    if code == 334:
        assert talk.believes(base64.b64decode(said).decode())
        code, said = client.docmd("")
    return code


def test_rfc7677_app_passwords_log_in_by_scram_bound_to_the_connection_too(stack: LiveStack, sink: Sink) -> None:
    sender = stack.new_account()
    password = app_password(stack, sender)
    for begin in (starttls, implicit):
        with begin(stack) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            certificate = client.sock.getpeercert(binary_form=True)
            assert certificate is not None
            assert scram(client, sender, password, hashlib.sha256(certificate).digest()) == 235
        with begin(stack) as client:
            assert scram(client, sender, password, hashlib.sha256(b"in between").digest()) == 535
            assert scram(client, sender, PASSWORD) == 535
            assert scram(client, sender, password) == 235
            token, message = letter(sender, "far@else.test")
            client.send_message(message)
        taken(sink, token)


def implicit(stack: LiveStack) -> smtplib.SMTP:
    return smtplib.SMTP_SSL("localhost", stack.port("submissions"), context=trust(stack), timeout=30)


@pytest.mark.skipif(shutil.which("msmtp") is None, reason="PEER MISSING: msmtp is not installed")
def test_msmtp_by_scram(stack: LiveStack, sink: Sink, tmp_path: Path) -> None:
    sender = stack.new_account()
    token, message = letter(sender, "far@else.test")
    settings = tmp_path / "msmtprc"
    settings.write_text(
        f"account default\nhost localhost\nport {stack.port('submission')}\nfrom {sender}\nauth scram-sha-256\nuser {sender}\n"
        f"password {app_password(stack, sender)}\ntls on\ntls_starttls on\ntls_trust_file {stack.layout.tls / 'ca.pem'}\n"
    )
    settings.chmod(0o600)
    done = subprocess.run(
        ["msmtp", "-C", str(settings), "far@else.test"], input=message.as_bytes(), capture_output=True, check=False, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert taken(sink, token).mail_from == sender
