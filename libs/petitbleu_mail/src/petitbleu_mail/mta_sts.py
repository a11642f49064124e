"""MTA-STS (RFC 8461): the policy that a domain serves, and the TXT record that says which one it is now."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

# RFC 8461 §3.3: senders SHOULD take a policy of 64 KB, and need not take more
MAX_POLICY: Final = 65_536
# RFC 8461 §3.2: about a year
MAX_AGE: Final = 31_557_600
# Octets of one TXT record that are looked at.
_MAX_RECORD: Final = 4096
# Patterns of one policy that are kept; a domain has a handful of hosts.
_MAX_MX: Final = 256

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_PATTERN: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*+\.?")
_LINE: Final = re.compile(r"[ \t]*+([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*+:[ \t]*+([\x20-\x7e\x80-\U0010ffff\t]*+)")
_SECONDS: Final = re.compile(r"[0-9]{1,10}")
# RFC 8461 §3.1
_RECORD_VERSION: Final = re.compile(rb"v=STSv1[ \t]*+(?:;|\Z)")
_FIELD: Final = re.compile(rb"[ \t]*+([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]++)[ \t]*+")
_ID: Final = re.compile(rb"[A-Za-z0-9]{1,32}")


class StsError(ValueError):
    """What is there is no policy; `args[0]` says why in plain words."""


class StsMode(StrEnum):
    """How a policy is to be taken (RFC 8461 §5)."""

    NONE = "none"
    TESTING = "testing"
    ENFORCE = "enforce"


class StsPolicy(msgspec.Struct, frozen=True):
    """A policy: `mx` are patterns in lower case without a final dot, `max_age` is in seconds."""

    mode: StsMode
    mx: tuple[str, ...]
    max_age: int

    @property
    def text(self) -> str:
        """The policy as it is served, its lines ended by CRLF (RFC 8461 §3.2)."""
        lines = ["version: STSv1", f"mode: {self.mode.value}", *[f"mx: {one}" for one in self.mx]]
        return "".join(f"{line}\r\n" for line in [*lines, f"max_age: {self.max_age}"])

    @property
    def id(self) -> str:
        """What stands in the TXT record: another one for every other policy, the same for the same (RFC 8461 §3.1)."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:20]

    @property
    def record_text(self) -> str:
        """The TXT record of `_mta-sts` (RFC 8461 §3.1)."""
        return f"v=STSv1; id={self.id}"

    def covers(self, host: str) -> bool:
        """Whether a host name (A-labels) is one of the policy's; "*." stands for one label (RFC 8461 §4.1)."""
        name = host.lower().removesuffix(".")
        parent = name.partition(".")[2]
        return any(one == name or (one.startswith("*.") and parent == one[2:]) for one in self.mx)


def make_policy(mode: str, mx: Iterable[str], max_age: int) -> StsPolicy:
    """Return a policy of these values, as RFC 8461 §3.2 wants them. Raises `StsError`."""
    try:
        known = StsMode(mode.lower())
    except ValueError:
        raise StsError("the mode is none, testing or enforce") from None
    patterns = tuple(dict.fromkeys(one.lower().removesuffix(".") for one in mx))
    if any(_PATTERN.fullmatch(one) is None or len(one) > 253 for one in patterns):
        raise StsError("an mx is no host name")
    if not patterns and known is not StsMode.NONE:
        raise StsError("there is no mx")
    if not 0 <= max_age <= MAX_AGE:
        raise StsError("max_age is not from 0 to 31557600")
    return StsPolicy(known, patterns[:_MAX_MX], max_age)


def parse_policy(octets: bytes) -> StsPolicy:
    """Read a policy as it was served (RFC 8461 §3.2): what is not known is ignored, of a key that comes again the first counts.

    Raises:
        StsError: it is none.
    """
    if len(octets) > MAX_POLICY:
        raise StsError("the policy is too long")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise StsError("the policy is no UTF-8") from None
    values: dict[str, str] = {}
    mx: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        found = _LINE.fullmatch(line)
        if found is None:
            if line.strip(" \t"):
                raise StsError("a line is no key and value")
        elif found[1] == "mx":
            mx.append(found[2].strip(" \t"))
        else:
            values.setdefault(found[1], found[2].strip(" \t"))
    if values.get("version") != "STSv1":
        raise StsError("the version is not STSv1")
    age = values.get("max_age", "")
    if _SECONDS.fullmatch(age) is None:
        raise StsError("max_age is missing or no number")
    if values.get("mode") not in {one.value for one in StsMode}:
        raise StsError("the mode is none, testing or enforce")
    return make_policy(values["mode"], mx, min(int(age), MAX_AGE))


def policy_id(records: Iterable[bytes]) -> str | None:
    """Return the id that the TXT records of `_mta-sts` name; of several, or of a broken one, none counts (RFC 8461 §3.1)."""
    found = [record for record in records if _RECORD_VERSION.match(record)]
    if len(found) != 1 or len(found[0]) > _MAX_RECORD:
        return None
    for part in found[0].split(b";")[1:]:
        pair = _FIELD.fullmatch(part)
        if pair is not None and pair[1] == b"id":
            return pair[2].decode("ascii") if _ID.fullmatch(pair[2]) else None
    return None
