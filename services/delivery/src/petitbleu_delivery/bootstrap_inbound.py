"""Wires together what tenants want done with mail that comes in, and what is known of its senders."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import grpc.aio

from petitbleu.delivery.v1 import inbound_pb2_grpc
from petitbleu_delivery.adapters.accepted_mail import AcceptedMail
from petitbleu_delivery.adapters.inbound_policy_rows import InboundPolicyRows
from petitbleu_delivery.adapters.reputation_rows import ReputationRows
from petitbleu_delivery.grpc_inbound import InboundPolicyServicer, InboundServicer
from petitbleu_delivery.service.bounces.return_paths import ReturnPaths
from petitbleu_delivery.service.reputation import Reputations
from petitbleu_kit.lifecycle import forever

if TYPE_CHECKING:
    from petitbleu_delivery.bootstrap import Backends


class InboundParts:
    """What it consists of.

    Attributes:
        reputations: What is known of sending domains.
    """

    def __init__(self, opened: Backends, paths: ReturnPaths) -> None:
        self._paths = paths
        self._policies = InboundPolicyRows(opened.pool)
        mail = AcceptedMail(opened.store, opened.settings.delivery_commit_seconds)
        self.reputations = Reputations(ReputationRows(opened.pool), mail)

    def serve(self, server: grpc.aio.Server) -> None:
        """Answer ingest and the operator."""
        inbound_pb2_grpc.add_InboundServiceServicer_to_server(
            InboundServicer(self._policies, self.reputations, self._paths), server
        )
        inbound_pb2_grpc.add_InboundPolicyServiceServicer_to_server(
            InboundPolicyServicer(self._policies, self.reputations), server
        )

    def tasks(self) -> list[Awaitable[None]]:
        """Return what runs beside."""
        return [
            forever("delivery.reputation_count", 10.0, self.reputations.flush),
            forever("delivery.reputation_prune", 6 * 3600.0, self.reputations.prune),
        ]
