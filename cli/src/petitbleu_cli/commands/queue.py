"""`petitbleu queue`."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from petitbleu.delivery.v1 import queue_pb2, queue_pb2_grpc
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands, count, traced_message


def _stub(office: Office) -> queue_pb2_grpc.QueueServiceAsyncStub:
    return queue_pb2_grpc.QueueServiceStub(office.peer("delivery").channel)


def _when(millis: int) -> str | None:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="seconds") if millis else None


def _destination(found: queue_pb2.QueueDestination) -> dict[str, Any]:
    return {
        "destination": found.destination, "units": found.units, "oldest": _when(found.oldest_ms),
        "next": _when(found.next_attempt_ms), "paused": found.paused, "route": found.route, "reason": found.reason,
    }  # fmt: skip


def _unit(found: queue_pb2.QueueUnit) -> dict[str, Any]:
    return {
        "message": str(UUID(bytes=found.accepted_id)), "destination": found.destination,
        "recipients": list(found.recipient_nos), "accepted": _when(found.accepted_ms), "attempts": found.attempts,
        "next": _when(found.next_attempt_ms), "reason": found.reason, "in_hand": found.in_hand, "octets": found.size,
        "account": found.account_id,
    }  # fmt: skip


async def _list(office: Office, options: Namespace) -> None:
    if options.destination:
        request = queue_pb2.ListUnitsRequest(destination=options.destination, limit=min(options.limit, 10_000))
        units = await office.call("delivery", _stub(office).ListUnits, request)
        columns = ["message", "recipients", "accepted", "attempts", "next", "reason", "in_hand", "octets", "account"]
        office.table([_unit(one) for one in units.units], columns)
        return
    listed = queue_pb2.ListDestinationsRequest(limit=min(options.limit, 10_000))
    found = await office.call("delivery", _stub(office).ListDestinations, listed)
    rows = [_destination(one) for one in found.destinations]
    office.table(rows, ["destination", "units", "oldest", "next", "paused", "route", "reason"])


async def _show(office: Office, options: Namespace) -> None:
    request = queue_pb2.ShowMessageRequest(accepted_id=options.message)
    found = await office.call("delivery", _stub(office).ShowMessage, request)
    units = [_unit(one) for one in found.units]
    recipients = [
        {
            "recipient": one.recipient_no, "state": one.state, "code": one.code or None, "status": one.enhanced,
            "server": one.host, "answered": _when(one.answered_ms), "told": one.told,
        }
        for one in found.recipients
    ]  # fmt: skip
    lines = [
        f"waits for {unit['destination']}: attempts {unit['attempts']}, next {unit['next']} {unit['reason']}".rstrip()
        for unit in units
    ]
    lines += [
        " ".join(
            str(part)
            for part in (f"recipient {one['recipient']}:", one["state"], one["code"], one["status"], one["server"], one["answered"])
            if part
        )
        for one in recipients
    ]  # fmt: skip
    office.answer({"units": units, "recipients": recipients}, lines)


async def _direct(office: Office, request: queue_pb2.DirectDestinationRequest) -> None:
    done = await office.call("delivery", _stub(office).DirectDestination, request)
    row = _destination(done.destination)
    state = "paused" if row["paused"] else "open"
    way = f", by {row['route']}" if row["route"] else ""
    office.answer(row, [f"{row['destination']} is {state}{way}; {row['units']} units wait"])


async def _pause(office: Office, options: Namespace) -> None:
    await _direct(office, queue_pb2.DirectDestinationRequest(destination=options.destination, paused=True))


async def _resume(office: Office, options: Namespace) -> None:
    await _direct(office, queue_pb2.DirectDestinationRequest(destination=options.destination, paused=False))


async def _reroute(office: Office, options: Namespace) -> None:
    if bool(options.route) == options.none:
        raise Failure("name host:port, or --none")
    await _direct(
        office, queue_pb2.DirectDestinationRequest(destination=options.destination, route=options.route or "")
    )


async def _retry(office: Office, options: Namespace) -> None:
    if sum((bool(options.destination), bool(options.message), options.all)) != 1:
        raise Failure("name a destination, --message, or --all")
    request = queue_pb2.RetryUnitsRequest(
        destination=options.destination, accepted_id=options.message or b"", all=options.all
    )
    done = await office.call("delivery", _stub(office).RetryUnits, request, seconds=120)
    office.answer({"units": done.units}, [f"{done.units} units are due now"])


async def _drop(office: Office, options: Namespace) -> None:
    if not options.message and not options.destination:
        raise Failure("name --message, --destination, or both")
    request = queue_pb2.DropUnitsRequest(accepted_id=options.message or b"", destination=options.destination)
    done = await office.call("delivery", _stub(office).DropUnits, request, seconds=120)
    office.answer({"units": done.units}, [f"{done.units} units given up; their senders are not notified"])


def _source(found: queue_pb2.QueueSource) -> dict[str, Any]:
    return {
        "address": found.address, "since": _when(found.since_ms), "state": "warm" if found.warm else "warming",
        "provider": found.provider, "allowance": found.allowance, "used": found.used, "good": found.good,
        "bad": found.bad, "day": found.day, "shrunk": _when(found.shrunk_ms),
    }  # fmt: skip


async def _sources(office: Office, options: Namespace) -> None:
    if options.warm or options.new:
        order = queue_pb2.SetSourceRequest(address=options.warm or options.new, warm=bool(options.warm))
        await office.call("delivery", _stub(office).SetSource, order)
    request = queue_pb2.ListSourcesRequest(limit=min(options.limit, 10_000))
    found = await office.call("delivery", _stub(office).ListSources, request)
    rows = [_source(one) for one in found.sources]
    columns = ["address", "state", "since", "provider", "day", "allowance", "used", "good", "bad", "shrunk"]
    office.table(rows, columns)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    queue = commands.group("queue", "mail that waits for other servers")
    listing = queue.add("list", "list the destinations that mail waits for, or the units of one", _list)
    listing.add_argument("destination", nargs="?", default="", help="domain")
    listing.add_argument("--limit", type=count, default=100)
    show = queue.add("show", "show what the queue knows of a message", _show)
    show.add_argument("message", type=traced_message, help="id of the message, as in a trace")
    for name, text, run in (
        ("pause", "send nothing to a destination until it is resumed", _pause),
        ("resume", "send to a destination again, at once", _resume),
    ):
        queue.add(name, text, run).add_argument("destination", help="domain")
    reroute = queue.add("reroute", "send a destination's mail to a server of your choice", _reroute)
    reroute.add_argument("destination", help="domain")
    reroute.add_argument("route", nargs="?", default="", help="host:port")
    reroute.add_argument("--none", action="store_true", help="to its own servers again")
    sources = queue.add(
        "sources", "list the addresses from which mail leaves, and what new ones may send to whom", _sources
    )
    sources.add_argument("--limit", type=count, default=100)
    which = sources.add_mutually_exclusive_group()
    which.add_argument("--warm", metavar="ADDRESS", help="take an address as an old one, without bounds")
    which.add_argument("--new", metavar="ADDRESS", help="have an address begin again, as a new one")
    retry = queue.add("retry", "try at once", _retry)
    retry.add_argument("destination", nargs="?", default="", help="domain")
    retry.add_argument("--message", type=traced_message, help="id of a message")
    retry.add_argument("--all", action="store_true", help="all that waits")
    drop = queue.add("drop", "give up; nobody is notified", _drop)
    drop.add_argument("--message", type=traced_message, help="id of a message")
    drop.add_argument("--destination", default="", help="domain")
