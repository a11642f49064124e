"""`petitbleu alias`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands

_PAGE: Final = 1_000


def _stub(office: Office) -> accounts_pb2_grpc.AdminServiceAsyncStub:
    return accounts_pb2_grpc.AdminServiceStub(office.peer("accounts").channel)


async def _put(office: Office, options: Namespace) -> None:
    request = accounts_pb2.PutAliasRequest(address=options.address, members=options.member)
    made = await office.call("accounts", _stub(office).PutAlias, request)
    data = {"address": options.address, "alias_id": made.alias_id, "members": options.member}
    office.answer(data, [f"{options.address} leads to {', '.join(options.member)}"])


async def _list(office: Office, options: Namespace) -> None:
    stub = _stub(office)
    rows: list[dict[str, Any]] = []
    after = 0
    while True:
        request = accounts_pb2.ListAliasesRequest(domain=options.domain, after_alias_id=after, limit=_PAGE)
        page = (await office.call("accounts", stub.ListAliases, request)).aliases
        rows += [
            {"address": alias.address, "members": " ".join(alias.members), "alias_id": alias.alias_id} for alias in page
        ]
        if len(page) < _PAGE:
            break
        after = page[-1].alias_id
    office.table(rows, ["address", "members"])


async def _delete(office: Office, options: Namespace) -> None:
    await office.call("accounts", _stub(office).DeleteAlias, accounts_pb2.DeleteAliasRequest(address=options.address))
    office.answer({"address": options.address}, [f"alias {options.address} removed"])


def add_to(commands: Commands) -> None:
    """Add the commands."""
    aliases = commands.group("alias", "addresses that lead to others; one with several members is a group")
    put = aliases.add("put", "make or replace an alias", _put)
    put.add_argument("address")
    put.add_argument("member", nargs="+", help="an address here, or another alias")
    aliases.add("list", "list aliases and where they lead", _list).add_argument(
        "--domain", default="", help="only of this domain"
    )
    aliases.add("delete", "remove an alias", _delete).add_argument("address")
