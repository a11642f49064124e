"""Wires what hosted domains need: their keys, who signs with them, and the operator's door."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc.aio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from petitbleu.delivery.v1 import domains_pb2_grpc, reports_pb2_grpc
from petitbleu_delivery.adapters.dmarc_rows import DmarcRows
from petitbleu_delivery.adapters.domain_rows import DomainRows
from petitbleu_delivery.adapters.hosted import AccountsDomains
from petitbleu_delivery.adapters.key_file import checked_key
from petitbleu_delivery.adapters.policy_fetch import PolicyFetch
from petitbleu_delivery.adapters.records_dns import RecordLookups
from petitbleu_delivery.adapters.rule_peers import RulePeers
from petitbleu_delivery.adapters.sts_rows import StsRows
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.domain.domain_keys import KeyTimes
from petitbleu_delivery.domain.records import Expected
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.grpc_domains import DomainServicer, StsPolicyServicer
from petitbleu_delivery.grpc_reports import DmarcReportServicer
from petitbleu_delivery.service.domains.check import DomainCheck
from petitbleu_delivery.service.domains.dmarc_reports import DmarcReports
from petitbleu_delivery.service.domains.keeper import KeyKeeper
from petitbleu_delivery.service.domains.signing import DomainKeys
from petitbleu_kit.egress import Egress
from petitbleu_kit.lifecycle import StartupError, forever

if TYPE_CHECKING:
    from petitbleu_delivery.bootstrap import Backends

# Policies fetched at once, for operators who look.
_FETCHES: Final = 8


class Domains(NamedTuple):
    """What hosted domains need, wired. `keys` signs."""

    settings: DeliverySettings
    keeper: KeyKeeper
    keys: DomainKeys
    servicer: DomainServicer
    policies: StsPolicyServicer
    egress: Egress
    reports: DmarcReports

    def add_to(self, server: grpc.aio.Server) -> None:
        """Open the doors."""
        domains_pb2_grpc.add_DomainServiceServicer_to_server(self.servicer, server)
        domains_pb2_grpc.add_StsPolicyServiceServicer_to_server(self.policies, server)
        reports_pb2_grpc.add_DmarcReportServiceServicer_to_server(DmarcReportServicer(self.reports), server)

    def work(self) -> list[Awaitable[None]]:
        """Return what goes on in the background."""
        return [
            forever("delivery.dkim", self.settings.dkim_upkeep_seconds, self.keeper.upkeep),
            forever("delivery.dmarc", self.settings.dmarc_report_seconds, self.reports.send),
        ]

    async def close(self) -> None:
        """Close what was opened."""
        await self.egress.close()


async def open_domains(opened: Backends) -> Domains:
    """Wire it.

    Raises:
        StartupError: the service's key is missing or another one, or `PETITBLEU_DNS` is no address.
    """
    settings = opened.settings
    key = await checked_key(opened.pool, settings.key_file())
    seal = Seal(key, "domains")
    try:
        lookups = RecordLookups(settings.dns)
    except ValueError:
        raise StartupError("PETITBLEU_DNS is no address:port") from None
    times = KeyTimes(
        timedelta(days=settings.dkim_rotate_days), timedelta(days=settings.dkim_publish_days),
        timedelta(days=settings.dkim_retire_days),
    )  # fmt: skip
    keeper = KeyKeeper(DomainRows(opened.pool), seal, lookups, times)
    hosted = AccountsDomains(opened.accounts, settings.delivery_call_seconds)
    keys = DomainKeys(keeper, hosted, lookups, ed25519=settings.dkim_ed25519)
    policies = StsRows(opened.pool)
    try:
        egress = Egress.of(settings, _FETCHES)
        addresses = [ip_address(one.strip()) for one in settings.sending_addresses.split(",") if one.strip()]
    except (OSError, ValueError):
        raise StartupError(
            "PETITBLEU_SENDING_ADDRESSES, PETITBLEU_EGRESS_… or PETITBLEU_CA_FILE cannot be used"
        ) from None
    check = DomainCheck(lookups, keeper, policies, PolicyFetch(egress).fetch, lambda: expected_of(settings), addresses)
    peers = RulePeers(opened.store, opened.accounts, settings.delivery_call_seconds, settings.delivery_commit_seconds)
    reports = DmarcReports(
        DmarcRows(opened.pool), Seal(key, "reports"), peers.accept, hosted, lookups, settings.dmarc_report_from,
        settings.dmarc_report_organization,
    )  # fmt: skip
    servicer = DomainServicer(hosted, keeper, keys, policies, settings.own_mx(), check)
    return Domains(settings, keeper, keys, servicer, StsPolicyServicer(hosted, policies), egress, reports)


def expected_of(settings: DeliverySettings) -> Expected:
    """Return what the operator says of the platform; a certificate that cannot be read is as none."""
    certificate = b""
    if settings.mx_cert is not None:
        with contextlib.suppress(OSError, ValueError):
            public = load_pem_x509_certificate(settings.mx_cert.read_bytes()).public_key()
            # RFC 6698 §2.1.2, §2.1.3: the SubjectPublicKeyInfo, by SHA-256
            certificate = sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return Expected(
        settings.own_mx(), settings.spf_mechanism, None, certificate, settings.mail_host.lower().removesuffix("."),
        settings.policy_host.lower().removesuffix("."),
    )  # fmt: skip
