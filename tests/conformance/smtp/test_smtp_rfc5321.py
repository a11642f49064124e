"""RFC 5321 on the wire, against ours and Postfix; each test is named by the clause that it tries."""

from __future__ import annotations

import pytest
from tests.conformance.smtp.servers import HOSTNAME, Ours, Server
from tests.conformance.smtp.wire_client import Client

MESSAGE = b"From: <a@b.example>\r\nTo: <alice@demo.test>\r\nSubject: x\r\n\r\nbody\r\n"


def test_rfc5321_3_1_greeting(server: Server) -> None:
    with Client(server.port) as client:
        assert client.greeting.code == 220
        assert client.greeting.text.startswith(HOSTNAME)


def test_rfc5321_3_3_one_message(server: Server) -> None:
    with Client(server.port) as client:
        client.begin()
        assert client.data(MESSAGE + b".\r\n").code == 250
        assert client.cmd("QUIT").code == 221
        assert client.closed()


def test_rfc5321_3_3_no_valid_recipient(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        assert client.cmd("RCPT TO:<nobody@demo.test>").code == 550
        assert client.cmd("DATA").code in {503, 554}


def test_rfc5321_3_5_3_vrfy_cannot(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        assert client.cmd("VRFY alice@demo.test").code == 252
        assert client.cmd("EXPN list").code == server.pick(
            ours=502,
            postfix=500,
            why="Postfix does not know EXPN; RFC 5321 §4.2.4 has 502 for what is known and not done",
        )


def test_rfc5321_3_6_relaying_denied(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        answer = client.cmd("RCPT TO:<x@elsewhere.example>")
        code, status = server.pick(
            ours=(550, "5.7.1"),
            postfix=(454, "4.7.1"),
            why="compatibility_level 3.6 defers relaying in case of a typing error; RFC 5321 §3.6.2 says 550",
        )
        assert (answer.code, answer.status) == (code, status)


def test_rfc5321_4_1_1_1_helo_and_ehlo(server: Server) -> None:
    with Client(server.port) as client:
        answer = client.cmd("HELO client.example")
        assert answer.code == 250
        assert len(answer.lines) == 1
        assert client.hello().lines[0].startswith(HOSTNAME)
        assert client.cmd("EHLO [192.0.2.1]").code == 250
        assert client.cmd("EHLO [IPv6:2001:db8::1]").code == 250
        assert client.cmd("EHLO").code == 501


def test_rfc5321_4_1_1_2_mail_syntax(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        for line in ("MAIL", "MAIL FROM:", "MAIL TO:<a@b.example>", "MAIL FROM:<a@b.example"):
            assert client.cmd(line).code == 501, line
        assert client.cmd("mail from:<a@b.example>").code == 250


def test_rfc5321_4_1_1_3_null_reverse_path(server: Server) -> None:
    with Client(server.port) as client:
        client.begin(sender="")
        assert client.data(MESSAGE + b".\r\n").code == 250


def test_rfc5321_4_1_1_3_source_route_is_dropped(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        assert client.cmd("RCPT TO:<@relay.example,@other.example:alice@demo.test>").code == 250


def test_rfc5321_4_1_1_3_quoted_local_part(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        assert client.cmd('RCPT TO:<"alice"@demo.test>').code == 250


def test_rfc5321_4_1_1_5_rset(server: Server) -> None:
    with Client(server.port) as client:
        client.begin()
        assert client.cmd("RSET").code == 250
        assert client.cmd("DATA").code == 503
        assert client.cmd("MAIL FROM:<a@b.example>").code == 250


def test_rfc5321_4_1_1_8_help(server: Server) -> None:
    with Client(server.port) as client:
        expected = server.pick(ours=214, postfix=500, why="Postfix has no HELP; RFC 5321 §4.5.1 does not oblige to it")
        answer = client.cmd("HELP")
        assert answer.code == expected or (server.name == "postfix" and answer.code == 502)


def test_rfc5321_4_1_1_9_noop(server: Server) -> None:
    with Client(server.port) as client:
        assert client.cmd("NOOP").code == 250
        assert client.cmd("NOOP whatever it is").code == 250


def test_rfc5321_4_1_4_order_of_commands(server: Server) -> None:
    with Client(server.port) as client:
        assert client.cmd("RCPT TO:<alice@demo.test>").code == 503
        assert client.cmd("DATA").code == 503
        before_hello = client.cmd("MAIL FROM:<a@b.example>").code
        assert before_hello == server.pick(
            ours=503,
            postfix=250,
            why="Postfix asks for EHLO only with smtpd_helo_required; RFC 5321 §4.1.4 has it first",
        )
        client.hello()
        assert client.cmd("RCPT TO:<alice@demo.test>").code == 503
        assert client.cmd("MAIL FROM:<a@b.example>").code == 250
        assert client.cmd("MAIL FROM:<a@b.example>").code == 503


def test_rfc5321_4_1_4_ehlo_resets(server: Server) -> None:
    with Client(server.port) as client:
        client.begin()
        client.hello()
        assert client.cmd("DATA").code == 503


def test_rfc5321_4_2_4_unknown_and_unimplemented(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        assert client.cmd("WHATEVER").code in {500, 502}
        code = client.cmd("TURN").code
        assert code in {500, 502}


def test_rfc5321_4_5_1_postmaster(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        assert client.cmd("RCPT TO:<postmaster>").code == 250
        assert client.cmd("RCPT TO:<Postmaster@demo.test>").code == 250
        assert client.cmd("RCPT TO:<postmaster@example.test>").code == 250
        assert client.cmd("RCPT TO:<abuse@demo.test>").code == server.pick(  # RFC 2142 §4
            ours=250, postfix=550, why="this Postfix has no alias table; ours leads abuse to the tenant's administrator"
        )
        assert client.cmd("RCPT TO:<postmaster@elsewhere.example>").code in {454, 550}


@pytest.mark.parametrize("size", [512, 510])
def test_rfc5321_4_5_3_1_4_command_line_length(server: Server, size: int) -> None:
    with Client(server.port) as client:
        assert client.cmd(b"NOOP " + b"x" * (size - 7)).code == 250


def test_rfc5321_4_5_3_1_4_command_line_too_long(server: Server) -> None:
    with Client(server.port) as client:
        answer = client.cmd(b"NOOP " + b"x" * 600)
        assert answer.code == server.pick(
            ours=500, postfix=250, why="Postfix's line_length_limit is 2048; RFC 5321 §4.5.3.1.4 says 512"
        )
        client.send(b"NOOP " + b"y" * 40_000 + b"\r\n")
        long = client.reply()
        assert long.code == server.pick(ours=500, postfix=250, why="Postfix cuts the line at 2048 octets and goes on")
        if server.name == "ours":
            assert client.cmd("NOOP").code == 250, "a line too long does not end the session"


def test_rfc5321_4_5_3_1_1_local_part(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        assert client.cmd(f"RCPT TO:<{'x' * 64}@demo.test>").code == 550
        assert client.cmd(f"RCPT TO:<{'x' * 65}@demo.test>").code == server.pick(
            ours=501, postfix=550, why="Postfix sets no limit of its own to a local part"
        )


def test_rfc5321_4_5_3_1_8_hundred_recipients(server: Server) -> None:
    with Client(server.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@b.example>")
        client.send(b"".join(b"RCPT TO:<alice+%d@demo.test>\r\n" % number for number in range(100)))
        assert {client.reply().code for _ in range(100)} == {250}
        assert client.data(MESSAGE + b".\r\n").code == 250


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...x\r\n.\r\n", b"..x\r\n"),
        (b"a\r\n..b\r\nc\r\n.\r\n", b"a\r\n.b\r\nc\r\n"),
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
    ],
)
def test_rfc5321_4_5_2_transparency(ours: Ours, sent: bytes, received: bytes) -> None:
    with Client(ours.port) as client:
        client.begin()
        assert client.data(sent).code == 250
        assert ours.last_body() == received


def test_rfc5321_2_3_8_bare_line_feed_in_data(server: Server) -> None:
    with Client(server.port) as client:
        client.begin()
        answer = client.data(MESSAGE + b"bare\nline\r\n.\r\n")
        assert answer.code == server.pick(
            ours=550,
            postfix=250,
            why="Postfix 3.7 has no smtpd_forbid_bare_newline by default; RFC 5321 §2.3.8 forbids it",
        )


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n\x00.\r\n", b"\n\n.\r\n", b"\r.\r\n"]
)
def test_rfc5321_4_1_1_4_only_crlf_dot_crlf_ends_data(ours: Ours, end: bytes) -> None:
    """Nothing but CRLF.CRLF ends the data, so a second message cannot be smuggled in."""
    with Client(ours.port) as client:
        client.begin()
        before = len(ours.peers.store.messages)
        smuggled = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<bob@demo.test>\r\nDATA\r\nFrom: admin\r\n\r\nhi\r\n.\r\n"
        answer = client.data(MESSAGE + b"x" + end + smuggled)
        bare = end != b"\r\n\x00.\r\n"
        assert answer.code == (550 if bare else 250)
        assert len(ours.peers.store.messages) == before + (0 if bare else 1)
        assert client.cmd("NOOP").code == 250


def test_rfc5321_2_3_8_bare_line_feed_ends_no_command(server: Server) -> None:
    with Client(server.port) as client:
        client.send(b"NOOP\n")
        assert client.reply().code == server.pick(
            ours=500, postfix=250, why="Postfix takes LF for CRLF in commands; RFC 5321 §2.3.8: no other line end"
        )


def test_rfc5321_4_4_received_line(ours: Ours) -> None:
    with Client(ours.port) as client:
        client.begin("alice@demo.test")
        assert client.data(MESSAGE + b".\r\n").code == 250
        trace = ours.last_message().trace
        assert trace.startswith(b"Received: from client.example ([127.0.0.1])\r\n\tby mx.demo.test with ESMTP id ")
        assert b"for <alice@demo.test>" in trace
        assert trace.endswith(b"+0000\r\n")


def test_rfc5321_7_2_no_for_with_several_recipients(ours: Ours) -> None:
    with Client(ours.port) as client:
        client.begin("alice@demo.test", "bob@demo.test")
        assert client.data(MESSAGE + b".\r\n").code == 250
        assert b"for" not in ours.last_message().trace.replace(b"from", b"")


def test_rfc5321_6_3_loop(server: Server) -> None:
    with Client(server.port) as client:
        hops = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        client.begin()
        answer = client.data(hops * 101 + MESSAGE + b".\r\n")
        status = server.pick(
            ours="5.4.6", postfix="5.4.0", why="X.4.6 is the routing loop of RFC 3463 §3.5; Postfix is less precise"
        )
        assert (answer.code, answer.status) == (554, status)
        client.envelope()
        assert client.data(hops * 45 + MESSAGE + b".\r\n").code == 250


def test_rfc5321_4_1_1_10_quit_behind_data(server: Server) -> None:
    """Postfix's own client sends QUIT with the final dot."""
    with Client(server.port) as client:
        client.begin()
        assert client.cmd("DATA").code == 354
        client.send(MESSAGE + b".\r\nQUIT\r\n")
        assert client.reply().code == 250
        assert client.reply().code == 221
        assert client.closed()


def test_rfc5321_4_1_4_message_as_received(ours: Ours) -> None:
    """Eight-bit octets, NULs and long lines come back as they were sent (RFC 5321 §4.5.3.1.6 obliges to 1,000 only)."""
    body = MESSAGE + bytes(range(32, 256)) + b"\x00\r\n" + b"y" * 5000 + b"\r\n"
    with Client(ours.port) as client:
        client.begin()
        assert client.data(body + b".\r\n").code == 250
        assert ours.last_body() == body
