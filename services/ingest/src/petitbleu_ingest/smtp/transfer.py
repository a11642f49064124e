"""DATA and BDAT: from the first octet of a message to its reply (RFC 5321 §4.1.1.4, RFC 3030)."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from petitbleu_ingest import metrics
from petitbleu_ingest.domain.message import Incoming
from petitbleu_ingest.errors import REFUSAL_WIRE, Refusal
from petitbleu_ingest.ports import Accepted, StoreAwayError, StoreFullError
from petitbleu_ingest.smtp import modes
from petitbleu_ingest.smtp.message_log import MessageLine
from petitbleu_ingest.smtp.reception import Reception
from petitbleu_ingest.smtp.submission import refused_amount, refused_login
from petitbleu_ingest.smtp.transaction import Transaction
from petitbleu_kit.batching import QueueFullError
from petitbleu_kit.logs import get_logger
from petitbleu_mail.future_release import held_until
from petitbleu_mail.smtp_grammar import Bdat

if TYPE_CHECKING:
    from petitbleu_ingest.smtp.exchanger import MailExchanger

_log = get_logger(__name__)
_GO_ON: Final = b"354 End data with <CR><LF>.<CR><LF>\r\n"
# Of a session's memory, this much stays free for one read and for what is being written to storage.
_RESERVE: Final = 320 << 10
_accepted_total = metrics.messages.labels("accepted")
_tasks: set[asyncio.Task[None]] = set()


def begin_data(smtp: MailExchanger) -> None:
    """DATA."""
    transaction = smtp.transaction
    if transaction is None:
        smtp.refuse(Refusal.MAIL_FIRST)
    elif smtp.reception is not None:  # RFC 3030 §2: DATA and BDAT do not mix
        smtp.refuse(Refusal.CHUNKS_BEGUN)
    elif not transaction.recipients:  # RFC 5321 §3.3
        smtp.refuse(Refusal.NO_RECIPIENTS)
    elif smtp.door.budget.exhausted:
        smtp.reply(REFUSAL_WIRE[Refusal.SYSTEM_FULL])
    else:
        _open(smtp, transaction, dotted=True)
        smtp.mode = modes.DATA
        smtp.reply(_GO_ON)


def _open(smtp: MailExchanger, transaction: Transaction, *, dotted: bool) -> Reception:
    reception = Reception(smtp.door, transaction, dotted=dotted, progress=partial(_progress, smtp))
    smtp.reception = reception
    smtp.door.budget.join(smtp, smtp.loop.time())
    return reception


def take_data(smtp: MailExchanger) -> None:
    """Take what is buffered as mail data."""
    reception = smtp.reception
    if reception is None or reception.decoder is None:
        return
    decoder = reception.decoder
    data = smtp.buffer if smtp.at == 0 else smtp.buffer[smtp.at :]
    smtp.buffer = b""
    smtp.at = 0
    reception.add(decoder.feed(data))
    if decoder.done:
        smtp.buffer = decoder.rest
        smtp.mode = modes.COMMAND
        _complete(smtp, reception)
    else:
        _weigh(smtp, reception)


def begin_chunk(smtp: MailExchanger, command: Bdat) -> None:
    """BDAT: whatever the answer will be, its octets follow and are taken (RFC 3030 §2)."""
    refusal = b""
    settings = smtp.door.settings
    transaction = smtp.transaction
    size = smtp.reception.size if smtp.reception is not None else 0
    if size + command.size > 2 * settings.smtp_message_size:
        # to take them all only to say no would cost more than the session is worth
        smtp.reply(REFUSAL_WIRE[Refusal.MESSAGE_TOO_BIG])
        smtp.close()
        return
    if transaction is None:
        refusal = REFUSAL_WIRE[Refusal.MAIL_FIRST]
    elif not transaction.recipients:
        refusal = REFUSAL_WIRE[Refusal.NO_RECIPIENTS]
    elif smtp.reception is None:
        if smtp.door.budget.exhausted:
            refusal = REFUSAL_WIRE[Refusal.SYSTEM_FULL]
        else:
            _open(smtp, transaction, dotted=False)
    smtp.mode = modes.CHUNK
    smtp.chunk_size = smtp.chunk_left = command.size
    smtp.chunk_last = command.last
    smtp.chunk_refusal = refusal


def take_chunk(smtp: MailExchanger) -> None:
    """Take what is buffered of the chunk."""
    taken = min(smtp.chunk_left, len(smtp.buffer) - smtp.at)
    reception = smtp.reception
    if taken:
        if reception is not None and not smtp.chunk_refusal:
            reception.add(smtp.buffer[smtp.at : smtp.at + taken])
        smtp.at += taken
        smtp.chunk_left -= taken
    if smtp.chunk_left:
        if reception is not None:
            _weigh(smtp, reception)
        return
    smtp.mode = modes.COMMAND
    if smtp.chunk_refusal:
        smtp.bad(smtp.chunk_refusal)
    elif reception is not None:
        if smtp.chunk_last or reception.refusal is not None:
            # RFC 3030 §2: after a chunk that failed, nothing of the message is left
            _complete(smtp, reception)
        else:
            _weigh(smtp, reception)
            smtp.reply(b"250 2.0.0 %d octets received\r\n" % smtp.chunk_size)


def _weigh(smtp: MailExchanger, reception: Reception) -> None:
    """Account for what is held; stop reading when it is enough."""
    door = smtp.door
    held = reception.held
    if held + reception.kept != smtp.held:
        door.budget.charge(smtp, held + reception.kept, smtp.loop.time())
    if reception.upload is not None and held > door.settings.ingest_session_memory - _RESERVE:
        smtp.pause(modes.UPLOAD)


def _progress(smtp: MailExchanger) -> None:
    """Octets of an upload have left."""
    reception = smtp.reception
    if reception is None or smtp.ended:
        return
    smtp.door.budget.charge(smtp, reception.held + reception.kept, smtp.loop.time())
    if reception.held < smtp.door.settings.ingest_session_memory // 4:
        smtp.resume(modes.UPLOAD)


def give_up(smtp: MailExchanger) -> None:
    """Drop a message in transfer for want of memory; its sender hears 452 4.3.1 at its end."""
    reception = smtp.reception
    if reception is None or smtp.waiting or smtp.closing:
        return
    metrics.memory_waits.inc()
    reception.refuse(Refusal.SYSTEM_FULL)
    smtp.door.budget.charge(smtp, 0, smtp.loop.time())
    smtp.resume(modes.BUDGET | modes.UPLOAD)


def drop(smtp: MailExchanger) -> None:
    """Forget a message in transfer."""
    reception = smtp.reception
    if reception is not None:
        smtp.reception = None
        reception.abort()
        smtp.door.budget.leave(smtp, smtp.loop.time())
        smtp.resume(modes.UPLOAD)


def _complete(smtp: MailExchanger, reception: Reception) -> None:
    """All octets are here: refuse the message or hand it over."""
    transaction = smtp.transaction
    if transaction is None:
        return
    arrived = time.monotonic()
    body, digest = reception.finish()
    if reception.refusal is not None:
        _finish(smtp, transaction, reception, arrived, REFUSAL_WIRE[reception.refusal], reception.refusal.name.lower())
        return
    submitter = smtp.mx.submitter
    # what two people submit is never the same message
    whose = transaction.mail_from or "" if submitter is None else f"{submitter.account_id} {transaction.mail_from}"
    message = Incoming(
        smtp.door.keys.key(whose, transaction.recipients, digest),
        transaction.mail, transaction.recipients, reception.trace, body, b"", reception.header_from,
        transaction.traceparent, submitter=submitter,
        hold_until_ms=held_until(transaction.mail.hold_for, transaction.mail.hold_until_ms, time.time_ns() // 1_000_000) or 0,
    )  # fmt: skip
    smtp.wait()
    if reception.upload is None:
        # what waits for its sentence or in the batch is still this session's
        smtp.door.budget.charge(smtp, len(body), smtp.loop.time())
    if transaction.judgement is not None or reception.upload is not None or submitter is not None:
        task = smtp.loop.create_task(_finish_message(smtp, transaction, reception, message, arrived))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return
    _submit(smtp, transaction, reception, message, arrived)


async def _finish_message(
    smtp: MailExchanger, transaction: Transaction, reception: Reception, message: Incoming, arrived: float
) -> None:
    """Judge it, if anybody does, or ask whether its submitter may send it; hand it over."""
    door = smtp.door
    if door.submission is not None and message.submitter is not None:
        # who began a message before the password was changed must not end it afterwards
        over = await refused_login(smtp, door.submission)
        if over is not None and not smtp.ended:
            _finish(smtp, transaction, reception, arrived, REFUSAL_WIRE[over], "login_over")
            if over is Refusal.AUTH_OVER:
                smtp.close()
            smtp.proceed()
            return
        wire = await refused_amount(door.submission.permits, message.submitter, len(transaction.recipients))
        if smtp.ended or wire:
            _finish(smtp, transaction, reception, arrived, wire, "over_limit" if wire else "dropped")
            smtp.proceed()
            return
    if door.judge is not None and transaction.judgement is not None:
        tenants = [one.tenant_id for one in transaction.recipients]
        sentence = await door.judge.sentence(transaction.judgement, tenants, transaction.recipients[0].address)
        refusal = sentence.refusal
        if smtp.ended or refusal is not None:
            wire = REFUSAL_WIRE[refusal] if refusal is not None else b""
            _finish(
                smtp, transaction, reception, arrived, wire, refusal.name.lower() if refusal is not None else "dropped"
            )
            smtp.proceed()
            return
        message.verdicts = sentence.verdicts
        if reception.upload is None:
            message.trace = sentence.field + message.trace  # RFC 8601 §4.1: above what it speaks of
        elif sentence.verdicts is not None:
            # the trace lines of a body that was streamed are stored already: delivery puts it above them
            message.verdicts = msgspec.structs.replace(sentence.verdicts, late_results=sentence.field)
    if reception.upload is None:
        _submit(smtp, transaction, reception, message, arrived)
    else:
        await _finish_upload(smtp, transaction, reception, message, arrived)


async def _finish_upload(
    smtp: MailExchanger, transaction: Transaction, reception: Reception, message: Incoming, arrived: float
) -> None:
    upload = reception.upload
    wire = REFUSAL_WIRE[Refusal.SYSTEM_TROUBLE]
    if upload is not None:
        try:
            async with asyncio.timeout(smtp.door.settings.ingest_stage_seconds):
                message.staged_id = await upload.finish()
        except StoreFullError:
            wire = REFUSAL_WIRE[Refusal.SYSTEM_FULL]
        except (StoreAwayError, TimeoutError) as error:
            _log.warning("large message not stored", session=smtp.mx.id, error_type=type(error).__qualname__)
    if message.staged_id:
        _submit(smtp, transaction, reception, message, arrived)
    else:
        _finish(smtp, transaction, reception, arrived, wire, "failed")
        smtp.proceed()


def _submit(
    smtp: MailExchanger, transaction: Transaction, reception: Reception, message: Incoming, arrived: float
) -> None:
    try:
        future = smtp.door.acceptance.submit(message)
    except QueueFullError:
        _finish(smtp, transaction, reception, arrived, REFUSAL_WIRE[Refusal.SYSTEM_FULL], "queue_full")
        smtp.waiting = False
        smtp.loop.call_soon(smtp.proceed)
        return
    future.add_done_callback(partial(_accepted, smtp, transaction, reception, message.key, arrived))


def _accepted(
    smtp: MailExchanger, transaction: Transaction, reception: Reception, key: bytes, arrived: float,
    future: asyncio.Future[Accepted],
) -> None:  # fmt: skip
    """Store has answered: 250 only for what it calls durable."""
    error = None if future.cancelled() else future.exception()
    if error is not None or future.cancelled():
        full = isinstance(error, StoreFullError)
        refusal = Refusal.SYSTEM_FULL if full else Refusal.SYSTEM_TROUBLE
        _finish(smtp, transaction, reception, arrived, REFUSAL_WIRE[refusal], "store_full" if full else "failed")
    else:
        accepted = future.result()
        if not accepted.accepted_id:
            _finish(smtp, transaction, reception, arrived, REFUSAL_WIRE[Refusal.SYSTEM_TROUBLE], "failed")
        else:
            shown = accepted.accepted_id.hex()
            smtp.unseen = key
            wire = b"250 2.6.0 Accepted as %b\r\n" % shown.encode()
            _finish(smtp, transaction, reception, arrived, wire, "repeat" if accepted.repeat else "accepted", shown)
    smtp.proceed()


def _finish(
    smtp: MailExchanger, transaction: Transaction, reception: Reception, arrived: float, wire: bytes, verdict: str,
    accepted_id: str = "",
) -> None:  # fmt: skip
    """Reply, log, count; the transaction is over whatever the reply says (RFC 5321 §4.1.1.4)."""
    seconds = time.monotonic() - arrived
    staged = reception.upload is not None
    if verdict == "accepted":
        _accepted_total.inc()
        metrics.octets.inc(reception.size)
    else:
        metrics.messages.labels(verdict).inc()
    metrics.accept_seconds.observe(seconds)
    smtp.door.log.write(
        MessageLine(
            smtp.door.instant.iso(), smtp.mx.id, transaction.queue_id, verdict, reception.size, len(transaction.recipients),
            round(seconds * 1000, 2), accepted_id, transaction.trace_id, smtp.mx.cipher is not None, staged,
        )
    )  # fmt: skip
    transaction.end(verdict, reception.size)
    smtp.messages += 1
    smtp.junk = 0
    if smtp.ended:
        smtp.unseen = None
        return
    smtp.reception = None
    reception.abort()
    smtp.door.budget.leave(smtp, smtp.loop.time())
    smtp.transaction = None
    smtp.envelope = None
    smtp.reply(wire)
    if smtp.door.draining:
        smtp.end(Refusal.SHUTTING_DOWN, "drain")
