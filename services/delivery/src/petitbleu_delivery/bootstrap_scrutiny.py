"""Wires together what looks submitted mail through."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu.delivery.v1 import submission_pb2
from petitbleu_delivery.adapters.accepted_mail import AcceptedMail
from petitbleu_delivery.adapters.to_submit import StoreToSubmit
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.service.measures import SCANS
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_delivery.service.submissions.refused import MalwareNotice
from petitbleu_delivery.service.submissions.scrutiny import MOST_SECONDS, Scrutiny
from petitbleu_kit.rpc import Peer


def open_scrutiny(settings: DeliverySettings, store: Peer, submitters: Submitters) -> Scrutiny:
    """Put it together; with no scanner configured it asks nobody, and reads nothing."""
    mail = AcceptedMail(store, settings.delivery_commit_seconds)
    notice = MalwareNotice(submitters, mail, settings.outbound_name or settings.hostname, _recipients)
    return Scrutiny(
        settings.scanners(SCANS), StoreToSubmit(store, MOST_SECONDS + 5, settings.hostname), notice,
        must_answer=settings.virus_scanner_must_answer,
    )  # fmt: skip


def _recipients(envelope: bytes) -> Sequence[str]:
    return [one.address for one in submission_pb2.SubmissionEnvelope.FromString(envelope).recipients]
