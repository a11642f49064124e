"""Wires permits together."""

from __future__ import annotations

from collections.abc import Awaitable

import asyncpg
import grpc.aio

from petitbleu.delivery.v1 import permits_pb2_grpc
from petitbleu_delivery.adapters.conduct_rows import ConductRows
from petitbleu_delivery.adapters.permit_rows import PostgresPermits
from petitbleu_delivery.adapters.permit_terms_rows import PermitTermsRows
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.domain.permit_terms import Limits
from petitbleu_delivery.grpc_permit_terms import PermitTermsServicer
from petitbleu_delivery.grpc_permits import PermitServicer
from petitbleu_delivery.service.permits import OnePlan, Permits
from petitbleu_delivery.service.suspensions import SECONDS, Suspensions
from petitbleu_kit.lifecycle import forever


class PermitParts:
    """What permits consist of.

    Attributes:
        permits: Says who may send how much.
        suspensions: Who may send nothing.
    """

    def __init__(self, settings: DeliverySettings, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        limits = Limits(
            settings.permit_account_hour, settings.permit_account_day,
            settings.permit_tenant_hour, settings.permit_tenant_day,
        )  # fmt: skip
        self.permits = Permits(PostgresPermits(pool), OnePlan(limits), settings.abuse_slow_hour)
        self._terms = PermitTermsRows(pool)
        self._conduct = ConductRows(pool)
        self.suspensions = Suspensions(self._terms)

    def serve(self, server: grpc.aio.Server) -> None:
        """Answer ingest and the operator."""
        permits_pb2_grpc.add_PermitServiceServicer_to_server(PermitServicer(self.permits), server)
        permits_pb2_grpc.add_PermitTermsServiceServicer_to_server(
            PermitTermsServicer(self._terms, self._conduct), server
        )

    def tasks(self) -> list[Awaitable[None]]:
        """Return what runs beside."""
        return [
            forever("delivery.permits_prune", 3600.0, self.permits.prune),
            forever("delivery.suspensions", SECONDS, self.suspensions.refresh),
        ]
