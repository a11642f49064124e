"""Making the Authentication-Results field (RFC 8601 §2.2) of what was found out; nothing of a stranger's can break out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from petitbleu_mail.auth.client import IprevOutcome
from petitbleu_mail.auth.dmarc import DmarcOutcome, DmarcResult
from petitbleu_mail.auth.results import MAX_PROPERTIES, MAX_RESULTS, MethodResult, Property
from petitbleu_mail.auth.spf import SpfOutcome

# Characters of one value, reason or comment: the longest address, with room. A line stays far below 998 (RFC 5322 §2.1.1).
MAX_TEXT = 400
_LINE = 78

_KEYWORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
# RFC 2045 §5.1: token; RFC 8601 §2.2: or an address of a dot-atom and a domain
_ATOM = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]++"
_PLAIN = re.compile(rf"{_ATOM}(?:@{_ATOM})?")
_QUOTED_SPECIAL = re.compile(r'(["\\])')
_COMMENT_SPECIAL = re.compile(r"([()\\])")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def make_results(authserv_id: str, results: Sequence[MethodResult]) -> bytes:
    """Make the field, folded, with its line end. Raises ValueError for keywords that are none; values are quoted as need be."""
    if not re.fullmatch(_ATOM, authserv_id):
        raise ValueError("authserv-id is no token")
    if len(results) > MAX_RESULTS:
        raise ValueError("too many results")
    lines = [f"Authentication-Results: {authserv_id};" if results else f"Authentication-Results: {authserv_id}; none"]
    for number, result in enumerate(results):
        words = list(_words(result))
        if number < len(results) - 1:
            words[-1] += ";"
        line = "\t" + words[0]
        for word in words[1:]:
            if len(line) + 1 + len(word) > _LINE:  # RFC 5322 §2.2.3: folded between words only
                lines.append(line)
                line = "\t " + word
            else:
                line += " " + word
        lines.append(line)
    return "".join([line + "\r\n" for line in lines]).encode("utf-8")


def _words(result: MethodResult) -> Iterable[str]:
    if len(result.properties) > MAX_PROPERTIES:
        raise ValueError("too many properties")
    method = _keyword(result.method) + (f"/{result.version}" if result.version != 1 else "")
    yield f"{method}={_keyword(result.result)}"
    if result.comment:
        yield "(" + _COMMENT_SPECIAL.sub(r"\\\1", _cleaned(result.comment)) + ")"
    if result.reason:
        yield f"reason={_value(result.reason)}"
    for one in result.properties:
        yield f"{_keyword(one.ptype)}.{_keyword(one.name)}={_value(one.value)}"


def _keyword(text: str) -> str:
    if not _KEYWORD.fullmatch(text):
        raise ValueError("not a keyword")
    return text


def _cleaned(text: str) -> str:
    return _UNPRINTABLE.sub("?", text[: MAX_TEXT if text.isascii() else MAX_TEXT // 2])


def _value(text: str) -> str:
    if len(text) <= MAX_TEXT and _PLAIN.fullmatch(text):
        return text
    return '"' + _QUOTED_SPECIAL.sub(r"\\\1", _cleaned(text)) + '"'


def spf_result(outcome: SpfOutcome) -> MethodResult:
    """Say what SPF gave (RFC 8601 §2.7.2); only the domain, since the local part was not checked."""
    properties = (Property("smtp", outcome.identity, outcome.domain),) if outcome.domain else ()
    return MethodResult("spf", outcome.result.value, properties, reason=outcome.problem or None)


def iprev_result(outcome: IprevOutcome) -> MethodResult:
    """Say what the reverse look-up gave (RFC 8601 §2.7.3)."""
    comment = outcome.names[0] if outcome.names else None
    return MethodResult("iprev", outcome.result.value, (Property("policy", "iprev", outcome.client),), comment=comment)


def dmarc_result(outcome: DmarcOutcome) -> MethodResult:
    """Say what DMARC gave (RFC 9989 §9: header.from, polrec.p, polrec.domain)."""
    properties = [Property("header", "from", outcome.domain)] if outcome.domain else []
    if outcome.result is DmarcResult.FAIL:
        properties.append(Property("polrec", "p", outcome.published.name.lower()))
    if outcome.policy_domain and outcome.policy_domain != outcome.domain:
        properties.append(Property("polrec", "domain", outcome.policy_domain))
    reason = outcome.fault.value if outcome.fault is not None else None
    return MethodResult("dmarc", outcome.result.value, tuple(properties), reason=reason)
