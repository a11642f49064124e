"""Decisions of junior-guard on messages: one signature says many, as signing and verifying cost far more than what is said.

A token names what was decided by digests, so that those of a batch fit in it; whoever holds it learns nothing of the other messages.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias

from petitbleu_kit.identity import Signer

Decision: TypeAlias = tuple[int, bytes, str]
"""Account, accepted id (16 octets) and verdict."""

VERDICTS: Final = ("deliver", "hold")
_USE: Final = "decision"
# Half of SHA-256: only junior-guard makes them, of ids that others cannot choose, so a second one that fits has to be found, not a pair.
_OCTETS: Final = 16
_TOGETHER: Final = 32


def _digest(account_id: int, accepted_id: bytes, verdict: str) -> bytes:
    return sha256(account_id.to_bytes(8, "big", signed=True) + accepted_id + verdict.encode()).digest()[:_OCTETS]


def tokens_of(signer: Signer, decisions: Sequence[Decision], seconds: int) -> list[str]:
    """Return a token for store for each decision, in order; up to 32 share one."""
    tokens: list[str] = []
    for start in range(0, len(decisions), _TOGETHER):
        part = decisions[start : start + _TOGETHER]
        made = urlsafe_b64encode(b"".join(_digest(*one) for one in part)).decode()
        tokens += [signer.sign("store", {"use": _USE, "made": made}, seconds)] * len(part)
    return tokens


def verdict_in(claims: Mapping[str, Any], account_id: int, accepted_id: bytes) -> str:
    """Return what the claims of a verified token say of a message for an account, empty when they say nothing of it.

    A person's decision is a token of its own, whose claims name account, accepted id (hexadecimal) and verdict.
    """
    if "made" not in claims:
        if str(claims.get("account")) != str(account_id) or claims.get("accepted") != accepted_id.hex():
            return ""
        return str(claims.get("verdict", ""))
    try:
        made = urlsafe_b64decode(str(claims["made"]))
    except ValueError:
        return ""
    said = {made[at : at + _OCTETS] for at in range(0, len(made), _OCTETS)}
    return next((verdict for verdict in VERDICTS if _digest(account_id, accepted_id, verdict) in said), "")
