"""The judge of a worker: begins a judgement for each message that has a recipient here, and says what follows from it."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from petitbleu_ingest import metrics
from petitbleu_ingest.adapters.dns import DnsResolver, MessageResolver
from petitbleu_ingest.domain.verdicts import Verdicts
from petitbleu_ingest.errors import Refusal
from petitbleu_ingest.judging.findings import ClientFindings, Measure, PolicyRules, measure_of, verdicts_of
from petitbleu_ingest.judging.judgement import Judgement, taken
from petitbleu_ingest.judging.report import results_field
from petitbleu_ingest.smtp.transaction import MxSession
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.client import check_helo_name, check_iprev
from petitbleu_mail.auth.spf import check_helo

_log = get_logger(__name__)


class Sentence(msgspec.Struct, frozen=True):
    """What is done with a message: refused, or taken with our field in front and what is known of its sender."""

    refusal: Refusal | None = None
    field: bytes = b""
    verdicts: Verdicts | None = None


class Judge:
    """Judges messages.

    Args:
        resolver: The DNS.
        authserv_id: Who says it in Authentication-Results (RFC 8601 §2.5).
        receiver: Our host's name.
        rules: What follows from DMARC.
    """

    def __init__(self, resolver: DnsResolver, authserv_id: str, receiver: str, rules: PolicyRules) -> None:
        self.resolver = resolver
        self._authserv_id = authserv_id
        self._receiver = receiver
        self._rules = rules

    def begin(self, session: MxSession, mail_from: str) -> Judgement:
        """Begin to ask for the sender of a message; the client itself is asked for once a session and name."""
        client = client_address(session.address)
        helo = session.host_name or ""
        resolver = self.resolver.for_message()
        if client is not None and session.about_client is None:
            session.about_client = asyncio.create_task(self._about_client(resolver, client, helo))
            session.about_client.add_done_callback(taken)
        return Judgement(resolver, client, session.about_client, helo, mail_from, self._receiver)

    async def _about_client(
        self, resolver: MessageResolver, client: IPv4Address | IPv6Address, helo: str
    ) -> ClientFindings:
        iprev, spf, name = await asyncio.gather(
            check_iprev(resolver, client),
            check_helo(resolver, client, helo, receiver=self._receiver, now=int(time.time())),
            check_helo_name(resolver, client, helo),
        )
        return ClientFindings(iprev, spf, name)

    async def sentence(self, judgement: Judgement) -> Sentence:
        """Say what becomes of a message that is here as a whole. An error of our own refuses nothing."""
        begun = time.monotonic()
        try:
            found = await judgement.findings()
            measure = measure_of(found, self._rules)
            metrics.judged.labels(found.dmarc.result.value, measure.value).inc()
            if measure is Measure.REFUSE:
                return Sentence(Refusal.DMARC)
            field = results_field(self._authserv_id, found, self._rules)
            return Sentence(None, field, verdicts_of(found, junk=measure is Measure.JUNK))
        except Exception as error:  # noqa: BLE001 - mail is not refused for our faults
            _log.exception("a message was not judged", error_type=type(error).__qualname__)
            metrics.judged.labels("error", Measure.NONE.value).inc()
            return Sentence()
        finally:
            metrics.judge_seconds.observe(time.monotonic() - begun)

    async def close(self) -> None:
        """Ask nothing more."""
        await self.resolver.close()


def client_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return a peer's address without its zone; None for what is none."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
