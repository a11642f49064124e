"""The submission door: AUTH, and what a message of somebody who is logged in must be (RFC 6409, RFC 4954)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petitbleu_ingest import metrics
from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.errors import REFUSAL_WIRE, Refusal
from petitbleu_ingest.service.submitters import (
    AccountsAwayError,
    Logins,
    Permits,
    PermitsAwayError,
    SuspendedError,
    TooManyTriesError,
    WrongCredentialError,
)
from petitbleu_kit.logs import get_logger, security_logger
from petitbleu_mail import sasl
from petitbleu_mail.headers import Headers
from petitbleu_mail.same_reading import Oddity, oddity_of, same_mailboxes, whole_addresses
from petitbleu_mail.scram import ScramMismatchError
from petitbleu_mail.scram_exchange import BOUND, MECHANISM, ScramExchange
from petitbleu_mail.smtp_grammar import Auth, Mail
from petitbleu_mail.status import Reply, Status

if TYPE_CHECKING:
    from petitbleu_ingest.smtp.exchanger import MailExchanger

_log = get_logger(__name__)
_security = security_logger()
_WELCOME: Final = b"235 2.7.0 Welcome\r\n"
_GO_ON: Final = b"334 \r\n"
# RFC 7628 §3.2.2: the client answers this with a lone kvsep, and hears the refusal then
_TOKEN_REFUSED: Final = b"334 " + base64.b64encode(b'{"status":"invalid_token"}') + b"\r\n"
_MECHANISMS: Final = ("PLAIN", "OAUTHBEARER", MECHANISM)
_MAX_FAILURES: Final = 3
_ODDITIES: Final = {
    Oddity.LINE_END: Refusal.HEADER_LINE_END,
    Oddity.CONTROL: Refusal.HEADER_CONTROL,
    Oddity.NOT_FIELDS: Refusal.HEADER_NOT_FIELDS,
    Oddity.TOO_MANY_FIELDS: Refusal.HEADER_TOO_MANY_FIELDS,
}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_running: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True)
class Submission:
    """What makes a door one of submission.

    Attributes:
        logins: Checks credentials.
        permits: Says who may send how much.
        implicit_tls: Whether TLS begins before the greeting (RFC 8314 §3.3).
        clear_on_loopback: Whether a client on this machine may log in without TLS.
    """

    logins: Logins
    permits: Permits
    implicit_tls: bool = False
    clear_on_loopback: bool = False

    def mechanisms(self, address: str, *, tls: bool, end_point: bytes) -> tuple[str, ...]:
        """Mechanisms that a client may use now: none in clear (RFC 4954 §4, RFC 8314 §4.1), -PLUS where it can bind to the connection."""
        if tls and end_point:
            return (*_MECHANISMS, BOUND)
        return _MECHANISMS if tls or (self.clear_on_loopback and address in _LOOPBACK) else ()


class Exchange:
    """An AUTH under way: the mechanism, whether its refusal was told already (OAUTHBEARER), and where SCRAM stands."""

    __slots__ = ("mechanism", "refused", "scram")

    def __init__(self, mechanism: str, exchange: ScramExchange[Submitter] | None = None) -> None:
        self.mechanism = mechanism
        self.refused = False
        self.scram = exchange


def begin(smtp: MailExchanger, command: Auth, submission: Submission) -> None:
    """AUTH."""
    if smtp.mx.host_name is None:
        smtp.refuse(Refusal.HELLO_FIRST)
        return
    if smtp.mx.submitter is not None or smtp.transaction is not None:  # RFC 4954 §4
        smtp.refuse(Refusal.AUTH_ALREADY)
        return
    offered = submission.mechanisms(smtp.mx.address, tls=smtp.mx.cipher is not None, end_point=smtp.mx.end_point)
    if not offered:
        smtp.refuse(Refusal.AUTH_NEEDS_TLS)
    elif command.mechanism not in offered:
        smtp.refuse(Refusal.AUTH_UNKNOWN)
    else:
        exchange = Exchange(command.mechanism)
        if command.mechanism in {MECHANISM, BOUND}:
            exchange.scram = ScramExchange(submission.logins, smtp.mx.address, command.mechanism, smtp.mx.end_point)
        if command.initial is None:
            smtp.mx.exchange = exchange
            smtp.reply(_GO_ON)
        else:
            _respond(smtp, submission, exchange, command.initial)


def go_on(smtp: MailExchanger, line: bytes, submission: Submission, exchange: Exchange) -> None:
    """Take the client's response to a challenge (RFC 4954 §4)."""
    smtp.mx.exchange = None
    if line == b"*":
        smtp.refuse(Refusal.AUTH_CANCELLED)
    elif exchange.refused:
        _fail(smtp)
    else:
        _respond(smtp, submission, exchange, line)


def _respond(smtp: MailExchanger, submission: Submission, exchange: Exchange, line: bytes) -> None:
    work: Awaitable[Submitter | None] | None
    try:
        response = sasl.decode(line)
        if exchange.scram is not None:
            work = _scram_step(smtp, exchange, exchange.scram, response)
        else:
            work = _work(submission.logins, exchange.mechanism, response, smtp.mx.address)
    except sasl.SaslError:
        work = None
    if work is None:
        smtp.refuse(Refusal.AUTH_UNREADABLE)
        return
    smtp.wait()
    task = smtp.loop.create_task(_check(smtp, work, exchange))
    _running.add(task)
    task.add_done_callback(_running.discard)


def _work(logins: Logins, mechanism: str, response: bytes, client: str) -> Awaitable[Submitter] | None:
    """Read a response and return its check; None when it asks to act for somebody else (RFC 4616 §2).

    Raises:
        SaslError: it cannot be read.
    """
    if mechanism != "PLAIN":
        return logins.by_token(sasl.oauth_bearer(response)[1], client)
    answer = sasl.plain(response)
    if answer.authorization not in {"", answer.login}:
        return None
    return logins.by_password(answer.login, answer.password, client)


async def _scram_step(
    smtp: MailExchanger, exchange: Exchange, under_way: ScramExchange[Submitter], response: bytes
) -> Submitter | None:
    """Answer a response of SCRAM; who it is once nothing is left to be said."""
    try:
        challenge = await under_way.answer(response)
    except ScramMismatchError:
        raise WrongCredentialError from None
    if challenge:
        smtp.mx.exchange = exchange
        smtp.reply(b"334 %b\r\n" % base64.b64encode(challenge.encode()))
        return None
    return under_way.who


async def _check(smtp: MailExchanger, work: Awaitable[Submitter | None], exchange: Exchange) -> None:
    try:
        submitter = await work
    except sasl.SaslError:
        smtp.refuse(Refusal.AUTH_UNREADABLE)
    except WrongCredentialError:
        if exchange.mechanism == "OAUTHBEARER":
            exchange.refused = True
            smtp.mx.exchange = exchange
            smtp.reply(_TOKEN_REFUSED)
        else:
            _fail(smtp)
    except TooManyTriesError:
        metrics.logins.labels("limited").inc()
        smtp.end(Refusal.AUTH_TOO_MANY, "logins")
    except AccountsAwayError:
        metrics.logins.labels("away").inc()
        smtp.reply(REFUSAL_WIRE[Refusal.AUTH_TROUBLE])
    except Exception:  # noqa: BLE001 — whatever it is, the client is told to come back
        _log.exception("login failed")
        smtp.reply(REFUSAL_WIRE[Refusal.AUTH_TROUBLE])
    else:
        if submitter is not None:
            metrics.logins.labels("done").inc()
            smtp.mx.submitter = submitter
            smtp.mx.stands_until = smtp.loop.time() + smtp.door.settings.submission_standing_seconds
            smtp.reply(_WELCOME)
    if not smtp.ended:
        smtp.proceed()


def _fail(smtp: MailExchanger) -> None:
    metrics.logins.labels("refused").inc()
    if smtp.door.settings.security_log_ips:
        _security.info("login refused", door="submission", ip=smtp.mx.address)
    smtp.mx.failures += 1
    smtp.refuse(Refusal.AUTH_WRONG)
    if smtp.mx.failures >= _MAX_FAILURES:
        smtp.end(Refusal.AUTH_TOO_MANY, "logins")


def look_again(smtp: MailExchanger, submission: Submission, then: Callable[[], None]) -> bool:
    """Say whether the login must be looked at again before a message; if so, `then` is done once it was found to stand.

    A session may last an hour: a password that is changed, or an account that is disabled, ends it at its next message.
    """
    submitter = smtp.mx.submitter
    if submitter is None or smtp.loop.time() < smtp.mx.stands_until:
        return False
    smtp.wait()
    task = smtp.loop.create_task(_look(smtp, submission, then))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return True


async def _look(smtp: MailExchanger, submission: Submission, then: Callable[[], None]) -> None:
    refusal = await refused_login(smtp, submission)
    if refusal is Refusal.AUTH_OVER:
        smtp.end(refusal, "logins")
    elif refusal is not None:
        smtp.reply(REFUSAL_WIRE[refusal])
    elif not smtp.ended:
        then()
    if not smtp.ended:
        smtp.proceed()


async def refused_login(smtp: MailExchanger, submission: Submission) -> Refusal | None:
    """Say why the login of a session does not hold now, None when it does; what was found is believed for a while."""
    submitter = smtp.mx.submitter
    if submitter is None or smtp.loop.time() < smtp.mx.stands_until:
        return None
    try:
        smtp.mx.submitter = await submission.logins.standing(submitter)
    except WrongCredentialError:
        metrics.logins.labels("over").inc()
        return Refusal.AUTH_OVER
    except (AccountsAwayError, TooManyTriesError):
        return Refusal.AUTH_TROUBLE
    except Exception:  # noqa: BLE001 — whatever it is, the client is told to come back
        _log.exception("a login was not looked at again")
        return Refusal.AUTH_TROUBLE
    smtp.mx.stands_until = smtp.loop.time() + smtp.door.settings.submission_standing_seconds
    return None


def refused_sender(smtp: MailExchanger, command: Mail) -> Refusal | None:
    """Say why MAIL is refused here: nobody is logged in, or the sender is not theirs; a null path is (RFC 8098 §2.1)."""
    submitter = smtp.mx.submitter
    if submitter is None:  # RFC 4954 §6
        return Refusal.AUTH_FIRST
    if command.sender is not None and not submitter.owns(command.sender.address):
        return Refusal.SENDER_NOT_YOURS
    return None


def refused_header(submitter: Submitter, message: bytes, headers: Headers) -> Refusal | None:
    """Say why a message is refused: each author, and the Sender, must be the submitter's (RFC 6409 §6.1), whoever reads it."""
    oddity = oddity_of(message)
    if oddity is not None:
        return _ODDITIES[oddity]
    if headers.count(b"from") != 1:
        return Refusal.FROM_MISSING
    if headers.count(b"sender") > 1:
        return Refusal.FROM_UNCLEAR
    authors = whole_addresses(headers, b"from")
    senders = whole_addresses(headers, b"sender")
    if authors is None or senders is None:
        return Refusal.FROM_TOO_LONG
    if not authors:
        return Refusal.FROM_MISSING
    values = (*headers.all(b"from"), *headers.all(b"sender"))
    unclear = not all(map(same_mailboxes, values))
    theirs = all(submitter.owns(one.email) for one in (*authors, *senders))
    return Refusal.FROM_UNCLEAR if unclear else None if theirs else Refusal.FROM_NOT_YOURS


async def refused_amount(permits: Permits, submitter: Submitter, recipients: int) -> bytes:
    """Return the reply to a message with too many recipients for now, empty when it may be sent (RFC 6409 §6.2).

    Without an answer it may not: a limit that ends with a database is one that a thief can end (ADR 29). Each message is counted, one
    that was there before too: whoever has seen our 250 and sends the same again sends another.
    """
    try:
        seconds = await permits.permit(submitter, recipients)
    except SuspendedError:
        return REFUSAL_WIRE[Refusal.SUSPENDED]
    except PermitsAwayError:
        return REFUSAL_WIRE[Refusal.SYSTEM_TROUBLE]
    if not seconds:
        return b""
    minutes = -(-seconds // 60)
    return Reply(
        450, Status("4.7.1"), f"You have sent to very many lately, try again in {minutes} minutes"
    ).encode()  # fmt: skip
