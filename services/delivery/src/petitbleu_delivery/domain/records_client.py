"""Records for people's programs: where they find the services of a hosted domain (RFC 6186, 8314, 8620), and its logo (BIMI). Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from petitbleu_delivery.domain.records import Answer, Expected, Finding, RecordState, shown_txt, unknown

_BIMI: Final = re.compile(rb"v=BIMI1[ \t]*+;(.*)", re.DOTALL | re.IGNORECASE)
_TAG: Final = re.compile(rb"[ \t]*+([a-z]+)[ \t]*+=[ \t]*+([\x21-\x3a\x3c-\x7e]*+)[ \t]*+", re.IGNORECASE)
_MAX_RECORD: Final = 4096


class Service(NamedTuple):
    """One SRV record (RFC 2782); the target is "" where the service is said not to be offered."""

    priority: int
    weight: int
    port: int
    target: str


# What is offered, and on which port: submission over TLS from the start (RFC 8314 §5.1) and with STARTTLS (RFC 6186 §3.1), and
# JMAP (RFC 8620 §2.2).
OFFERED: Final = {"_submissions._tcp": 465, "_submission._tcp": 587, "_jmap._tcp": 443}


def check_service(domain: str, label: str, answer: Answer[Service], expected: Expected) -> Finding:
    """Judge the SRV record of one service; without it people type the host's name in (RFC 6186 §3.1)."""
    name = f"{label}.{domain}"
    if answer.failed:
        return unknown("srv", name, "SRV", required=False)
    found = tuple(f"{name}. IN SRV {one.priority} {one.weight} {one.port} {one.target}." for one in answer.records[:10])
    wanted = (f"{name}. IN SRV 0 1 {OFFERED[label]} {expected.host}.",) if expected.host else ()
    if not answer.records:
        return Finding("srv", name, "SRV", RecordState.MISSING, False, (), wanted)
    targets = {one.target.lower() for one in answer.records}
    if targets == {""}:
        note = "It says that the service is not offered (RFC 6186 §3.4)."
        return Finding("srv", name, "SRV", RecordState.WRONG, False, found, wanted, note)
    if expected.host and targets != {expected.host}:
        return Finding("srv", name, "SRV", RecordState.WRONG, False, found, wanted, "It leads elsewhere.")
    return Finding("srv", name, "SRV", RecordState.RIGHT, False, found)


def bimi_tags(record: bytes) -> dict[str, str] | None:
    """Return the tags of a BIMI assertion record, None for what is none (draft-brand-indicators-for-message-identification §4.2)."""
    version = _BIMI.fullmatch(record[:_MAX_RECORD])
    if version is None:
        return None
    tags: dict[str, str] = {}
    for part in version[1].split(b";"):
        tag = _TAG.fullmatch(part)
        if tag is not None:
            tags.setdefault(tag[1].decode().lower(), tag[2].decode())
    return tags


def check_bimi(domain: str, answer: Answer[bytes], *, enforced: bool) -> Finding:
    """Judge the record of a logo; `enforced` when DMARC quarantines or rejects, without which no logo is shown."""
    name = f"default._bimi.{domain}"
    if answer.failed:
        return unknown("bimi", name, "TXT", required=False)
    records = [(record, tags) for record in answer.records if (tags := bimi_tags(record)) is not None]
    found = shown_txt(name, [record for record, _ in records])
    if not records:
        return Finding(
            "bimi", name, "TXT", RecordState.MISSING, False, note="Only for those who want a logo beside their mail."
        )
    tags = records[0][1]
    note = ""
    if len(records) > 1:
        note = "There is more than one."
    elif tags.get("l") and not (tags["l"].startswith("https://") and tags["l"].lower().endswith((".svg", ".svg.gz"))):
        note = "l= is no https: URL of an SVG image."
    elif "l" not in tags:
        note = "l= is missing."
    elif tags["l"] and not enforced:
        note = "DMARC must quarantine or reject before a logo is shown."
    state = RecordState.WRONG if note else RecordState.RIGHT
    return Finding("bimi", name, "TXT", state, False, found, (), note)
