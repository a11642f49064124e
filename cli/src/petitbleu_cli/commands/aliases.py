"""`petitbleu alias`."""

from __future__ import annotations

from argparse import Namespace

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands


async def _put(office: Office, options: Namespace) -> None:
    stub = accounts_pb2_grpc.AdminServiceStub(office.peer("accounts").channel)
    request = accounts_pb2.PutAliasRequest(address=options.address, members=options.member)
    made = await office.call("accounts", stub.PutAlias, request)
    data = {"address": options.address, "alias_id": made.alias_id, "members": options.member}
    office.answer(data, [f"{options.address} leads to {', '.join(options.member)}"])


async def _delete(office: Office, options: Namespace) -> None:
    stub = accounts_pb2_grpc.AdminServiceStub(office.peer("accounts").channel)
    await office.call("accounts", stub.DeleteAlias, accounts_pb2.DeleteAliasRequest(address=options.address))
    office.answer({"address": options.address}, [f"alias {options.address} removed"])


def add_to(commands: Commands) -> None:
    """Add the commands."""
    aliases = commands.group("alias", "addresses that lead to others; one with several members is a group")
    put = aliases.add("put", "make or replace an alias", _put)
    put.add_argument("address")
    put.add_argument("member", nargs="+", help="an address here, or another alias")
    aliases.add("delete", "remove an alias", _delete).add_argument("address")
