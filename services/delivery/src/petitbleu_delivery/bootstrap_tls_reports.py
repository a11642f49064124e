"""Wires reports of TLS (RFC 8460)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from petitbleu_delivery.adapters.hosted import AccountsDomains
from petitbleu_delivery.adapters.report_post import ReportPost
from petitbleu_delivery.adapters.rule_peers import RulePeers
from petitbleu_delivery.adapters.tls_rows import TlsRows
from petitbleu_delivery.service.domains.tls_reports import TlsReports
from petitbleu_delivery.service.domains.tls_results import Texts, TlsResults
from petitbleu_kit.egress import Egress
from petitbleu_kit.lifecycle import forever

if TYPE_CHECKING:
    from petitbleu_delivery.bootstrap import Backends


class TlsReporting:
    """Counts what TLS with others was like, and tells them.

    Args:
        opened: Pool and peers.
        names: The DNS.
        egress: Posts.
    """

    def __init__(self, opened: Backends, names: Texts, egress: Egress) -> None:
        settings = opened.settings
        self._settings = settings
        rows = TlsRows(opened.pool)
        peers = RulePeers(
            opened.store, opened.accounts, settings.delivery_call_seconds, settings.delivery_commit_seconds
        )
        self._results = TlsResults(rows, names)
        self._reports = TlsReports(
            rows, peers.accept, ReportPost(egress).post, AccountsDomains(opened.accounts, settings.delivery_call_seconds),
            names, settings.tls_report_from, settings.dmarc_report_organization,
        )  # fmt: skip

    @property
    def watch(self) -> TlsResults | None:
        """Who counts; None when nothing is to be told."""
        return self._results if self._settings.tls_report_from else None

    def work(self) -> list[Awaitable[None]]:
        """Return what goes on in the background."""
        if self.watch is None:
            return []
        return [
            forever("delivery.tls.results", self._settings.tls_results_seconds, self._results.flush),
            forever("delivery.tls.reports", self._settings.dmarc_report_seconds, self._reports.send),
        ]

    async def close(self) -> None:
        """Keep what was counted last."""
        await self._results.flush()
