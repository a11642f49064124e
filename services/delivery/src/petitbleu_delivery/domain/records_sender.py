"""Records by which others judge mail of a hosted domain, and find it: MX, SPF, DKIM, DMARC. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu_delivery.domain.domain_keys import DomainKey, KeyState, published
from petitbleu_delivery.domain.records import Answer, Expected, Finding, RecordState, shown_txt, unknown, zone_txt
from petitbleu_mail.auth.dmarc_record import DmarcRecord, Policy, parse_record
from petitbleu_mail.auth.resolver import MailExchanger
from petitbleu_mail.auth.spf import SpfResult
from petitbleu_mail.auth.spf_record import SpfSyntaxError, select_records
from petitbleu_mail.auth.spf_record import parse_record as parse_spf

_PREFERENCE: Final = 10


def check_mx(domain: str, answer: Answer[MailExchanger], expected: Expected) -> Finding:
    """Judge the MX records: mail must come to the platform's hosts, and to no others (RFC 5321 §5.1)."""
    if answer.failed:
        return unknown("mx", domain, "MX")
    found = tuple(f"{domain}. IN MX {one.preference} {one.exchange}." for one in answer.records)
    wanted = tuple(f"{domain}. IN MX {_PREFERENCE * at} {host}." for at, host in enumerate(expected.mx, 1))
    if not answer.records:
        return Finding(
            "mx", domain, "MX", RecordState.MISSING, wanted=wanted, note="Nobody finds where its mail is to go."
        )
    hosts = {one.exchange.lower() for one in answer.records}
    if "" in hosts:
        note = "A null MX says that it takes no mail (RFC 7505 §3)."
        return Finding("mx", domain, "MX", RecordState.WRONG, True, found, wanted, note)
    foreign = sorted(hosts - set(expected.mx))
    if expected.mx and foreign:
        note = f"Mail also goes to hosts that are not the platform's: {', '.join(foreign)}."
        return Finding("mx", domain, "MX", RecordState.WRONG, True, found, wanted, note)
    note = "" if expected.mx else "PETITBLEU_MX_NAMES does not say which hosts are the platform's."
    return Finding("mx", domain, "MX", RecordState.RIGHT, True, found, (), note)


def check_spf(
    domain: str, answer: Answer[bytes], expected: Expected, results: Sequence[tuple[str, SpfResult]] = ()
) -> Finding:
    """Judge the SPF record (RFC 7208); `results` are those for the addresses from which the platform sends, where it knows them."""
    if answer.failed or any(result is SpfResult.TEMPERROR for _, result in results):
        return unknown("spf", domain, "TXT")
    records = select_records(answer.records)
    found = shown_txt(domain, records)
    fresh = (zone_txt(domain, f"v=spf1 {expected.spf} ~all"),)
    if not records:
        return Finding("spf", domain, "TXT", RecordState.MISSING, wanted=fresh, note="Anybody may send in its name.")
    note = _spf_fault(records)
    if note:
        return Finding("spf", domain, "TXT", RecordState.WRONG, True, found, fresh, note)
    note = _not_in_spf(records[0], expected, results)
    if note:
        better = zone_txt(domain, f"v=spf1 {expected.spf}{records[0].decode('ascii')[len('v=spf1') :]}")
        return Finding("spf", domain, "TXT", RecordState.WRONG, True, found, (better,), note)
    return Finding("spf", domain, "TXT", RecordState.RIGHT, True, found)


def _spf_fault(records: Sequence[bytes]) -> str:
    """Return why SPF records are of no use to anybody; empty when they are."""
    if len(records) > 1:
        return "There is more than one, so none counts (RFC 7208 §4.5)."
    try:
        record = parse_spf(records[0])
    except SpfSyntaxError as error:
        return f"It cannot be read: {error} (RFC 7208 §4.6)."
    if any(one.mechanism == "all" and one.qualifier == "+" for one in record.directives):
        return "+all lets anybody send in its name."
    return ""


def _not_in_spf(record: bytes, expected: Expected, results: Sequence[tuple[str, SpfResult]]) -> str:
    """Return why the platform may not send by a record; empty when it may."""
    if results:
        refused = [f"{address} ({result.value})" for address, result in results if result is not SpfResult.PASS]
        return f"It does not pass for {', '.join(refused)}." if refused else ""
    terms = {term.lower().removeprefix("+") for term in record.decode("ascii").split(" ")}
    return "" if expected.spf.lower() in terms else f"The platform's hosts are not in it: {expected.spf} is missing."


def check_dkim(key: DomainKey, answer: Answer[bytes]) -> Finding:
    """Judge the record of one key: it must be there while the key signs and until its mail is read; the next one's may come."""
    required = key.state in {KeyState.ACTIVE, KeyState.RETIRING}
    if answer.failed:
        return unknown("dkim", key.record_name, "TXT", required=required)
    found = shown_txt(key.record_name, answer.records)
    wanted = (zone_txt(key.record_name, key.record_text),)
    role = {
        KeyState.ACTIVE: "This key signs.",
        KeyState.RETIRING: "This key signed until lately; mail is on its way.",
    }.get(key.state, "The next key: it signs some days after its record is seen.")
    if published(key, answer.records):
        if len(answer.records) > 1:
            note = f"{role} There is another record beside it (RFC 6376 §3.6.2.2)."
            return Finding("dkim", key.record_name, "TXT", RecordState.WRONG, required, found, wanted, note)
        return Finding("dkim", key.record_name, "TXT", RecordState.RIGHT, required, found, (), role)
    if answer.records:
        note = f"{role} What is there is not its public half."
        return Finding("dkim", key.record_name, "TXT", RecordState.WRONG, required, found, wanted, note)
    return Finding("dkim", key.record_name, "TXT", RecordState.MISSING, required, (), wanted, role)


def check_dmarc(domain: str, answer: Answer[bytes], covered_by: tuple[str, DmarcRecord] | None = None) -> Finding:
    """Judge the DMARC record (RFC 9989 §4.7); `covered_by` is the name above whose record counts where there is no own one."""
    name = f"_dmarc.{domain}"
    if answer.failed:
        return unknown("dmarc", name, "TXT")
    records = [(raw, record) for raw in answer.records if (record := parse_record(raw)) is not None]
    found = shown_txt(name, [raw for raw, _ in records])
    wanted = (zone_txt(name, f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"),)
    if not records:
        if covered_by is not None and covered_by[1].policy is not None:
            note = f"The record of {covered_by[0]} counts for it (RFC 9989 §4.10)."
            return Finding("dmarc", name, "TXT", RecordState.RIGHT, True, (), (), note)
        note = "Large receivers refuse mail of domains without one."
        return Finding("dmarc", name, "TXT", RecordState.MISSING, wanted=wanted, note=note)
    if len(records) > 1:
        note = "There is more than one, so none counts (RFC 9989 §4.10)."
        return Finding("dmarc", name, "TXT", RecordState.WRONG, True, found, wanted, note)
    record = records[0][1]
    if record.policy is None:
        return Finding("dmarc", name, "TXT", RecordState.WRONG, True, found, wanted, "It has no policy: p= is missing.")
    note = ""
    if record.policy is Policy.NONE:
        note = "p=none only watches: quarantine or reject, once the reports show that all mail passes."
    return Finding("dmarc", name, "TXT", RecordState.RIGHT, True, found, (), note)
