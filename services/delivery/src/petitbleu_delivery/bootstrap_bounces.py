"""Wires together what is done about what other servers refuse."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import grpc.aio

from petitbleu.delivery.v1 import suppressions_pb2_grpc
from petitbleu_delivery.adapters.accepted_mail import AcceptedMail
from petitbleu_delivery.adapters.bounce_keys import BounceKeyRows
from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.adapters.returned_rows import ReturnedRows
from petitbleu_delivery.adapters.suppression_rows import SuppressionRows
from petitbleu_delivery.domain.seal import Seal, SealError
from petitbleu_delivery.grpc_suppressions import SuppressionServicer
from petitbleu_delivery.ports import SubmissionNews
from petitbleu_delivery.service.abuse.watch import Watch
from petitbleu_delivery.service.bounces.complaints import Complaints
from petitbleu_delivery.service.bounces.hearing import Hearing
from petitbleu_delivery.service.bounces.returned import ReturnedMail
from petitbleu_delivery.service.bounces.suppressions import Suppressions
from petitbleu_delivery.service.bounces.tokens import BounceTokens
from petitbleu_kit.lifecycle import StartupError, forever
from petitbleu_kit.outbox import Outbox

if TYPE_CHECKING:
    from petitbleu_delivery.bootstrap import Backends


class BounceParts:
    """What it consists of.

    Attributes:
        suppressions: Which addresses are not written to.
        tokens: What the envelope sender of what leaves carries.
        returned: What is known of mail that comes back.
        watch: Counts and judges what accounts send.
    """

    def __init__(self, opened: Backends, outbox: Outbox, news: SubmissionNews, watch: Watch) -> None:
        settings = opened.settings
        self.watch = watch
        key = read_key(settings.key_file())
        self.tokens = BounceTokens(
            BounceKeyRows(opened.pool, Seal(key, "bounce tokens")), settings.bounce_tokens, settings.bounce_token_days,
            settings.bounce_key_days,
        )  # fmt: skip
        self._rows = SuppressionRows(opened.pool)
        self.suppressions = Suppressions(
            self._rows, Seal(key, "suppressions"), settings.suppression_first_seconds,
            settings.suppression_longest_seconds, complained=settings.complaint_seconds,
        )  # fmt: skip
        mail = AcceptedMail(opened.store, settings.delivery_commit_seconds)
        self._returned_rows = ReturnedRows(opened.pool, outbox)
        hearing = Hearing(mail, self._returned_rows, news, self.suppressions, watch.look)
        complaints = Complaints(
            mail, self._returned_rows, self.tokens, self.suppressions, settings.feedback_addresses.split(","),
            settings.own_name, watch.look,
        )  # fmt: skip
        self.returned = ReturnedMail(self.tokens, mail, hearing, complaints)

    def serve(self, server: grpc.aio.Server) -> None:
        """Answer the operator."""
        suppressions_pb2_grpc.add_SuppressionServiceServicer_to_server(
            SuppressionServicer(self.suppressions, self._rows), server
        )

    def tasks(self) -> list[Awaitable[None]]:
        """Return what runs beside."""
        return [
            forever("delivery.suppressions_expire", 3600.0, self._rows.expire),
            forever("delivery.returned_prune", 3600.0, self._returned_rows.prune),
            forever("delivery.bounce_keys", 60.0, self.tokens.upkeep),
        ]


async def open_bounces(opened: Backends, outbox: Outbox, news: SubmissionNews, watch: Watch) -> BounceParts:
    """Wire it; the secrets of tokens are read, and the first is made.

    Raises:
        StartupError: they are sealed under another key.
    """
    parts = BounceParts(opened, outbox, news, watch)
    try:
        await parts.tokens.upkeep()
    except SealError:
        raise StartupError("the secrets of bounce tokens are sealed under another key of delivery") from None
    return parts
