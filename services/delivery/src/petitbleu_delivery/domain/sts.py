"""MTA-STS as who sends reads it (RFC 8461): the record that announces a policy, and the policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

MAX_POLICY_OCTETS: Final = 64 << 10  # RFC 8461 §3.3
MAX_AGE_SECONDS: Final = 31_557_600  # §3.2
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE)
MODES: Final = frozenset({"enforce", "testing", "none"})


class StsPolicy(msgspec.Struct, frozen=True):
    """A policy: `mode` is enforce, testing or none; `mx` patterns in lower case; `max_age` in seconds."""

    mode: str
    mx: tuple[str, ...]
    max_age: int

    def allows(self, host: str) -> bool:
        """Whether a mail exchanger's name matches one of the patterns (§4.1)."""
        name = host.lower().rstrip(".")
        return any(
            name.partition(".")[2] == pattern[2:] if pattern.startswith("*.") else name == pattern
            for pattern in self.mx
        )


def policy_id(records: Sequence[bytes]) -> str:
    """Return the id of the policy that a domain announces; empty when there is none, or not exactly one (§3.1)."""
    announced = [record for record in records if record.split(b";", 1)[0].strip() == b"v=STSv1"]
    if len(announced) != 1 or not announced[0].isascii():
        return ""
    for part in announced[0].decode("ascii").split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.strip() == "id":
            return value.strip() if _ID.fullmatch(value.strip()) else ""
    return ""


def read_policy(text: bytes) -> StsPolicy | None:
    """Read a policy (§3.2); None when it is none. Where a key comes twice, the first counts, but for `mx`."""
    if len(text) > MAX_POLICY_OCTETS or not text.isascii():
        return None
    found: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.decode("ascii").replace("\r\n", "\n").split("\n"):
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            continue
        if key == "mx":
            if not _HOST.fullmatch(value):
                return None
            patterns.append(value.lower())
        else:
            found.setdefault(key, value)
    age = found.get("max_age", "")
    if found.get("version") != "STSv1" or found.get("mode") not in MODES or not age.isdecimal() or len(age) > 10:
        return None
    if found["mode"] != "none" and not patterns:
        return None
    return StsPolicy(found["mode"], tuple(patterns), min(int(age), MAX_AGE_SECONDS))
