"""The extensions on the wire, against ours and Postfix; each test is named by the clause that it tries."""

from __future__ import annotations

import time

import pytest
from tests.conformance.smtp.servers import Ours, Server, make_certificate
from tests.conformance.smtp.wire_client import Client

MESSAGE = b"From: <a@b.example>\r\nSubject: x\r\n\r\nbody\r\n"


def test_rfc5321_4_1_1_1_keywords(server: Server) -> None:
    with Client(server.port) as client:
        words = {line.split()[0] for line in client.hello().lines[1:]}
        wanted = {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS"}
        assert wanted <= words


def test_rfc2034_4_status_codes(server: Server) -> None:
    with Client(server.port) as client:
        assert client.greeting.status == ""
        assert client.hello().status == ""
        for line in (
            "MAIL FROM:<a@b.example>",
            "RCPT TO:<alice@demo.test>",
            "RCPT TO:<nobody@demo.test>",
            "NOOP",
            "RSET",
            "VRFY x",
        ):
            answer = client.cmd(line)
            assert answer.status.startswith(str(answer.code)[0] + "."), (line, answer)
        assert client.cmd("MAIL").status == "5.5.4" or server.name == "ours"
        client.envelope()
        assert client.cmd("DATA").status == ""
        client.send(MESSAGE + b".\r\n")
        assert client.reply().status.startswith("2.")
        assert client.cmd("QUIT").status.startswith("2.")


def test_rfc2920_3_1_pipelining(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@demo.test>\r\nRCPT TO:<nobody@demo.test>\r\nDATA\r\n")
        assert [client.reply().code for _ in range(4)] == [250, 250, 550, 354]
        client.send(MESSAGE + b".\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<bob@demo.test>\r\nDATA\r\n")
        assert [client.reply().code for _ in range(4)] == [250, 250, 250, 354]
        client.send(MESSAGE + b".\r\n")
        assert client.reply().code == 250


def test_rfc1870_6_1_size_parameter(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        answer = client.cmd("MAIL FROM:<a@b.example> SIZE=99999999")
        assert (answer.code, answer.status) == (552, "5.3.4")
        assert client.cmd("MAIL FROM:<a@b.example> SIZE=abc").code == 501
        assert client.cmd("MAIL FROM:<a@b.example> SIZE=1000").code == 250


def test_rfc1870_6_3_message_over_limit(ours: Ours) -> None:
    with Client(ours.port) as client:
        client.begin()
        before = len(ours.peers.store.messages)
        answer = client.data(b"x" * 998 + b"\r\n" + (b"y" * 998 + b"\r\n") * 53_000 + b".\r\n")
        assert (answer.code, answer.status) == (552, "5.3.4")
        assert len(ours.peers.store.messages) == before
        assert client.cmd("MAIL FROM:<a@b.example>").code == 250


def test_rfc6152_2_body_parameter(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        for word in ("7BIT", "8BITMIME", "8bitmime"):
            assert client.cmd(f"MAIL FROM:<a@b.example> BODY={word}").code == 250
            client.cmd("RSET")
        assert client.cmd("MAIL FROM:<a@b.example> BODY=9BIT").code == server.pick(
            ours=501, postfix=555, why="a value that is none is a syntax error of a parameter that we know"
        )
        # neither announces BINARYMIME; RFC 5321 §4.1.1.11
        assert client.cmd("MAIL FROM:<a@b.example> BODY=BINARYMIME").code == 555


def test_rfc5321_4_1_1_11_unknown_parameter(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        assert client.cmd("MAIL FROM:<a@b.example> FOO=BAR").code == 555
        assert client.cmd("MAIL FROM:<a@b.example>").code == 250
        assert client.cmd("RCPT TO:<alice@demo.test> FOO").code == 555


def test_rfc6531_3_5_smtputf8(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        assert client.cmd("MAIL FROM:<é@b.example>").code == server.pick(
            ours=550, postfix=250, why="Postfix has strict_smtputf8 off; RFC 6531 §3.5 has 550 at MAIL"
        )
        client.cmd("RSET")
        assert client.cmd("MAIL FROM:<é@b.example> SMTPUTF8").code == 250
        assert client.cmd("RCPT TO:<accent-é@demo.test>").code == server.pick(
            ours=250, postfix=550, why="this Postfix has no such mailbox"
        )
        client.cmd("RSET")
        client.cmd("MAIL FROM:<a@b.example>")
        assert client.cmd("RCPT TO:<accent-é@demo.test>").code == server.pick(
            ours=553, postfix=550, why="RFC 6531 §3.5 has 553 at RCPT; Postfix looks the mailbox up all the same"
        )


def test_rfc6531_3_7_1_protocol_word(ours: Ours) -> None:
    with Client(ours.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<é@b.example> SMTPUTF8")
        client.cmd("RCPT TO:<accent-é@demo.test>")
        assert client.data(MESSAGE + b".\r\n").code == 250
        item = ours.last_message()
        assert b"with UTF8SMTP id" in item.trace
        assert item.parameters.smtputf8
        assert (item.mail_from, item.recipients[0].address) == ("é@b.example", "accent-é@demo.test")


def test_rfc3030_2_bdat(server: Server) -> None:
    with Client(server.port) as client:
        client.begin()
        client.send(b"BDAT %d\r\n" % len(MESSAGE) + MESSAGE)
        assert client.reply().code == 250
        client.send(b"BDAT 6 LAST\r\nmore\r\n")
        assert client.reply().code == 250
        if isinstance(server, Ours):
            assert server.last_body() == MESSAGE + b"more\r\n"


def test_rfc3030_2_bdat_zero_last(server: Server) -> None:
    with Client(server.port) as client:
        client.begin()
        client.send(b"BDAT %d\r\n" % len(MESSAGE) + MESSAGE + b"BDAT 0 LAST\r\n")
        assert [client.reply().code for _ in range(2)] == [250, 250]


def test_rfc3030_2_bdat_errors_swallow_octets(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.send(b"BDAT 12 LAST\r\nQUIT\r\nQUIT\r\n")
        assert client.reply().code == 503
        assert client.cmd("NOOP").code == 250
        client.cmd("MAIL FROM:<a@b.example>")
        client.send(b"BDAT 6\r\nQUIT\r\n")
        assert client.reply().code in {503, 554}
        assert client.cmd("NOOP").code == 250


def test_rfc3030_2_no_data_between_chunks(server: Server) -> None:
    with Client(server.port) as client:
        client.begin()
        client.send(b"BDAT 6\r\nSome\r\n")
        assert client.reply().code == 250
        assert client.cmd("DATA").code == 503
        assert (
            client.cmd("RCPT TO:<bob@demo.test>").code
            == server.pick(
                ours=503,
                postfix=250,
                why="Postfix takes recipients between chunks; RFC 3030 §2 has MAIL, RCPT, then BDAT",
            )
            or server.name == "postfix"
        )
        assert client.cmd("RSET").code == 250


def test_rfc3030_2_chunk_octets_as_they_are(ours: Ours) -> None:
    """A chunk has no dots to remove, and its octets come back as they were."""
    body = b"Subject: x\r\n\r\n.\r\n..\r\nbare\nline\r\x00 end"
    with Client(ours.port) as client:
        client.begin()
        client.send(b"BDAT %d LAST\r\n" % len(body) + body)
        assert client.reply().code == 250
        assert ours.last_body() == body


def test_rfc3461_4_dsn_parameters(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        assert client.cmd("MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B314").code == 250
        assert (
            client.cmd("RCPT TO:<alice@demo.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Alice+2B@demo.test").code == 250
        )
        assert client.cmd("RCPT TO:<bob@demo.test> NOTIFY=NEVER").code == 250
        assert client.data(MESSAGE + b".\r\n").code == 250
        if isinstance(server, Ours):
            item = server.last_message()
            assert (item.parameters.ret, item.parameters.envid) == ("HDRS", "QQ+314")
            assert [one.notify for one in item.recipients] == ["SUCCESS,FAILURE", "NEVER"]
            assert item.recipients[0].orcpt == "rfc822;Alice+2B@demo.test"


@pytest.mark.parametrize("line", ["RET=ALL", "RET=FULL RET=FULL", "ENVID=a+b", "ENVID="])
def test_rfc3461_4_3_bad_mail_parameters(server: Server, line: str) -> None:
    with Client(server.port) as client:
        client.hello()
        assert client.cmd(f"MAIL FROM:<a@b.example> {line}").code in {501, 555}


@pytest.mark.parametrize("line", ["NOTIFY=NEVER,SUCCESS", "NOTIFY=X", "ORCPT=nosemicolon", "ORCPT=rfc822;a b"])
def test_rfc3461_4_1_bad_rcpt_parameters(server: Server, line: str) -> None:
    with Client(server.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        assert client.cmd(f"RCPT TO:<alice@demo.test> {line}").code in {501, 555}


def test_rfc3207_4_starttls(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        assert client.starttls().code == 220
        words = {line.split()[0] for line in client.hello().lines[1:]}
        assert "STARTTLS" not in words
        client.envelope()
        assert client.data(MESSAGE + b".\r\n").code == 250
        if isinstance(server, Ours):
            assert b"with ESMTPS (TLSv1.3:TLS_" in server.last_message().trace
        assert client.cmd("STARTTLS").code in {503, 554}


def test_rfc3207_4_2_state_is_forgotten(server: Server) -> None:
    with Client(server.port) as client:
        client.begin()
        assert client.starttls().code == 220
        assert client.cmd("DATA").code == 503
        assert client.cmd("MAIL FROM:<a@b.example>").code == server.pick(
            ours=503,
            postfix=250,
            why="Postfix forgets the transaction, and asks for EHLO only with smtpd_helo_required",
        )


def test_rfc3207_4_2_command_injection(server: Server) -> None:
    """What was sent in clear behind STARTTLS is never taken as a command under TLS (CVE-2011-0411)."""
    with Client(server.port) as client:
        client.hello()
        client.send(b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@b.example>\r\n")
        answer = client.reply()
        assert answer.code == server.pick(
            ours=503, postfix=220, why="Postfix discards what was pipelined, ours refuses it"
        )
        if answer.code == 220:
            client.handshake()
            assert client.hello().code == 250
            assert client.cmd("RCPT TO:<alice@demo.test>").code == 503
        else:
            assert client.closed()


def test_rfc3207_4_1_no_clear_text_after_a_failed_handshake(ours: Ours) -> None:
    with Client(ours.port) as client:
        client.hello()
        assert client.cmd("STARTTLS").code == 220
        client.send(b"NOOP\r\nNOOP\r\n" * 20)
        answered = b""
        try:
            while more := client.socket.recv(4096):
                answered += more
        except ConnectionError:
            pass
        assert b"250 " not in answered


def test_starttls_certificate_is_reloaded_without_dropping_a_session(ours: Ours) -> None:
    with Client(ours.port) as old:
        old.hello()
        old.starttls()
        first = old.peer_certificate()
        make_certificate(ours.peers.directory)
        deadline = time.monotonic() + 10
        while True:
            with Client(ours.port) as new:
                new.hello()
                new.starttls()
                if new.peer_certificate() != first:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert old.hello().code == 250
        old.envelope()
        assert old.data(MESSAGE + b".\r\n").code == 250


def test_rfc9422_4_limits_announced(ours: Ours) -> None:
    with Client(ours.port) as client:
        limits = next(line for line in client.hello().lines if line.startswith("LIMITS "))
        assert limits.split()[1:] == ["MAILMAX=10000", "RCPTMAX=1000"]


def test_rfc4954_4_no_auth_on_the_mx(ours: Ours) -> None:
    with Client(ours.port) as client:
        assert not any(line.startswith("AUTH") for line in client.hello().lines)
        assert client.cmd("AUTH PLAIN AGEAYg==").code == 502
        assert client.cmd("MAIL FROM:<a@b.example> AUTH=<>").code == 555


def test_large_message_is_staged_and_comes_back(ours: Ours) -> None:
    body = MESSAGE + b"".join(b"%06d %b\r\n" % (number, b"z" * 60) for number in range(60_000))
    with Client(ours.port) as client:
        client.begin()
        assert client.data(body + b".\r\n").code == 250
        assert ours.last_message().staged_id
        assert ours.last_body() == body
        client.envelope()
        for at in range(0, len(body), 1 << 20):
            chunk = body[at : at + (1 << 20)]
            client.send(b"BDAT %d%b\r\n" % (len(chunk), b" LAST" if at + (1 << 20) >= len(body) else b"") + chunk)
            assert client.reply().code == 250
        assert ours.last_body() == body
