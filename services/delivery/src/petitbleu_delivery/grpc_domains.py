"""The operator's door to hosted domains: DomainService; and the gateway's to their policies: StsPolicyService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
import grpc.aio

from petitbleu.delivery.v1 import domains_pb2 as pb
from petitbleu.delivery.v1 import domains_pb2_grpc
from petitbleu_delivery.adapters.sts_rows import StsRows
from petitbleu_delivery.domain.domain_keys import DomainKey
from petitbleu_delivery.domain.records import Finding
from petitbleu_delivery.errors import PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import HostedDomains
from petitbleu_delivery.service.domains.check import DomainCheck
from petitbleu_delivery.service.domains.keeper import KeyKeeper
from petitbleu_delivery.service.domains.signing import DomainKeys
from petitbleu_kit.rpc import OPERATOR
from petitbleu_mail.mta_sts import StsError, StsMode, StsPolicy, make_policy

DOMAINS_ALLOWED: Final = {
    "/petitbleu.delivery.v1.DomainService/": frozenset({OPERATOR}),
    "/petitbleu.delivery.v1.StsPolicyService/": frozenset({"gateway", OPERATOR}),
}

# RFC 8461 §3.2 wants weeks where a policy holds; while it is tried out, it should be gone soon.
_MAX_AGE: Final = {StsMode.NONE: 86_400, StsMode.TESTING: 86_400, StsMode.ENFORCE: 30 * 86_400}

_Context = grpc.aio.ServicerContext[Any, Any]


async def hosted_or_abort(hosted: HostedDomains, domain: str, context: _Context) -> str:
    """Return the name of a hosted domain in lower case and A-labels, or end the call."""
    try:
        found = await hosted.hosting(domain)
    except (PeerUnavailableError, PeerRefusedError):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "accounts does not answer, try again")
    if found is None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "this domain is not hosted here")
    return found.domain


class DomainServicer(domains_pb2_grpc.DomainServiceServicer):
    """Answers the operator.

    Args:
        hosted: Says which domains are hosted.
        keeper: Has the keys.
        signer: Forgets what it knew of keys that change.
        policies: The MTA-STS policies.
        mx: Names of the platform's own MX hosts.
        check: Looks at records.
    """

    def __init__(
        self,
        hosted: HostedDomains,
        keeper: KeyKeeper,
        signer: DomainKeys,
        policies: StsRows,
        mx: Sequence[str],
        check: DomainCheck,
    ) -> None:
        self._hosted = hosted
        self._keeper = keeper
        self._signer = signer
        self._policies = policies
        self._mx = tuple(mx)
        self._check = check

    async def GetDomainKeys(self, request: pb.GetDomainKeysRequest, context: _Context) -> pb.GetDomainKeysResponse:
        """List the keys."""
        domain = await hosted_or_abort(self._hosted, request.domain, context)
        return pb.GetDomainKeysResponse(keys=map(_key, await self._keeper.keys(domain)))

    async def RotateDomainKeys(
        self, request: pb.RotateDomainKeysRequest, context: _Context
    ) -> pb.RotateDomainKeysResponse:
        """Make the next keys."""
        domain = await hosted_or_abort(self._hosted, request.domain, context)
        keys = await self._keeper.rotate(domain, now=request.now)
        self._signer.forget(domain)
        return pb.RotateDomainKeysResponse(keys=map(_key, keys))

    async def CheckDomain(self, request: pb.CheckDomainRequest, context: _Context) -> pb.CheckDomainResponse:
        """Look at every record."""
        domain = await hosted_or_abort(self._hosted, request.domain, context)
        findings = await self._check.check(domain)
        return pb.CheckDomainResponse(domain=domain, findings=map(_finding, findings))

    async def SetStsPolicy(self, request: pb.SetStsPolicyRequest, context: _Context) -> pb.SetStsPolicyResponse:
        """Set, change or remove the policy."""
        domain = await hosted_or_abort(self._hosted, request.domain, context)
        wanted = request.policy
        mode = _BY_NUMBER.get(wanted.mode)
        if mode is None:
            await self._policies.put(domain, None)
            return pb.SetStsPolicyResponse()
        try:
            policy = make_policy(mode.value, wanted.mx or self._mx, wanted.max_age_seconds or _MAX_AGE[mode])
        except StsError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        await self._policies.put(domain, policy)
        return pb.SetStsPolicyResponse(policy=policy_message(policy))


def _key(key: DomainKey) -> pb.DomainKey:
    return pb.DomainKey(
        selector=key.selector, algorithm=key.algorithm.tag, state=pb.DomainKeyState.ValueType(int(key.state)),
        record_name=key.record_name, record_text=key.record_text,
        made_at_ms=int(key.made.timestamp() * 1000), since_ms=int(key.since.timestamp() * 1000),
    )  # fmt: skip


def _finding(finding: Finding) -> pb.RecordFinding:
    return pb.RecordFinding(
        kind=finding.kind, name=finding.name, type=finding.type, state=pb.RecordState.ValueType(int(finding.state)),
        required=finding.required, found=finding.found, wanted=finding.wanted, note=finding.note,
    )  # fmt: skip


class StsPolicyServicer(domains_pb2_grpc.StsPolicyServiceServicer):
    """Answers the gateway.

    Args:
        hosted: Says which domains are hosted.
        rows: The policies.
    """

    def __init__(self, hosted: HostedDomains, rows: StsRows) -> None:
        self._hosted = hosted
        self._rows = rows

    async def GetStsPolicy(self, request: pb.GetStsPolicyRequest, context: _Context) -> pb.GetStsPolicyResponse:
        """Give the policy of a domain."""
        domain = await hosted_or_abort(self._hosted, request.domain, context)
        policy = await self._rows.get(domain)
        if policy is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this domain has no MTA-STS policy")
        return pb.GetStsPolicyResponse(policy=policy_message(policy))


_MODES: Final = {
    StsMode.NONE: pb.STS_MODE_NONE,
    StsMode.TESTING: pb.STS_MODE_TESTING,
    StsMode.ENFORCE: pb.STS_MODE_ENFORCE,
}
_BY_NUMBER: Final = {number: mode for mode, number in _MODES.items()}


def policy_message(policy: StsPolicy) -> pb.StsPolicy:
    """Return a policy as the contract has it."""
    return pb.StsPolicy(
        mode=_MODES[policy.mode], mx=policy.mx, max_age_seconds=policy.max_age, id=policy.id, text=policy.text
    )
