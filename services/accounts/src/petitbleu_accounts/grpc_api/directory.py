"""DirectoryService of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_accounts.adapters.postgres_accounts import PostgresAccounts
from petitbleu_accounts.domain.people import AccountInfo
from petitbleu_accounts.domain.resolution import Resolution
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_accounts.grpc_api.answer import answered, conversing, measured
from petitbleu_accounts.service.resolve import Resolver
from petitbleu_kit.rpc import while_allowed

MAX_BATCH: Final = 1_000
# Indexed by the domain's number for it, which is the contract's.
_STATUS: Final = tuple(accounts_pb2.AddressStatus.values())


def account_message(account: AccountInfo) -> accounts_pb2.Account:
    """Return an account as the contract has it."""
    return accounts_pb2.Account(
        account_id=account.account_id, tenant_id=account.tenant_id, address=account.address,
        display_name=account.display_name, state=accounts_pb2.AccountState.ValueType(int(account.state)),
        roles=[accounts_pb2.Role.ValueType(int(role)) for role in account.roles], quota_octets=account.quota_octets,
        guarded=account.guarded, other_addresses=account.other_addresses, language=account.language,
    )  # fmt: skip


def _response(found: Sequence[Resolution]) -> accounts_pb2.ResolveResponse:
    # filled in place, field by field: a message made from its fields and then copied into the next costs three times as much
    response = accounts_pb2.ResolveResponse()
    for one in found:
        resolution = response.resolutions.add()
        resolution.status = _STATUS[one.status]
        resolution.domain_id = one.domain_id
        resolution.tenant_id = one.tenant_id
        for reached in one.targets:
            target = resolution.targets.add()
            target.account_id = reached.account_id
            target.tenant_id = reached.tenant_id
            if reached.guarded:
                target.guarded = True
            if reached.detail:
                target.detail = reached.detail
            if reached.via_id:
                target.via_id = reached.via_id
    return response


class DirectoryApi(accounts_pb2_grpc.DirectoryServiceServicer):
    """Where mail goes and who somebody is."""

    def __init__(self, resolver: Resolver, accounts: PostgresAccounts) -> None:
        self._resolver = resolver
        self._accounts = accounts

    @answered
    async def Resolve(self, request: accounts_pb2.ResolveRequest, _context: Any) -> accounts_pb2.ResolveResponse:
        """Say where each address leads."""
        return await self._resolve(request)

    @conversing
    async def ResolveMany(
        self, request: AsyncIterator[accounts_pb2.ResolveRequest], _context: Any
    ) -> AsyncIterator[accounts_pb2.ResolveResponse]:
        """Say it, one question after the other."""
        async for one in while_allowed(request):
            with measured("Resolve"):
                answer = await self._resolve(one)
            yield answer

    async def _resolve(self, request: accounts_pb2.ResolveRequest) -> accounts_pb2.ResolveResponse:
        if len(request.addresses) > MAX_BATCH:
            raise AccountsError(Fault.INVALID, f"at most {MAX_BATCH:,} addresses a call")
        return _response(await self._resolver.resolve(request.addresses))

    @answered
    async def GetAccounts(
        self, request: accounts_pb2.GetAccountsRequest, _context: Any
    ) -> accounts_pb2.GetAccountsResponse:
        """Describe accounts by id."""
        if len(request.account_ids) > MAX_BATCH:
            raise AccountsError(Fault.INVALID, f"at most {MAX_BATCH:,} accounts a call")
        found = await self._accounts.get(request.account_ids)
        return accounts_pb2.GetAccountsResponse(accounts=[account_message(account) for account in found])

    @answered
    async def GetDomains(
        self, request: accounts_pb2.GetDomainsRequest, _context: Any
    ) -> accounts_pb2.GetDomainsResponse:
        """Say which domains are hosted here."""
        if len(request.names) > MAX_BATCH:
            raise AccountsError(Fault.INVALID, f"at most {MAX_BATCH:,} domains a call")
        found = await self._resolver.domains(request.names)
        return accounts_pb2.GetDomainsResponse(
            domains=[
                accounts_pb2.Domain(
                    domain_id=one.domain_id, tenant_id=one.tenant_id, name=one.name,
                    catch_all_account_id=one.catch_all_account_id or 0,
                )
                for one in found
            ]
        )  # fmt: skip
