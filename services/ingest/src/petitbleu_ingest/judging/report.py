"""The one Authentication-Results field that is ours (RFC 8601 §2.2): what was found, for whoever reads the message later."""

from __future__ import annotations

from petitbleu_ingest.judging.findings import Findings, PolicyRules, overridden
from petitbleu_mail.auth.arc import ArcVerdict
from petitbleu_mail.auth.dkim import Verdict
from petitbleu_mail.auth.dmarc import DmarcResult
from petitbleu_mail.auth.results import MethodResult, Property
from petitbleu_mail.auth.results_field import dmarc_result, iprev_result, make_results, spf_result


def results_field(authserv_id: str, found: Findings, rules: PolicyRules) -> bytes:
    """Return the field with its line end; whatever a stranger wrote is quoted in it."""
    results = []
    if found.client is not None:
        results.append(iprev_result(found.client.iprev))
        results.append(spf_result(found.client.helo))
    if found.spf is not None:
        results.append(spf_result(found.spf))
    results += [_dkim_result(one) for one in found.dkim] or [MethodResult("dkim", "none")]
    if found.arc.result.value != "none":
        results.append(_arc_result(found.arc))
    dmarc = dmarc_result(found.dmarc)
    if found.dmarc.result is DmarcResult.FAIL and overridden(found, rules):
        # RFC 8617 §7.2.2: who overrides says so
        dmarc = MethodResult(
            dmarc.method, dmarc.result, dmarc.properties, dmarc.reason, "overridden: trusted ARC chain"
        )
    results.append(dmarc)
    return make_results(authserv_id, results)


def _dkim_result(one: Verdict) -> MethodResult:
    """Say what came of a signature (RFC 8601 §2.7.1, RFC 6008)."""
    named = (("d", one.domain), ("s", one.selector), ("i", one.identity), ("a", one.algorithm), ("b", one.b))
    properties = tuple(Property("header", name, value) for name, value in named if value)
    comment = f"{one.bits}-bit key" if one.bits else None
    return MethodResult("dkim", one.result.value, properties, reason=one.reason or None, comment=comment)


def _arc_result(one: ArcVerdict) -> MethodResult:
    """Say what came of the chain (RFC 8617 §10.1); `header.oldest-pass` as in §5.2, where it is known."""
    properties = (Property("header", "oldest-pass", str(one.oldest_pass)),) if one.passed else ()
    comment = f"i={one.highest}" if one.highest else None
    return MethodResult("arc", one.result.value, properties, reason=one.reason or None, comment=comment)
