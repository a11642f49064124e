"""Records by which senders know that a connection to a hosted domain is safe: MTA-STS, TLS-RPT, DANE. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from petitbleu_delivery.domain.records import Answer, Expected, Finding, RecordState, shown_txt, unknown, zone_txt
from petitbleu_mail.mta_sts import StsError, StsMode, StsPolicy, parse_policy, policy_id

# RFC 8460 §3: the version comes first; fields after it
_TLS_RPT: Final = re.compile(rb"v=TLSRPTv1[ \t]*+;(.*)", re.DOTALL)
_RUA: Final = re.compile(
    rb"[ \t]*+rua[ \t]*+=[ \t]*+((?:mailto:[^\s,;!]+@[^\s,;!]+|https://[^\s,;!]+)(?:[ \t]*,[ \t]*(?:mailto:[^\s,;!]+@[^\s,;!]+|https://[^\s,;!]+))*+)[ \t]*+"
)
_MAX_RECORD: Final = 4096
# RFC 7672 §3.1: usages that SMTP knows
_USAGES: Final = (2, 3)
_DIGEST_OCTETS: Final = {1: 32, 2: 64}


class Fetched(msgspec.Struct, frozen=True):
    """What came from the URL of a policy: its octets, or the reason for which none came, in a few words."""

    octets: bytes = b""
    problem: str = ""


class Association(msgspec.Struct, frozen=True):
    """One TLSA record (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


def check_sts_record(domain: str, answer: Answer[bytes], expected: Expected, *, served: bool) -> Finding:
    """Judge the TXT record of MTA-STS (RFC 8461 §3.1); `served` when a policy of somebody else's is served properly."""
    name = f"_mta-sts.{domain}"
    policy = expected.policy
    if answer.failed:
        return unknown("mta-sts", name, "TXT", required=policy is not None)
    records = [record for record in answer.records if record.startswith(b"v=STSv1")]
    found = shown_txt(name, records)
    if policy is None:
        return _sts_record_of_others(domain, records, served=served)
    wanted = (zone_txt(name, policy.record_text),)
    if not records:
        note = "Without it senders do not ask for the policy."
        return Finding("mta-sts", name, "TXT", RecordState.MISSING, True, (), wanted, note)
    if policy_id(records) != policy.id:
        note = (
            "There is more than one."
            if len(records) > 1
            else "It names another policy than the one that is served: senders keep the old one."
        )
        return Finding("mta-sts", name, "TXT", RecordState.WRONG, True, found, wanted, note)
    return Finding("mta-sts", name, "TXT", RecordState.RIGHT, True, found)


def _sts_record_of_others(domain: str, records: Sequence[bytes], *, served: bool) -> Finding:
    """Judge the record of a domain for which the platform serves no policy."""
    name = f"_mta-sts.{domain}"
    found = shown_txt(name, records)
    advice = f"To have a policy: petitbleu domain sts {domain} --mode testing"
    if not records:
        note = f"Senders may be led astray. {advice}"
        return Finding("mta-sts", name, "TXT", RecordState.MISSING, False, note=note)
    if served:
        return Finding("mta-sts", name, "TXT", RecordState.RIGHT, False, found, (), "Its policy is served elsewhere.")
    note = f"There is no policy behind it. {advice}"
    return Finding("mta-sts", name, "TXT", RecordState.WRONG, False, found, (), note)


def check_sts_policy(domain: str, fetched: Fetched, expected: Expected, mx: Sequence[str]) -> Finding:
    """Judge what is served as the policy (RFC 8461 §3.3); it must be the one that was set and cover every MX host."""
    url = f"https://mta-sts.{domain}/.well-known/mta-sts.txt"
    policy = expected.policy
    required = policy is not None
    target = expected.policy_host or expected.host
    wanted = (f"mta-sts.{domain}. IN CNAME {target}.",) if target and required else ()
    if fetched.problem:
        if not required:
            return Finding("mta-sts-policy", url, "HTTPS", RecordState.MISSING, False)
        note = (
            f"It cannot be fetched ({fetched.problem}): the name must lead to the gateway, with a certificate for it."
        )
        return Finding("mta-sts-policy", url, "HTTPS", RecordState.WRONG, True, (), wanted, note)
    try:
        served = parse_policy(fetched.octets)
    except StsError as error:
        return Finding("mta-sts-policy", url, "HTTPS", RecordState.WRONG, required, (), wanted, f"It is none: {error}.")
    lines = tuple(served.text.splitlines())
    if policy is not None and served != policy:
        note = "Another policy is served than the one that was set."
        return Finding("mta-sts-policy", url, "HTTPS", RecordState.WRONG, required, lines, wanted, note)
    outside = uncovered(served, mx)
    if outside:
        note = f"It does not name the MX hosts {', '.join(outside)}: senders will not use them."
        return Finding("mta-sts-policy", url, "HTTPS", RecordState.WRONG, required, lines, (), note)
    return Finding("mta-sts-policy", url, "HTTPS", RecordState.RIGHT, required, lines)


def uncovered(policy: StsPolicy, mx: Sequence[str]) -> list[str]:
    """Return the MX hosts that a policy does not let senders use (RFC 8461 §4.1)."""
    return [] if policy.mode is StsMode.NONE else [host for host in mx if host and not policy.covers(host)]


def tls_report_uris(record: bytes) -> tuple[str, ...] | None:
    """Return where a TLS-RPT record wants its reports, None for what is no such record (RFC 8460 §3)."""
    version = _TLS_RPT.fullmatch(record[:_MAX_RECORD])
    if version is None:
        return None
    for part in version[1].split(b";"):
        rua = _RUA.fullmatch(part)
        if rua is not None:
            return tuple(uri.strip() for uri in rua[1].decode("ascii", "replace").split(","))
    return None


def check_tls_rpt(domain: str, answer: Answer[bytes]) -> Finding:
    """Judge the record that asks senders for reports of failed TLS (RFC 8460 §3)."""
    name = f"_smtp._tls.{domain}"
    if answer.failed:
        return unknown("tls-rpt", name, "TXT", required=False)
    records = [record for record in answer.records if record.startswith(b"v=TLSRPTv1")]
    found = shown_txt(name, records)
    wanted = (zone_txt(name, f"v=TLSRPTv1; rua=mailto:postmaster@{domain}"),)
    if not records:
        note = "Without it nobody tells when TLS fails."
        return Finding("tls-rpt", name, "TXT", RecordState.MISSING, False, (), wanted, note)
    if len(records) > 1 or tls_report_uris(records[0]) is None:
        note = (
            "There is more than one."
            if len(records) > 1
            else "It names no place for reports (rua=mailto:… or https:…)."
        )
        return Finding("tls-rpt", name, "TXT", RecordState.WRONG, False, found, wanted, note)
    return Finding("tls-rpt", name, "TXT", RecordState.RIGHT, False, found)


def check_dane(host: str, answer: Answer[Association], expected: Expected) -> Finding:
    """Judge the TLSA records of one MX host (RFC 7672 §3.1); a record that does not fit keeps mail away."""
    name = f"_25._tcp.{host}"
    if answer.failed:
        return unknown("dane", name, "TLSA", required=False)
    found = tuple(
        f"{name}. IN TLSA {one.usage} {one.selector} {one.matching} {one.data.hex()}" for one in answer.records[:10]
    )
    ours = expected.certificate if host in expected.mx else b""
    wanted = (f"{name}. IN TLSA 3 1 1 {ours.hex()}",) if ours else ()
    if not answer.records:
        note = "DANE needs a zone that is signed by DNSSEC."
        return Finding("dane", name, "TLSA", RecordState.MISSING, False, (), wanted, note)
    usable = [one for one in answer.records if _is_usable(one)]
    if not usable:
        note = "None of the records can be used: usage 2 or 3, with a whole digest (RFC 7672 §3.1)."
        return Finding("dane", name, "TLSA", RecordState.WRONG, False, found, wanted, note)
    pinned = [one for one in usable if (one.usage, one.selector, one.matching) == (3, 1, 1)]
    if ours and len(pinned) == len(usable) and ours not in {one.data for one in pinned}:
        note = "It does not fit the certificate: senders that look at DANE do not deliver."
        return Finding("dane", name, "TLSA", RecordState.WRONG, False, found, wanted, note)
    if not answer.proven:
        note = "The resolver does not say that DNSSEC proves it; then senders ignore it (RFC 7672 §2.2)."
        return Finding("dane", name, "TLSA", RecordState.UNKNOWN, False, found, (), note)
    return Finding("dane", name, "TLSA", RecordState.RIGHT, False, found)


def _is_usable(one: Association) -> bool:
    if one.usage not in _USAGES or one.selector not in {0, 1} or one.matching not in {0, 1, 2}:
        return False
    return len(one.data) == _DIGEST_OCTETS.get(one.matching, len(one.data)) and bool(one.data)
