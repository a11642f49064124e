"""One function a command (RFC 5321 §4.1), each given the session and the parsed command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from petitbleu_ingest import metrics
from petitbleu_ingest.domain.message import recipient_of
from petitbleu_ingest.errors import FAULT_WIRE, REFUSAL_WIRE, Refusal
from petitbleu_ingest.service.recipients import Answer, Verdict
from petitbleu_ingest.smtp import starttls, submission, transfer
from petitbleu_ingest.smtp.transaction import Transaction
from petitbleu_kit.logs import get_logger
from petitbleu_mail.future_release import held_until
from petitbleu_mail.smtp_grammar import (
    MAX_AUTH_LINE,
    MAX_COMMAND_LINE,
    MAX_MAIL_LINE,
    MAX_RCPT_LINE,
    Auth,
    Bdat,
    Body,
    Fault,
    Helo,
    Mail,
    Plain,
    Rcpt,
    parse_command,
)
from petitbleu_mail.srs import is_rewritten

if TYPE_CHECKING:
    from petitbleu_ingest.smtp.exchanger import MailExchanger

__all__ = ["MAX_COMMAND_LINE", "handle", "line_limit"]

_log = get_logger(__name__)
_SENDER_OK: Final = b"250 2.1.0 Sender ok\r\n"
_RECIPIENT_OK: Final = b"250 2.1.5 Recipient ok\r\n"
_OK: Final = b"250 2.0.0 Ok\r\n"
_BYE: Final = b"221 2.0.0 Bye\r\n"
_CANNOT_VRFY: Final = b"252 2.0.0 Cannot verify, but will take mail and try\r\n"  # RFC 5321 §3.5.3
_HELP: Final = b"214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS\r\n"
_MAX_DELAY: Final = 30.0
_MAX_AHEAD: Final = 100

_VERDICTS: Final[dict[Verdict, bytes]] = {
    Verdict.UNKNOWN: REFUSAL_WIRE[Refusal.UNKNOWN_RECIPIENT],
    Verdict.OVER_QUOTA: REFUSAL_WIRE[Refusal.OVER_QUOTA],
    Verdict.DISABLED: REFUSAL_WIRE[Refusal.DISABLED_RECIPIENT],
    Verdict.REMOTE: REFUSAL_WIRE[Refusal.RELAY_DENIED],
    Verdict.TROUBLE: REFUSAL_WIRE[Refusal.DIRECTORY_TROUBLE],
}
_COUNTED: Final = {verdict: metrics.recipients.labels(verdict.value) for verdict in Verdict}


def line_limit(line: bytes) -> int:
    """Return how many octets this command line may have, CRLF included (RFC 5321 §4.5.3.1.4 and each extension)."""
    verb = line[:5].upper()
    if verb == b"MAIL ":
        return MAX_MAIL_LINE
    if verb == b"RCPT ":
        return MAX_RCPT_LINE
    return MAX_AUTH_LINE if verb == b"AUTH " else MAX_COMMAND_LINE


def handle(smtp: MailExchanger, line: bytes) -> None:
    """Parse one line without its CRLF and do what it says (RFC 5321 §4.1.1)."""
    exchange = smtp.mx.exchange
    if exchange is not None and smtp.door.submission is not None:
        submission.go_on(smtp, line, smtp.door.submission, exchange)
        return
    transaction = smtp.transaction
    command = parse_command(line, utf8=transaction is not None and transaction.smtp_utf8)
    _HANDLERS[type(command)](smtp, command)


def _fault(smtp: MailExchanger, fault: Fault) -> None:
    smtp.bad(FAULT_WIRE[fault])


def _helo(smtp: MailExchanger, command: Helo) -> None:
    # RFC 5321 §4.1.4: a second one is legal and resets the transaction
    _count_junk(smtp)
    reset(smtp)
    session = smtp.mx
    session.host_name = command.name
    session.about_client = None  # what is known is of the other name
    session.extended_smtp = command.extended
    if command.extended:
        smtp.reply(
            smtp.door.ehlo_reply(tls=session.cipher is not None, address=session.address, end_point=session.end_point)
        )
    else:
        smtp.reply(smtp.door.helo_reply)


def _mail(smtp: MailExchanger, command: Mail) -> None:
    # RFC 5321 §4.1.1.2; the null path is taken like any other, with any number of recipients
    door = smtp.door
    if smtp.mx.host_name is None:  # RFC 5321 §4.1.4
        smtp.refuse(Refusal.HELLO_FIRST)
    elif smtp.transaction is not None:
        smtp.refuse(Refusal.MAIL_NESTED)
    elif smtp.messages >= door.settings.smtp_messages:
        smtp.end(Refusal.TOO_MANY_MESSAGES, "messages")
    elif door.submission is not None and submission.look_again(
        smtp, door.submission, partial(_begin_mail, smtp, command)
    ):
        pass
    else:
        _begin_mail(smtp, command)


def _begin_mail(smtp: MailExchanger, command: Mail) -> None:
    door = smtp.door
    if door.submission is not None and (refused := submission.refused_sender(smtp, command)) is not None:
        smtp.refuse(refused)
    elif (door.submission is None and _of_submission(command)) or command.body is Body.BINARY_MIME:
        # RFC 5321 §4.1.1.11: AUTH says nothing new at submission (RFC 4954 §5); BINARYMIME is not announced
        smtp.refuse(Refusal.PARAMETER_UNAVAILABLE)
    elif held_until(command.hold_for, command.hold_until_ms, _now_ms()) is None:  # RFC 4865 §4
        smtp.refuse(Refusal.HELD_TOO_LONG)
    elif command.size > door.settings.smtp_message_size:  # RFC 1870 §6.1
        smtp.reply(REFUSAL_WIRE[Refusal.MESSAGE_TOO_BIG])
    elif door.budget.exhausted:  # RFC 1870 §6.1 (3): a temporary want of room
        smtp.reply(REFUSAL_WIRE[Refusal.SYSTEM_FULL])
    else:
        smtp.transaction = Transaction(smtp.mx, command, tracing=door.tracing)
        smtp.envelope = smtp.transaction
        smtp.reply(_SENDER_OK)


def _of_submission(command: Mail) -> bool:
    return command.auth is not None or command.hold_for is not None or command.hold_until_ms is not None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _rcpt(smtp: MailExchanger, command: Rcpt) -> None:
    # RFC 5321 §4.1.1.3
    transaction = smtp.transaction
    if transaction is None:
        smtp.refuse(Refusal.MAIL_FIRST)
        return
    if smtp.reception is not None:
        smtp.refuse(Refusal.CHUNKS_BEGUN)
        return
    door = smtp.door
    if len(transaction.recipients) >= door.settings.smtp_recipients:  # RFC 5321 §4.5.3.1.10
        smtp.reply(REFUSAL_WIRE[Refusal.TOO_MANY_RECIPIENTS])
        return
    address = command.recipient.address
    answer = door.recipients.known(address)
    if answer is not None:
        metrics.cache_hits.inc()
        _answered(smtp, command, address, answer)
        return
    metrics.cache_misses.inc()
    _look_ahead(smtp)
    smtp.wait()
    door.recipients.look_up(address).add_done_callback(partial(_looked_up, smtp, command, address))


def _look_ahead(smtp: MailExchanger) -> None:
    """Look up the recipients that the peer has pipelined behind this one, so that one call serves all (RFC 2920)."""
    recipients = smtp.door.recipients
    for line in smtp.buffer[smtp.at : smtp.at + 16384].split(b"\r\n", _MAX_AHEAD)[:_MAX_AHEAD]:
        if line[:5].upper() != b"RCPT ":
            return
        command = parse_command(line, utf8=True)
        if isinstance(command, Rcpt):
            address = command.recipient.address
            if recipients.known(address) is None:
                recipients.look_up(address)


def _looked_up(smtp: MailExchanger, command: Rcpt, address: str, future: asyncio.Future[Answer]) -> None:
    if smtp.ended:
        return
    if future.cancelled() or future.exception() is not None:
        smtp.reply(_VERDICTS[Verdict.TROUBLE])
    else:
        _answered(smtp, command, address, future.result())
    if smtp.delayed:
        smtp.flush()
    else:
        smtp.proceed()


def _answered(smtp: MailExchanger, command: Rcpt, address: str, answer: Answer) -> None:
    if smtp.transaction is not None and smtp.transaction.mail_from and is_rewritten(address):
        # what leads back to a sender takes bounces, and nothing else
        answer = Answer(Verdict.UNKNOWN, answer.tenant_id, answer.domain_id)
    _COUNTED[answer.verdict].inc()
    submitter = smtp.mx.submitter
    if submitter is not None and answer.verdict is Verdict.REMOTE:
        if smtp.transaction is not None:  # RFC 6409 §3.1: whoever is logged in may write to anybody
            smtp.transaction.add(recipient_of(command, address, submitter.tenant_id))
            _begin_judgement(smtp, smtp.transaction)
        smtp.reply(_RECIPIENT_OK)
        return
    if answer.verdict is Verdict.WELCOME:
        transaction = smtp.transaction
        if transaction is not None:
            transaction.add(recipient_of(command, address, answer.tenant_id))
            # nothing is asked for somebody who names nobody here
            _begin_judgement(smtp, transaction)
        smtp.reply(_RECIPIENT_OK)
        return
    wire = _VERDICTS[answer.verdict]
    if answer.verdict is not Verdict.UNKNOWN:
        smtp.reply(wire)
        return
    settings = smtp.door.settings
    smtp.unknown += 1
    over = smtp.unknown - settings.smtp_unknown_recipients
    if over <= 0 or not settings.smtp_unknown_delay:
        _say_unknown(smtp, wire)
        return
    # somebody guesses addresses: each further guess takes twice as long
    smtp.wait()
    smtp.delayed = True
    delay = min(settings.smtp_unknown_delay * 2 ** min(over - 1, 10), _MAX_DELAY)
    smtp.loop.call_later(delay, _say_unknown_late, smtp, wire)


def _begin_judgement(smtp: MailExchanger, transaction: Transaction) -> None:
    if transaction.judgement is None and smtp.door.judge is not None:
        transaction.judgement = smtp.door.judge.begin(transaction.session, transaction.mail_from or "")


def _say_unknown(smtp: MailExchanger, wire: bytes) -> None:
    smtp.reply(wire)
    if smtp.unknown >= smtp.door.settings.smtp_unknown_recipients_hard:
        smtp.end(Refusal.TOO_MANY_UNKNOWN, "unknown_recipients")


def _say_unknown_late(smtp: MailExchanger, wire: bytes) -> None:
    smtp.delayed = False
    if not smtp.ended:
        _say_unknown(smtp, wire)
        smtp.proceed()


def _bdat(smtp: MailExchanger, command: Bdat) -> None:
    transfer.begin_chunk(smtp, command)


def _auth(smtp: MailExchanger, command: Auth) -> None:
    if smtp.door.submission is None:  # the MX takes no logins: RFC 6409 §4.3 has them at submission
        smtp.refuse(Refusal.NOT_IMPLEMENTED)
    else:
        submission.begin(smtp, command, smtp.door.submission)


def _plain(smtp: MailExchanger, command: Plain) -> None:
    _PLAIN[command.verb](smtp)


def _rset(smtp: MailExchanger) -> None:
    _count_junk(smtp)
    reset(smtp)
    smtp.reply(_OK)


def _noop(smtp: MailExchanger) -> None:
    # RFC 5321 §4.1.1.9
    _count_junk(smtp)
    smtp.reply(_OK)


def _vrfy(smtp: MailExchanger) -> None:
    _count_junk(smtp)
    smtp.reply(_CANNOT_VRFY)


def _expn(smtp: MailExchanger) -> None:
    smtp.refuse(Refusal.NOT_IMPLEMENTED)


def _help(smtp: MailExchanger) -> None:
    # RFC 5321 §4.1.1.8
    _count_junk(smtp)
    smtp.reply(_HELP)


def _quit(smtp: MailExchanger) -> None:
    # RFC 5321 §4.1.1.10
    smtp.reply(_BYE)
    smtp.close()


def _count_junk(smtp: MailExchanger) -> None:
    smtp.junk += 1
    if smtp.junk > smtp.door.settings.smtp_junk_commands:
        smtp.errors += 1
        if smtp.errors >= smtp.door.settings.smtp_errors:
            smtp.end(Refusal.TOO_MANY_ERRORS, "errors")


def reset(smtp: MailExchanger) -> None:
    """Forget the transaction (RFC 5321 §4.1.1.5)."""
    transfer.drop(smtp)
    if smtp.transaction is not None:
        smtp.transaction.end("reset", 0)
        smtp.transaction = None
        smtp.envelope = None


_PLAIN: Final[dict[str, Callable[[MailExchanger], None]]] = {
    "DATA": transfer.begin_data,
    "RSET": _rset,
    "NOOP": _noop,
    "VRFY": _vrfy,
    "EXPN": _expn,
    "HELP": _help,
    "QUIT": _quit,
    "STARTTLS": starttls.begin,
}
_HANDLERS: Final[dict[type, Callable[[MailExchanger, Any], None]]] = {
    Fault: _fault,
    Helo: _helo,
    Mail: _mail,
    Rcpt: _rcpt,
    Bdat: _bdat,
    Auth: _auth,
    Plain: _plain,
}
