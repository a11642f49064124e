"""`petitbleu parked` and `petitbleu trace`."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from petitbleu.store.v1 import filing_pb2, filing_pb2_grpc
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands, count, recipient

_KEPT_DAYS: Final = 30
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def _stub(office: Office) -> filing_pb2_grpc.ParkedServiceAsyncStub:
    return filing_pb2_grpc.ParkedServiceStub(office.peer("store").channel)


def _when(millis: int) -> str | None:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="seconds") if millis else None


def _name(ref: filing_pb2.RecipientRef) -> str:
    return f"{UUID(bytes=ref.accepted_id)}/{ref.recipient_no}"


def _ref(given: tuple[bytes, int]) -> filing_pb2.RecipientRef:
    return filing_pb2.RecipientRef(accepted_id=given[0], recipient_no=given[1])


def _row(parked: filing_pb2.ParkedRecipient) -> dict[str, Any]:
    return {
        "recipient": _name(parked.recipient), "reason": parked.reason, "attempts": parked.attempts,
        "received": _when(parked.received_at_ms), "octets": parked.size,
    }  # fmt: skip


async def _pages(office: Office, limit: int) -> AsyncIterator[filing_pb2.ParkedRecipient]:
    stub, token = _stub(office), ""
    while limit > 0:
        request = filing_pb2.ListParkedRequest(page_token=token, limit=min(limit, 1_000))
        page = await office.call("store", stub.ListParked, request)
        for one in page.recipients:
            yield one
        limit -= len(page.recipients)
        token = page.next_page_token
        if not token:
            return


async def _list(office: Office, options: Namespace) -> None:
    rows = [_row(parked) async for parked in _pages(office, options.limit)]
    office.table(rows, ["recipient", "reason", "attempts", "received", "octets"])


async def _show(office: Office, options: Namespace) -> None:
    async for parked in _pages(office, 10_000_000):
        if (parked.recipient.accepted_id, parked.recipient.recipient_no) == options.recipient:
            row = _row(parked)
            office.answer(row, [f"{name:10} {value}" for name, value in row.items()])
            return
    raise Failure("this recipient is not parked")


async def _replay(office: Office, options: Namespace) -> None:
    if bool(options.recipient) == options.all:
        raise Failure("name the recipients to replay, or --all")
    request = filing_pb2.ReplayParkedRequest(recipients=map(_ref, options.recipient), all=options.all)
    done = await office.call("store", _stub(office).ReplayParked, request, seconds=120)
    office.answer({"replayed": done.replayed}, [f"{done.replayed} recipients open again"])


async def _drop(office: Office, options: Namespace) -> None:
    request = filing_pb2.DropParkedRequest(recipients=map(_ref, options.recipient))
    done = await office.call("store", _stub(office).DropParked, request, seconds=120)
    office.answer({"dropped": done.dropped}, [f"{done.dropped} recipients discarded"])


def since(text: str) -> int:
    """Return Unix milliseconds of a moment: `30m`, `12h`, `7d` ago, or a date and time (UTC unless it says)."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if found is not None:
        moment = datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ArgumentTypeError("a moment is 30m, 12h or 7d ago, or a date such as 2026-01-31") from None
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return int(moment.timestamp() * 1000)


async def _trace(office: Office, options: Namespace) -> None:
    if not options.sender and not options.to:
        raise Failure("name the sender or the recipient: --from, --to")
    request = filing_pb2.TraceRequest(
        **{"from": options.sender}, to=options.to, since_ms=options.since, limit=options.limit
    )
    found = await office.call("store", _stub(office).Trace, request)
    rows = [
        {
            "received": _when(entry.received_at_ms), "recipient": _name(entry.recipient),
            "outcome": filing_pb2.Outcome.Name(entry.outcome).removeprefix("OUTCOME_").lower(),
            "settled": _when(entry.settled_at_ms), "reason": entry.reason, "attempts": entry.attempts,
            "accounts": list(entry.account_ids), "octets": entry.size,
        }
        for entry in found.entries
    ]  # fmt: skip
    office.table(rows, ["received", "recipient", "outcome", "settled", "reason", "attempts", "accounts", "octets"])


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parked = commands.group("parked", "recipients that could not be delivered")
    parked.add("list", "list them, without addresses or bodies", _list).add_argument(
        "--limit", type=count, default=1_000
    )
    parked.add("show", "show one", _show).add_argument("recipient", type=recipient, help="<id>/<number>")
    replay = parked.add("replay", "try to deliver them again", _replay)
    replay.add_argument("recipient", type=recipient, nargs="*", help="<id>/<number>")
    replay.add_argument("--all", action="store_true", help="all of them")
    drop = parked.add("drop", "discard them for ever", _drop)
    drop.add_argument("recipient", type=recipient, nargs="+", help="<id>/<number>")
    trace = commands.add("trace", "tell what became of a mail; each look is audited", _trace)
    trace.add_argument("--from", dest="sender", default="", help="envelope sender")
    trace.add_argument("--to", default="", help="recipient")
    trace.add_argument(
        "--since", type=since, default=f"{_KEPT_DAYS}d", help="30m, 12h, 7d ago, or a date; 30d unless given"
    )
    trace.add_argument("--limit", type=count, default=100)
