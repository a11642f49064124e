"""PermitService of the contract: translation only."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import grpc
import grpc.aio

from petitbleu.delivery.v1 import permits_pb2 as pb
from petitbleu.delivery.v1 import permits_pb2_grpc
from petitbleu_delivery.service.permits import PermitError, Permits, SuspendedError
from petitbleu_kit.batching import QueueFullError
from petitbleu_kit.logs import get_logger

ALLOWED_PERMITS: Final = {"/petitbleu.delivery.v1.PermitService/": frozenset({"ingest"})}
_AWAY: Final = (
    asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError, QueueFullError,
)  # fmt: skip
_log = get_logger(__name__)


class PermitServicer(permits_pb2_grpc.PermitServiceServicer):
    """Who may send how much."""

    def __init__(self, permits: Permits) -> None:
        self._permits = permits

    async def Permit(
        self, request: pb.PermitRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.PermitResponse:  # fmt: skip
        """Count the recipients of a message, or say how long to wait."""
        try:
            wait = await self._permits.permit(
                request.account_id, request.tenant_id, request.recipients, request.key
            )  # fmt: skip
        except SuspendedError:
            return pb.PermitResponse(suspended=True)
        except PermitError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except _AWAY as error:
            _log.warning("database away", method="Permit", error_type=type(error).__qualname__)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the database does not answer, try again")
        return pb.PermitResponse(retry_after_seconds=wait)
