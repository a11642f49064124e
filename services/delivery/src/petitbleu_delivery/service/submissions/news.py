"""What rounds and the outbound queue report of submitted mail, as people see it in `deliveryStatus` (RFC 8621 §7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu_delivery import ports
from petitbleu_delivery.domain.outbound import Verdict
from petitbleu_delivery.domain.submissions import Delivered, Heard, News
from petitbleu_delivery.errors import DATABASE_AWAY, Peer, PeerUnavailableError
from petitbleu_delivery.service.submissions.ports import SubmissionTable
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)

_HERE: Final = {
    Verdict.SENT: News(Delivered.YES, "250 2.1.5 Delivered"),
    Verdict.DEFERRED: News(Delivered.QUEUED, "451 4.0.0 Not delivered yet"),
    Verdict.REFUSED: News(Delivered.NO, "550 5.0.0 Not delivered"),
}
# RFC 8621 §7: what another server took is "unknown", for it may not be the last
_ELSEWHERE: Final = {
    Verdict.SENT: (Delivered.UNKNOWN, 250), Verdict.DEFERRED: (Delivered.QUEUED, 451), Verdict.REFUSED: (Delivered.NO, 550),
}  # fmt: skip


def told(news: ports.News) -> News:
    """Return a report as people see it."""
    if news.reply is None:
        return _HERE[news.verdict]
    delivered, code = _ELSEWHERE[news.verdict]
    # no server, no code: then ours says as much
    reply = f"{news.reply.code or code} {news.reply.enhanced} {news.reply.text}"
    return News(delivered, " ".join(reply.split()))


class Reported:
    """`ports.SubmissionNews`. What cannot be written down for an error of ours is lost to the person's eye only: it holds up no mail."""

    def __init__(self, table: SubmissionTable) -> None:
        self._table = table

    async def record(self, news: Sequence[ports.News]) -> None:
        """Record what became of recipients.

        Raises:
            PeerUnavailableError: the database is away: whoever tells says it again, and settles nothing before.
        """
        by_account: dict[int, list[Heard]] = {}
        for one in news:
            by_account.setdefault(one.account_id, []).append(Heard(one.accepted_id, one.number, told(one)))
        try:
            # most mail is submitted over SMTP: no row waits for its news
            concerned = await self._table.concerned(sorted({(one.account_id, one.accepted_id) for one in news}))
        except Exception:  # noqa: BLE001 — mail goes on, whatever it is
            _log.warning("delivery statuses are not written down", count=len(news), exc_info=True)
            return
        for account_id, heard in sorted(by_account.items()):
            if account_id not in concerned:
                continue
            try:
                await self._table.hear(account_id, heard)
            except DATABASE_AWAY as error:
                raise PeerUnavailableError(Peer.DATABASE, type(error).__name__) from None
            except Exception:  # noqa: BLE001 — mail goes on, whatever it is
                _log.warning("delivery statuses are not written down", count=len(heard), exc_info=True)
