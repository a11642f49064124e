"""Wires together what is done about what other servers refuse."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import grpc.aio

from petitbleu.delivery.v1 import suppressions_pb2_grpc
from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.adapters.suppression_rows import SuppressionRows
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.grpc_suppressions import SuppressionServicer
from petitbleu_delivery.service.bounces.suppressions import Suppressions
from petitbleu_kit.lifecycle import forever

if TYPE_CHECKING:
    from petitbleu_delivery.bootstrap import Backends


class BounceParts:
    """What it consists of.

    Attributes:
        suppressions: Which addresses are not written to.
    """

    def __init__(self, opened: Backends) -> None:
        settings = opened.settings
        self._rows = SuppressionRows(opened.pool)
        self.suppressions = Suppressions(
            self._rows, Seal(read_key(settings.key_file()), "suppressions"), settings.suppression_first_seconds,
            settings.suppression_longest_seconds,
        )  # fmt: skip

    def serve(self, server: grpc.aio.Server) -> None:
        """Answer the operator."""
        suppressions_pb2_grpc.add_SuppressionServiceServicer_to_server(
            SuppressionServicer(self.suppressions, self._rows), server
        )

    def tasks(self) -> list[Awaitable[None]]:
        """Return what runs beside."""
        return [forever("delivery.suppressions_expire", 3600.0, self._rows.expire)]
