"""DMARC aggregate reports (RFC 9990): what a receiver saw of a domain in a day, as XML, and to whom it may be sent. Pure."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote
from xml.sax.saxutils import escape

import msgspec

from petitbleu_mail.addresses import MAX_REVERSE_LOCAL, AddressError, parse_mailbox
from petitbleu_mail.auth.dmarc import TreeWalk
from petitbleu_mail.auth.dmarc_record import DmarcRecord, Policy, select_record
from petitbleu_mail.auth.resolver import NoSuchNameError, Resolver, askable

_NAMESPACE: Final = "urn:ietf:params:xml:ns:dmarc-2.0"
# What XML cannot hold at all (XML 1.0 §2.2), whoever put it into a name.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_SIGNATURES: Final = 20


class SignatureResult(msgspec.Struct, frozen=True):
    """One DKIM signature of a row: its domain, its selector, its result (RFC 8601 §2.7.1)."""

    domain: str
    selector: str
    result: str


class AggregateRow(msgspec.Struct, frozen=True):
    """Messages that were alike: from one address, with the same identifiers, results and end.

    `disposition` is what was done: "none", "pass", "quarantine" or "reject". `reason` says why it is not what the policy asks
    for, such as "local_policy" or "trusted_forwarder"; empty for none. `spf_scope` is "mfrom" or "helo".
    """

    source: str
    count: int
    disposition: str
    dkim_aligned: bool
    spf_aligned: bool
    header_from: str
    envelope_from: str
    spf_domain: str
    spf_result: str
    spf_scope: str = "mfrom"
    dkim: tuple[SignatureResult, ...] = ()
    reason: str = ""


class AggregateReport(msgspec.Struct, frozen=True):
    """One report on one policy. `begin` and `end` are Unix seconds, `end` the last one that is covered."""

    organization: str
    email: str
    report_id: str
    begin: int
    end: int
    domain: str
    record: DmarcRecord
    rows: tuple[AggregateRow, ...]
    generator: str = "Petit Bleu"

    def xml(self) -> bytes:
        """Return the report as RFC 9990 has it."""
        parts = [
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            f'<feedback xmlns="{_NAMESPACE}">\n<version>1.0</version>\n',
        ]
        parts += [
            "<report_metadata>", _tag("org_name", self.organization), _tag("email", self.email),
            _tag("report_id", self.report_id), "<date_range>", _tag("begin", str(self.begin)), _tag("end", str(self.end)),
            "</date_range>", _tag("generator", self.generator), "</report_metadata>\n",
        ]  # fmt: skip
        parts.append(_policy(self.domain, self.record))
        parts += [_row(row) for row in self.rows]
        parts.append("</feedback>\n")
        return "".join(parts).encode()

    def packed(self) -> bytes:
        """Return the report in gzip, as it is sent; the same report always gives the same octets."""
        return gzip.compress(self.xml(), mtime=0)

    def file_name(self, receiver: str) -> str:
        """Return the attachment's name: receiver, domain and time, with exclamation marks between."""
        return f"{receiver}!{self.domain}!{self.begin}!{self.end}.xml.gz"

    def subject(self, receiver: str) -> str:
        """Return the Subject by which reports are known."""
        return f"Report Domain: {self.domain} Submitter: {receiver} Report-ID: <{self.report_id}>"


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(_NOT_XML.sub('?', text))}</{name}>"


def _policy(domain: str, record: DmarcRecord) -> str:
    policy = record.policy or Policy.NONE
    parts = ["<policy_published>", _tag("domain", domain), _tag("p", policy.name.lower())]
    for name, value in (("sp", record.subdomains), ("np", record.nonexistent)):
        parts.append(_tag(name, (policy if value is None else value).name.lower()))
    parts += [
        _tag("adkim", "s" if record.strict_dkim else "r"), _tag("aspf", "s" if record.strict_spf else "r"),
        _tag("discovery_method", "treewalk"), _tag("fo", ":".join(record.fo)), _tag("testing", "y" if record.testing else "n"),
        "</policy_published>\n",
    ]  # fmt: skip
    return "".join(parts)


def _row(row: AggregateRow) -> str:
    parts = [
        "<record><row>", _tag("source_ip", row.source), _tag("count", str(row.count)), "<policy_evaluated>",
        _tag("disposition", row.disposition), _tag("dkim", _word(is_pass=row.dkim_aligned)), _tag("spf", _word(is_pass=row.spf_aligned)),
    ]  # fmt: skip
    if row.reason:
        parts += ["<reason>", _tag("type", row.reason), "</reason>"]
    parts += ["</policy_evaluated></row><identifiers>", _tag("envelope_from", row.envelope_from)]
    parts += [_tag("header_from", row.header_from), "</identifiers><auth_results>"]
    for one in row.dkim[:_MAX_SIGNATURES]:
        parts += [
            "<dkim>",
            _tag("domain", one.domain),
            _tag("selector", one.selector),
            _tag("result", one.result),
            "</dkim>",
        ]
    parts += ["<spf>", _tag("domain", row.spf_domain), _tag("scope", row.spf_scope), _tag("result", row.spf_result)]
    return "".join([*parts, "</spf></auth_results></record>\n"])


def _word(*, is_pass: bool) -> str:
    return "pass" if is_pass else "fail"


def report_addresses(uris: Sequence[str]) -> list[tuple[str, str]]:
    """Return the addresses of `mailto:` URIs, each with its domain (A-labels); others are left out."""
    found = []
    for uri in uris:
        scheme, _, rest = uri.partition(":")
        if scheme.lower() != "mailto":
            continue
        try:
            mailbox = parse_mailbox(unquote(rest.partition("?")[0]), max_local=MAX_REVERSE_LOCAL)
            domain = mailbox.canonical().domain
        except AddressError:
            continue
        if not mailbox.is_literal and (mailbox.address, domain) not in found:
            found.append((mailbox.address, domain))
    return found


async def willing_addresses(resolver: Resolver, policy_domain: str, record: DmarcRecord) -> list[str]:
    """Return the addresses that a domain's reports may be sent to: its own organization's, and others' that say they want them.

    Whoever lists a stranger's address would else have us flood it (RFC 9990 §4): the stranger's domain has to publish a DMARC
    record under the name of the reported one. Raises `TemporaryDnsError`.
    """
    walk = TreeWalk(resolver)
    home = await walk.organizational(policy_domain)
    willing = []
    for address, domain in report_addresses(record.rua):
        if domain == home or await walk.organizational(domain) == home or await _wants(resolver, policy_domain, domain):
            willing.append(address)
    return willing


async def _wants(resolver: Resolver, policy_domain: str, domain: str) -> bool:
    name = f"{policy_domain}._report._dmarc.{domain}"
    try:
        return askable(name) and select_record(await resolver.txt(name)) is not None
    except NoSuchNameError:
        return False


def record_text(record: DmarcRecord) -> bytes:
    """Write a record such that `parse_record` reads the same again."""
    tags = ["v=DMARC1"]
    if record.policy is not None:
        tags.append(f"p={record.policy.name.lower()}")
    for name, policy in (("sp", record.subdomains), ("np", record.nonexistent)):
        tags += [f"{name}={policy.name.lower()}"] if policy is not None else []
    tags += ["adkim=s"] * record.strict_dkim + ["aspf=s"] * record.strict_spf + ["t=y"] * record.testing
    tags += [f"psd={record.psd}"] if record.psd != "u" else []
    tags += [f"rua={','.join(record.rua)}"] if record.rua else []
    tags += [f"ruf={','.join(record.ruf)}", f"fo={':'.join(record.fo)}"] if record.ruf else []
    return "; ".join(tags).encode()
