"""What DMARC said of the mail that came in, counted for the reports of the day (RFC 9990), and handed to delivery once a minute.

Only mail in the name of domains that ask for reports is counted. What is held is bounded: a flood of unlike messages loses counts,
never memory.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from petitbleu.delivery.v1 import reports_pb2 as pb
from petitbleu_ingest import metrics
from petitbleu_ingest.judging.findings import Findings, Measure, PolicyRules, overridden
from petitbleu_mail.auth.dmarc import DmarcResult
from petitbleu_mail.auth.dmarc_record import Policy
from petitbleu_mail.auth.dmarc_report import record_text
from petitbleu_mail.auth.resolver import ascii_domain

SECONDS: Final = 60.0
# Kinds of messages between two hand-overs; delivery takes as many at once.
MAX_KINDS: Final = 2_000
_MAX_SIGNATURES: Final = 8
_JUDGED: Final = frozenset({DmarcResult.PASS, DmarcResult.FAIL})
_DONE: Final = {Measure.JUNK: "quarantine", Measure.REFUSE: "reject"}


class Tally:
    """Counts messages that are alike, and hands the counts over.

    Args:
        hand_over: Gives counts to delivery.
        rules: What the house does with what domain owners ask for.
        clock: Unix seconds.
    """

    def __init__(
        self, hand_over: Callable[[Sequence[pb.DmarcCount]], Awaitable[None]], rules: PolicyRules,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._hand_over = hand_over
        self._rules = rules
        self._clock = clock
        self._counts: dict[bytes, tuple[int, int]] = {}

    def note(self, found: Findings, measure: Measure, source: str) -> None:
        """Count a message."""
        said = evaluation(found, measure, source, self._rules)
        if said is None:
            return
        key = said.SerializeToString(deterministic=True)
        known = self._counts.get(key)
        if known is None and len(self._counts) >= MAX_KINDS:
            metrics.uncounted.inc()
            return
        self._counts[key] = ((known[0] if known is not None else 0) + 1, int(self._clock()))

    async def flush(self) -> None:
        """Hand over what was counted. What delivery does not take now is lost: a report is not worth holding it."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await self._hand_over([
                pb.DmarcCount(evaluation=pb.DmarcEvaluation.FromString(key), messages=messages, seen_at=seen)
                for key, (messages, seen) in counts.items()
            ])  # fmt: skip
        except Exception:
            metrics.uncounted.inc(sum(messages for messages, _ in counts.values()))
            raise


def evaluation(found: Findings, measure: Measure, source: str, rules: PolicyRules) -> pb.DmarcEvaluation | None:
    """Return what is said of a message, None where nobody asks for it (no rua) or there was nothing to judge."""
    dmarc = found.dmarc
    if dmarc.result not in _JUDGED or dmarc.fault is not None or dmarc.record is None or not dmarc.record.rua:
        return None
    enforces = dmarc.record.policy not in {None, Policy.NONE}
    passing = "pass" if dmarc.result is DmarcResult.PASS and enforces else "none"
    disposition = _DONE.get(measure, passing)
    spf = found.spf
    # RFC 7208 §2.4: with the null path SPF is asked for the name of HELO
    scope = "mfrom" if found.mail_from else "helo"
    return pb.DmarcEvaluation(
        domain=dmarc.policy_domain, record=record_text(dmarc.record).decode("ascii", "replace"), source=source,
        disposition=disposition, reason=_reason(found, disposition, rules), dkim_aligned=bool(dmarc.dkim_aligned),
        spf_aligned=dmarc.spf_aligned, header_from=dmarc.domain,
        envelope_from=ascii_domain(found.mail_from.rpartition("@")[2]),
        spf_domain=spf.domain if spf is not None else "", spf_result=spf.result.value if spf is not None else "none",
        spf_scope=scope,
        signatures=[
            pb.DmarcSignature(domain=one.domain, selector=one.selector, result=one.result.value)
            for one in found.dkim[:_MAX_SIGNATURES]
        ],
    )  # fmt: skip


def _reason(found: Findings, disposition: str, rules: PolicyRules) -> str:
    """Return why something else was done than the policy asks for; empty when it was not (RFC 9990)."""
    asked = found.dmarc.policy
    if found.dmarc.result is not DmarcResult.FAIL or disposition == asked.name.lower():
        return ""
    return "trusted_forwarder" if overridden(found, rules) else "local_policy"
