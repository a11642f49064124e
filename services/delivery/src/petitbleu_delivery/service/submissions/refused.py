"""Whoever submitted malware is told so by mail, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.domain.malware_mail import malware_mail
from petitbleu_delivery.domain.submissions import Submission
from petitbleu_delivery.errors import PeerRefusedError
from petitbleu_delivery.service.abuse.watch import Accepts
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)


class MalwareNotice:
    """Writes the mail.

    Args:
        submitters: Whose account it is.
        mail: store.
        host: Our name.
        recipients: Returns the addresses of an envelope.
    """

    def __init__(
        self, submitters: Submitters, mail: Accepts, host: str, recipients: Callable[[bytes], Sequence[str]]
    ) -> None:
        self._submitters = submitters
        self._mail = mail
        self._host = host
        self._recipients = recipients

    async def __call__(self, account_id: int, submission: Submission) -> None:
        """Tell it; a repeat is a no-op. Raises `PeerUnavailableError`."""
        try:
            person = (await self._submitters.find([account_id])).get(account_id)
            if person is None or not person.address:
                return
            key = sha256(b"petitbleu malware" + submission.submission_id).digest()
            # all of it follows from the submission, so that a repeat says the same
            sent = datetime.fromtimestamp(submission.send_at_ms / 1000, UTC)
            recipients = self._recipients(submission.envelope)
            body = malware_mail(recipients, person.language, person.address, self._host, key.hex()[:32], sent)
            item = accept_pb2.AcceptItem(idempotency_key=key, body=body, origin=accept_pb2.ORIGIN_NOTICE)
            item.submitter_account_id = account_id
            item.submitter_tenant_id = submission.tenant_id
            item.recipients.add(address=person.address, tenant_id=submission.tenant_id, notify="NEVER")
            item.parameters.smtputf8 = not body.partition(b"\r\n\r\n")[0].isascii()
            if not all(await self._mail.accept([item])):
                _log.error("store takes no mail about a message that was refused", account_id=account_id)
        except PeerRefusedError as error:  # the status of the submission says it all the same
            _log.error("nobody is told of a message that was refused", account_id=account_id, code=error.code)
