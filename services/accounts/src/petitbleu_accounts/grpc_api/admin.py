"""AdminService of the contract: the operator's door."""

from __future__ import annotations

from typing import Any

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_accounts.domain.people import NewAccount
from petitbleu_accounts.domain.resolution import HostedDomain
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_accounts.grpc_api.answer import answered
from petitbleu_accounts.grpc_api.directory import MAX_BATCH, account_message
from petitbleu_accounts.service.administration import Administration
from petitbleu_accounts.service.creation import Creation


def _domain(domain: HostedDomain) -> accounts_pb2.Domain:
    return accounts_pb2.Domain(
        domain_id=domain.domain_id, tenant_id=domain.tenant_id, name=domain.name,
        catch_all_account_id=domain.catch_all_account_id or 0, sign_up=domain.sign_up,
    )  # fmt: skip


class AdminApi(accounts_pb2_grpc.AdminServiceServicer):
    """What the operator may change."""

    def __init__(self, administration: Administration, creation: Creation) -> None:
        self._administration = administration
        self._creation = creation

    @answered
    async def CreateTenant(
        self, request: accounts_pb2.CreateTenantRequest, _context: Any
    ) -> accounts_pb2.CreateTenantResponse:
        """Make a tenant."""
        tenant = await self._administration.create_tenant(request.name)
        return accounts_pb2.CreateTenantResponse(
            tenant=accounts_pb2.Tenant(tenant_id=tenant.tenant_id, name=tenant.name)
        )

    @answered
    async def ListTenants(
        self, _request: accounts_pb2.ListTenantsRequest, _context: Any
    ) -> accounts_pb2.ListTenantsResponse:
        """List every tenant."""
        tenants = await self._administration.tenants()
        return accounts_pb2.ListTenantsResponse(
            tenants=[accounts_pb2.Tenant(tenant_id=tenant.tenant_id, name=tenant.name) for tenant in tenants]
        )

    @answered
    async def CreateDomain(
        self, request: accounts_pb2.CreateDomainRequest, _context: Any
    ) -> accounts_pb2.CreateDomainResponse:
        """Make a hosted domain."""
        return accounts_pb2.CreateDomainResponse(
            domain=_domain(await self._administration.create_domain(request.tenant, request.name))
        )

    @answered
    async def SetSignUp(self, request: accounts_pb2.SetSignUpRequest, _context: Any) -> accounts_pb2.SetSignUpResponse:
        """Let people open accounts at a domain, or no more."""
        await self._administration.set_sign_up(request.domain, opened=request.open)
        return accounts_pb2.SetSignUpResponse()

    @answered
    async def ListDomains(
        self, request: accounts_pb2.ListDomainsRequest, _context: Any
    ) -> accounts_pb2.ListDomainsResponse:
        """List the domains of a tenant, or all."""
        domains = await self._administration.domains(request.tenant)
        return accounts_pb2.ListDomainsResponse(domains=[_domain(domain) for domain in domains])

    @answered
    async def CreateAccounts(
        self, request: accounts_pb2.CreateAccountsRequest, _context: Any
    ) -> accounts_pb2.CreateAccountsResponse:
        """Make accounts in bulk, each with its own result."""
        if len(request.accounts) > MAX_BATCH:
            raise AccountsError(Fault.INVALID, f"at most {MAX_BATCH:,} accounts a call")
        asked = [
            NewAccount(
                new.address,
                new.display_name,
                new.password,
                new.quota_octets,
                new.guarded,
                tuple(new.roles),
                new.language,
                tuple(new.guardians),
            )
            for new in request.accounts
        ]
        return accounts_pb2.CreateAccountsResponse(
            results=[
                accounts_pb2.CreateAccountResult(
                    account=None if made.account is None else account_message(made.account), error=made.error
                )
                for made in await self._creation.create(asked)
            ]
        )

    @answered
    async def ListAccounts(
        self, request: accounts_pb2.ListAccountsRequest, _context: Any
    ) -> accounts_pb2.ListAccountsResponse:
        """Page through accounts."""
        found = await self._administration.page(request.domain, request.after_account_id, request.limit)
        return accounts_pb2.ListAccountsResponse(accounts=[account_message(account) for account in found])

    @answered
    async def SetAccountState(
        self, request: accounts_pb2.SetAccountStateRequest, _context: Any
    ) -> accounts_pb2.SetAccountStateResponse:
        """Enable or disable an account."""
        await self._administration.set_state(request.address, request.state)
        return accounts_pb2.SetAccountStateResponse()

    @answered
    async def SetPassword(
        self, request: accounts_pb2.SetPasswordRequest, _context: Any
    ) -> accounts_pb2.SetPasswordResponse:
        """Replace the main password."""
        await self._administration.set_password(request.address, request.password)
        return accounts_pb2.SetPasswordResponse()

    @answered
    async def SetQuota(self, request: accounts_pb2.SetQuotaRequest, _context: Any) -> accounts_pb2.SetQuotaResponse:
        """Set the octets that an account may use."""
        await self._administration.set_quota(request.address, request.quota_octets)
        return accounts_pb2.SetQuotaResponse()

    @answered
    async def CloseAccount(
        self, request: accounts_pb2.CloseAccountRequest, _context: Any
    ) -> accounts_pb2.CloseAccountResponse:
        """Erase an account."""
        await self._administration.close(request.address)
        return accounts_pb2.CloseAccountResponse()

    @answered
    async def PutAlias(self, request: accounts_pb2.PutAliasRequest, _context: Any) -> accounts_pb2.PutAliasResponse:
        """Make or replace an alias or group."""
        return accounts_pb2.PutAliasResponse(
            alias_id=await self._administration.put_alias(request.address, request.members)
        )

    @answered
    async def ListAliases(
        self, request: accounts_pb2.ListAliasesRequest, _context: Any
    ) -> accounts_pb2.ListAliasesResponse:
        """Page through aliases and groups."""
        found = await self._administration.alias_page(request.domain, request.after_alias_id, request.limit)
        return accounts_pb2.ListAliasesResponse(
            aliases=[
                accounts_pb2.Alias(alias_id=alias.alias_id, address=alias.address, members=alias.members)
                for alias in found
            ]
        )

    @answered
    async def DeleteAlias(
        self, request: accounts_pb2.DeleteAliasRequest, _context: Any
    ) -> accounts_pb2.DeleteAliasResponse:
        """Remove an alias or group."""
        await self._administration.delete_alias(request.address)
        return accounts_pb2.DeleteAliasResponse()

    @answered
    async def SetCatchAll(
        self, request: accounts_pb2.SetCatchAllRequest, _context: Any
    ) -> accounts_pb2.SetCatchAllResponse:
        """Set or clear a domain's catch-all."""
        await self._administration.set_catch_all(request.domain, request.address)
        return accounts_pb2.SetCatchAllResponse()

    @answered
    async def CreateAppPassword(
        self, request: accounts_pb2.CreateAppPasswordRequest, _context: Any
    ) -> accounts_pb2.CreateAppPasswordResponse:
        """Make an app password."""
        password, app_password_id = await self._administration.create_app_password(
            request.address, request.label, request.protocols
        )
        return accounts_pb2.CreateAppPasswordResponse(password=password, app_password_id=app_password_id)

    @answered
    async def PutMark(self, request: accounts_pb2.PutMarkRequest, _context: Any) -> accounts_pb2.PutMarkResponse:
        """Record a step of setting a tenant up."""
        await self._administration.put_mark(request.tenant, request.mark)
        return accounts_pb2.PutMarkResponse()

    @answered
    async def ListMarks(self, request: accounts_pb2.ListMarksRequest, _context: Any) -> accounts_pb2.ListMarksResponse:
        """List the steps recorded for a tenant."""
        return accounts_pb2.ListMarksResponse(marks=await self._administration.marks(request.tenant))
