"""InboundService for ingest, InboundPolicyService for the operator: translation only."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import grpc
import grpc.aio

from petitbleu.delivery.v1 import inbound_pb2 as pb
from petitbleu.delivery.v1 import inbound_pb2_grpc
from petitbleu_delivery.adapters.inbound_policy_rows import InboundPolicyRows
from petitbleu_delivery.domain.inbound import MOST_POINTS, NO_POLICY, InboundPolicy, Measure
from petitbleu_delivery.domain.outbound import destination_of
from petitbleu_delivery.domain.reputation import MAX_DOMAIN, Standing
from petitbleu_delivery.service.bounces.return_paths import ReturnPaths
from petitbleu_delivery.service.reputation import Reputations
from petitbleu_kit.logs import get_logger
from petitbleu_kit.rpc import OPERATOR
from petitbleu_mail.addresses import MAX_PATH

ALLOWED_INBOUND: Final = {
    "/petitbleu.delivery.v1.InboundService/": frozenset({"ingest"}),
    "/petitbleu.delivery.v1.InboundPolicyService/": frozenset({OPERATOR}),
}
_AWAY: Final = (
    asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError,
)  # fmt: skip
_MOST: Final = 10_000
_MOST_TENANTS: Final = 1_000
_MOST_DOMAINS: Final = 1_000
_MOST_ADDRESSES: Final = 1_000
_Context = grpc.aio.ServicerContext[Any, Any]
_log = get_logger(__name__)


def _told(tenant_id: int, policy: InboundPolicy, changed_at: float = 0.0) -> pb.InboundPolicy:
    return pb.InboundPolicy(
        tenant_id=tenant_id, reject=pb.InboundMeasure.ValueType(policy.reject),
        quarantine=pb.InboundMeasure.ValueType(policy.quarantine), listed=pb.InboundMeasure.ValueType(policy.listed),
        spam=pb.InboundMeasure.ValueType(policy.spam), junk_points=policy.junk_points,
        refuse_points=policy.refuse_points, changed_ms=int(changed_at * 1000),
    )  # fmt: skip


def policy_of(told: pb.InboundPolicy) -> InboundPolicy:
    """Return a policy as it is kept. Raises `ValueError` for measures and points that there are not."""
    points = [
        told.junk_points if told.HasField("junk_points") else None,
        told.refuse_points if told.HasField("refuse_points") else None,
    ]
    if any(one is not None and not 0 <= one <= MOST_POINTS for one in points):
        raise ValueError(f"points are from 0 to {MOST_POINTS // 100}")
    measures = [Measure(one) for one in (told.reject, told.quarantine, told.listed, told.spam)]
    return InboundPolicy(*measures, *points)


def _known(domain: str, known: tuple[int, Standing]) -> pb.Reputation:
    points, standing = known
    return pb.Reputation(domain=domain, points=points, mails=standing.mails, junk=standing.junk)


async def _domain(text: str, context: _Context) -> str:
    domain = destination_of("@" + text)
    if "." not in domain or len(domain) > MAX_DOMAIN:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no domain")
    return domain


async def _tenant(tenant_id: int, context: _Context) -> int:
    if tenant_id <= 0:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a tenant is to be named")
    return tenant_id


class InboundServicer(inbound_pb2_grpc.InboundServiceServicer):
    """Answers ingest."""

    def __init__(self, policies: InboundPolicyRows, reputations: Reputations, paths: ReturnPaths) -> None:
        self._policies = policies
        self._reputations = reputations
        self._paths = paths

    async def CheckReturnPaths(
        self, request: pb.CheckReturnPathsRequest, context: _Context
    ) -> pb.CheckReturnPathsResponse:
        """Say which addresses lead back to somebody who sent mail that was sent on."""
        if len(request.addresses) > _MOST_ADDRESSES or any(len(one) > MAX_PATH for one in request.addresses):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too many addresses, or one that is too long")
        return pb.CheckReturnPathsResponse(addresses=sorted(self._paths.good(request.addresses)))

    async def ReadReputations(
        self, request: pb.ReadReputationsRequest, context: _Context
    ) -> pb.ReadReputationsResponse:
        """Give what is known of sending domains."""
        if len(request.domains) > _MOST_DOMAINS or any(len(one) > MAX_DOMAIN for one in request.domains):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too many domains, or one that is too long")
        try:
            found = await self._reputations.points(request.domains)
        except _AWAY as error:
            _log.warning("database away", method="ReadReputations", error_type=type(error).__qualname__)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the database does not answer, try again")
        return pb.ReadReputationsResponse(reputations=[_known(*one) for one in found.items()])

    async def ReadInboundPolicies(
        self, request: pb.ReadInboundPoliciesRequest, context: _Context
    ) -> pb.ReadInboundPoliciesResponse:
        """Give what tenants want."""
        if len(request.tenant_ids) > _MOST_TENANTS:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too many tenants")
        try:
            found = await self._policies.read(request.tenant_ids)
        except _AWAY as error:
            _log.warning("database away", method="ReadInboundPolicies", error_type=type(error).__qualname__)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the database does not answer, try again")
        return pb.ReadInboundPoliciesResponse(policies=[_told(*one) for one in found.items()])


class InboundPolicyServicer(inbound_pb2_grpc.InboundPolicyServiceServicer):
    """Answers the operator."""

    def __init__(self, policies: InboundPolicyRows, reputations: Reputations) -> None:
        self._policies = policies
        self._reputations = reputations

    async def GetReputation(self, request: pb.GetReputationRequest, context: _Context) -> pb.GetReputationResponse:
        """Give what is known of a sending domain."""
        domain = await _domain(request.domain, context)
        found = await self._reputations.points([domain])
        return pb.GetReputationResponse(reputation=_known(domain, found.get(domain, (0, Standing()))))

    async def ForgetReputation(
        self, request: pb.ForgetReputationRequest, context: _Context
    ) -> pb.ForgetReputationResponse:
        """Forget its past."""
        await self._reputations.forget(await _domain(request.domain, context))
        return pb.ForgetReputationResponse()

    async def GetInboundPolicy(
        self, request: pb.GetInboundPolicyRequest, context: _Context
    ) -> pb.GetInboundPolicyResponse:
        """Give what is said of a tenant."""
        tenant_id = await _tenant(request.tenant_id, context)
        found = await self._policies.read([tenant_id])
        return pb.GetInboundPolicyResponse(policy=_told(tenant_id, found.get(tenant_id, NO_POLICY)))

    async def SetInboundPolicy(
        self, request: pb.SetInboundPolicyRequest, context: _Context
    ) -> pb.SetInboundPolicyResponse:
        """Say it anew."""
        tenant_id = await _tenant(request.policy.tenant_id, context)
        try:
            policy = policy_of(request.policy)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        await self._policies.write(tenant_id, policy)
        return pb.SetInboundPolicyResponse(policy=_told(tenant_id, policy))

    async def ListInboundPolicies(
        self, request: pb.ListInboundPoliciesRequest, _context: _Context
    ) -> pb.ListInboundPoliciesResponse:
        """Give the tenants of which something is said."""
        found = await self._policies.list(min(max(request.limit, 0) or 100, _MOST))
        return pb.ListInboundPoliciesResponse(policies=[_told(*one) for one in found])
