"""`petitbleu tenant` and `petitbleu domain`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_cli.commands import domains as domain_mail
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands
from petitbleu_mail.addresses import unicode_domain


def _stub(office: Office) -> accounts_pb2_grpc.AdminServiceAsyncStub:
    return accounts_pb2_grpc.AdminServiceStub(office.peer("accounts").channel)


def _domain(domain: accounts_pb2.Domain) -> dict[str, Any]:
    return {
        "domain": unicode_domain(domain.name), "domain_id": domain.domain_id, "tenant_id": domain.tenant_id,
        "catch_all_account_id": domain.catch_all_account_id or None, "sign_up": domain.sign_up,
    }  # fmt: skip


async def _create_tenant(office: Office, options: Namespace) -> None:
    request = accounts_pb2.CreateTenantRequest(name=options.name)
    tenant = (await office.call("accounts", _stub(office).CreateTenant, request)).tenant
    office.answer({"tenant": tenant.name, "tenant_id": tenant.tenant_id}, [f"tenant {tenant.name} made"])


async def _list_tenants(office: Office, _options: Namespace) -> None:
    found = await office.call("accounts", _stub(office).ListTenants, accounts_pb2.ListTenantsRequest())
    rows = [{"tenant": tenant.name, "tenant_id": tenant.tenant_id} for tenant in found.tenants]
    office.table(rows, ["tenant", "tenant_id"])


async def _create_domain(office: Office, options: Namespace) -> None:
    request = accounts_pb2.CreateDomainRequest(tenant=options.tenant, name=options.name)
    domain = (await office.call("accounts", _stub(office).CreateDomain, request)).domain
    office.answer(_domain(domain), [f"domain {unicode_domain(domain.name)} made for tenant {options.tenant}"])


async def _list_domains(office: Office, options: Namespace) -> None:
    request = accounts_pb2.ListDomainsRequest(tenant=options.tenant)
    found = await office.call("accounts", _stub(office).ListDomains, request)
    office.table(
        [_domain(domain) for domain in found.domains],
        ["domain", "domain_id", "tenant_id", "catch_all_account_id", "sign_up"],
    )


async def _sign_up(office: Office, options: Namespace) -> None:
    opened = options.state == "open"
    await office.call(
        "accounts", _stub(office).SetSignUp, accounts_pb2.SetSignUpRequest(domain=options.domain, open=opened)
    )
    said = "people may open accounts at" if opened else "only the operator opens accounts at"
    office.answer({"domain": options.domain, "sign_up": opened}, [f"{said} {options.domain}"])


async def _catch_all(office: Office, options: Namespace) -> None:
    address = "" if options.clear else options.address
    request = accounts_pb2.SetCatchAllRequest(domain=options.domain, address=address)
    await office.call("accounts", _stub(office).SetCatchAll, request)
    said = f"unknown addresses of {options.domain} go to {address}" if address else f"{options.domain} has no catch-all"
    office.answer({"domain": options.domain, "catch_all": address or None}, [said])


def add_to(commands: Commands) -> None:
    """Add the commands."""
    tenants = commands.group("tenant", "customers of the platform")
    tenants.add("create", "make a tenant", _create_tenant).add_argument("name")
    tenants.add("list", "list the tenants", _list_tenants)
    domains = commands.group("domain", "hosted mail domains")
    create = domains.add("create", "make a hosted domain of a tenant", _create_domain)
    create.add_argument("name")
    create.add_argument("--tenant", required=True, help="the tenant's name")
    domains.add("list", "list the hosted domains", _list_domains).add_argument(
        "--tenant", default="", help="only its domains"
    )
    sign_up = domains.add("sign-up", "let people open accounts at a domain themselves, or no more", _sign_up)
    sign_up.add_argument("domain")
    sign_up.add_argument("state", choices=("open", "closed"))
    catch_all = domains.add("catch-all", "set or clear the account that gets unknown addresses", _catch_all)
    catch_all.add_argument("domain")
    which = catch_all.add_mutually_exclusive_group(required=True)
    which.add_argument("--address", help="address of the account")
    which.add_argument("--clear", action="store_true", help="refuse unknown addresses")
    domain_mail.add_to_domains(domains)
