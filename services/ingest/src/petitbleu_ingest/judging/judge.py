"""The judge of a worker: begins a judgement for each message that has a recipient here, and says what follows from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from petitbleu_ingest import metrics
from petitbleu_ingest.adapters.dns import DnsResolver, MessageResolver
from petitbleu_ingest.domain.verdicts import Verdicts
from petitbleu_ingest.errors import Refusal
from petitbleu_ingest.judging.aggregate import Tally
from petitbleu_ingest.judging.block_lists import listed_by
from petitbleu_ingest.judging.findings import (
    ClientFindings,
    Findings,
    Measure,
    PolicyRules,
    asked_of,
    from_authenticated,
    verdicts_of,
)
from petitbleu_ingest.judging.greylist import Greylist
from petitbleu_ingest.judging.judgement import Judgement, taken
from petitbleu_ingest.judging.marks import score_of, sender_marks
from petitbleu_ingest.judging.report import results_field
from petitbleu_ingest.judging.treatment import (
    UNSAID,
    Grounds,
    TenantWishes,
    Treatment,
    Wishes,
    common_refusal,
    junk_numbers,
    treatment_of,
)
from petitbleu_ingest.smtp.transaction import MxSession
from petitbleu_kit.logs import get_logger
from petitbleu_kit.scanners.clamd import Clamd
from petitbleu_kit.scanners.scanning import Advice, Scanned, Scanners
from petitbleu_mail.auth.client import check_helo_name, check_iprev
from petitbleu_mail.auth.spf import check_helo

_log = get_logger(__name__)


class Sentence(msgspec.Struct, frozen=True):
    """What is done with a message: refused, or taken with our field in front and what is known of its sender."""

    refusal: Refusal | None = None
    field: bytes = b""
    verdicts: Verdicts | None = None


class ScanRules(msgspec.Struct, frozen=True):
    """What this house does with what scanners say. Of what is submitted only a virus is refused; the rest is counted."""

    refuse_spam: bool = True
    virus_scanner_must_answer: bool = False
    submitted: bool = False


def refusal_of(scanned: Mapping[str, Scanned], rules: ScanRules) -> Refusal | None:
    """Return the refusal that scanners ask for whoever the recipients are, the worst first."""
    said = {one.advice for one in scanned.values()}
    if Advice.VIRUS in said:
        return Refusal.VIRUS_SUBMITTED if rules.submitted else Refusal.VIRUS
    clamd = scanned.get(Clamd.name)
    if clamd is not None and clamd.advice is Advice.DOWN and rules.virus_scanner_must_answer:
        return Refusal.NOT_SCANNED
    return Refusal.LATER if Advice.LATER in said and not rules.submitted else None


class Judge:
    """Judges messages.

    Args:
        resolver: The DNS, None where senders are not judged and mail is only scanned.
        authserv_id: Who says it in Authentication-Results (RFC 8601 §2.5).
        receiver: Our host's name.
        rules: What follows from DMARC.
        scanners: Who looks mail through.
        scan_rules: What follows from what they say.
        junk_points: From how many points of the built-in scorer on, in hundredths, mail is Junk; 0 for no scorer.
        block_lists: Zones of the DNS that are asked for the client.
    """

    def __init__(
        self, resolver: DnsResolver | None, authserv_id: str, receiver: str, rules: PolicyRules,
        scanners: Scanners | None = None, scan_rules: ScanRules | None = None, junk_points: int = 0,
        block_lists: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.resolver = resolver
        self._authserv_id = authserv_id
        self._receiver = receiver
        self._rules = rules
        self.tally: Tally | None = None
        """Counts for the reports of the day, where there are any."""
        self._scanners = scanners
        self._scan_rules = scan_rules or ScanRules()
        self._junk_points = junk_points
        self._block_lists = block_lists
        self._house = Wishes(
            rules.reject, rules.quarantine, rules.listed,
            Measure.REFUSE if self._scan_rules.refuse_spam else Measure.JUNK, junk_points,
        )  # fmt: skip
        self.tenants: Callable[[Collection[int]], Awaitable[Mapping[int, TenantWishes]]] | None = None
        """What tenants want instead of what the house does, where anybody can say it; it never raises."""
        self.reputations: Callable[[Collection[str]], Awaitable[Mapping[str, int]]] | None = None
        """What speaks against authenticated domains, in hundredths of points, by their past mail; it never raises."""
        self.greylist: Greylist | None = None
        """Asks mail of which nothing is authenticated to come again, where that is wanted."""

    def begin(self, session: MxSession, mail_from: str) -> Judgement:
        """Begin to ask for the sender of a message; the client itself is asked for once a session and name."""
        client = client_address(session.address)
        helo = session.host_name or ""
        resolver = self.resolver.for_message() if self.resolver is not None else None
        if client is not None and resolver is not None and session.about_client is None:
            session.about_client = asyncio.create_task(self._about_client(resolver, client, helo))
            session.about_client.add_done_callback(taken)
        return Judgement(
            resolver,
            client,
            session.about_client,
            helo,
            mail_from,
            self._receiver,
            self._scanners,
            scored=bool(self._junk_points),
        )

    async def _about_client(
        self, resolver: MessageResolver, client: IPv4Address | IPv6Address, helo: str
    ) -> ClientFindings:
        iprev, spf, name, listed = await asyncio.gather(
            check_iprev(resolver, client),
            check_helo(resolver, client, helo, receiver=self._receiver, now=int(time.time())),
            check_helo_name(resolver, client, helo),
            listed_by(resolver, client, self._block_lists),
        )
        return ClientFindings(iprev, spf, name, listed)

    async def sentence(self, judgement: Judgement, tenant_ids: Sequence[int] = (0,), recipient: str = "") -> Sentence:
        """Say what becomes of a message that is here as a whole; `tenant_ids` are the recipients', one each, `recipient` is the first.

        An error of our own refuses nothing.
        """
        begun = time.monotonic()
        try:
            found = await judgement.findings()
            scanned = await judgement.scanned()
            refusal = refusal_of(scanned, self._scan_rules)
            score = sum([one.score for one in scanned.values()])
            if self._scan_rules.submitted:
                return _sentence_of_submitted(scanned, refusal, score)
            points = await self._points(judgement, found) if self._junk_points else 0
            score += points
            grounds = self._grounds(found, scanned, points)
            treatments = await self._treatments(grounds, tenant_ids)
            refusal = common_refusal(treatments, refusal)
            if refusal is None and await self._waits(judgement, found, recipient):
                # it is counted when it comes again
                return Sentence(Refusal.GREYLISTED)
            if found is not None:
                self._count(judgement, found, treatments, refusal)
            if refusal is not None:
                return Sentence(refusal)
            numbers = junk_numbers(treatments)
            junk = len(numbers) == len(treatments)
            if junk:
                numbers = ()
            if found is None:
                return Sentence(None, b"", Verdicts(junk=junk, spam_score=score, junk_recipients=numbers))
            field = results_field(self._authserv_id, found, self._rules)
            return Sentence(
                None, field, verdicts_of(found, junk=junk, spam_score=score, junk_recipients=numbers)
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - mail is not refused for our faults
            _log.exception("a message was not judged", error_type=type(error).__qualname__)
            metrics.judged.labels("error", Measure.NONE.value).inc()
            return Sentence()
        finally:
            metrics.judge_seconds.observe(time.monotonic() - begun)

    async def _waits(self, judgement: Judgement, found: Findings | None, recipient: str) -> bool:
        """Whether a message that would be taken must come again first."""
        if self.greylist is None or found is None:
            return False
        return await self.greylist.waits(found, client_address(judgement.address), judgement.mail_from, recipient)

    def _grounds(self, found: Findings | None, scanned: Mapping[str, Scanned], points: int) -> Grounds:
        """Return what speaks against a message."""
        said = {one.advice for one in scanned.values()}
        if found is None:
            return Grounds(junk=Advice.JUNK in said, spam=Advice.SPAM in said, points=points)
        listed = found.client is not None and bool(found.client.listed)
        return Grounds(asked_of(found, self._rules), listed, Advice.JUNK in said, Advice.SPAM in said, points)

    async def _treatments(self, grounds: Grounds, tenant_ids: Sequence[int]) -> list[Treatment]:
        """Return what is done for each recipient. Nobody is asked about mail that nothing speaks against, which is most."""
        if grounds.none:
            return [Treatment()] * len(tenant_ids)
        said = await self.tenants(set(tenant_ids)) if self.tenants is not None else {}
        of_tenant = {one: treatment_of(grounds, said.get(one, UNSAID).over(self._house)) for one in set(tenant_ids)}
        return [of_tenant[one] for one in tenant_ids]

    def _count(
        self, judgement: Judgement, found: Findings, treatments: Sequence[Treatment], refusal: Refusal | None
    ) -> None:
        """Count what was done for the sake of DMARC: of mail that was taken, the worst that it led to for anybody."""
        wanted = {one.dmarc for one in treatments}
        measure = Measure.NONE
        if refusal is Refusal.DMARC:
            measure = Measure.REFUSE
        elif wanted - {Measure.NONE}:
            measure = Measure.JUNK
        metrics.judged.labels(found.dmarc.result.value, measure.value).inc()
        if self.tally is not None and judgement.address:
            self.tally.note(found, measure, judgement.address)

    async def _points(self, judgement: Judgement, found: Findings | None) -> int:
        """Return the points of the built-in scorer: of what is seen, and of what the sending domain sent before."""
        marks = judgement.marks | (sender_marks(found, judgement.ours) if found is not None else set())
        for mark in marks:
            metrics.marks.labels(mark.value[0]).inc()
        return max(0, score_of(marks) + await self._reputation(found))

    async def _reputation(self, found: Findings | None) -> int:
        """Return what is known of the author's domain where it is authenticated: of what anybody may write, nothing is."""
        if self.reputations is None or found is None or not from_authenticated(found):
            return 0
        domain = found.author.domains[0]
        points = (await self.reputations([domain])).get(domain, 0)
        if points:
            metrics.reputations.labels("against" if points > 0 else "for").inc()
        return points

    async def close(self) -> None:
        """Ask nothing more."""
        if self.greylist is not None:
            await self.greylist.close()
        if self.resolver is not None:
            await self.resolver.close()


def _sentence_of_submitted(scanned: Mapping[str, Scanned], refusal: Refusal | None, score: int) -> Sentence:
    """Whoever logged in is who they say, and what they send is nobody's junk before a recipient says so."""
    for name, one in scanned.items():
        metrics.submitted_scans.labels(name, one.advice.value).inc()
    return Sentence(refusal, b"", Verdicts(True, True, spam_score=score))


def judge_of_submitted(hostname: str, scanners: Scanners, *, virus_scanner_must_answer: bool) -> Judge:
    """Return what judges mail of people who are logged in: scanners only."""
    rules = ScanRules(refuse_spam=False, virus_scanner_must_answer=virus_scanner_must_answer, submitted=True)
    return Judge(None, hostname, hostname, PolicyRules(), scanners, rules)


def client_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return a peer's address without its zone; None for what is none."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
