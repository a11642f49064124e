"""`petitbleu suppression`."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime

from petitbleu.delivery.v1 import suppressions_pb2 as pb
from petitbleu.delivery.v1 import suppressions_pb2_grpc
from petitbleu_cli.commands.permits import account_named
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands, count


def _stub(office: Office) -> suppressions_pb2_grpc.SuppressionServiceAsyncStub:
    return suppressions_pb2_grpc.SuppressionServiceStub(office.peer("delivery").channel)


async def _list(office: Office, options: Namespace) -> None:
    account_id = await account_named(office, options.who)
    request = pb.ListSuppressionsRequest(account_id=account_id, limit=min(options.limit, 10_000))
    found = await office.call("delivery", _stub(office).ListSuppressions, request)
    rows = [
        {
            "key": one.address_key.hex()[:16], "status": one.status, "refusals": one.refusals,
            "until": datetime.fromtimestamp(one.until_ms / 1000, UTC).isoformat(timespec="seconds"),
        }
        for one in found.suppressions
    ]  # fmt: skip
    office.table(rows, ["key", "status", "refusals", "until"])


async def _lift(office: Office, options: Namespace) -> None:
    if bool(options.address) == options.all:
        raise Failure("name an address, or --all")
    account_id = await account_named(office, options.who)
    request = pb.LiftSuppressionRequest(account_id=account_id, address=options.address)
    done = await office.call("delivery", _stub(office).LiftSuppression, request)
    office.answer({"account": account_id, "lifted": done.lifted}, [f"{done.lifted} lifted"])


def add_to(commands: Commands) -> None:
    """Add the commands."""
    suppression = commands.group("suppression", "addresses that do not exist, as their servers said")
    listing = suppression.add("list", "list those that an account is not to write to now, by keyed hash", _list)
    listing.add_argument("who", help="the account that wrote to them: its address or its id")
    listing.add_argument("--limit", type=count, default=100)
    lift = suppression.add("lift", "let an account write to an address again", _lift)
    lift.add_argument("who", help="the account: its address or its id")
    lift.add_argument("address", nargs="?", default="", help="the address that it is to write to")
    lift.add_argument("--all", action="store_true", help="all of the account's")
