"""Tests of the SMTP command grammar, with the examples of the RFCs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.addresses import Mailbox
from petitbleu_mail.smtp_grammar import (
    Auth,
    Bdat,
    Body,
    Fault,
    Helo,
    Mail,
    Notify,
    Plain,
    Rcpt,
    Ret,
    parse_command,
)
from petitbleu_mail.smtp_parameters import decode_utf8_xtext, decode_xtext, encode_xtext
from petitbleu_mail.status import Reply, Status

SMITH = Mailbox("Smith", "bar.com")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO bar.com", Helo("bar.com", extended=True, well_formed=True)),
        (b"helo [192.0.2.1] ", Helo("[192.0.2.1]", extended=False, well_formed=True)),
        (b"EHLO [IPv6:2001:db8::1]", Helo("[IPv6:2001:db8::1]", extended=True, well_formed=True)),
        (b"EHLO (me)", Helo("(me)", extended=True, well_formed=False)),
        (b"MAIL FROM:<Smith@bar.com>", Mail(SMITH)),
        (b"mail from:<Smith@bar.com>", Mail(SMITH)),
        (b"MAIL FROM: <Smith@bar.com>", Mail(SMITH)),
        (b"MAIL FROM:<Smith@bar.com> \t", Mail(SMITH)),
        (b"MAIL FROM:<>", Mail(None)),
        (b"MAIL FROM:<> BODY=8BITMIME", Mail(None, body=Body.EIGHT_BIT_MIME)),
        (b"MAIL FROM:<Smith@bar.com> SIZE=1000", Mail(SMITH, size=1000)),
        (b"MAIL FROM:<Smith@bar.com> SIZE=1 BODY=8bitmime", Mail(SMITH, size=1, body=Body.EIGHT_BIT_MIME)),
        (b"MAIL FROM:<Smith@bar.com> BODY=7BIT", Mail(SMITH, body=Body.SEVEN_BIT)),
        (b"MAIL FROM:<Smith@bar.com> body=BINARYMIME size=7", Mail(SMITH, size=7, body=Body.BINARY_MIME)),
        (b"MAIL FROM:<Smith@7BIT>", Mail(Mailbox("Smith", "7BIT"))),
        (b"MAIL FROM:<a@b> HOLDFOR=60", Mail(Mailbox("a", "b"), hold_for=60)),
        (b"MAIL FROM:<a@b> holduntil=2027-01-15T08:01:00.5Z", Mail(Mailbox("a", "b"), hold_until_ms=1_800_000_060_500)),
        ("MAIL FROM:<jörg@bar.com> SMTPUTF8".encode(), Mail(Mailbox("jörg", "bar.com"), smtputf8=True)),
        (
            b"MAIL FROM:<Smith@bar.com> RET=HDRS ENVID=QQ314159",  # RFC 3461 §10.2
            Mail(SMITH, ret=Ret.HDRS, envid="QQ314159"),
        ),
        (b"MAIL FROM:<Smith@bar.com> AUTH=e+3Dmc2@example.com", Mail(SMITH, auth="e=mc2@example.com")),  # RFC 4954 §5
        (b"MAIL FROM:<Smith@bar.com> AUTH=<>", Mail(SMITH, auth="<>")),
        (b"RCPT TO:<Smith@bar.com>", Rcpt(SMITH)),
        (b"RCPT TO:<Postmaster>", Rcpt(Mailbox("postmaster", ""))),
        (b"RCPT TO:<@a.example,@b.example:Smith@bar.com>", Rcpt(SMITH)),
        (b"RCPT TO:<Smith@bar.com> NOTIFY=NEVER", Rcpt(SMITH, Notify.NEVER)),
        (
            b"RCPT TO:<Smith@bar.com> NOTIFY=SUCCESS,failure ORCPT=rfc822;Dana@Ivory.EDU",  # RFC 3461 §10.1
            Rcpt(SMITH, Notify.SUCCESS | Notify.FAILURE, ("rfc822", "Dana@Ivory.EDU")),
        ),
        (b"RCPT TO:<Smith@bar.com> ORCPT=utf-8;j\\x{F6}rg@bar.com", Rcpt(SMITH, Notify(0), ("utf-8", "jörg@bar.com"))),
        (b"BDAT 86 LAST", Bdat(86, last=True)),
        (b"bdat 0 last", Bdat(0, last=True)),
        (b"BDAT 100000", Bdat(100_000, last=False)),
        (b"AUTH PLAIN", Auth("PLAIN", None)),
        (b"AUTH plain =", Auth("PLAIN", b"")),
        (b"AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=", Auth("PLAIN", b"dGVzdAB0ZXN0ADEyMzQ=")),
        (b"DATA", Plain("DATA", "")),
        (b"rset ", Plain("RSET", "")),
        (b"NOOP anything", Plain("NOOP", "anything")),
        (b"VRFY Smith", Plain("VRFY", "Smith")),
        (b"HELP", Plain("HELP", "")),
        (b"QUIT", Plain("QUIT", "")),
        (b"STARTTLS", Plain("STARTTLS", "")),
    ],
)
def test_commands(line: bytes, command: object) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"", Fault.UNKNOWN_COMMAND),
        (b"FOO", Fault.UNKNOWN_COMMAND),
        (b"GET / HTTP/1.1", Fault.UNKNOWN_COMMAND),
        (b"MAIL FROM:<a@b>\rRCPT", Fault.NOT_ASCII),
        (b"NOOP \x00", Fault.NOT_ASCII),
        (b"EHLO", Fault.HELO_SYNTAX),
        (b"EHLO a b", Fault.HELO_SYNTAX),
        (b"EHLO \xff", Fault.HELO_SYNTAX),
        (b"MAIL", Fault.MAIL_SYNTAX),
        (b"MAIL TO:<a@b>", Fault.MAIL_SYNTAX),
        (b"MAIL FROM:a@b", Fault.SENDER_SYNTAX),
        (b"MAIL FROM:<a@b", Fault.SENDER_SYNTAX),
        (b"MAIL FROM:<postmaster>", Fault.SENDER_SYNTAX),
        (b"MAIL FROM:<" + b"l" * 129 + b"@example.org>", Fault.SENDER_TOO_LONG),
        (b"MAIL FROM:<a@b>SIZE=1", Fault.UNKNOWN_PARAMETER),
        (b"MAIL FROM:<a@b> FOO=1", Fault.UNKNOWN_PARAMETER),
        (b"MAIL FROM:<a@b> SIZE=1=2", Fault.UNKNOWN_PARAMETER),
        (b"MAIL FROM:<a@b> SIZE=1 SIZE=1", Fault.REPEATED_PARAMETER),
        (b"MAIL FROM:<a@b> SIZE=", Fault.UNKNOWN_PARAMETER),
        (b"MAIL FROM:<a@b> SIZE", Fault.SIZE_VALUE),
        (b"MAIL FROM:<a@b> SIZE=-1", Fault.SIZE_VALUE),
        (b"MAIL FROM:<a@b> SIZE=123456789012345678901", Fault.SIZE_VALUE),
        (b"MAIL FROM:<a@b> BODY=9BIT", Fault.BODY_VALUE),
        (b"MAIL FROM:<a@b> SMTPUTF8=yes", Fault.SMTPUTF8_VALUE),
        (b"MAIL FROM:<a@b> HOLDFOR=0", Fault.HOLDFOR_VALUE),
        (b"MAIL FROM:<a@b> HOLDFOR=1000000000", Fault.HOLDFOR_VALUE),
        (b"MAIL FROM:<a@b> HOLDFOR", Fault.HOLDFOR_VALUE),
        (b"MAIL FROM:<a@b> HOLDUNTIL=tomorrow", Fault.HOLDUNTIL_VALUE),
        (b"MAIL FROM:<a@b> HOLDUNTIL=2027-13-15T08:01:00Z", Fault.HOLDUNTIL_VALUE),
        (b"MAIL FROM:<a@b> HOLDFOR=1 HOLDUNTIL=2027-01-15T08:01:00Z", Fault.HOLD_TWICE),
        (b"MAIL FROM:<a@b> RET=ALL", Fault.RET_VALUE),
        (b"MAIL FROM:<a@b> ENVID=" + b"x" * 101, Fault.ENVID_VALUE),
        (b"MAIL FROM:<a@b> ENVID=a+0Ab", Fault.ENVID_VALUE),
        (b"MAIL FROM:<a@b> ENVID=a+zz", Fault.ENVID_VALUE),
        (b"MAIL FROM:<a@b> AUTH", Fault.AUTH_VALUE),
        (b"MAIL FROM:<a@b> NOTIFY=NEVER", Fault.UNKNOWN_PARAMETER),
        ("MAIL FROM:<jörg@bar.com>".encode(), Fault.SENDER_NEEDS_UTF8),
        (b"RCPT TO:<>", Fault.RECIPIENT_SYNTAX),
        (b"RCPT FROM:<a@b>", Fault.RCPT_SYNTAX),
        (b"RCPT TO:<a@b> NOTIFY=NEVER,SUCCESS", Fault.NOTIFY_VALUE),
        (b"RCPT TO:<a@b> NOTIFY=", Fault.UNKNOWN_PARAMETER),
        (b"RCPT TO:<a@b> NOTIFY", Fault.NOTIFY_VALUE),
        (b"RCPT TO:<a@b> ORCPT=a@b", Fault.ORCPT_VALUE),
        (b"RCPT TO:<a@b> ORCPT=rfc822;" + b"x" * 500, Fault.ORCPT_VALUE),
        (b"RCPT TO:<a@b> ORCPT=rfc822;a+0Db", Fault.ORCPT_VALUE),
        (b"RCPT TO:<" + b"l" * 65 + b"@example.org>", Fault.RECIPIENT_TOO_LONG),
        ("RCPT TO:<jörg@bar.com>".encode(), Fault.RECIPIENT_NEEDS_UTF8),
        (b"BDAT", Fault.BDAT_SYNTAX),
        (b"BDAT x", Fault.BDAT_SYNTAX),
        (b"BDAT 5 NOW", Fault.BDAT_SYNTAX),
        (b"AUTH", Fault.AUTH_SYNTAX),
        (b"AUTH PLAIN a b", Fault.AUTH_SYNTAX),
        (b"DATA x", Fault.NO_ARGUMENT),
        (b"STARTTLS x", Fault.NO_ARGUMENT),
        (b"VRFY", Fault.ARGUMENT_MISSING),
    ],
)
def test_refusals(line: bytes, fault: Fault) -> None:
    assert parse_command(line) is fault


def test_a_recipient_in_utf8_under_smtputf8() -> None:
    assert parse_command("RCPT TO:<jörg@müller.example>".encode(), utf8=True) == Rcpt(Mailbox("jörg", "müller.example"))


def test_a_refusal_carries_its_reply() -> None:
    assert Fault.UNKNOWN_PARAMETER.reply.encode() == b"555 5.5.4 Parameter not recognised\r\n"
    assert Fault.HELO_SYNTAX.reply.encode().startswith(b"501 Say")
    assert Reply(250, Status.OK, "one\ntwo").encode() == b"250-2.0.0 one\r\n250 2.0.0 two\r\n"
    for fault in Fault:
        assert fault.reply.status is None or fault.reply.status[0] == str(fault.reply.code)[0]


@given(st.text(max_size=40))
def test_xtext_comes_back(text: str) -> None:
    assert decode_xtext(encode_xtext(text)) == text


@given(st.binary(max_size=40))
def test_xtext_decoders_take_any_octets(data: bytes) -> None:
    for decode in (decode_xtext, decode_utf8_xtext):
        text = decode(data)
        assert text is None or text.encode("utf-8") is not None


WORDS = st.sampled_from(
    [b"MAIL FROM:", b"RCPT TO:", b"<a@b>", b"<>", b"<", b">", b" ", b" SIZE=", b"12", b" BODY=", b"8BITMIME", b" RET=FULL",
     b" ENVID=", b" NOTIFY=", b"NEVER", b",", b" ORCPT=", b"rfc822;", b"utf-8;", b"\\x{41}", b"\xc3\xa9", b" SMTPUTF8", b" HOLDFOR=", b" HOLDUNTIL=", b"2027-01-15T08:01:00Z",
     b"BDAT ", b"EHLO ", b"AUTH ", b"\xff", b"\x00", b"=", b"+41"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=12).map(b"".join) | st.binary(max_size=60), st.booleans())
def test_any_line_is_a_command_or_a_refusal(line: bytes, utf8: bool) -> None:
    command = parse_command(line, utf8=utf8)
    assert isinstance(command, Fault | Helo | Mail | Rcpt | Bdat | Auth | Plain)


@given(
    st.sampled_from(["a", "a.b+c", "!#$%", "l" * 64]),
    st.sampled_from(["b", "b-c.example", "B.ORG", "x" * 63 + ".org"]),
    st.sampled_from(["", " SIZE=5", " SIZE=5 BODY=7BIT", " BODY=8BITMIME"]),
)
def test_the_fast_path_says_what_the_full_grammar_says(local: str, domain: str, parameters: str) -> None:
    line = f"MAIL FROM:<{local}@{domain}>{parameters}".encode()
    assert parse_command(line) == parse_command(line + b" ")
    line = f"RCPT TO:<{local}@{domain}>".encode()
    assert parse_command(line) == parse_command(line + b" ")
