"""Wires together what tenants want done with mail that comes in."""

from __future__ import annotations

import asyncpg
import grpc.aio

from petitbleu.delivery.v1 import inbound_pb2_grpc
from petitbleu_delivery.adapters.inbound_policy_rows import InboundPolicyRows
from petitbleu_delivery.grpc_inbound import InboundPolicyServicer, InboundServicer


class InboundParts:
    """What it consists of."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._policies = InboundPolicyRows(pool)

    def serve(self, server: grpc.aio.Server) -> None:
        """Answer ingest and the operator."""
        inbound_pb2_grpc.add_InboundServiceServicer_to_server(InboundServicer(self._policies), server)
        inbound_pb2_grpc.add_InboundPolicyServiceServicer_to_server(InboundPolicyServicer(self._policies), server)
