"""Wires together what is done about accounts that send what nobody wants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from petitbleu_delivery.adapters.accepted_mail import AcceptedMail
from petitbleu_delivery.adapters.conduct_rows import ConductRows
from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.bootstrap_submissions import Living
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.domain.conduct import Thresholds
from petitbleu_delivery.domain.outbound import destination_of
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.service.abuse.watch import Teller, Watch
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_delivery.service.router import Router
from petitbleu_kit.lifecycle import forever

if TYPE_CHECKING:
    from petitbleu_delivery.bootstrap import Backends


_KEY_OCTETS: Final = 12


def correspondent_key(settings: DeliverySettings) -> Callable[[int, str], bytes]:
    """Return what hashes an address to which an account wrote, as the rows have it."""
    seal = Seal(read_key(settings.key_file()), "correspondents")

    def key(account_id: int, address: str) -> bytes:
        whole = seal.hash(account_id, address.rpartition("@")[0].lower().encode(), destination_of(address).encode())
        return whole[:_KEY_OCTETS]

    return key


class AbuseParts:
    """What it consists of.

    Attributes:
        watch: Counts and judges.
    """

    def __init__(self, opened: Backends, submitters: Submitters, router: Router, living: Living) -> None:
        self._living = living
        settings = opened.settings
        self._rows = ConductRows(opened.pool)

        self.watch = Watch(
            self._rows,
            Thresholds(
                settings.abuse_fresh, settings.abuse_fresh_factor, settings.abuse_bounces, settings.abuse_bounce_rate,
                settings.abuse_complaints, settings.abuse_complaint_rate, settings.abuse_spam,
            ),
            settings.abuse_slow_seconds, round(settings.abuse_spam_points * 100), correspondent_key(settings),
        )  # fmt: skip
        self._teller = Teller(
            self._rows, submitters, router, AcceptedMail(opened.store, settings.delivery_commit_seconds),
            settings.outbound_name or settings.hostname,
        )  # fmt: skip

    def tasks(self) -> list[Awaitable[None]]:
        """Return what runs beside."""
        return [
            forever("delivery.abuse_count", 1.0, self.watch.flush),
            forever("delivery.abuse_tell", 5.0, self._teller.tell),
            forever("delivery.abuse_prune", 3600.0, self._rows.prune),
            forever("delivery.abuse_erase", 6 * 3600.0, lambda: self._rows.erase_closed(self._living)),
        ]
