"""`petitbleu junior`."""

from __future__ import annotations

from argparse import Namespace

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.junior_guard.v1 import junior_guard_pb2, junior_guard_pb2_grpc
from petitbleu_cli.commands import classes
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands, traced_message


async def _child(office: Office, address: str) -> int:
    stub = accounts_pb2_grpc.DirectoryServiceStub(office.peer("accounts").channel)
    found = await office.call("accounts", stub.Resolve, accounts_pb2.ResolveRequest(addresses=[address]))
    targets = [target for target in found.resolutions[0].targets if target.guarded and not target.via_id]
    if not targets:
        raise Failure("no child's account has this address")
    return targets[0].account_id


async def _approve(office: Office, options: Namespace) -> None:
    child = await _child(office, options.child)
    stub = junior_guard_pb2_grpc.AdminServiceStub(office.peer("junior-guard").channel)
    request = junior_guard_pb2.ApproveRequest(account_id=child, address=options.address)
    await office.call("junior-guard", stub.Approve, request)
    data = {"child": options.child, "account_id": child, "address": options.address}
    office.answer(data, [f"{options.address} may write to {options.child}"])


async def _decide(office: Office, options: Namespace) -> None:
    child = await _child(office, options.child)
    stub = junior_guard_pb2_grpc.AdminServiceStub(office.peer("junior-guard").channel)
    request = junior_guard_pb2.DecideRequest(account_id=child, accepted_id=options.message, deliver=options.deliver)
    await office.call("junior-guard", stub.Decide, request)
    done = "delivered" if options.deliver else "destroyed"
    office.answer({"child": options.child, "account_id": child, "decision": done}, [f"the message is {done}"])


async def _level(office: Office, options: Namespace) -> None:
    child = await _child(office, options.child)
    stub = junior_guard_pb2_grpc.AdminServiceStub(office.peer("junior-guard").channel)
    request = junior_guard_pb2.SetLevelRequest(account_id=child, level=options.level)
    await office.call("junior-guard", stub.SetLevel, request)
    data = {"child": options.child, "account_id": child, "level": options.level}
    office.answer(data, [f"{options.child} is at level {options.level}"])


def add_to(commands: Commands) -> None:
    """Add the commands."""
    junior = commands.group("junior", "children's mail")
    approve = junior.add("approve", "let somebody write to a child", _approve)
    approve.add_argument("child", help="the child's address")
    approve.add_argument("address", help="the correspondent's address")
    decide = junior.add("decide", "deliver or destroy a message that waits", _decide)
    decide.add_argument("child", help="the child's address")
    decide.add_argument("message", type=traced_message, help="id of the message, as in a trace")
    which = decide.add_mutually_exclusive_group(required=True)
    which.add_argument("--deliver", action="store_true")
    which.add_argument("--destroy", action="store_true")
    level = junior.add("level", "move how far a child's barriers are down", _level)
    level.add_argument("child", help="the child's address")
    level.add_argument(
        "level", type=int, choices=range(1, 5),
        help="1: the family alone; 2: also whom guardians approved; 3: also approved groups and whom the child adds; "
        "4: also newcomers that are authenticated",
    )  # fmt: skip
    classes.add_to_junior(junior)
