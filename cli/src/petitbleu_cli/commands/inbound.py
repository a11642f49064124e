"""`petitbleu inbound`: what is done with a tenant's mail that comes in and was found wanting, which is delivery's."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from petitbleu.delivery.v1 import inbound_pb2 as pb
from petitbleu.delivery.v1 import inbound_pb2_grpc
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands, count

_MEASURES: Final = ("none", "junk", "refuse")
_GROUNDS: Final = {
    "reject": "DMARC fails and the domain owner asks to reject",
    "quarantine": "DMARC fails and the domain owner asks for quarantine",
    "listed": "the client is on a block list",
    "spam": "the spam scanner rejects it",
}
_POINTS: Final = {
    "junk_points": "points of the built-in scorer that make it Junk",
    "refuse_points": "points of the built-in scorer that make it refused",
}
_MOST_POINTS: Final = 10_000


def points(text: str) -> int:
    """Return points in hundredths; `never` is 0."""
    if text == "never":
        return 0
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal(0)
    if not found.is_finite() or not 0 < found <= _MOST_POINTS or found * 100 % 1:
        raise ArgumentTypeError(f"points are from 0.01 to {_MOST_POINTS}, with two decimals at most, or never")
    return int(found * 100)


def _stub(office: Office) -> inbound_pb2_grpc.InboundPolicyServiceAsyncStub:
    return inbound_pb2_grpc.InboundPolicyServiceStub(office.peer("delivery").channel)


def _measure(value: int) -> str | None:
    return (
        pb.InboundMeasure.Name(pb.InboundMeasure.ValueType(value)).removeprefix("INBOUND_MEASURE_").lower()
        if value
        else None
    )


def _row(policy: pb.InboundPolicy) -> dict[str, Any]:
    row: dict[str, Any] = {"tenant": policy.tenant_id}
    row |= {name: _measure(getattr(policy, name)) for name in _GROUNDS}
    for name in _POINTS:
        row[name] = getattr(policy, name) / 100 if policy.HasField(name) else None  # type: ignore[arg-type]
    changed = datetime.fromtimestamp(policy.changed_ms / 1000, UTC).isoformat(timespec="seconds")
    return {**row, "changed": changed if policy.changed_ms else None}


def _answer(office: Office, policy: pb.InboundPolicy) -> None:
    row = _row(policy)
    lines = [f"tenant {policy.tenant_id}:"]
    for name, what in (_GROUNDS | _POINTS).items():
        said = row[name]
        lines.append(f"  {what}: {'as the settings say' if said is None else 'never' if said == 0 else said}")
    office.answer(row, lines)


async def _show(office: Office, options: Namespace) -> None:
    request = pb.GetInboundPolicyRequest(tenant_id=options.tenant)
    _answer(office, (await office.call("delivery", _stub(office).GetInboundPolicy, request)).policy)


async def _set(office: Office, options: Namespace) -> None:
    chosen: dict[str, Any] = {
        name: pb.InboundMeasure.Value(f"INBOUND_MEASURE_{getattr(options, name).upper()}")
        for name in _GROUNDS
        if getattr(options, name)
    }
    chosen |= {name: getattr(options, name) for name in _POINTS}
    request = pb.SetInboundPolicyRequest(policy=pb.InboundPolicy(tenant_id=options.tenant, **chosen))
    _answer(office, (await office.call("delivery", _stub(office).SetInboundPolicy, request)).policy)


async def _list(office: Office, options: Namespace) -> None:
    request = pb.ListInboundPoliciesRequest(limit=min(options.limit, 10_000))
    found = await office.call("delivery", _stub(office).ListInboundPolicies, request)
    office.table([_row(one) for one in found.policies], ["tenant", *_GROUNDS, *_POINTS, "changed"])


async def _sender(office: Office, options: Namespace) -> None:
    if options.forget:
        request = pb.ForgetReputationRequest(domain=options.domain)
        await office.call("delivery", _stub(office).ForgetReputation, request)
    asked = pb.GetReputationRequest(domain=options.domain)
    found = (await office.call("delivery", _stub(office).GetReputation, asked)).reputation
    row = {
        "domain": found.domain,
        "points": found.points / 100,
        "mails": round(found.mails, 1),
        "junk": round(found.junk, 1),
    }
    lines = [
        f"{found.domain}: {row['points']:+} points; {row['junk']} of {row['mails']} recipients called it junk",
        "(half of what is counted is forgotten in fourteen days)",
    ]
    office.answer(row, lines)


def _add_tenant(parser: ArgumentParser) -> None:
    parser.add_argument("tenant", type=int, help="id of the tenant")


def add_to(commands: Commands) -> None:
    """Add the commands."""
    inbound = commands.group("inbound", "what is done with a tenant's mail that comes in and was found wanting")
    listing = inbound.add("list", "list the tenants for which something else holds than the settings", _list)
    listing.add_argument("--limit", type=count, default=100)
    _add_tenant(inbound.add("show", "show what holds for a tenant", _show))
    sender = inbound.add("sender", "show what the past mail of a sending domain says of its next", _sender)
    sender.add_argument("domain", help="as it stands behind the @ of authors")
    sender.add_argument("--forget", action="store_true", help="forget its past first")
    setting = inbound.add("set", "set what holds; what is not given is again as the settings say", _set)
    _add_tenant(setting)
    for name, what in _GROUNDS.items():
        setting.add_argument(f"--{name}", choices=_MEASURES, help=f"when {what}")
    for name, what in _POINTS.items():
        setting.add_argument(f"--{name.replace('_', '-')}", type=points, help=f"{what}, or never")
