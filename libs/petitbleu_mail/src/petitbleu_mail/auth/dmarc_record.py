"""The record of DMARC (RFC 9989 §4.7, §4.8), which reads those of RFC 7489 too: what is not known, such as `pct`, is ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum

import msgspec

# Octets of one record that are looked at; the longest in use have some hundreds.
MAX_RECORD = 4096
# Addresses of one rua or ruf that are kept; RFC 9990 §3.5 lets a reporter set a limit of its own.
MAX_REPORT_URIS = 8

# RFC 9989 §4.8: the version comes first, its value in this case only
_VERSION = re.compile(rb"[vV][ \t]*+=[ \t]*+DMARC1[ \t]*+(?:;|\Z)")
_TAG = re.compile(r"[ \t]*+([A-Za-z]++)[ \t]*+=[ \t]*+([ -:<-~\t]++)")
# RFC 9989 §4.8: obs-dmarc-report-size, to be ignored
_SIZE = re.compile(r"![0-9]{1,20}[kmgtKMGT]?\Z")
# RFC 3986 §3: a scheme and a rest of its characters, "," and "!" encoded (RFC 9989 §4.8)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:(?:[A-Za-z0-9._~:/?#\[\]@$&'()*+;=-]|%[0-9A-Fa-f]{2})++")


class Policy(IntEnum):
    """What a domain owner asks for, the least first (RFC 9989 §4.7)."""

    NONE = 0
    QUARANTINE = 1
    REJECT = 2

    def lowered(self) -> Policy:
        """One level below: what is applied in test mode, `t=y` (RFC 9989 §4.7)."""
        return Policy(max(self - 1, 0))


class DmarcRecord(msgspec.Struct, frozen=True):
    """A record; `policy` is None where the record is of no use but in finding the organizational domain (RFC 9989 §4.10.1).

    `subdomains` and `nonexistent` are the policies of `sp` and `np`, None where these are absent. `psd` is "y", "n" or "u".
    `rua` and `ruf` are URIs as written, without the obsolete sizes. `fo` holds its letters.
    """

    policy: Policy | None
    subdomains: Policy | None = None
    nonexistent: Policy | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"
    testing: bool = False
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()
    fo: str = "0"

    def for_subdomain(self, *, exists: bool) -> Policy | None:
        """Return the policy for a name below the one where the record stands (RFC 9989 §4.7: `np`, else `sp`, else `p`)."""
        if self.policy is None:
            return None
        if not exists and self.nonexistent is not None:
            return self.nonexistent
        return self.policy if self.subdomains is None else self.subdomains


_POLICIES = {"none": Policy.NONE, "quarantine": Policy.QUARANTINE, "reject": Policy.REJECT}


def select_record(records: Iterable[bytes]) -> DmarcRecord | None:
    """Return the one DMARC record among the TXT records of a name; of several, none counts (RFC 9989 §4.10)."""
    found = [record for record in records if _VERSION.match(record)]
    return parse_record(found[0]) if len(found) == 1 else None


def parse_record(raw: bytes) -> DmarcRecord | None:
    """Parse a record; None for what is none. Errors behind the version leave the defaults (RFC 9989 §4.8)."""
    version = _VERSION.match(raw[:MAX_RECORD])
    if version is None:
        return None
    tags: dict[str, str] = {}
    for part in raw[version.end() : MAX_RECORD].decode("ascii", "replace").split(";"):
        tag = _TAG.fullmatch(part)
        if tag is not None:
            tags.setdefault(tag[1].lower(), tag[2].strip())
    rua = report_uris(tags.get("rua", ""))
    ruf = report_uris(tags.get("ruf", ""))
    policies = {name: _POLICIES.get(tags[name].lower()) for name in ("p", "sp", "np") if name in tags}
    policy = policies.get("p")
    if policy is None or None in policies.values():
        # RFC 9989 §4.10.1: with a place to report to it is p=none, else there is nothing to be done with it
        policies = {}
        policy = Policy.NONE if rua else None
    psd = tags.get("psd", "u").lower()
    return DmarcRecord(
        policy,
        policies.get("sp"),
        policies.get("np"),
        tags.get("adkim", "r").lower() == "s",
        tags.get("aspf", "r").lower() == "s",
        psd if psd in {"y", "n"} else "u",
        tags.get("t", "n").lower() == "y",
        rua,
        ruf,
        _failure_options(tags.get("fo", "0")) if ruf else "0",  # RFC 9989 §4.7: without ruf there is no fo
    )


def report_uris(text: str) -> tuple[str, ...]:
    """Read a list of reporting URIs (RFC 9989 §4.6); what is no URI is left out."""
    uris = []
    for part in text.split(",", 64)[:64]:
        uri = _SIZE.sub("", part.strip())
        if _URI.fullmatch(uri) and uri not in uris:
            uris.append(uri)
    return tuple(uris[:MAX_REPORT_URIS])


def _failure_options(text: str) -> str:
    """Return the letters of `fo`, or its default when they are not as they should be (RFC 9989 §4.7)."""
    letters = [letter.strip().lower() for letter in text.split(":", 4)]
    wrong = len(set(letters)) < len(letters) or not set(letters) <= {"0", "1", "d", "s"} or {"0", "1"} <= set(letters)
    return "0" if wrong else "".join(letters)
